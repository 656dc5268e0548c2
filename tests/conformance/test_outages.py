"""Broker and database down and back: nothing is answered that did not happen, nothing is lost, nobody restarts by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from conformance.test_database import ENDED, event
from conformance.toy import TOPIC, Toy, toy_metadata
from deploy.up.ports import free_port
from sqlalchemy import select
from tests.rig.proxy import Proxy

from service_kit.bus import BusAway, Consumer, Horizon, Message, kafka_bus, open_bus
from service_kit.bus.log_bus import LogBus
from service_kit.clock import Clock
from service_kit.database import Database, Unavailable
from service_kit.inbox import Inbox
from service_kit.outbox import publish
from service_kit.relay import Relay

T = TypeVar("T")
pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("outages")]


async def opened(url: str, **more: Any) -> Database:
    clock = Clock(date(2026, 9, 1), lambda: datetime(2026, 9, 1, 8, 0, tzinfo=UTC))
    metadata = toy_metadata()
    db = Database(url, metadata, source="/toy", topic=TOPIC, clock=clock, **more)
    async with db.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    return db


async def test_f25_a_database_that_is_killed_is_reported_unavailable_and_used_again_when_it_is_back(
    own_postgres: Callable[[], Any],
) -> None:
    server = own_postgres()
    db = await opened(server.create_database("toy"))
    server.stop_hard()
    for _ in range(3):
        with pytest.raises(Unavailable):
            async with asyncio.timeout(10), db.write() as tx:
                await publish(tx, ENDED, case=uuid4(), la="351")
    server.restart()
    async with asyncio.timeout(10), db.write() as tx:
        await publish(tx, ENDED, case=uuid4(), la="351")
    async with db.read() as session:
        assert len((await session.execute(select(db.tables["outbox"]))).all()) == 1
    await db.close()


async def test_f25_an_inbox_waits_for_its_database_and_then_applies_each_event_once(
    own_postgres: Callable[[], Any], tmp_path: Path
) -> None:
    server = own_postgres()
    db = await opened(server.create_database("toy"))
    toy = Toy(db, db.clock)
    inbox = Inbox(toy.hub, LogBus(tmp_path / "unused.sqlite3"), [TOPIC], toy.reactions)
    case = uuid4()
    server.stop_hard()
    taking = asyncio.create_task(inbox.take([event(case, 1), event(case, 2)]))
    async with asyncio.timeout(20):
        while inbox.reachable:
            await asyncio.sleep(0.05)
    assert not taking.done()
    server.restart()
    async with asyncio.timeout(20):
        await taking
    assert await toy.heard(case) == [1, 2]
    assert await inbox.parked() == {}
    await db.close()


PATIENCE = 2.0


async def test_f26_a_database_that_does_not_answer_is_reported_unavailable_in_time_and_used_again(
    own_postgres: Callable[[], Any],
) -> None:
    """Reachable, and silent: whoever asks is told so within the patience of one statement, be it that his transaction is
    open already, that he finds a connection in the pool, or waits for one and has to make it (each took twice as long)."""
    server = own_postgres()
    async with Proxy(server.port) as link:
        url = server.create_database("toy").replace(f":{server.port}/", f":{link.port}/")
        db = await opened(url, patience=PATIENCE, pool=4)
        silent = asyncio.Event()

        async def read() -> None:
            async with db.read() as session:
                await session.execute(select(db.tables["outbox"]))

        async def write() -> None:
            async with db.write() as tx:
                await publish(tx, ENDED, case=uuid4(), la="351")

        async def write_on(*, session: bool) -> None:
            async with db.write() as tx:
                await publish(tx, ENDED, case=uuid4(), la="351")
                await tx.flush()
                await silent.wait()
                await (
                    tx.execute(select(db.tables["outbox"]))
                    if session
                    else publish(tx, ENDED, case=uuid4(), la="351")
                )

        under_way = [asyncio.create_task(write_on(session=session)) for session in (False, True)]
        await asyncio.gather(*(write() for _ in range(4)))
        await link.blackhole()
        silent.set()
        assert (
            await _longest([*under_way, *map(asyncio.create_task, [write() for _ in range(20)])])
            < 1.9 * PATIENCE
        )
        assert await _longest([*map(asyncio.create_task, [read() for _ in range(20)])]) < 1.9 * PATIENCE
        await link.heal()
        async with asyncio.timeout(30):
            await write()
        await db.close()


async def _longest(asked: Sequence[asyncio.Task[None]]) -> float:
    """How long the last of these waited to be told that the database is unavailable."""
    began = time.monotonic()
    assert {type(said) for said in await asyncio.gather(*asked, return_exceptions=True)} == {Unavailable}
    return time.monotonic() - began


@pytest.mark.kafka
async def test_f21_what_was_written_while_the_broker_was_dead_is_sent_when_it_is_back(
    own_kafka: Callable[[], Any], tmp_path: Path
) -> None:
    kafka = own_kafka()
    await kafka.provision()
    db = await opened(f"sqlite+aiosqlite:///{tmp_path / 'toy.sqlite3'}")
    case = uuid4()

    async def write() -> None:
        async with db.write() as tx:
            await publish(tx, ENDED, case=case, la="351")

    bus = open_bus(kafka.bus_url)
    await write()
    assert await Relay(db, bus, db.tables["outbox"]).drain() == 1
    kafka.kill9()
    await write()
    await write()
    relay = Relay(db, bus, db.tables["outbox"])
    with pytest.raises(TimeoutError):  # an idempotent producer never gives up by itself
        async with asyncio.timeout(3):
            await relay.drain()
    assert await relay.backlog() == 2
    await bus.close()
    kafka.restart()
    again = open_bus(kafka.bus_url)
    assert await Relay(db, again, db.tables["outbox"]).drain() == 2
    seen = [record async for batch in again.read_all([TOPIC]) for record in batch]
    sequences = [_sequence(record.value) for record in seen]
    assert [n for i, n in enumerate(sequences) if n not in sequences[:i]] == [1, 2, 3]
    await again.close()
    await db.close()


@pytest.mark.kafka
async def test_f24_connections_that_died_without_a_word_are_given_up_before_aiokafka_would(
    own_kafka: Callable[..., Any],
) -> None:
    """aiokafka waits 40 s for an answer; a router that has forgotten a connection never sends one."""
    port = free_port()
    kafka = own_kafka(proxy_port=port)
    if not kafka.real:
        pytest.skip("the mock cluster cannot be reached through a proxy")
    async with Proxy(kafka.cluster.proxied_port(), port=port) as link:
        await kafka.provision()
        near, far = open_bus(f"kafka://127.0.0.1:{port}"), open_bus(kafka.bus_url)
        async with near.consumer("g", [TOPIC]) as consumer:
            await near.publish([Message(TOPIC, "a", b"before")])
            await _reads(consumer, b"before")
            await link.strand()
            async with asyncio.timeout(36):
                await far.publish([Message(TOPIC, "a", b"heard")])
                sending = asyncio.create_task(near.publish([Message(TOPIC, "a", b"said")]))
                await _reads(consumer, b"heard")
                await sending
            await _reads(consumer, b"said")
        await near.close()
        await far.close()


@pytest.mark.kafka
async def test_a_consumer_that_no_longer_asks_is_noticed_and_gives_way_to_a_new_one(
    own_kafka: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the broker had lost records, one consumer no longer learnt where the broker was: it asked nobody any more, and
    could not be stopped either."""
    monkeypatch.setattr(kafka_bus, "SILENT_TOO_LONG", 5.0)
    monkeypatch.setattr(kafka_bus, "STOPPED_WITHIN", 1.0)
    kafka = own_kafka()
    await kafka.provision()
    bus = kafka_bus.KafkaBus(kafka.bootstrap, session_timeout_ms=3_000)
    with pytest.raises(ConnectionError, match="not been heard of"):
        async with asyncio.timeout(60), bus.consumer("g", [TOPIC]) as consumer:
            await bus.publish([Message(TOPIC, "a", b"before")])
            await _reads(consumer, b"before")
            lost: Any = consumer
            lost._consumer._client._sync_task.cancel()
            kafka.kill9()
            while lost._consumer._coordinator.coordinator_id is not None:
                await consumer.fetch()
            kafka.restart()
            while True:
                await consumer.fetch()
    async with asyncio.timeout(60), bus.consumer("g", [TOPIC]) as consumer:
        await bus.publish([Message(TOPIC, "a", b"after")])
        await _reads(consumer, b"after")
    await bus.close()


