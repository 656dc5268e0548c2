"""What officers do to a case. Each command: open `write()`, load, ask the domain (which may refuse), save and answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

from fastapi import Response
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from case_service import bodies, views
from case_service.domain import amendments as amending
from case_service.domain import ceasing, plan
from case_service.domain.case import Amendment, Case, Circumstances, Correction, Decision
from case_service.domain.corrections import correct
from case_service.domain.identity import numbers
from case_service.store import CASES, amendments_of, circumstances, holders, load, save
from case_service.tables import CaseRow
from ehcp_contracts.events import CeaseReason
from service_kit.context import Context
from service_kit.ids import uuid7
from service_kit.problems import Refusal

Decide = Callable[[Case, Sequence[Amendment], Circumstances], Decision]


async def register(ctx: Context, body: bodies.RegisterCase) -> Response:
    """Register a case that one of the caller's councils administers. Raises Refusal: "forbidden" for another council's
    case, "conflict" for a child who has an open case there."""
    if body.administered_by not in ctx.caller.las:
        raise Refusal("forbidden", "You may register cases that your own council administers only.")
    case = Case(
        id=uuid4(),
        la_code=body.responsible_la,
        administering_la=body.administered_by,
        primary_need=body.primary_need.value if body.primary_need else None,
        icb=body.icb,
        social_care_team=body.social_care_team,
        officer=body.officer,
        **body.child.model_dump(mode="python") | {"sex": body.child.sex.value},
        **body.placement.values(),
        taught_year_group=body.taught_year_group,
    )
    try:
        return await _register(ctx, case)
    except IntegrityError:
        # The same child came twice at once: the other case is stored now, so look again.
        return await _register(ctx, case)


async def _register(ctx: Context, case: Case) -> Response:
    async with ctx.write() as tx:
        (await holders(tx.session, numbers(case))).claim(None, case)
        where = await circumstances(tx.session, ctx.clock.today(), [case.urn])
        decision = plan.register(case, where)
        await _save(ctx, tx.session, decision)
        view = views.case_view(decision.after, tx.session.info["clock"].now(), role=ctx.caller.role)
        return tx.answer(201, view, etag=1, location=f"/v1/cases/{case.id}")


async def issue_plan(ctx: Context, case_id: UUID, body: bodies.IssuePlan) -> Response:
    """Issue the first plan."""

    def decide(case: Case, _: Sequence[Amendment], where: Circumstances) -> Decision:
        return plan.issue_plan(
            case,
            where,
            issued_on=body.issued_on,
            placement=body.placement.values(),
            draft_served_on=body.draft_served_on,
            go_live=ctx.settings.go_live,
        )

    return await _change(ctx, case_id, decide, status=201, urn=body.placement.urn)


async def change_placement(ctx: Context, case_id: UUID, body: bodies.ChangePlacement) -> Response:
    """Change the placement, the ICB, the team or the officer."""
    urn = body.placement.urn if body.placement else None
    return await _change(ctx, case_id, lambda case, _, where: plan.move(case, where, body.values()), urn=urn)


async def send_notice(ctx: Context, case_id: UUID, body: bodies.SendNotice) -> Response:
    """Send an amendment notice; the answer has its days, each with its rule and citation."""

    def decide(case: Case, known: Sequence[Amendment], where: Circumstances) -> Decision:
        return amending.send_notice(case, known, where, notice_id=uuid7(), **body.model_dump())

    return await _change(ctx, case_id, decide, status=201, notice=True)


async def issue_final(ctx: Context, case_id: UUID, notice_id: UUID, body: bodies.IssueFinal) -> Response:
    """Issue the final amended plan."""

    def decide(case: Case, known: Sequence[Amendment], where: Circumstances) -> Decision:
        return amending.issue_final(case, known, notice_id, where, issued_on=body.issued_on)

    return await _change(ctx, case_id, decide, notice=True)


async def drop_amendment(
    ctx: Context, case_id: UUID, notice_id: UUID, body: bodies.DropAmendment
) -> Response:
    """Decide not to amend after all."""

    def decide(case: Case, known: Sequence[Amendment], where: Circumstances) -> Decision:
        return amending.drop(case, known, notice_id, where, decided_on=body.decided_on, reasons=body.reasons)

    return await _change(ctx, case_id, decide, notice=True)


async def cease(ctx: Context, case_id: UUID, body: bodies.Cease) -> Response:
    """One step on the way to the end of the plan."""
    return await _change(ctx, case_id, lambda case, known, where: _cease(case, known, where, body))


def _cease(case: Case, amendments: Sequence[Amendment], where: Circumstances, body: bodies.Cease) -> Decision:
    step, reason = body.stage, body.reason or CeaseReason.OTHER
    if step is bodies.CeaseStep.APPEAL:
        return ceasing.appeal(case, where)
    if step in (bodies.CeaseStep.WITHDRAW, bodies.CeaseStep.APPEAL_ALLOWED):
        allowed = step is bodies.CeaseStep.APPEAL_ALLOWED
        return ceasing.withdraw(case, amendments, where, allowed=allowed)
    on = bodies.day_of(body)
    if step is bodies.CeaseStep.CONSULT:
        return ceasing.consider(case, where, told_on=on, review_id=body.review_id)
    if step is bodies.CeaseStep.CERTIFICATE:
        return ceasing.certify(case, where, certificate_on=on)
    if body.effective_now:
        return ceasing.end_at_once(case, where, ended_on=on, reason=reason)
    return ceasing.notify(case, where, notified_on=on, reason=reason)


async def correct_date(ctx: Context, case_id: UUID, body: bodies.CorrectDate) -> Response:
    """Correct a recorded date with a reason."""
    correction = Correction(old=None, **body.model_dump())
    return await _change(
        ctx, case_id, lambda case, known, where: correct(case, known, where, correction), status=201
    )


async def _change(
    ctx: Context,
    case_id: UUID,
    decide: Decide,
    *,
    status: int = 200,
    urn: str | None = None,
    notice: bool = False,
) -> Response:
    """Load what the caller may see, decide, save, answer with the case (or with the notice that was touched)."""
    async with ctx.write() as tx:
        case = await _visible(ctx, tx.session, case_id)
        ctx.match(case.version)
        known = (await amendments_of(tx.session, [case.id]))[case.id]
        where = await circumstances(tx.session, ctx.clock.today(), [case.urn, urn])
        decision = decide(case, known, where)
        held = numbers(decision.after)
        if held != numbers(case):  # a plan that does not end after all takes its numbers back
            (await holders(tx.session, held)).claim(case, decision.after)
        await _save(ctx, tx.session, decision)
        location = f"/v1/cases/{case.id}"
        if notice:
            (touched,) = decision.amendments
            view = views.notice_view(touched, case_version=decision.after.version)
            return tx.answer(status, view, etag=decision.after.version, location=location)
        now = tx.session.info["clock"].now()
        answer = views.case_view(decision.after, now, role=ctx.caller.role)
        return tx.answer(status, answer, etag=decision.after.version, location=location)


async def _visible(ctx: Context, session: AsyncSession, case_id: UUID) -> Case:
    found = await load(session, (CASES.c.id == case_id) & ctx.visible(CaseRow))
    if not found:
        raise Refusal("not-found")
    return found[0]


async def _save(ctx: Context, session: AsyncSession, decision: Decision) -> None:
    who = f"{ctx.caller.role}:{ctx.caller.subject}"[:200]
    await save(session, [decision], who=who, today=ctx.clock.today())
