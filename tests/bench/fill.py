"""Invented rows by the hundred thousand, written by the database itself; events by the thousand, as services send them.

Councils are numbered from 301; Bury (351) has as many plans as the others unless all are to be its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from ehcp_contracts.envelope import Envelope
from ehcp_contracts.events import (
    Event,
    Facts,
    Outcome,
    Placement,
    PlanRegistered,
    Responsible,
    ReviewConcluded,
    ReviewDecided,
    ReviewKind,
    ReviewMeetingBooked,
    ReviewMeetingHeld,
    ReviewScheduled,
)
from service_kit import Database, uuid7
from service_kit.bus import Message

FACTS = """{"academic_year": "2026/27", "year_group": 5, "under5_interims": [], "adulthood_preparation": false,
            "phase_deadline_impossible": false, "addressee": "parent"}"""

_CASES = """
    INSERT INTO cases (id, version, created_at, updated_at, la_code, administering_la, surname, forename, birth_date,
                       sex, icb, social_care_team, officer, status, announced, plan_first_made, plan_version,
                       last_concluded, appeal_open, facts, next_facts_change)
    SELECT md5('case' || n)::uuid, 1, now(), timestamptz '2026-01-01' + n * interval '7 seconds',
           (CASE WHEN n % :councils = 0 THEN 351 ELSE 400 + n % :councils END)::text,
           (CASE WHEN n % :councils = 0 THEN 351 ELSE 400 + n % :councils END)::text,
           'Ashworth', 'Ada', date '2016-09-02' + (n % 360)::int, 'F', 'QOP', 'team-' || n % 3, 'officer-' || n % 6,
           'active', true, date '2024-05-20', 1, date '2026-05-01', false, CAST(:facts AS jsonb), date '2027-09-01'
    FROM generate_series(1, :size) n
"""

_PLANS = """
    INSERT INTO plan (case_id, responsible_la, administering_la, urn, icb, social_care_team, officer, plan_first_made,
                      last_concluded, facts, known_since, updated_at)
    SELECT md5('case' || n)::uuid, la, la, '900123', 'QOP', 'team-' || n % 3, 'officer-' || n % 6, date '2024-05-20',
           date '2025-09-14' + (n % 366)::int, CAST(:facts AS jsonb), date '2026-09-01', now()
    FROM (SELECT n, (CASE WHEN n % :councils = 0 THEN 351 ELSE 400 + n % :councils END)::text AS la
          FROM generate_series(1, :size) n) numbered
"""
_REVIEWS = """
    INSERT INTO review (id, case_id, responsible_la, administering_la, urn, icb, social_care_team, officer, kind,
                        status, opened_on, counted_from, due_on, alternative_due_on, latest_meeting_on, rule_id,
                        citation, counts_as_statutory, deadline_impossible, breaches, dates, version, updated_at)
    SELECT md5('review' || case_id)::uuid, case_id, responsible_la, administering_la, urn, icb, social_care_team,
           officer, 'annual', 'due', date '2026-09-01', last_concluded, last_concluded + 364, last_concluded + 365,
           last_concluded + 336, 'review_annual', 'Children and Families Act 2014 s.44(1)', true, false, '[]', '[]', 1,
           now()
    FROM plan
"""
_STAGES = """
    INSERT INTO stage (review_id, stage, "on", state)
    SELECT id, stage, latest_meeting_on - before,
           CASE WHEN latest_meeting_on - before < date '2026-09-14' THEN 'sent' ELSE 'pending' END
    FROM review, (VALUES ('plan', 84), ('invite', 28), ('last_call', 14), ('due', -28)) AS stages (stage, before)
"""


async def cases(db: Database, size: int, councils: int = 1) -> list[str]:
    """Cases of case-service with a plan in force; returns up to 10,000 of their ids."""
    async with connected(db) as connection:
        await connection.execute(_with(_CASES, size, councils))
        await connection.execute("VACUUM ANALYZE cases")
        return [row[0] for row in await connection.fetch("SELECT id::text FROM cases LIMIT 10000")]


async def reviews(db: Database, size: int, councils: int = 1) -> None:
    """Plans of review-scheduler, each with one open annual review and four stages, falling due evenly over a year."""
    async with connected(db) as connection:
        for statement in (_PLANS, _REVIEWS, _STAGES):
            await connection.execute(_with(statement, size, councils))
        for table in ("plan", "review", "stage"):
            await connection.execute(f"VACUUM ANALYZE {table}")


def _with(statement: str, size: int, councils: int) -> str:
    return (
        statement.replace(":size", str(size))
        .replace(":councils", str(councils))
        .replace(":facts", f"'{FACTS}'")
    )


@asynccontextmanager
async def connected(db: Database) -> AsyncIterator[Any]:
    """A connection of its own, which waits as long as a fill takes."""
    connection = await asyncpg.connect(address_of(db))
    try:
        yield connection
    finally:
        await connection.close()


def address_of(db: Database) -> str:
    """The address of a service's PostgreSQL database, for asyncpg."""
    return db.url.set(drivername="postgresql").render_as_string(hide_password=False)


