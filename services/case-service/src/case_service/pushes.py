"""What a source system says of its records, one at a time or in batches: the same set-based way for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from uuid import UUID, uuid4

from fastapi import Response
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from case_service import quarantine, views
from case_service.domain import snapshot as snapshots
from case_service.domain.case import Amendment, Case, Circumstances, Decision
from case_service.domain.identity import Holders
from case_service.domain.snapshot import QUEUED, Deletion, Sent, Snapshot, Unfit
from case_service.quarantine import Refused
from case_service.sources import NotRead, SourceCase, read_line, sent
from case_service.store import CASES, amendments_of, circumstances, holders, load, save
from case_service.streams import Intake, Outcome, Results, process
from service_kit.context import Context
from service_kit.database import among
from service_kit.ids import uuid7
from service_kit.problems import Fault, Refusal

Key = tuple[str, str]
"""A council's own reference: two councils may use the same system and the same numbers."""


@dataclass
class Known:
    """What the register holds about the records of one chunk."""

    cases: Mapping[Key, Case]
    amendments: Mapping[UUID, Sequence[Amendment]]
    where: Circumstances
    holders: Holders


async def push(ctx: Context, source: str, ref: str, body: SourceCase | NotRead) -> Response:
    """Take one snapshot. 201 for a new case, 200 otherwise, also when nothing changed; 202 for one that waits for a
    person; 409 for a contradiction."""
    _own_source(ctx, source)
    if isinstance(body, SourceCase) and body.ref not in (None, ref):
        fault = Fault("/ref", "ref-mismatch", "This is not the reference in the address.")
        raise Refusal("validation", errors=[fault])
    return await _push(ctx, sent(source, body, ref=ref))


async def delete(ctx: Context, source: str, ref: str, *, la: str, version: int) -> Response:
    """The source has deleted a record: 202 when a person must decide what becomes of the case, 200 when there is none
    that is open."""
    _own_source(ctx, source)
    return await _push(ctx, Deletion(source, ref, version, la, la))


async def _push(ctx: Context, one: Sent) -> Response:
    try:
        outcome = await _take_one(ctx, one)
    except IntegrityError:
        # The same new reference came twice at once: the other one is stored now, so look again.
        outcome = await _take_one(ctx, one)
    if isinstance(outcome, Refusal):
        raise outcome
    view = views.PushResult(ref=one.ref, **outcome)
    status = {"created": 201, "queued": 202}.get(view.status, 200)
    return ctx.answer(status, view, etag=view.version)


async def _take_one(ctx: Context, one: Sent) -> Outcome:
    async with ctx.db.write() as session:
        (outcome,) = await _take(ctx, session, [one])
    return outcome


def push_batch(ctx: Context, source: str) -> Results:
    """Take many lines; the results stream back in the order of the lines."""
    _own_source(ctx, source)
    intake = Intake("ref", partial(read_line, source), _key, partial(_take, ctx))
    return Results(process(ctx, intake))


def _key(one: Sent) -> Key:
    return (one.la, one.ref)


def _own_source(ctx: Context, source: str) -> None:
    """A system pushes under its own name only; another's address is no address for it."""
    if ctx.caller.org_id != source:
        raise Refusal("not-found")


async def _take(ctx: Context, session: AsyncSession, batch: Sequence[Sent]) -> list[Outcome]:
    """Decide and store a chunk, in which each record comes once, in the caller's transaction. What is refused is among
    the outcomes, and kept for a person."""
    today = ctx.clock.today()
    known = await _known(session, batch, today)
    decisions: list[Decision] = []
    outcomes: list[Outcome] = []
    taken: list[Sent] = []
    refused: list[Refused] = []
    for one in batch:
        case = known.cases.get(_key(one))
        try:
            decision = _decide(ctx, one, case, known)
        except Refusal as refusal:
            outcomes.append(_queued(one, case) if _code(refusal) in QUEUED else refusal)
            refused.append(Refused(one, refusal, case.id if case else None))
        else:
            taken.append(one)
            outcomes.append(_outcome(one, decision))
            if decision is not None:
                decisions.append(decision)
    await save(session, decisions, who=f"{ctx.caller.role}:{ctx.caller.subject}"[:200], today=today)
    await quarantine.keep(session, taken, refused)
    return outcomes


async def _known(session: AsyncSession, batch: Sequence[Sent], today: date) -> Known:
    refs, las = sorted({one.ref for one in batch}), sorted({one.la for one in batch})
    sources = sorted({one.source for one in batch})
    found = await load(
        session,
        CASES.c.source.in_(sources) & CASES.c.source_la.in_(las) & among(session, CASES.c.source_ref, refs),
    )
    cases = {(c.source_la or "", c.source_ref or ""): c for c in found}
    arrived = [one for one in batch if isinstance(one, Snapshot)]
    moving = [case.id for one in arrived if (case := cases.get(_key(one))) and _moves(case, one)]
    urns = [*(one.mapped["urn"] for one in arrived), *(case.urn for case in found)]
    return Known(
        cases,
        await amendments_of(session, moving),
        await circumstances(session, today, urns),
        await holders(session, [number for one in arrived for number in one.numbers]),
    )


def _moves(case: Case, snapshot: Snapshot) -> bool:
    """Whether the amendments of the case matter: only where the source's notice date moved."""
    before = (case.source_mapped or {}).get("notice_sent_on")
    return bool(snapshot.mapped["notice_sent_on"] != before)


def _decide(ctx: Context, one: Sent, case: Case | None, known: Known) -> Decision | None:
    """What follows from what was sent; None where nothing does."""
    # The council that keeps the case, for the reference is its own: nobody takes another council's number.
    if ctx.caller.las and one.la not in ctx.caller.las:
        raise Refusal("forbidden", "This system may push cases of its own council only.")
    if isinstance(one, Unfit):
        raise one.refusal
    if isinstance(one, Deletion):
        snapshots.deleted(case, one)
        return None
    if case is None:
        decision = snapshots.first(
            one,
            known.where,
            case_id=uuid4(),
            amendment_id=uuid7(),
            go_live=ctx.settings.go_live,
        )
    else:
        own = known.amendments.get(case.id, ())
        decision = snapshots.newer(
            case, one, own, known.where, amendment_id=uuid7(), go_live=ctx.settings.go_live
        )
    known.holders.claim(case, decision.after)
    return decision


def _code(refusal: Refusal) -> str:
    return next((fault.code for fault in refusal.errors), refusal.slug)


def _outcome(one: Sent, decision: Decision | None) -> Outcome:
    if decision is None:
        return _result(one, "unchanged", None)
    status = "created" if decision.before is None else "updated" if decision.changes else "unchanged"
    return _result(one, status, decision.after)


def _queued(one: Sent, case: Case | None) -> Outcome:
    return _result(one, "queued", case)


def _result(one: Sent, status: str, case: Case | None) -> Outcome:
    return {
        "status": status,
        "case_id": str(case.id) if case else None,
        "version": case.version if case else None,
        "source_version": one.version,
    }
