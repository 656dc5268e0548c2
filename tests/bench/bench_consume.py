"""Catching up from Kafka into PostgreSQL, batches of 500, against an inbox row and an upsert with one statement each.

Three of ours: the kit's inbox with a projection that is just such an upsert; reporting-service on a year of reviews;
review-scheduler on plans that arrive, where each opens a review with reckoned dates, stages and events.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import cache, partial
from typing import Any
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer
from sqlalchemy import Column, String, Table, Uuid
from sqlmodel.ext.asyncio.session import AsyncSession
from tests.bench import fill
from tests.bench.machine import Machine
from tests.bench.measure import Row, in_turn, profiled, rate_row

from ehcp_contracts.events import CASES
from reporting_service.main import service as reporting
from review_scheduler.main import service as scheduler
from service_kit import Received, Service
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
    lowest, kit, figures, reviews = await in_turn(
        partial(_by_hand, machine, arriving, database),
        partial(_caught_up, machine, upserting, arriving, PLANS),
        partial(_caught_up, machine, reporting, years, YEARS * fill.STEPS),
        partial(_caught_up, machine, scheduler, arriving, PLANS),
        rounds=2,
        warm=0,
    )
    return [
        rate_row("consume: inbox of the kit + an upsert", "events/s", lowest, kit, 0.25),
        rate_row("consume: reporting-service", "events/s", lowest, figures, 0.25),
        rate_row("consume: review-scheduler, plans arriving", "events/s", lowest, reviews, 0.25),
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
        newest = {document["subject"]: document["type"] for document in read}
        async with connection.transaction():
            columns = [
                [d["id"] for d in read],
                [d["source"] for d in read],
                [int(d["sequence"]) for d in read],
            ]
            await connection.execute(_NOTED, *columns)
            await connection.execute(_APPLIED, list(newest), list(newest.values()))
        await consumer.commit()
        taken += len(read)
        if start:
            counted += len(read)
        else:
            start = time.perf_counter()
    took = time.perf_counter() - start
    await consumer.stop()
    await connection.close()
    return counted / took
