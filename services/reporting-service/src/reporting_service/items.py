"""From a case to the items of each measure: what is owed, by which day, and how it stands. Pure; rules of sen2.md 8.

Weeks are seven calendar days. An item that was done by its limit is `met`; done after it, `late`; never done because
the plan ended after the limit, `ended`; what cannot be judged, `unknown` with a reason. A plan that ends before the
limit of something owed takes it along: nothing was missed. No state depends on today.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from ehcp_contracts.events import Outcome, ReviewKind
from reporting_service.story import (
    NO_PHASE,
    NoticeFacts,
    PlanFacts,
    ReviewFacts,
    Story,
    Year,
    academic_year,
)

OPEN, MET, LATE, ENDED, UNKNOWN = "open", "met", "late", "ended", "unknown"
NO_START, NO_END, CONTRADICTORY, NO_COHORT, BEFORE_THE_HUB = (
    "no_start_date",
    "no_end_date_but_closed",
    "dates_contradict",
    "cohort_unknown",
    "not_migrated",
)
ANY_YEAR = ""
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
_BY_NUMBER = attrgetter("review_id.int")  # the order of UUIDs, compared in C


class Member(NamedTuple):
    """One item; fields as in the table `item`."""

    key: str
    measure: str
    case_id: UUID
    la: str
    administering_la: str
    academic_year: str
    year_group: int
    phase: str
    opened_on: date | None
    limit_on: date | None
    done_on: date | None
    state: str
    reason: str | None


def items(story: Story) -> list[Member]:
    """All items of a case, each once; none before its plan is known, for without it nobody's figures are concerned."""
    if story.plan is None:
        return []
    maker = _Maker(story, story.plan)
    return [member for part in _PARTS for member in part(maker)]


@dataclass(frozen=True)
class Meeting:
    """A meeting held, and what came of it. One meeting may serve several reviews: it has one report, one decision and
    one notice, each told of whichever review it was entered under."""

    held_on: date
    reviews: tuple[UUID, ...]
    statutory: bool
    report_on: date | None
    outcome: str | None
    notified_on: date | None

    @property
    def key(self) -> UUID:
        """The id it is counted under."""
        return self.reviews[0]


def _meetings(reviews: Sequence[ReviewFacts]) -> list[Meeting]:
    by_day: dict[date, list[ReviewFacts]] = {}
    for review in reviews:
        if review.meeting_on:
            by_day.setdefault(review.meeting_on, []).append(review)
    return [_meeting(day, together) for day, together in sorted(by_day.items())]


def _meeting(day: date, together: Sequence[ReviewFacts]) -> Meeting:
    return Meeting(
        day,
        tuple(review.review_id for review in together),
        any(review.statutory for review in together),
        min((r.report_on for r in together if r.report_on), default=None),
        next((r.outcome for r in together if r.outcome), None),
        min((r.notified_on for r in together if r.notified_on), default=None),
    )


