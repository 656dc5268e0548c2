"""What callers do with a review: book its meeting, record it held, its report, and the decision.

One meeting may serve several reviews of a child. What is recorded of it is recorded for all of them, and each keeps its
own due date; the decision is announced once, each conclusion by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlmodel import col

from ehcp_contracts.events import CorrectionReason, Outcome, ReviewKind
from review_scheduler import announcements, queries
from review_scheduler.docket import Docket, conclusion_of
from review_scheduler.domain import steps
from review_scheduler.domain.obligations import Status, same_meeting
from review_scheduler.domain.steps import OverrideReason, Recorded, Step
from review_scheduler.tables import Plan, Review, ReviewRow
from service_kit import Ctx, Fault, Refusal, Tx


@dataclass(frozen=True, slots=True)
class Changed:
    """A review as it stands after a step, with the stages it missed before it came here."""

    review: Review
    missed: list[str]


async def book(
    ctx: Ctx,
    tx: Tx,
    review_id: UUID,
    meeting_on: date,
    covers: Sequence[ReviewKind] = (),
    notice_given_on: date | None = None,
) -> Changed:
    """Set or move the meeting. `covers` names other open reviews of the child that the same meeting is to serve;
    `notice_given_on` is the day everybody was told of it, today if nothing is said."""
    docket, plan, review = await _take(ctx, tx, review_id)
    told_on = notice_given_on or docket.today
    steps.check_booking(meeting_on, told_on, plan.plan_first_made, docket.today)
    for each in _serving(docket, plan, review, covers):
        steps.take_step(each, Step.BOOK, docket.today)
        previous, each.meeting_on = each.meeting_on, meeting_on
        each.status = Status.BOOKED
        each.breaches = [b for b in each.breaches if b["code"] not in steps.OF_THE_BOOKING]
        docket.hang_on_meeting(each, meeting_on)
        docket.breach(each, steps.booking_breaches(each, meeting_on, told_on))
        docket.touch(each)
        if previous != meeting_on:
            docket.announce(each, announcements.meeting_booked(each, previous))
    return await _done(docket, plan, review)


async def hold(
    ctx: Ctx, tx: Tx, review_id: UUID, held_on: date, covers: Sequence[ReviewKind] = ()
) -> Changed:
    """Record that the meeting was held; nobody is asked to plan it any more. A meeting of a review that has fallen away
    since, or was decided without it, is recorded as well: late is better than never."""
    docket, plan, review = await _take(ctx, tx, review_id)
    again = await _take_up(docket, plan, review, held_on, "/held_on")
    for kind in covers:
        again += await docket.take_up_kind(plan, kind, held_on)
    for each in _serving(docket, plan, review, covers):
        is_decided = each.notified_on is not None and each.held_on is None
        if not is_decided:
            steps.take_step(each, Step.HOLD, held_on)
        steps.check_held(each, held_on, plan.plan_first_made, docket.today)
        steps.check_before_what_followed(each, held_on)
        if each.meeting_on != held_on:
            each.breaches = [b for b in each.breaches if b["code"] not in steps.OF_THE_BOOKING]
        each.meeting_on, each.held_on = held_on, held_on
        docket.hang_on_meeting(each, held_on)
        docket.cancel_stages(each)
        docket.announce(each, announcements.meeting_held(each))
        if is_decided:
            each.override_reason = None
            docket.judge(each, each.concluded_on)
            _note(ctx, docket, each, Recorded.HELD_ON, None, held_on, "recorded_late")
            docket.announce(each, announcements.corrected(each, "recorded_late"))
        else:
            each.status = Status.HELD
            docket.judge(each, None)
    return await _done(docket, plan, review, again)


async def enter(ctx: Ctx, tx: Tx, case_id: UUID, held_on: date) -> Changed:
    """Enter an annual review of earlier twelve months that the register does not have, by its meeting; report and
    decision follow as for any other. Raises `Refusal` not-found, or conflict where the open review is the one."""
    if (await tx.session.execute(queries.one_plan(ctx, case_id))).scalar_one_or_none() is None:
        raise Refusal("not-found")
    docket = await Docket.load(tx.session, [case_id], today=ctx.clock.today(), now=ctx.clock.now())
    plan = docket.plans[case_id]
    review = docket.open(plan, await docket.owed_then(plan, held_on), held_on=held_on)
    steps.check_held(review, held_on, plan.plan_first_made, docket.today)
    docket.judge(review, None)
    docket.announce(review, announcements.meeting_held(review))
    return await _done(docket, plan, review, [review] if plan.ceased_on else [])


async def report(ctx: Ctx, tx: Tx, review_id: UUID, received_on: date) -> Changed:
    """Record the report of the meeting. It may come after the decision: the decision never waits for it."""
    docket, plan, review = await _take(ctx, tx, review_id)
    again = await _take_up(docket, plan, review, received_on, "/received_on")
    others = docket.open_of(plan) if review.closed_on is None else await docket.concluded_of(plan)
    for each in same_meeting(review, others):
        steps.take_step(each, Step.REPORT, received_on)
        steps.check_report(each, received_on, docket.today)
        each.report_received_on = received_on
        if each.status == Status.HELD:
            each.status = Status.REPORTED
        docket.breach(each, steps.report_breaches(each, received_on))
        docket.touch(each)
        docket.announce(each, announcements.report_received(each))
    return await _done(docket, plan, review, again)


async def decide(
    ctx: Ctx,
    tx: Tx,
    review_id: UUID,
    outcome: Outcome,
    notified_on: date,
    *,
    override: OverrideReason | None = None,
    full_process: bool | None = None,
) -> Changed:
    """Record the decision that was notified. "Maintain" and "cease" conclude the review, "amend" once the amendment
    notice has been sent as well. `full_process`: an under-five interim was run as a full review (regs 19 and 20)."""
    docket, plan, review = await _take(ctx, tx, review_id)
    again = await _take_up(docket, plan, review, notified_on, "/notified_on")
    together = same_meeting(review, docket.open_of(plan)) if review.held_on else [review]
    for each in together:
        steps.take_step(each, Step.DECIDE, notified_on, outcome=outcome, override=override)
        steps.check_decision(each, notified_on, plan.plan_first_made, docket.today)
        _set_process(each, review, full_process)
        each.outcome, each.notified_on, each.status = outcome, notified_on, Status.DECIDED
        if each.held_on is None:
            each.override_reason = override
        docket.breach(each, steps.decision_breaches(each, notified_on))
        docket.cancel_stages(each)
        docket.touch(each)
    docket.announce(review, announcements.decided(review))
    if outcome is not Outcome.AMEND or review.notice_sent_on:
        await docket.conclude(plan, together)
    return await _done(docket, plan, review, again)


async def correct(
    ctx: Ctx, tx: Tx, review_id: UUID, day: Recorded, new: date, reason: CorrectionReason, note: str
) -> Changed:
    """Put a recorded day right, for every review of that meeting. What hangs on it is judged anew, the old day stays on
    record, and partners are told of a correction, not a second time of the step."""
    docket, plan, review = await _take(ctx, tx, review_id)
    old: date | None = getattr(review, day)
    if old is None:
        message = "No such day is on record yet."
        raise Refusal("conflict", errors=[Fault("/field", "nothing-recorded", message)])
    if old == new:
        raise Refusal(
            "validation", errors=[Fault("/new", "same-value", "This is the day already on record.")]
        )
    others = [*docket.open_of(plan), *await docket.concluded_of(plan)]
    together = [each for each in same_meeting(review, others) if getattr(each, day) == old]
    for each in together:
        setattr(each, day, new)
        _check_corrected(docket, plan, each, day)
        if day is Recorded.HELD_ON:
            each.meeting_on = new
            docket.hang_on_meeting(each, new)
        docket.judge(each, each.concluded_on)
        _note(ctx, docket, each, day, old, new, reason.value, note)
    moved = [(each, conclusion_of(each) if each.concluded_on else None) for each in together]
    await docket.reconclude(plan, moved, reason.value)
    return await _done(docket, plan, review)


def _check_corrected(docket: Docket, plan: Plan, review: Review, day: Recorded) -> None:
    on: date = getattr(review, day)
    match day:
        case Recorded.HELD_ON:
            steps.check_held(review, on, plan.plan_first_made, docket.today)
            steps.check_before_what_followed(review, on)
        case Recorded.REPORT_RECEIVED_ON:
            steps.check_report(review, on, docket.today)
        case Recorded.NOTIFIED_ON:
            steps.check_decision(review, on, plan.plan_first_made, docket.today)


def _note(
    ctx: Ctx,
    docket: Docket,
    review: Review,
    day: Recorded,
    old: date | None,
    new: date,
    reason: str,
    note: str | None = None,
) -> None:
    who = f"{ctx.caller.role}:{ctx.caller.subject}"[:200]
    docket.note_correction(review, field=day.value, old=old, new=new, reason=reason, note=note, who=who)


def _set_process(each: Review, asked: Review, full_process: bool | None) -> None:
    if each is not asked or full_process is None:
        return
    if each.kind != ReviewKind.UNDER5_INTERIM and not full_process:
        message = "Only an under-five interim may be held without the full process."
        raise Refusal("validation", errors=[Fault("/full_process", "full-process-required", message)])
    each.counts_as_statutory = full_process


async def _take(ctx: Ctx, tx: Tx, review_id: UUID) -> tuple[Docket, Plan, Review]:
    """The review in hand, open or closed, with all that hangs on its plan. Raises `Refusal` not-found or stale-version."""
    visible = queries.one_review(ctx, review_id).with_only_columns(col(ReviewRow.case_id))
    case_id = (await tx.session.execute(visible)).scalar_one_or_none()
    if case_id is None:
        raise Refusal("not-found")
    docket = await Docket.load(tx.session, [case_id], today=ctx.clock.today(), now=ctx.clock.now())
    plan = docket.plans[case_id]
    review = docket.review(plan, review_id)
    if review is None:  # closed, perhaps by somebody else between the first look and the lock
        review = next(closed for closed in await docket.closed_of(plan) if closed.id == review_id)
    ctx.match(review.version)
    return docket, plan, review


def _serving(docket: Docket, plan: Plan, review: Review, covers: Sequence[ReviewKind]) -> list[Review]:
    """The reviews that this meeting serves: those it serves already, and those the caller adds."""
    found = same_meeting(review, docket.open_of(plan))
    for kind in covers:
        other = next((each for each in docket.open_of(plan) if each.kind == kind), None)
        if other is None:
            message = "There is no open review of this kind for the child."
            raise Refusal("validation", errors=[Fault("/covers", "no-such-review", message)])
        if other not in found:
            found.append(other)
    return found


async def _take_up(docket: Docket, plan: Plan, review: Review, on: date, pointer: str) -> list[Review]:
    """A review that has fallen away since is taken up again for what was done while it was owed."""
    if review.status != Status.WITHDRAWN:
        return []
    steps.check_owed(review, on, docket.last_owed(plan, review), pointer)
    await docket.reinstate(plan, review)
    return [review]


async def _done(docket: Docket, plan: Plan, review: Review, again: Sequence[Review] = ()) -> Changed:
    if again and plan.ceased_on:
        docket.reconcile(plan)  # it was entered, and has ended with its plan all the same
    for each in again:
        if each.closed_on is None:
            docket.revive_stages(each)
    await docket.save()
    missed = await queries.missed_stages(docket.tx, [review.id])
    return Changed(review, missed.get(review.id, []))
