"""When a review is announced: the stages before its latest safe meeting, its due date, and the day after.

Each stage is announced at most once per review, however often the tick runs and however often the dates move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache

from ehcp_contracts.events import ReviewStage
from review_scheduler.domain.dates import in_words
from review_scheduler.domain.policy import NATIONAL, Policy


class Stage(StrEnum):
    """The stages of `ReviewDue`, and `overdue`, which is an event of its own."""

    PLAN = ReviewStage.PLAN
    INVITE = ReviewStage.INVITE
    LAST_CALL = ReviewStage.LAST_CALL
    DUE = ReviewStage.DUE
    OVERDUE = "overdue"


class StageState(StrEnum):
    """`missed_before_arrival`: its day had passed when the review became known here, so nobody was told."""

    PENDING = "pending"
    SENT = "sent"
    MISSED = "missed_before_arrival"
    CANCELLED = "cancelled"


ABOUT_THE_MEETING = (Stage.PLAN, Stage.INVITE, Stage.LAST_CALL)
ORDER = {stage: place for place, stage in enumerate(Stage)}


@dataclass(frozen=True, slots=True)
class Planned:
    """A stage with its day and state; `now`: it is to be announced at once."""

    stage: Stage
    on: date
    state: StageState
    now: bool = False


def stage_days(due_on: date, latest_meeting_on: date, policy: Policy = NATIONAL) -> dict[Stage, date]:
    """The day of each stage: the council's lead times before the latest safe meeting, the due date, the day after."""
    days = {Stage(name): latest_meeting_on - timedelta(days=lead) for name, lead in policy.leads.items()}
    return days | {Stage.DUE: due_on, Stage.OVERDUE: due_on + timedelta(days=1)}


def plan_stages(
    days: Mapping[Stage, date],
    *,
    known_since: date,
    today: date,
    meeting_held: bool = False,
    before: Mapping[Stage, StageState] | None = None,
) -> list[Planned]:
    """What is to happen at each stage, for a new review or one whose dates moved.

    What was sent or cancelled stays so and is not in the answer. A day still ahead waits for the tick. A day that has come is announced at once if the
    review was known here on that day; otherwise it is recorded as missed before arrival. Once the meeting was held,
    nobody is asked to plan it.
    """
    before = before or {}
    settled = (StageState.SENT, StageState.CANCELLED)
    return [
        _planned(stage, on, known_since, today, meeting_held)
        for stage, on in days.items()
        if before.get(stage) not in settled
    ]


@lru_cache(maxsize=8192)
def stages_of(
    due_on: date,
    latest_meeting_on: date,
    policy: Policy,
    *,
    known_since: date,
    today: date,
    meeting_held: bool,
    before: frozenset[tuple[Stage, StageState]],
) -> tuple[Planned, ...]:
    """`plan_stages` of a review, once for all that are alike: a caseload has far fewer distinct days than plans."""
    days = stage_days(due_on, latest_meeting_on, policy)
    planned = plan_stages(
        days, known_since=known_since, today=today, meeting_held=meeting_held, before=dict(before)
    )
    return tuple(planned)


def _planned(stage: Stage, on: date, known_since: date, today: date, meeting_held: bool) -> Planned:
    if meeting_held and stage in ABOUT_THE_MEETING:
        return Planned(stage, on, StageState.CANCELLED if on >= today else StageState.MISSED)
    if on > today:
        return Planned(stage, on, StageState.PENDING)
    if known_since <= on:
        return Planned(stage, on, StageState.SENT, now=True)
    return Planned(stage, on, StageState.MISSED)


def why(stage: Stage, due_on: date, latest_meeting_on: date) -> str:
    """Why a stage falls on its day, in words."""
    match stage:
        case Stage.DUE:
            return f"The review is due: {in_words(due_on)} is the last compliant day."
        case Stage.OVERDUE:
            return f"The day after the review was due, {in_words(due_on)}."
        case _:
            until = in_words(latest_meeting_on)
            return (
                f"{_CALLS[stage]}, ahead of the latest safe meeting day, {until}, by the council's lead time."
            )


_CALLS = {
    Stage.PLAN: "Plan the review",
    Stage.INVITE: "Prepare the invitations",
    Stage.LAST_CALL: "Last call",
}
