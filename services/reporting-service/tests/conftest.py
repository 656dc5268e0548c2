"""A council told in events: short ways to say what happened to an invented child."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ehcp_contracts.envelope import Envelope
from ehcp_contracts.events import (
    CASES,
    REVIEWS,
    AmendmentIssued,
    AmendmentNoticeSent,
    Event,
    Facts,
    NotificationDelivered,
    NotificationFailed,
    Outcome,
    PartnerKind,
    Phase,
    Placement,
    PlanRegistered,
    Responsible,
    ReviewConcluded,
    ReviewDecided,
    ReviewKind,
    ReviewMeetingHeld,
    ReviewReportReceived,
    ReviewScheduled,
)
from reporting_service.main import service
from service_kit.inbox import Received
from service_kit.testing import Harness, running

DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
SOURCES = {CASES: "/case-service", REVIEWS: "/review-scheduler"}


@dataclass
class Log:
    """Events in the order they were said; ids are counted, so that they can be named in a test."""

    said: list[tuple[UUID, Event]] = field(default_factory=list)
    ids: Any = field(default_factory=lambda: itertools.count(1))

    def new(self) -> Log:
        """An empty log."""
        return Log()

    def fork(self) -> Log:
        """The same past, another future."""
        return Log(list(self.said), itertools.count(1000))

    def id(self) -> UUID:
        return UUID(int=next(self.ids))

    def say(self, case: UUID, *events: Event) -> None:
        self.said += [(case, event) for event in events]

    def plan(
        self,
        *,
        made: date = date(2024, 4, 15),
        last: date | None = None,
        la: str = "351",
        administering: str | None = None,
        year_group: int = 4,
        phase: Phase | None = None,
        due: date | None = None,
        year: str = "2026/27",
    ) -> UUID:
        """A plan that existed before the hub."""
        case = self.id()
        self.say(
            case,
            PlanRegistered(
                plan_first_made=made,
                last_concluded=last,
                placement=Placement(urn="900123"),
                responsible=responsible(la, administering),
                facts=facts(year_group, phase, due, year),
            ),
        )
        return case

    def review(
        self, case: UUID, due: date, kind: ReviewKind = ReviewKind.ANNUAL, *, statutory: bool = True
    ) -> UUID:
        """A review is owed."""
        review = self.id()
        self.say(case, scheduled(review, due, kind, statutory=statutory))
        return review

    def held(self, case: UUID, review: UUID, on: date, kind: ReviewKind = ReviewKind.ANNUAL) -> None:
        self.say(
            case,
            ReviewMeetingHeld(
                review_id=review,
                kind=kind,
                held_on=on,
                report_due=on + 2 * WEEK,
                decision_due=on + 4 * WEEK,
            ),
        )

    def report(self, case: UUID, review: UUID, on: date) -> None:
        self.say(case, ReviewReportReceived(review_id=review, kind=ReviewKind.ANNUAL, received_on=on))

    def decided(
        self,
        case: UUID,
        review: UUID,
        outcome: Outcome,
        *,
        met: date,
        on: date,
        kind: ReviewKind = ReviewKind.ANNUAL,
    ) -> None:
        self.say(
            case,
            ReviewDecided(
                review_id=review,
                kind=kind,
                outcome=outcome,
                notified_on=on,
                meeting_on=met,
                decision_due=met + 4 * WEEK,
            ),
        )

    def concluded(
        self,
        case: UUID,
        review: UUID,
        outcome: Outcome,
        *,
        met: date,
        on: date,
        due: date,
        kind: ReviewKind = ReviewKind.ANNUAL,
    ) -> None:
        self.say(
            case,
            ReviewConcluded(
                review_id=review,
                kind=kind,
                outcome=outcome,
                concluded_on=on,
                due_on=due,
                meeting_on=met,
                decision_due=met + 4 * WEEK,
            ),
        )

    def maintained(self, case: UUID, review: UUID, *, met: date, on: date, due: date) -> None:
        """Meeting, decision to leave the plan as it is, and with it the end of the review."""
        self.held(case, review, met)
        self.decided(case, review, Outcome.MAINTAIN, met=met, on=on)
        self.concluded(case, review, Outcome.MAINTAIN, met=met, on=on, due=due)

    def notice(self, case: UUID, review: UUID | None, sent: date) -> UUID:
        notice = self.id()
        self.say(
            case,
            AmendmentNoticeSent(
                notice_id=notice,
                review_id=review,
                sent_on=sent,
                representations_close=sent + 14 * DAY,
                earliest_final=sent + 15 * DAY,
                final_due=sent + 8 * WEEK,
            ),
        )
        return notice

    def final(self, case: UUID, notice: UUID, review: UUID | None, on: date) -> None:
        self.say(case, AmendmentIssued(notice_id=notice, review_id=review, issued_on=on, plan_version=2))

    def delivery(
        self, case: UUID, kind: PartnerKind, *, failed: bool = False, again: UUID | None = None
    ) -> UUID:
        delivery = again or self.id()
        common = {
            "delivery_id": delivery,
            "event_id": self.id(),
            "event_type": "ehcp.review-due.v1",
            "partner_id": UUID(int=7),
            "partner_kind": kind,
            "channel": "webhook",
            "attempts": 1,
        }
        event: type[Event] = NotificationFailed if failed else NotificationDelivered
        self.say(case, event(**common, **({"failure": "gone"} if failed else {})))
        return delivery

    def received(self, keep: Callable[[Event], bool] = lambda event: True) -> list[Received[Any]]:
        """As a consumer gets them: with envelopes, one second apart, numbered per sender and case."""
        numbers: dict[tuple[str, UUID], int] = {}
        found = []
        for place, (case, event) in enumerate(self.said):
            source = SOURCES.get(event.topic, "/notification-service")
            numbers[source, case] = numbers.get((source, case), 0) + 1
            envelope = Envelope(
                id=UUID(int=10**9 + place),
                source=source,
                type=event.wire_type,
                subject=str(case),
                time=datetime(2026, 9, 1, 8, tzinfo=UTC) + timedelta(seconds=place),
                sequence=numbers[source, case],
                partitionkey=str(case),
                lacode="351",
                data=event.model_dump(mode="json", exclude_none=True),
            )
            if keep(event):
                found.append(Received(event, envelope, envelope.to_bytes()))
        return found


def responsible(la: str = "351", administering: str | None = None) -> Responsible:
    return Responsible(
        responsible_la=la, administering_la=administering or la, icb="QOP", officer="officer-3"
    )


def facts(
    year_group: int, phase: Phase | None = None, due: date | None = None, year: str = "2026/27"
) -> Facts:
    return Facts(
        academic_year=year,
        year_group=year_group,
        phase=phase,
        transfer_on=date(due.year, 9, 1) if due else None,
        phase_due=due,
        phase_by=due + DAY if due else None,
    )


def scheduled(
    review: UUID, due: date, kind: ReviewKind = ReviewKind.ANNUAL, *, statutory: bool = True
) -> ReviewScheduled:
    return ReviewScheduled(
        review_id=review,
        kind=kind,
        due_on=due,
        alternative_due_on=due + DAY,
        latest_meeting_on=due - 4 * WEEK,
        rule_id="review_annual",
        citation="CFA 2014 s.44(1)",
        counts_as_statutory=statutory,
    )


Log.responsible, Log.facts, Log.scheduled = map(staticmethod, (responsible, facts, scheduled))  # type: ignore[attr-defined]


@pytest.fixture
def log() -> Log:
    return Log()


def _a_year_at_bury(log: Log) -> None:
    """Six plans with a history, one of them kept for Bolton; see `council` for the hand count."""
    amend, school = Outcome.AMEND, PartnerKind.SCHOOL

    # 1: due 2026-10-15, concluded in time on 2026-10-01; next due 2027-09-30. Decision after 26 days. Told once.
    one = log.plan(last=date(2025, 10, 16), year_group=4)
    first = log.review(one, date(2026, 10, 15))
    log.held(one, first, date(2026, 9, 5))
    log.report(one, first, date(2026, 9, 19))
    log.decided(one, first, Outcome.MAINTAIN, met=date(2026, 9, 5), on=date(2026, 10, 1))
    log.concluded(
        one, first, Outcome.MAINTAIN, met=date(2026, 9, 5), on=date(2026, 10, 1), due=date(2026, 10, 15)
    )
    log.review(one, date(2027, 9, 30))
    log.delivery(one, school)

    # 2: due 2026-10-31, concluded late on 2026-11-10 (31 days after the meeting), amended in time.
    two = log.plan(last=date(2025, 11, 1), year_group=4)
    second = log.review(two, date(2026, 10, 31))
    log.held(two, second, date(2026, 10, 10))
    log.decided(two, second, amend, met=date(2026, 10, 10), on=date(2026, 11, 10))
    notice = log.notice(two, second, date(2026, 11, 10))
    log.concluded(two, second, amend, met=date(2026, 10, 10), on=date(2026, 11, 10), due=date(2026, 10, 31))
    log.final(two, notice, second, date(2026, 11, 27))
    log.review(two, date(2027, 11, 9))
    failed = log.delivery(two, school, failed=True)
    log.delivery(two, school, again=failed)  # replayed, and delivered

    # 3: due 2026-11-24, open. Year 6, transfer by 14 February 2027.
    three = log.plan(
        last=date(2025, 11, 25), year_group=6, phase=Phase.PRIMARY_TO_SECONDARY, due=date(2027, 2, 14)
    )
    log.review(three, date(2026, 11, 24))
    log.review(three, date(2027, 2, 14), ReviewKind.PHASE_TRANSFER)
    log.delivery(three, PartnerKind.SOCIAL_CARE, failed=True)

    # 4: first review, due 2026-09-09, open. Kept for Bolton.
    four = log.plan(made=date(2025, 9, 10), la="350", administering="351", year_group=2)
    log.review(four, date(2026, 9, 9))

    # 5: due 2027-06-30, open. Under five, with an interim on 2026-12-31.
    five = log.plan(made=date(2026, 7, 1), year_group=-1)
    log.review(five, date(2027, 6, 30))
    log.review(five, date(2026, 12, 31), ReviewKind.UNDER5_INTERIM, statutory=False)

    # 6: no review has been scheduled: unknown.
    log.plan(made=date(2026, 8, 1), year_group=4)

    # Another council's plan.
    other = log.plan(la="355", year_group=4, last=date(2025, 9, 2))
    log.review(other, date(2026, 9, 1))


@pytest.fixture
def bury(log: Log) -> Log:
    """Bury (351) on 30 November 2026, counted by hand: 6 plans (1 of them for Bolton); annual reviews due in 2026/27:
    5 (plans 1 to 5) and 1 unknown; completed 2, in time 1, overdue 2 (plans 3 and 4, the latter never reviewed), not
    yet due 1. The other council has 1 plan, overdue."""
    _a_year_at_bury(log)
    return log


@pytest.fixture
async def hub(tmp_path: Path, bury: Log) -> AsyncIterator[Harness]:
    """The service on 30 November 2026, with that year at Bury on its bus and applied."""
    async with running(service, tmp_path, today=date(2026, 11, 30)) as app:
        for received in bury.received():
            await publish(app, received)
        await app.settle()
        yield app


async def publish(app: Harness, received: Received[Any]) -> None:
    await app.deliver_raw(type(received.event).topic, str(received.case), received.raw)