# -- events --------------------------------------------------------------------------------------------------------

SENT_AT = datetime(2026, 9, 14, 8, 0, tzinfo=UTC)
_PLACE = Placement(urn="900123")
_WHO = Responsible(
    responsible_la="351", administering_la="351", icb="QOP", social_care_team="team-a", officer="officer-3"
)
_FACTS = Facts(academic_year="2026/27", year_group=5)


def registered(size: int) -> list[Message]:
    """As many plans arriving from before the hub."""
    made = [date(2024, 5, 20) + timedelta(days=n % 300) for n in range(size)]
    return [
        message(uuid4(), 1, PlanRegistered(plan_first_made=day, last_concluded=day.replace(year=2026), placement=_PLACE, responsible=_WHO, facts=_FACTS))
        for day in made
    ]  # fmt: skip


STEPS = 7
"""Events of `year_of_reviews` for each plan."""


def year_of_reviews(plans: int) -> list[Message]:
    """A year of each plan, as all services tell of it: registered, a review scheduled, booked, held, decided,
    concluded, and the next one scheduled. Event by event across the plans, as a log has them."""
    stories = [list(_year(uuid4(), date(2025, 9, 20) + timedelta(days=n % 300))) for n in range(plans)]
    return [message for step in zip(*stories, strict=True) for message in step]


def _year(case: UUID, last: date) -> Iterator[Message]:
    due, held = last + timedelta(days=364), last + timedelta(days=330)
    review, kind = {"review_id": uuid7()}, ReviewKind.ANNUAL
    rule = {"rule_id": "review_annual", "citation": "Children and Families Act 2014 s.44(1)"}
    decided = held + timedelta(days=20)
    events = (
        ReviewScheduled(**review, kind=kind, due_on=due, latest_meeting_on=due - timedelta(days=28), **rule),
        ReviewMeetingBooked(**review, kind=kind, meeting_on=held, notice_due=held - timedelta(days=14), advice_due=held - timedelta(days=14)),
        ReviewMeetingHeld(**review, kind=kind, held_on=held, report_due=held + timedelta(days=14), decision_due=held + timedelta(days=28)),
        ReviewDecided(**review, kind=kind, outcome=Outcome.MAINTAIN, notified_on=decided, meeting_on=held, decision_due=held + timedelta(days=28)),
        ReviewConcluded(**review, kind=kind, outcome=Outcome.MAINTAIN, concluded_on=decided, due_on=due, meeting_on=held, decision_due=held + timedelta(days=28)),
        ReviewScheduled(review_id=uuid7(), kind=kind, due_on=decided + timedelta(days=364), latest_meeting_on=decided + timedelta(days=336), **rule),
    )  # fmt: skip
    yield message(case, 1, PlanRegistered(plan_first_made=last, last_concluded=last, placement=_PLACE, responsible=_WHO, facts=_FACTS))  # fmt: skip
    for number, event in enumerate(events, 1):
        yield message(case, number, event)


def message(case: UUID, sequence: int, event: Event) -> Message:
    """An event as the relay of its service puts it on the bus."""
    source = {"ehcp.cases": "/case-service", "ehcp.reviews": "/review-scheduler"}[event.topic]
    envelope = Envelope(
        id=uuid7(),
        source=source,
        type=event.wire_type,
        subject=str(case),
        time=SENT_AT,
        dataschema=f"/schemas/{event.wire_type}.json",
        sequence=sequence,
        partitionkey=str(case),
        dataref=f"/v1/cases/{case}",
        lacode="351",
        data=event.model_dump(mode="json", exclude_none=True),
    )
    return Message(event.topic, str(case), envelope.to_bytes())
