"""Which reviews a plan owes, and what becomes of its open reviews when facts change or a review is concluded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Literal, Protocol, TypeVar
from uuid import UUID

from ehcp_contracts.events import Facts, ReviewKind
from review_scheduler.domain.dates import Owed, annual, phase_transfer, under5_interim
from review_scheduler.domain.policy import NATIONAL, Policy


class Status(StrEnum):
    """How far a review has come. `decided` is a decision to amend that waits for its amendment notice."""

    DUE = "due"
    BOOKED = "booked"
    HELD = "held"
    REPORTED = "reported"
    DECIDED = "decided"
    CONCLUDED = "concluded"
    WITHDRAWN = "withdrawn"


OPEN = (Status.DUE, Status.BOOKED, Status.HELD, Status.REPORTED, Status.DECIDED)
BEFORE_MEETING = (Status.DUE, Status.BOOKED)

WithdrawnBecause = Literal["satisfied", "facts_changed", "plan_ended", "lapsed"]
"""`lapsed`: owed, missed, and no longer to be held; the breach stays on record."""

CorrectedBecause = Literal["recorded_late", "keying_error", "source_error", "evidence_found", "tribunal"]
"""Why what was told of a review is corrected. `recorded_late`: something done before was entered only now."""


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What decides which reviews a plan owes.

    `interims_done_to`: under-five interims up to this day are dealt with; `phase_done_for`: the day of the transfer
    whose phase review is concluded.
    """

    plan_first_made: date
    facts: Facts
    last_concluded: date | None = None
    interims_done_to: date | None = None
    phase_done_for: date | None = None
    ended: bool = False

    @property
    def anchor(self) -> date:
        """The day from which CFA 2014 s.44(1) counts: the last review concluded, else the plan first made. Nothing
        else moves it: no Tribunal order, amendment without review, final plan or change of authority."""
        return self.last_concluded or self.plan_first_made