class _Maker:
    """A case, and the two ways to make an item of it."""

    def __init__(self, story: Story, plan: PlanFacts) -> None:
        self.story, self.plan, self.case = story, plan, str(plan.case_id)
        reviews = (review for review in story.reviews.values() if review.withdrawn != "facts_changed")
        self.reviews = sorted(reviews, key=_BY_NUMBER)  # no order but this one is certain
        self.meetings = _meetings(self.reviews)
        self._years = dict(plan.years)

    def owed(
        self, measure: str, key: object, limit: date, done: date | None, opened: date | None = None
    ) -> Iterator[Member]:
        """Something to be done by `limit`; nothing if the plan ended before that."""
        ended = self.plan.ended_on
        if done is not None:
            yield self._member(
                measure, key, academic_year(limit), opened, limit, done, MET if done <= limit else LATE
            )
        elif ended is None:
            yield self._member(measure, key, academic_year(limit), opened, limit, None, OPEN)
        elif ended > limit:
            yield self._member(measure, key, academic_year(limit), opened, limit, ended, ENDED)

    def unknown(
        self, measure: str, key: object, year: str, reason: str, opened: date | None = None
    ) -> Member:
        """Something that belongs to the denominator and cannot be judged."""
        return self._member(measure, key, year, opened, None, None, UNKNOWN, reason)

    def _member(
        self,
        measure: str,
        key: object,
        year: str,
        opened: date | None,
        limit: date | None,
        done: date | None,
        state: str,
        reason: str | None = None,
    ) -> Member:
        plan = self.plan
        then = self._year(year or plan.academic_year)
        return Member(
            str(key),
            measure,
            plan.case_id,
            plan.la,
            plan.administering_la,
            year,
            then.year_group,
            then.phase,
            opened,
            limit,
            done,
            state,
            reason,
        )

    def _year(self, academic_year: str) -> Year:
        """As `PlanFacts.year`, each worked out once: a case has many items and few years."""
        found = self._years.get(academic_year)
        if found is None:
            found = self._years[academic_year] = self.plan.year(academic_year)
        return found

    def in_force(self) -> Iterator[Member]:
        """`plans`: a plan from the day it was first made to the day it ended."""
        plan = self.plan
        state = OPEN if plan.ended_on is None else ENDED
        yield self._member("plans", self.case, ANY_YEAR, plan.first_made, None, plan.ended_on, state)

    # --- reviewed in the last 12 months ---------------------------------------------------------------------------

    def last_12_months(self) -> Iterator[Member]:
        """`reviewed-12m`: a clock of 12 months from the day the plan was first made and from each decision, until the
        next decision. While a clock runs, the plan is reviewed; `-young`: unless it is not yet 12 months old."""
        made, key = self.plan.first_made, self.case
        days = self._decisions()
        if days is None:
            if self.plan.ended_on is None:
                yield self.unknown("reviewed-12m", key, ANY_YEAR, CONTRADICTORY, made)
            return
        yield self._clock("reviewed-12m-young", key, made, None)
        for start, following in pairwise([made, *(day for day in days if day > made), None]):
            assert start is not None
            yield from self._clocks(start, following)

    def _decisions(self) -> list[date] | None:
        """The days on which decisions of full reviews were notified, each once, oldest first; None if one of them cannot
        be right."""
        ended = self.plan.ended_on or date.max
        told = [(r.notified_on, r.meeting_on) for r in self.reviews if r.statutory and r.notified_on]
        days = {self.plan.last_concluded or self.plan.first_made, *(day for day, _ in told)}
        if min(days) < self.plan.first_made or any(met and day < met for day, met in told):
            return None
        return sorted(day for day in days if day <= ended)

    def _clocks(self, start: date, following: date | None) -> Iterator[Member]:
        """The clock from `start`. If what followed is the last review before the hub, nobody knows whether there were
        others between: what ran out then is unknown, not missed."""
        key, out = f"{self.case}:{start}", end_of_12_months(start) + DAY
        first = start == self.plan.first_made
        if first and following and following == self.plan.last_concluded and following > out:
            yield self._clock("reviewed-12m", key, start, out)
            gap = f"{self.case}:{out}"
            yield self._clock("reviewed-12m", gap, out, following, BEFORE_THE_HUB)
        else:
            yield self._clock("reviewed-12m", key, start, following)

    def _clock(
        self, measure: str, key: object, start: date, done: date | None, reason: str | None = None
    ) -> Member:
        limit, ended = end_of_12_months(start), self.plan.ended_on
        if done:
            state = MET if done <= limit else LATE
        else:
            done, state = (ended, ENDED) if ended else (None, OPEN)
        return self._member(measure, key, ANY_YEAR, start, limit, done, state, reason)

    # --- reviews --------------------------------------------------------------------------------------------------

    def annual(self) -> Iterator[Member]:
        """K6b on both bases, and `K12-first`: overdue reviews of plans that were never reviewed."""
        owed = [review for review in self.reviews if review.kind == ReviewKind.ANNUAL and review.due_on]
        for review in owed:
            yield from self._annual(review)
        if not owed and self.plan.ended_on is None:
            yield self.unknown("K6b", f"plan:{self.case}", self.plan.academic_year, NO_START)

    def _annual(self, review: ReviewFacts) -> Iterator[Member]:
        assert review.due_on is not None
        key, limit, done = review.review_id, review.due_on, review.concluded_on
        if done and review.meeting_on and done < review.meeting_on:
            yield self.unknown("K6b", key, academic_year(limit), CONTRADICTORY)
            return
        yield from self.owed("K6b", key, limit, done)
        if review.alternative_due_on:
            yield from self.owed("K6b-anniversary", key, review.alternative_due_on, done)
        if done is None and not self.story.ever_reviewed:
            yield from (m for m in self.owed("K12-first", key, limit, None) if m.state == OPEN)

    def under_five(self) -> Iterator[Member]:
        """K6c: the interim meeting held by its date. A full review before that date takes its place."""
        for review in self.reviews:
            if review.kind != ReviewKind.UNDER5_INTERIM or review.due_on is None:
                continue
            done = review.meeting_on
            if done is None and review.withdrawn == "satisfied":
                done = review.concluded_on
                if done is None or done <= review.due_on:
                    continue
            yield from self.owed("K6c", review.review_id, review.due_on, done)

    def after_the_meeting(self) -> Iterator[Member]:
        """K7 decision in four weeks, K10a report in two, both counted from the meeting."""
        for meeting in self.meetings:
            if not meeting.statutory:
                continue
            held = meeting.held_on
            yield from self._counted("K7", meeting, 4, meeting.notified_on)
            if meeting.report_on is None and meeting.notified_on:
                yield self.unknown("K10a", meeting.key, academic_year(held + 2 * WEEK), NO_END, held)
            else:
                yield from self._counted("K10a", meeting, 2, meeting.report_on)

    def _counted(self, measure: str, meeting: Meeting, weeks: int, done: date | None) -> Iterator[Member]:
        limit = meeting.held_on + weeks * WEEK
        if done and done < meeting.held_on:
            yield self.unknown(measure, meeting.key, academic_year(limit), CONTRADICTORY, meeting.held_on)
        else:
            yield from self.owed(measure, meeting.key, limit, done, meeting.held_on)

    # --- amendments -----------------------------------------------------------------------------------------------

    def amendments(self) -> Iterator[Member]:
        """K8 notice with the decision, K9 final plan by both limits, K9b twelve weeks from the meeting."""
        for meeting in self.meetings:
            if meeting.outcome != Outcome.AMEND:
                continue
            notice = self._notice_of(meeting)
            sent = notice.sent_on if notice else None
            opened = meeting.notified_on
            yield from self.owed("K8", meeting.key, meeting.held_on + 4 * WEEK, sent, opened)
            if notice and notice.dropped_on:
                continue  # no final plan is owed any more; K9a has the decision not to amend
            final = notice.final_on if notice else None
            longstop = meeting.held_on + 12 * WEEK
            limit = min(longstop, sent + 8 * WEEK) if sent else longstop
            yield from self.owed("K9", meeting.key, limit, final, opened)
            yield from self.owed("K9b", meeting.key, longstop, final, opened)

    def _notice_of(self, meeting: Meeting) -> NoticeFacts | None:
        """The notice that followed a meeting; of several the first that was not dropped."""
        mine = [n for n in self.story.notices.values() if n.review_id in meeting.reviews]
        return min(
            mine,
            key=lambda n: (n.dropped_on is not None, n.sent_on or date.max, str(n.notice_id)),
            default=None,
        )

    def eight_weeks(self) -> Iterator[Member]:
        """K9a: final plan, or the decision not to amend, within eight weeks of each notice."""
        for notice in self.story.notices.values():
            done = notice.final_on or notice.dropped_on
            if notice.sent_on is None:
                year = academic_year(done) if done else self.plan.academic_year
                yield self.unknown("K9a", notice.notice_id, year, NO_START)
            elif done and done < notice.sent_on:
                year = academic_year(notice.sent_on + 8 * WEEK)
                yield self.unknown("K9a", notice.notice_id, year, CONTRADICTORY, notice.sent_on)
            else:
                yield from self.owed("K9a", notice.notice_id, notice.sent_on + 8 * WEEK, done, notice.sent_on)

    # --- phase transfers ------------------------------------------------------------------------------------------

    def transfers(self) -> Iterator[Member]:
        """K11 before the date, K11-by by the date, K11-late-plan for plans first made after it; one a case and year."""
        owed = [r for r in self.reviews if r.kind == ReviewKind.PHASE_TRANSFER and r.due_on]
        by_year = {
            academic_year(review.due_on): review
            for wanted in ("lapsed", None)  # of two in a year the one that is still owed
            for review in owed
            if review.due_on and review.withdrawn == wanted
        }
        for year in sorted({*self.plan.years, *by_year}):
            yield from self._transfer(year, by_year.get(year))

    def _transfer(self, year: str, review: ReviewFacts | None) -> Iterator[Member]:
        facts, key = self.plan.years.get(year), f"{self.case}:{year[:4]}"
        if facts is None or facts.phase == NO_PHASE or facts.due is None:
            if review and review.withdrawn == "lapsed":
                yield from self._missed_transfer(key, review)
            elif review or (facts and facts.phase != NO_PHASE):
                yield self.unknown("K11", key, year, NO_COHORT)
            return
        meeting = next((m for m in self.meetings if review and review.review_id in m.reviews), None)
        if meeting and meeting.outcome == Outcome.CEASE:
            return  # nobody transfers on a plan that is to end
        done = self._named_on(meeting) if meeting else None
        if facts.impossible or self.plan.first_made > facts.due:
            yield from self.owed("K11-late-plan", key, facts.due, done)
            return
        yield from self.owed("K11", key, facts.due, done)
        yield from self.owed("K11-by", key, facts.by or facts.due + timedelta(days=1), done)

    def _missed_transfer(self, key: str, review: ReviewFacts) -> Iterator[Member]:
        """A review that lapsed in a year whose facts no longer tell of a transfer: its own dates do."""
        assert review.due_on is not None
        if self.plan.first_made > review.due_on:
            yield from self.owed("K11-late-plan", key, review.due_on, None)
            return
        yield from self.owed("K11", key, review.due_on, None)
        yield from self.owed("K11-by", key, review.alternative_due_on or review.due_on + DAY, None)

    def _named_on(self, meeting: Meeting) -> date | None:
        """The day the next school stood in the plan: the final amended plan, or the decision to leave it as it is."""
        if meeting.outcome == Outcome.MAINTAIN:
            return meeting.notified_on
        notice = self._notice_of(meeting)
        return notice.final_on if notice else None


