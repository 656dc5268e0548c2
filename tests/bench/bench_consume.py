"""Catching up from Kafka into PostgreSQL, batches of 500, against an inbox row and an upsert with one statement each.

Three of ours: the kit's inbox with a projection that is just such an upsert; reporting-service on a year of reviews;
review-scheduler on plans that arrive, where each opens a review with reckoned dates, stages and events. That is eleven rows
a plan where the floor writes two, so it is also held against those eleven rows written by hand.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import cache, partial
from typing import Any
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer
from sqlalchemy import Column, String, Table, Uuid
from sqlmodel.ext.asyncio.session import AsyncSession
from tests.bench import fill
from tests.bench.machine import TODAY, Machine
from tests.bench.measure import Row, in_turn, profiled, rate_row

from ehcp_contracts.events import CASES, REVIEWS
from reporting_service.main import service as reporting
from review_scheduler.domain.dates import annual
from review_scheduler.domain.stages import stage_days
from review_scheduler.main import service as scheduler
from service_kit import Received, Service, uuid7
from service_kit.bus import Message
from service_kit.bus.kafka_bus import KafkaBus
from service_kit.database import dialect_of, insert_many, many
from service_kit.tables import service_metadata

PLANS, YEARS, BATCH = 10_000, 1_500, 500


async def bench(machine: Machine) -> list[Row]:
    arriving, years = (
        await publish_log(machine, fill.registered(PLANS)),
        await publish_log(machine, fill.year_of_reviews(YEARS)),
    )
    database = machine.database("consumer")
    connection = await asyncpg.connect(database)
    await connection.execute(_FLOOR)
    await connection.close()
    lowest, kit, figures, reviews, rows = await in_turn(
        partial(_by_hand, machine, arriving, database),
        partial(_caught_up, machine, upserting, arriving, PLANS),
        partial(_caught_up, machine, reporting, years, YEARS * fill.STEPS),
        partial(_caught_up, machine, scheduler, arriving, PLANS),
        partial(_reviews_by_hand, machine, arriving),
        rounds=2,
        warm=0,
    )
    return [
        rate_row("consume: inbox of the kit + an upsert", "events/s", lowest, kit, 0.25),
        rate_row("consume: reporting-service", "events/s", lowest, figures, 0.25),
        rate_row("consume: review-scheduler, plans arriving", "events/s", lowest, reviews, 0.25),
        rate_row("consume: review-scheduler, its own rows by hand", "events/s", rows, reviews, 0.25),
    ]


async def publish_log(machine: Machine, messages: Sequence[Message]) -> str:
    """Put the messages on topics of their own; returns the prefix of these."""
    prefix = await machine.topics()
    bus = KafkaBus(machine.kafka.bootstrap, prefix=prefix)
    for start in range(0, len(messages), 1000):
        await bus.publish(messages[start : start + 1000])
    await bus.close()
    return prefix


# -- ours ----------------------------------------------------------------------------------------------------------

metadata = service_metadata()
SEEN = Table(
    "seen", metadata, Column("case_id", Uuid, primary_key=True), Column("type", String(80), nullable=False)
)


@cache
def _statement(dialect: str) -> Any:
    statement = insert_many(SEEN, dialect, "case_id", "type")
    return statement.on_conflict_do_update(index_elements=["case_id"], set_={"type": statement.excluded.type})


async def upsert_cases(tx: AsyncSession, events: Sequence[Received[Any]]) -> None:
    """The newest type of each case."""
    newest = {received.case: received.envelope.type for received in events}
    rows = [{"case_id": case, "type": type_} for case, type_ in newest.items()]
    await tx.execute(_statement(dialect_of(tx)), many(tx, rows))


upserting = Service(
    name="upserting",
    package="tests.bench",
    metadata=metadata,
    source="/upserting",
    listens=[CASES],
    reactions=upsert_cases,
)


async def _caught_up(machine: Machine, service: Service, prefix: str, events: int) -> float:
    """Events per second of a new group on a new database, counted from the first batch on."""
    bus = KafkaBus(machine.kafka.bootstrap, prefix=prefix)
    async with machine.service(service, bus=bus) as running:
        if service is upserting:
            async with running.hub.db.engine.begin() as connection:
                await connection.run_sync(metadata.create_all)
        inbox = running.inbox
        assert inbox is not None
        async with bus.consumer(service.name + uuid4().hex[:6], service.listens) as consumer:
            start, taken, counted = 0.0, 0, 0
            with profiled(f"consume-{service.name}"):
                while taken < events:
                    records = await consumer.fetch()
                    await inbox.take(records)
                    await consumer.commit(records)
                    taken += len(records)
                    if start:
                        counted += len(records)
                    elif records:
                        start = time.perf_counter()
            took = time.perf_counter() - start
        if parked := await inbox.parked():
            raise RuntimeError(f"parked: {parked}")
    return counted / took


# -- the floor -----------------------------------------------------------------------------------------------------

_FLOOR = """
    CREATE TABLE inbox (event_id uuid PRIMARY KEY, source text NOT NULL, sequence bigint NOT NULL);
    CREATE TABLE seen (case_id uuid PRIMARY KEY, type text NOT NULL);
"""
_NOTED = "INSERT INTO inbox SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[]) ON CONFLICT DO NOTHING"
_APPLIED = """
    INSERT INTO seen SELECT * FROM unnest($1::uuid[], $2::text[]) ON CONFLICT (case_id) DO UPDATE SET type = excluded.type