class OpenReview(Protocol):
    """What the rules look at in a review that is open."""

    @property
    def id(self) -> UUID: ...
    @property
    def kind(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def counted_from(self) -> date: ...
    @property
    def due_on(self) -> date: ...
    @property
    def latest_meeting_on(self) -> date: ...
    @property
    def meeting_on(self) -> date | None: ...
    @property
    def held_on(self) -> date | None: ...
    @property
    def counts_as_statutory(self) -> bool: ...


R = TypeVar("R", bound=OpenReview)


@dataclass(frozen=True, slots=True)
class Open:
    """Open a review."""

    owed: Owed


@dataclass(frozen=True, slots=True)
class Move:
    """Give an open review other dates."""

    review_id: UUID
    owed: Owed


@dataclass(frozen=True, slots=True)
class Withdraw:
    """End a review that is no longer owed."""

    review_id: UUID
    reason: WithdrawnBecause


Change = Open | Move | Withdraw


def owed(plan: PlanFacts, policy: Policy = NATIONAL) -> list[Owed]:
    """The reviews a plan owes now, at most one of a kind; none once it has ended."""
    if plan.ended:
        return []
    return [o for o in (annual(plan.anchor, policy), _interim(plan), _phase(plan, policy)) if o is not None]


def _interim(plan: PlanFacts) -> Owed | None:
    done_to = plan.interims_done_to or date.min
    ahead = [day for day in plan.facts.under5_interims if day > done_to]
    return under5_interim(plan.anchor, min(ahead)) if ahead else None


def _phase(plan: PlanFacts, policy: Policy) -> Owed | None:
    phase, transfer_on = plan.facts.phase, plan.facts.transfer_on
    if phase is None or transfer_on is None or transfer_on == plan.phase_done_for:
        return None
    return phase_transfer(phase, transfer_on, policy)


def reconcile(
    plan: PlanFacts,
    open_reviews: Iterable[OpenReview],
    policy: Policy = NATIONAL,
    *,
    today: date,
    corrected: bool = False,
) -> list[Change]:
    """What must change so that the open reviews are those the plan owes.

    A review whose meeting was held keeps its dates and is never withdrawn (a review ends with a decision); one that is
    convened is not cancelled because facts changed. What was overdue by `today`, the business date, was owed all the
    same: it lapses, and neither vanishes nor moves on to the next transfer. `corrected`: a recorded date was wrong, so
    that every open review that hangs on it moves, whatever its state.
    """
    wanted = {o.kind: o for o in owed(plan, policy)}
    changes: list[Change] = []
    # Of two of a kind the earlier was taken up again to record what was done in its time: it only waits for its decision.
    for review in sorted(open_reviews, key=lambda review: review.due_on, reverse=True):
        want = wanted.pop(ReviewKind(review.kind), None)
        if plan.ended:
            changes.append(Withdraw(review.id, "plan_ended"))
        elif want is None:
            if review.status == Status.DUE:
                lapsed = _was_missed(plan, review, today)
                changes.append(Withdraw(review.id, "lapsed" if lapsed else "facts_changed"))
        elif _of_a_missed_transfer(review, want, today):
            if not _is_convened(review, today):
                changes += [Withdraw(review.id, "lapsed"), Open(want)]
        elif _differs(review, want) and (corrected or _may_move(review)):
            changes.append(Move(review.id, want))
    return changes + [Open(o) for o in wanted.values()]


def _was_missed(plan: PlanFacts, review: OpenReview, today: date) -> bool:
    """Whether the due date passed while the review was owed. An interim that was reckoned from another anchor than the
    plan now has was not: its date was never right."""
    wrong = review.kind == ReviewKind.UNDER5_INTERIM and review.counted_from != plan.anchor
    return review.due_on < today and not wrong


def _of_a_missed_transfer(review: OpenReview, want: Owed, today: date) -> bool:
    """Whether this is the overdue review of one phase transfer, and what is owed now is that of another."""
    another = review.kind == ReviewKind.PHASE_TRANSFER and review.counted_from != want.counted_from
    return another and review.due_on < today and review.status in BEFORE_MEETING


def _is_convened(review: OpenReview, today: date) -> bool:
    return review.status == Status.BOOKED and review.meeting_on is not None and review.meeting_on >= today


def _differs(review: OpenReview, want: Owed) -> bool:
    return (review.due_on, review.latest_meeting_on) != (want.due_on, want.latest_meeting_on)


def _may_move(review: OpenReview) -> bool:
    if review.kind == ReviewKind.UNDER5_INTERIM:
        return review.status == Status.DUE
    return review.status in BEFORE_MEETING


def same_meeting(review: R, others: Iterable[R]) -> list[R]:
    """The open reviews that share the meeting of `review`, itself first: one meeting may satisfy several, and each
    keeps its own due date."""
    day = _meeting_day(review)
    together = [o for o in others if o.id != review.id and day is not None and _meeting_day(o) == day]
    return [review, *together]


def _meeting_day(review: OpenReview) -> date | None:
    return review.held_on or review.meeting_on


def satisfied_by(concluded: Sequence[R], others: Iterable[R], on: date) -> list[R]:
    """The open reviews that need not be held any more because `concluded` (one meeting's reviews) were, on that day.

    A full review of the plan restarts the 12 months: the annual review is satisfied by a concluded phase review
    (`phase_resets_annual`), and so is an under-five interim that nobody has convened. The phase review is not satisfied
    by an annual one of another meeting: it must name the next school. Nor is one whose 12 months start later.
    """
    if not any(review.counts_as_statutory for review in concluded):
        return []
    done = {review.id for review in concluded}
    return [r for r in others if r.id not in done and r.counted_from < on and _falls_away(r)]


def _falls_away(review: OpenReview) -> bool:
    if review.kind == ReviewKind.ANNUAL:
        return review.status in BEFORE_MEETING
    return review.kind == ReviewKind.UNDER5_INTERIM and review.status == Status.DUE


def after_conclusion(plan: PlanFacts, concluded: Sequence[OpenReview], concluded_on: date) -> PlanFacts:
    """The plan's facts once these reviews of one meeting are concluded.

    The anchor never goes back. Interims that hung on the old anchor are void; case-service sends the new ones.
    """
    for review in concluded:
        if review.kind == ReviewKind.PHASE_TRANSFER:
            done_for = max(review.counted_from, plan.phase_done_for or date.min)
            plan = replace(plan, phase_done_for=done_for)
        if review.kind == ReviewKind.UNDER5_INTERIM:
            done_to = max(review.due_on, concluded_on, plan.interims_done_to or date.min)
            plan = replace(plan, interims_done_to=done_to)
    if not any(review.counts_as_statutory for review in concluded):
        return plan
    anchor = max(concluded_on, plan.last_concluded or date.min)
    if anchor == plan.last_concluded:
        return plan
    facts = plan.facts.model_copy(update={"under5_interims": ()})
    return replace(
        plan,
        last_concluded=anchor,
        facts=facts,
        interims_done_to=max(anchor, plan.interims_done_to or date.min),
    )