_PARTS = (
    _Maker.in_force,
    _Maker.last_12_months,
    _Maker.annual,
    _Maker.under_five,
    _Maker.after_the_meeting,
    _Maker.amendments,
    _Maker.eight_weeks,
    _Maker.transfers,
)


@lru_cache(maxsize=8192)
def end_of_12_months(start: date) -> date:
    """The last day of the 12 months of which `start` is the first day: the day before the anniversary. Those that start
    on 29 February end on 28 February (CFA 2014 s.44(1); statute.md section 3)."""
    leap_day = (start.month, start.day) == (2, 29)
    return (date(start.year + 1, 3, 1) if leap_day else start.replace(year=start.year + 1)) - DAY


NO_DAY = date(1900, 1, 1)


def cell(member: Member) -> tuple[str, str, str, str, int, str, str, date]:
    """The key of the counter that an item is counted under. Open items keep their day, for the calendar alone makes
    them overdue; of closed ones only what a chart shows is kept: the month due (K6b) or the week done (K11)."""
    state = member.reason or UNKNOWN if member.state == UNKNOWN else member.state
    return (
        member.la,
        member.academic_year,
        member.measure,
        member.administering_la,
        member.year_group,
        member.phase,
        state,
        _falls(member),
    )


def _falls(member: Member) -> date:
    if member.state == OPEN:
        return member.limit_on or NO_DAY
    if member.measure == "K6b" and member.limit_on:
        return member.limit_on.replace(day=1)
    if member.measure == "K11" and member.done_on:
        return member.done_on - timedelta(days=member.done_on.weekday())
    return NO_DAY
