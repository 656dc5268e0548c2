"""What a log may hold besides what it should: everything twice, in the wrong order, or past reading (F32 to F34).

The records are put there by somebody else than the hub, and its inbox reads them from the bus, as it always does.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaProducer
from conformance.test_database import event
from conformance.toy import Toy

from service_kit.bus import Bus
from service_kit.bus.log_bus import partition_of
from service_kit.database import Database
from service_kit.inbox import Inbox

Foreign = tuple[str, bytes | None]
"""Key and value of a record."""


@pytest.fixture
def toy(db: Database, topic: str) -> Toy:
    toy = Toy(db, db.clock)
    toy.hub = dataclasses.replace(toy.hub, name=f"of-{topic}")  # a group that no other test is in
    return toy


@pytest.fixture
def inbox(toy: Toy, bus: Bus, topic: str) -> Inbox:
    return Inbox(toy.hub, bus, [topic], toy.reactions)


async def put(bus_url: str, topic: str, records: Sequence[Foreign]) -> None:
    """Append records without the hub's bus, which would refuse some of them."""
    if bus_url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(Path(bus_url.removeprefix("sqlite://")))) as log, log:
            rows = [(topic, partition_of(key), key, value or b"") for key, value in records]
            log.executemany("INSERT INTO log (topic, partition, key, value) VALUES (?, ?, ?, ?)", rows)
        return
    producer = AIOKafkaProducer(
        bootstrap_servers=bus_url.removeprefix("kafka://"), max_request_size=1_000_000
    )
    await producer.start()
    try:
        for key, value in records:
            await producer.send_and_wait(topic, value, key=key.encode())
    finally:
        await producer.stop()


@asynccontextmanager
async def reading(inbox: Inbox) -> AsyncIterator[None]:
    """The inbox reads the bus while the block lasts, and the job beside it tries again what waits."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(0.1)
            await inbox.sweep()

    tasks = [asyncio.create_task(inbox.run()), asyncio.create_task(sweep())]
    try:
        async with asyncio.timeout(60):
            while inbox.last_fetch is None:
                await asyncio.sleep(0.01)
            yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until_parked(inbox: Inbox, **states: int) -> None:
    """Wait until exactly this is parked (the block that reads has a deadline)."""
    while await inbox.parked() != states:
        await asyncio.sleep(0.02)


async def until_heard(toy: Toy, case: UUID, last: int) -> list[int]:
    """Wait until the toy has heard an event of a case; all that it has heard of it."""
    while last not in (heard := await toy.heard(case)):
        await asyncio.sleep(0.02)
    return heard


def sent(case: UUID, sequence: int) -> Foreign:
    """An event as its service would have sent it."""
    return str(case), event(case, sequence).value


def spoiled(case: UUID, how: bytes | dict[str, Any] | None) -> Foreign:
    """The first event of a case, with these fields changed, or with something else in its place."""
    if not isinstance(how, dict):
        return str(case), how
    document = json.loads(event(case, 1).value or b"")
    return str(case), json.dumps(document | how).encode()


async def test_f32_each_event_is_applied_once_although_each_comes_up_to_five_times(
    bus_url: str, topic: str, bus: Bus, toy: Toy, inbox: Inbox
) -> None:
    dice = random.Random(32)
    cases = [uuid4() for _ in range(4)]
    first = [sent(case, n) for n in range(1, 9) for case in cases]
    again = [record for record in first for _ in range(dice.randint(0, 4))]
    dice.shuffle(again)
    async with reading(inbox):
        await put(bus_url, topic, [*first, *again, *(sent(case, 9) for case in cases)])
        for case in cases:
            assert await until_heard(toy, case, 9) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
        assert await inbox.parked() == {}


async def test_f33_events_are_applied_in_their_order_in_whatever_order_they_come(
    bus_url: str, topic: str, bus: Bus, toy: Toy, inbox: Inbox
) -> None:
    dice = random.Random(33)
    cases = [uuid4() for _ in range(4)]
    records = [sent(case, n) for n in range(1, 9) for case in cases]
    dice.shuffle(records)
    async with reading(inbox):
        await put(bus_url, topic, records)
        for case in cases:
            assert await until_heard(toy, case, 8) == [1, 2, 3, 4, 5, 6, 7, 8]
        await until_parked(inbox)


async def test_f33_an_event_far_ahead_waits_and_an_old_number_anew_is_set_aside(
    bus_url: str, topic: str, bus: Bus, toy: Toy, inbox: Inbox
) -> None:
    case = uuid4()
    async with reading(inbox):
        await put(
            bus_url, topic, [sent(case, 1), sent(case, 2), sent(case, 50), sent(case, 1), sent(case, 3)]
        )
        assert await until_heard(toy, case, 3) == [1, 2, 3]
        await until_parked(inbox, gap=1, quarantined=1)
        await put(bus_url, topic, [sent(case, n) for n in range(4, 50)])
        assert await until_heard(toy, case, 50) == list(range(1, 51))
        await until_parked(inbox, quarantined=1)


POISON: dict[str, bytes | dict[str, Any] | None] = {
    "no JSON": b"not json",
    "cut off": b'{"specversion": "1.0", "id": "',
    "no UTF-8": b"\xff\xfe{}",
    "no value": None,
    "no envelope": b"{}",
    "no object": b"[1, 2]",
    "900 KB": b'"' + b"x" * 900_000 + b'"',
    "an unknown type": {"type": "ehcp.plan-exploded.v1"},
    "an unknown version": {"type": "ehcp.plan-ceased.v99"},
    "no type": {"type": None},
    "no number": {"sequence": "soon"},
    "no event of its type": {"data": {"ceased_on": "tomorrow"}},
    "a name": {"data": {"surname": "Nobody"}},
    "the key of another": {"subject": str(UUID(int=7))},
}


async def test_f34_poison_of_every_kind_holds_its_own_case_and_no_other(
    bus_url: str, topic: str, bus: Bus, toy: Toy, inbox: Inbox
) -> None:
    well, sick = uuid4(), {kind: uuid4() for kind in POISON}
    records = [sent(well, 1)]
    for number, (kind, how) in enumerate(POISON.items(), 2):
        records += [spoiled(sick[kind], how), sent(sick[kind], 2), sent(well, number)]
    async with reading(inbox):
        await put(bus_url, topic, records)
        assert await until_heard(toy, well, len(POISON) + 1) == list(range(1, len(POISON) + 2))
        await until_parked(inbox, poison=len(POISON), behind=len(POISON))
        assert {kind for kind, case in sick.items() if await toy.heard(case)} == set()


async def test_f34_after_a_fix_the_case_goes_on_in_its_order(
    bus_url: str, topic: str, bus: Bus, toy: Toy, inbox: Inbox
) -> None:
    case = uuid4()
    toy.fail.add((case, 2))
    async with reading(inbox):
        await put(bus_url, topic, [sent(case, n) for n in (1, 2, 3, 4)])
        await until_parked(inbox, poison=1, behind=2)
        toy.fail.clear()
        assert await inbox.release(str(case), poison=True) == 3
        await put(bus_url, topic, [sent(case, 5)])
        assert await until_heard(toy, case, 5) == [1, 2, 3, 4, 5]
