"""The relay on real Kafka and PostgreSQL: its rate against the bare idempotent producer in batches of 500, and how long
a single event takes from its commit to the broker's acknowledgement."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from statistics import median, quantiles
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from aiokafka import AIOKafkaProducer
from tests.bench import fill
from tests.bench.machine import Machine
from tests.bench.measure import Row, in_turn, profiled, rate_row

from case_service.main import service
from ehcp_contracts.events import PlanCeased
from service_kit import Running, publish, uuid7
from service_kit.bus import Message
from service_kit.bus.kafka_bus import KafkaBus

EVENTS, SINGLES = 20_000, 150


async def bench(machine: Machine) -> list[Row]:
    prefix = await machine.topics()
    messages = fill.registered(EVENTS)
    bus = KafkaBus(machine.kafka.bootstrap, prefix=prefix)
    producer = AIOKafkaProducer(
        bootstrap_servers=machine.kafka.bootstrap, acks="all", enable_idempotence=True
    )
    await producer.start()
    async with machine.service(service, bus=bus) as running:
        with profiled("relay"):
            bare, ours = await in_turn(
                partial(_bare, producer, prefix + messages[0].topic, messages),
                partial(_relayed, running, messages),
                rounds=3,
            )
        delays = partial(_delays, running, producer, prefix + messages[0].topic)
        with profiled("relay-single"):
            beside = await delays()
        running.hub.db.on_publish.clear()  # as where the relay is another process, and a NOTIFY tells it
        apart = await delays()
    await producer.stop()
    return [
        rate_row("relay", "events/s", bare, ours, 0.4, "" if machine.kafka.real else "mock broker"),
        _delay_row("relay beside the API: commit to acknowledged, p50", *beside),
        _delay_row("relay apart (NOTIFY): commit to acknowledged, p50", *apart),
    ]


def _delay_row(name: str, found: list[float], bare: list[float]) -> Row:
    p50, p99 = median(found) * 1000, quantiles(found, n=100)[98] * 1000
    least = f"{median(bare) * 1000:.1f} ms"
    return Row(name, least, f"{p50:.1f} ms", p50, 5, "<=", f"p99 {p99:.1f} ms", absolute="<= 5 ms")


async def _bare(producer: AIOKafkaProducer, topic: str, messages: Sequence[Message]) -> float:
    start = time.perf_counter()
    for first in range(0, len(messages), 500):
        sent = [
            await producer.send(topic, m.value, key=m.key.encode()) for m in messages[first : first + 500]
        ]
        await asyncio.gather(*sent)
    return len(messages) / (time.perf_counter() - start)


async def _relayed(running: Running, messages: Sequence[Message]) -> float:
    await _into_outbox(running, messages)
    assert running.relay is not None
    start = time.perf_counter()
    sent = await running.relay.drain()
    assert sent == len(messages)
    return sent / (time.perf_counter() - start)


async def _into_outbox(running: Running, messages: Sequence[Message]) -> None:
    """A backlog, as a burst of commits leaves it."""
    address = fill.address_of(running.hub.db)
    connection = await asyncpg.connect(address)
    now = datetime.now(UTC)
    await connection.execute("TRUNCATE outbox")
    rows = [(uuid7(), m.topic, m.key, n, m.value, now) for n, m in enumerate(messages)]
    columns = ["event_id", "topic", "subject", "sequence", "body", "written_at"]
    await connection.copy_records_to_table("outbox", records=rows, columns=columns)
    await connection.execute("VACUUM ANALYZE outbox")
    await connection.close()


async def _delays(
    running: Running, producer: AIOKafkaProducer, topic: str
) -> tuple[list[float], list[float]]:
    """Seconds from commit to acknowledgement of single events; and in turn those of a bare producer that sends one event
    and waits. The outbox is as a burst leaves it, and its statistics too."""
    assert running.relay is not None
    right = running.relay.bus
    running.relay.bus = acknowledged = _Watched(right)  # type: ignore[assignment]
    task = asyncio.create_task(running.relay.run())
    found, bare = [], []
    for number in range(SINGLES + 10):
        case = uuid4()
        async with running.hub.db.write() as tx:
            await publish(tx, PlanCeased(ceased_on=datetime.now(UTC).date(), reason="9"), case=case, la="351")
        committed = time.perf_counter()
        at = await acknowledged.of(case)
        if number >= 10:
            found.append(at - committed)
            start = time.perf_counter()
            await producer.send_and_wait(topic, b"{}", key=str(case).encode())
            bare.append(time.perf_counter() - start)
        await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    running.relay.bus = right
    return found, bare


class _Watched:
    """The bus, remembering when each case's message was acknowledged."""

    def __init__(self, bus: Any) -> None:
        self.bus = bus
        self.at: dict[str, float] = {}
        self.moved = asyncio.Event()

    async def publish(self, messages: Sequence[Message]) -> list[str | None]:
        refusals: list[str | None] = await self.bus.publish(messages)
        self.at |= dict.fromkeys((m.key for m in messages), time.perf_counter())
        self.moved.set()
        return refusals

    async def of(self, case: UUID) -> float:
        async with asyncio.timeout(30):
            while str(case) not in self.at:
                self.moved.clear()
                await self.moved.wait()
        return self.at[str(case)]
