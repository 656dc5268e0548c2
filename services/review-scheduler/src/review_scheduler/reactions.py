"""What the events of a case do to its reviews.

A batch of events is taken as one: the plans of all its cases are read, changed in memory in the order of the events,
and written, each with a few statements. What fails is found by the inbox, which halves the batch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.events import (
    AmendmentDropped,
    AmendmentIssued,
    AmendmentNoticeSent,
    CaseFactsChanged,
    CeaseNotified,
    CorrectableDate,
    DateCorrected,
    Event,
    Facts,
    Placement,
    PlacementChanged,
    PlanCeased,
    PlanContinued,
    PlanIssued,
    PlanRegistered,
    Responsible,
    ReviewKind,
)
from review_scheduler.docket import Docket, conclusion_of, facts_of
from review_scheduler.domain.obligations import Status, owed, same_meeting
from review_scheduler.tables import Plan, Review
from service_kit import Defer, Received


async def apply(tx: AsyncSession, events: Sequence[Received[Any]]) -> None:
    """Take a batch of case events. Raises `Defer` for an event whose plan has not arrived yet."""
    known = [received for received in events if type(received.event) in REACTIONS]
    if not known:
        return
    clock = tx.info["clock"]
    docket = await Docket.load(
        tx, {received.case for received in known}, today=clock.today(), now=clock.now()
    )
    for received in known:
        docket.traceparent = received.envelope.traceparent
        await REACTIONS[type(received.event)](docket, received)
    await docket.save()


async def on_plan_registered(docket: Docket, received: Received[PlanRegistered]) -> None:
    """A plan that existed before the hub. A meeting held since the last conclusion is an open step: it is taken over, so
    that the review opens in that state."""
    event = received.event
    plan = _arrived(docket, received, event.plan_first_made, event.last_concluded)
    held_on = event.meeting_held_on
    if held_on and held_on > facts_of(plan).anchor and not docket.open_of(plan):
        for each in owed(facts_of(plan), docket.policy_of(plan)):
            if each.kind is ReviewKind.ANNUAL:
                docket.open(plan, each, held_on=held_on, notice_sent_on=event.notice_sent_on)
    docket.reconcile(plan)


async def on_plan_issued(docket: Docket, received: Received[PlanIssued]) -> None:
    """A first plan: its day starts the first 12 months."""
    docket.reconcile(_arrived(docket, received, received.event.issued_on, None))


def _arrived(
    docket: Docket,
    received: Received[PlanRegistered] | Received[PlanIssued],
    made_on: date,
    last_concluded: date | None,
) -> Plan:
    event = received.event
    routing = _routing(event.responsible) | _placement(event.placement)
    plan = docket.plans.get(received.case)
    if plan is None:
        plan = Plan(
            **routing,
            case_id=received.case,
            plan_first_made=made_on,
            last_concluded=last_concluded,
            facts=_json(event.facts),
            known_since=docket.today,
            updated_at=docket.now,
        )
        docket.add(plan)
        return plan
    if plan.ceased_on:
        # A new plan after one that ended: nothing of the old clock runs on.
        plan.last_concluded = plan.ceased_on = plan.in_force_to = plan.interims_done_to = (
            plan.phase_done_for
        ) = None
    # Registered again: the source knows best, and what was concluded here since stays.
    plan.plan_first_made, plan.facts = made_on, _json(event.facts)
    plan.last_concluded = max(filter(None, (plan.last_concluded, last_concluded)), default=None)
    docket.touch(plan)
    docket.route(plan, **routing)
    return plan


async def on_case_facts_changed(docket: Docket, received: Received[CaseFactsChanged]) -> None:
    """A birthday, 1 September, a concluded review, or another officer, team or ICB."""
    plan = _plan(docket, received)
    docket.route(plan, **_routing(received.event.responsible))
    plan.facts = _json(received.event.facts)
    docket.touch(plan)
    docket.reconcile(plan)


async def on_placement_changed(docket: Docket, received: Received[PlacementChanged]) -> None:
    """Another school or setting, and perhaps another area. The dates stand: a move is not a review."""
    plan = _plan(docket, received)
    docket.route(plan, **_routing(received.event.responsible), **_placement(received.event.placement))
    docket.touch(plan)


async def on_amendment_notice_sent(docket: Docket, received: Received[AmendmentNoticeSent]) -> None:
    """With the decision to amend, the notice concludes the review. A notice without review (reg 28) does nothing here;
    one sent before the decision is recorded waits for it on the review."""
    event = received.event
    plan = _plan(docket, received)
    review = docket.review(plan, event.review_id)
    if review is None:
        return
    together = same_meeting(review, docket.open_of(plan)) if review.held_on else [review]
    for each in together:
        each.notice_id, each.notice_sent_on = event.notice_id, event.sent_on
        docket.judge(each, None)
    if review.status == Status.DECIDED:
        # A review of the same day that was recorded later has no decision yet: it goes on, and has the notice.
        await docket.conclude(plan, [each for each in together if each.status == Status.DECIDED])


async def on_amendment_issued(docket: Docket, received: Received[AmendmentIssued]) -> None:
    """The final plan came out: noted on its review. It does not move the 12 months (`review_not_reset_by`)."""
    for review in await _of_notice(docket, received, received.event.notice_id):
        review.amended_plan_issued_on = received.event.issued_on
        docket.touch(review)


async def on_amendment_dropped(docket: Docket, received: Received[AmendmentDropped]) -> None:
    """The amendment was dropped after its notice: noted on its review, which stays concluded."""
    for review in await _of_notice(docket, received, received.event.notice_id):
        review.amendment_dropped_on = received.event.decided_on
        docket.touch(review)


async def on_cease_notified(docket: Docket, received: Received[CeaseNotified]) -> None:
    """The plan will end; its reviews go on until it has (CFA 2014 s.45(4))."""
    plan = _plan(docket, received)
    plan.in_force_to = received.event.in_force_to
    docket.touch(plan)


async def on_plan_ceased(docket: Docket, received: Received[PlanCeased]) -> None:
    """The plan has ended, and with it every open review."""
    plan = _plan(docket, received)
    plan.ceased_on = received.event.ceased_on
    docket.touch(plan)
    docket.reconcile(plan)


async def on_plan_continued(docket: Docket, received: Received[PlanContinued]) -> None:
    """The plan does not end, or not yet. Where its end was recorded here already, the reviews that ended with it are
    owed as before."""
    plan = _plan(docket, received)
    plan.in_force_to = received.event.in_force_to
    if plan.ceased_on:
        plan.ceased_on = None
        ended = [r for r in await docket.closed_of(plan) if r.withdrawn_because == "plan_ended"]
        for review in ended:
            await docket.reinstate(plan, review)
            docket.revive_stages(review)
    docket.touch(plan)
    docket.reconcile(plan)


async def on_date_corrected(docket: Docket, received: Received[DateCorrected]) -> None:
    """A recorded date was wrong: whatever hangs on it is reckoned anew from the right one."""
    event, plan = received.event, _plan(docket, received)
    match event.field:
        case CorrectableDate.PLAN_FIRST_MADE:
            plan.plan_first_made = event.new
            await docket.mend(plan, event.reason.value, event.old, event.new)
        case CorrectableDate.LAST_CONCLUDED if event.later_review:
            await docket.concluded_elsewhere(plan, event.new)
        case CorrectableDate.LAST_CONCLUDED:
            await _correct_conclusion(docket, plan, event)
        case CorrectableDate.NOTICE_SENT:
            await _correct_notice(docket, plan, event)
        case CorrectableDate.AMENDED_PLAN_ISSUED:
            for review in await _of_notice(docket, received, event.notice_id):
                review.amended_plan_issued_on = event.new
                docket.touch(review)
    docket.touch(plan)
    docket.reconcile(plan, corrected=True)


async def _correct_conclusion(docket: Docket, plan: Plan, event: DateCorrected) -> None:
    """The day may be that of a review concluded here, or of one that only the source knows."""
    together = [
        review
        for review in await docket.concluded_of(plan)
        if review.concluded_on == event.old and review.counts_as_statutory
    ]
    for review in together:
        if review.notified_on == event.old:
            review.notified_on = event.new
    if together:
        await docket.reconclude(plan, [(review, event.new) for review in together], event.reason.value)
    else:
        plan.last_concluded = event.new
        await docket.mend(plan, event.reason.value, event.old, event.new)


async def _correct_notice(docket: Docket, plan: Plan, event: DateCorrected) -> None:
    """A conclusion that hung on the notice moves with it; only this service can tell, so it says so."""
    if event.notice_id is None:
        return
    for review in docket.open_of(plan):
        if review.notice_id == event.notice_id:
            review.notice_sent_on = event.new
            docket.judge(review, None)
    concluded = [r for r in await docket.concluded_of(plan) if r.notice_id == event.notice_id]
    for review in concluded:
        review.notice_sent_on = event.new
    if concluded:
        days = [(review, conclusion_of(review)) for review in concluded]
        await docket.reconclude(plan, days, event.reason.value)


async def _of_notice(docket: Docket, received: Received[Any], notice_id: UUID | None) -> list[Review]:
    """The reviews that an amendment notice belongs to, also when it was sent a second time; none for an amendment
    without review."""
    plan = _plan(docket, received)
    review_id = getattr(received.event, "review_id", None)
    reviews = [*docket.open_of(plan), *await docket.concluded_of(plan)]
    return [r for r in reviews if r.id == review_id or (notice_id is not None and r.notice_id == notice_id)]


def _plan(docket: Docket, received: Received[Any]) -> Plan:
    plan = docket.plans.get(received.case)
    if plan is None:
        raise Defer("the plan of this case has not arrived yet")
    return plan


def _routing(responsible: Responsible) -> dict[str, Any]:
    return responsible.model_dump()


def _placement(placement: Placement) -> dict[str, Any]:
    return {"urn": placement.urn, "setting": placement.setting}


def _json(facts: Facts) -> dict[str, Any]:
    return facts.model_dump(mode="json")


Reaction = Callable[[Docket, Received[Any]], Awaitable[None]]

REACTIONS: Mapping[type[Event], Reaction] = {
    PlanRegistered: on_plan_registered,
    PlanIssued: on_plan_issued,
    CaseFactsChanged: on_case_facts_changed,
    PlacementChanged: on_placement_changed,
    DateCorrected: on_date_corrected,
    AmendmentNoticeSent: on_amendment_notice_sent,
    AmendmentIssued: on_amendment_issued,
    AmendmentDropped: on_amendment_dropped,
    CeaseNotified: on_cease_notified,
    PlanCeased: on_plan_ceased,
    PlanContinued: on_plan_continued,
}
"""What this service reacts to."""