async def _reads(consumer: Consumer, value: bytes) -> None:
    """Read on until a record has come; what came before may come again."""
    while True:
        records = await consumer.fetch()
        await consumer.commit(records)
        if value in [record.value for record in records]:
            return


@pytest.mark.kafka
async def test_f20_whoever_asks_a_dead_broker_is_told_so_and_is_answered_when_it_is_back(
    own_kafka: Callable[[], Any],
) -> None:
    """A sender that cannot vouch and a reader that cannot look do not hang, and need no new process."""
    kafka = own_kafka()
    await kafka.provision()
    bus, noon = open_bus(kafka.bus_url), datetime(2026, 9, 1, 12, tzinfo=UTC)
    horizon = Horizon(bus, "g", TOPIC)
    await bus.vouch(TOPIC, noon)
    assert await horizon.look() == noon
    kafka.kill9()
    async with asyncio.timeout(60):
        with pytest.raises(BusAway):
            await bus.vouch(TOPIC, noon)
        with pytest.raises(BusAway):
            await horizon.look()
    kafka.restart()
    later = noon + timedelta(seconds=1)
    async with asyncio.timeout(120):
        await _until_answered(lambda: bus.vouch(TOPIC, later))
        assert await _until_answered(horizon.look) == later
    await bus.close()


async def _until_answered(ask: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await ask()
        except BusAway:
            await asyncio.sleep(0.1)


def _sequence(value: bytes | None) -> int:
    from ehcp_contracts.envelope import Envelope

    return Envelope.from_bytes(value or b"").sequence