"""


async def _by_hand(machine: Machine, prefix: str, database: str) -> float:
    connection = await asyncpg.connect(database)
    await connection.execute("TRUNCATE inbox, seen")

    async def take(read: list[dict[str, Any]]) -> None:
        newest = {document["subject"]: document["type"] for document in read}
        columns = [[d["id"] for d in read], [d["source"] for d in read], [int(d["sequence"]) for d in read]]
        await connection.execute(_NOTED, *columns)
        await connection.execute(_APPLIED, list(newest), list(newest.values()))

    rate = await _consumed_by_hand(machine, prefix, connection, take)
    await connection.close()
    return rate


async def _consumed_by_hand(
    machine: Machine, prefix: str, connection: Any, take: Callable[[list[dict[str, Any]]], Awaitable[None]]
) -> float:
    consumer = AIOKafkaConsumer(
        prefix + CASES,
        bootstrap_servers=machine.kafka.bootstrap,
        group_id=uuid4().hex,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    start, taken, counted = 0.0, 0, 0
    while taken < PLANS:
        fetched = await consumer.getmany(timeout_ms=1000, max_records=BATCH)
        read = [json.loads(record.value) for records in fetched.values() for record in records]
        if not read:
            continue
        async with connection.transaction():
            await take(read)
        await consumer.commit()
        taken += len(read)
        if start:
            counted += len(read)
        else:
            start = time.perf_counter()
    took = time.perf_counter() - start
    await consumer.stop()
    return counted / took


async def _reviews_by_hand(machine: Machine, prefix: str) -> float:
    """The rows that review-scheduler writes for a plan that arrives, in its own tables and without its rules: nothing is
    looked up, checked or validated, and dates are reckoned once for each distinct day."""
    async with machine.service(scheduler) as running, fill.connected(running.hub.db) as connection:

        async def take(read: list[dict[str, Any]]) -> None:
            rows = [row for document in read for row in _rows_of(document)]
            for table, columns in _COLUMNS.items():
                values = [row for name, row in rows if name == table]
                given = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(columns.values(), 1))
                names = ", ".join(f'"{name}"' for name in columns)
                insert = f"INSERT INTO {table} ({names}) SELECT * FROM unnest({given}) ON CONFLICT DO NOTHING"
                await connection.execute(insert, *zip(*values, strict=True))

        return await _consumed_by_hand(machine, prefix, connection, take)


_WHO = dict.fromkeys(
    ("responsible_la", "administering_la", "urn", "icb", "social_care_team", "officer"), "text"
)
_COLUMNS = {
    "inbox": {"event_id": "uuid", "source": "text", "subject": "text", "sequence": "bigint", "digest": "bytea", "received_at": "timestamptz"},
    "last_received": {"source": "text", "subject": "text", "sequence": "bigint"},
    "plan": _WHO | {"case_id": "uuid", "plan_first_made": "date", "last_concluded": "date", "facts": "jsonb", "known_since": "date", "updated_at": "timestamptz"},
    "review": _WHO | {"id": "uuid", "case_id": "uuid", "kind": "text", "status": "text", "opened_on": "date", "counted_from": "date", "due_on": "date", "alternative_due_on": "date", "latest_meeting_on": "date", "rule_id": "text", "citation": "text", "counts_as_statutory": "bool", "deadline_impossible": "bool", "breaches": "jsonb", "dates": "jsonb", "version": "int", "updated_at": "timestamptz"},
    "stage": {"review_id": "uuid", "stage": "text", "on": "date", "state": "text"},
    "sequences": {"subject": "text", "last": "bigint"},
    "outbox": {"event_id": "uuid", "topic": "text", "subject": "text", "sequence": "bigint", "body": "bytea", "written_at": "timestamptz"},
}  # fmt: skip


def _rows_of(document: dict[str, Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    source, subject, data = document["source"], document["subject"], document["data"]
    now, place, responsible = datetime.now(UTC), data["placement"], data["responsible"]
    who = [place["urn"] if name == "urn" else responsible[name] for name in _WHO]
    made, last = (date.fromisoformat(data[name]) for name in ("plan_first_made", "last_concluded"))
    review, due = str(uuid4()), _due(last)
    yield "inbox", (document["id"], source, subject, int(document["sequence"]), b"", now)
    yield "last_received", (source, subject, int(document["sequence"]))
    yield "plan", (*who, subject, made, last, json.dumps(data["facts"]), TODAY, now)
    yield (
        "review",
        (*who, review, subject, "annual", "due", TODAY, *due[:-1], True, False, "[]", due[-1], 1, now),
    )
    for stage, on in _stages(due[1], due[3]):
        yield "stage", (review, stage, on, "pending" if on > TODAY else "missed_before_arrival")
    yield "sequences", (subject, 1)
    body = json.dumps(document | {"data": {"review_id": review, "due_on": due[1].isoformat()}}).encode()
    yield "outbox", (str(uuid7()), REVIEWS, subject, 1, body, now)


@cache
def _due(anchor: date) -> tuple[Any, ...]:
    owed = annual(anchor)
    days = (owed.counted_from, owed.due_on, owed.alternative_due_on, owed.latest_meeting_on)
    return (*days, owed.rule_id, owed.citation, json.dumps(owed.dates_as_json))


@cache
def _stages(due_on: date, latest_meeting_on: date) -> list[tuple[str, date]]:
    return [(stage.value, on) for stage, on in stage_days(due_on, latest_meeting_on).items()]
