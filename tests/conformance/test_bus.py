"""The contract of the bus (service_kit.bus.port), held against every implementation."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiosqlite
import pytest

from service_kit.bus import Bus, Consumer, Horizon, Message, Record
from service_kit.bus.log_bus import LogBus


def some(topic: str, *pairs: tuple[str, str]) -> list[Message]:
    return [Message(topic, key, value.encode()) for key, value in pairs]


async def collect(consumer: Consumer, count: int) -> list[Record]:
    """Fetch until `count` records came (or the deadline of the test run)."""
    records: list[Record] = []
    async with asyncio.timeout(30):
        while len(records) < count:
            records += await consumer.fetch(wait=0.5)
    return records


def by_key(records: Sequence[Record]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for record in records:
        found[record.key or ""].append((record.value or b"").decode())
    return dict(found)


async def test_messages_of_a_key_arrive_in_the_order_they_were_published(bus: Bus, topic: str) -> None:
    assert await bus.publish(some(topic, ("a", "1"), ("b", "1"), ("a", "2"))) == [None, None, None]
    await bus.publish(some(topic, ("a", "3"), ("b", "2")))
    async with bus.consumer("g", [topic]) as consumer:
        assert by_key(await collect(consumer, 5)) == {"a": ["1", "2", "3"], "b": ["1", "2"]}


async def test_a_message_published_while_waiting_is_fetched(bus: Bus, topic: str) -> None:
    async with bus.consumer("g", [topic]) as consumer:
        assert await consumer.fetch(wait=0) == []
        waiting = asyncio.create_task(collect(consumer, 1))
        await bus.publish(some(topic, ("a", "1")))
        assert by_key(await waiting) == {"a": ["1"]}


async def test_uncommitted_messages_come_again_and_committed_ones_do_not(bus: Bus, topic: str) -> None:
    await bus.publish(some(topic, ("a", "1"), ("a", "2")))
    async with bus.consumer("g", [topic]) as consumer:
        await consumer.commit((await collect(consumer, 2))[:1])
    async with bus.consumer("g", [topic]) as consumer:
        assert by_key(await collect(consumer, 1)) == {"a": ["2"]}


async def test_groups_do_not_affect_one_another_and_a_new_one_starts_at_the_beginning(
    bus: Bus, topic: str
) -> None:
    await bus.publish(some(topic, ("a", "1")))
    async with bus.consumer("first", [topic]) as consumer:
        await consumer.commit(await collect(consumer, 1))
    async with bus.consumer("second", [topic]) as consumer:
        assert by_key(await collect(consumer, 1)) == {"a": ["1"]}


async def test_reading_from_the_start_sees_everything_and_moves_no_group(bus: Bus, topic: str) -> None:
    await bus.publish(some(topic, *((f"k{i % 7}", str(i)) for i in range(50))))
    async with bus.consumer("g", [topic]) as consumer:
        await consumer.commit(await collect(consumer, 50))
    seen = [record async for batch in bus.read_all([topic]) for record in batch]
    assert by_key(seen)["k3"] == ["3", "10", "17", "24", "31", "38", "45"]
    assert len(seen) == 50
    assert await bus.lag("g", [topic]) == 0


async def test_reading_goes_on_behind_what_was_read(bus: Bus, topic: str) -> None:
    await bus.publish(some(topic, *((f"k{i % 7}", str(i)) for i in range(50))))
    seen = [record async for batch in bus.read_all([topic]) for record in batch]
    await bus.publish(some(topic, ("k3", "50"), ("k4", "51")))
    read = {(topic, record.partition): record.offset for record in seen}
    rest = [record async for batch in bus.read_all([topic], after=read) for record in batch]
    assert by_key(rest) == {"k3": ["50"], "k4": ["51"]}


async def test_reading_an_empty_topic_from_the_start_ends(bus: Bus, topic: str) -> None:
    assert [batch async for batch in bus.read_all([topic])] == []


async def test_lag_counts_what_a_group_has_not_committed(bus: Bus, topic: str) -> None:
    await bus.publish(some(topic, ("a", "1"), ("a", "2"), ("b", "1")))
    assert await bus.lag("g", [topic]) == 3
    async with bus.consumer("g", [topic]) as consumer:
        await consumer.commit(await collect(consumer, 3))
    assert await bus.lag("g", [topic]) == 0


async def test_two_members_share_the_keys_and_each_key_has_one_reader(
    bus: Bus, topic: str, open_another: Callable[[], Bus]
) -> None:
    keys = [f"k{i}" for i in range(40)]
    async with bus.consumer("g", [topic]) as one, open_another().consumer("g", [topic]) as two:
        got: dict[int, list[Record]] = {1: [], 2: []}

        async def read(who: int, consumer: Consumer) -> None:
            while True:
                records = await consumer.fetch(wait=0.2)
                got[who] += records
                await consumer.commit(records)

        readers = [asyncio.create_task(read(1, one)), asyncio.create_task(read(2, two))]
        async with asyncio.timeout(60):
            number = 0
            while not (got[1] and got[2]):  # until both have their share
                await bus.publish(some(topic, *((key, str(number)) for key in keys)))
                number += 1
                while len({(r.partition, r.offset) for r in got[1] + got[2]}) < number * len(keys):
                    await asyncio.sleep(0.05)
            got[1].clear()
            got[2].clear()
            await bus.publish(some(topic, *((key, "last") for key in keys)))
            while len(got[1]) + len(got[2]) < len(keys):
                await asyncio.sleep(0.05)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    first, second = {r.key for r in got[1]}, {r.key for r in got[2]}
    assert first
    assert second
    assert not first & second
    assert first | second == set(keys)


async def test_what_a_vanished_member_had_not_committed_is_taken_over(
    bus: Bus, topic: str, open_another: Callable[[], Bus]
) -> None:
    await bus.publish(some(topic, *((f"k{i}", "1") for i in range(20))))
    async with open_another().consumer("g", [topic]) as first:
        fetched = await collect(first, 20)
        await first.commit(fetched[:10])
    async with bus.consumer("g", [topic]) as second:
        taken_over = await collect(second, 1)
    committed = {(r.partition, r.offset) for r in fetched[:10]}
    behind = {(r.partition, r.offset) for r in taken_over}
    assert behind
    assert not behind & committed


async def test_a_message_too_large_is_refused_and_later_ones_of_its_key_with_it(bus: Bus, topic: str) -> None:
    large = Message(topic, "a", b"x" * (64 * 1024 + 1))
    answers = await bus.publish([large, *some(topic, ("a", "2"), ("b", "1"))])
    assert answers == ["too large", "behind a refused message", None]
    async with bus.consumer("g", [topic]) as consumer:
        assert by_key(await collect(consumer, 1)) == {"b": ["1"]}


async def test_a_backlog_larger_than_a_batch_is_stored_whole_and_in_order(bus: Bus, topic: str) -> None:
    """The limit of a Kafka topic is one of batches: a relay with much to catch up sent none of it, or the end first."""
    largest, event = b"x" * (64 * 1024), b"x" * (4 * 1024)
    await bus.publish([Message(topic, "a", b"%03d" % n + event) for n in range(400)])
    await bus.publish([Message(topic, "b", largest)])
    async with bus.consumer("g", [topic]) as consumer:
        records = await collect(consumer, 401)
    assert [r.value[:3] for r in records if r.key == "a" and r.value] == [b"%03d" % n for n in range(400)]
    assert [r.value for r in records if r.key == "b"] == [largest]


async def test_a_publish_cut_off_while_it_waited_for_the_lock_leaves_the_log_usable(tmp_path: Path) -> None:
    """The relay puts a deadline round each send; the log bus then still holds the lock it was waiting for."""
    bus = LogBus(tmp_path / "bus.sqlite3")
    await bus.publish(some("t", ("a", "1")))
    with contextlib.closing(sqlite3.connect(tmp_path / "bus.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        sending = asyncio.create_task(bus.publish(some("t", ("a", "2"))))
        await asyncio.sleep(0.1)
        sending.cancel()
        await asyncio.sleep(0)
        other.execute("ROLLBACK")
    with contextlib.suppress(asyncio.CancelledError):
        await sending
    assert await bus.publish(some("t", ("a", "3"))) == [None]
    async with bus.consumer("g", ["t"]) as consumer:
        assert by_key(await collect(consumer, 2)) == {"a": ["1", "3"]}
    await bus.close()


async def test_a_publish_cut_off_while_the_log_was_opened_leaves_no_connection_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread of the connection answered to an event loop that was closed by then, in the middle of another test."""
    bus, opening = LogBus(tmp_path / "bus.sqlite3"), asyncio.Event()
    right = aiosqlite.Connection.executescript

    def noticed(self: aiosqlite.Connection, script: str) -> object:
        opening.set()
        return right(self, script)

    monkeypatch.setattr(aiosqlite.Connection, "executescript", noticed)
    with contextlib.closing(sqlite3.connect(tmp_path / "bus.sqlite3", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        sending = asyncio.create_task(bus.publish(some("t", ("a", "1"))))
        await opening.wait()
        sending.cancel()
        done, _ = await asyncio.wait([sending], timeout=0.1)
        assert not done  # its thread still waits for the lock, and is waited for
        other.execute("ROLLBACK")
    with pytest.raises(asyncio.CancelledError):
        await sending
    await bus.close()


# --- marks: how far a group knows a topic -----------------------------------------------------------------------------

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)


async def read_all(bus: Bus, topic: str, count: int) -> None:
    async with bus.consumer("g", [topic]) as consumer:
        await consumer.commit(await collect(consumer, count))


async def test_a_group_knows_nothing_before_the_sender_has_vouched(bus: Bus, topic: str) -> None:
    await bus.publish(some(topic, ("a", "1")))
    await read_all(bus, topic, 1)
    assert await bus.vouched(topic) is None
    assert await Horizon(bus, "g", topic).look() is None


async def test_an_empty_topic_is_known_as_soon_as_its_sender_vouches(bus: Bus, topic: str) -> None:
    await bus.vouch(topic, NOON)
    horizon = Horizon(bus, "g", topic)
    assert await horizon.look() == NOON
    assert await horizon.look() is None  # it is said once
    await bus.vouch(topic, LATER)
    assert await horizon.look() == LATER


async def test_what_is_vouched_for_is_known_when_it_was_committed_in_every_partition(
    bus: Bus, topic: str, open_another: Callable[[], Bus]
) -> None:
    await bus.publish(some(topic, *((f"k{i}", "1") for i in range(20))))
    await bus.vouch(topic, NOON)
    horizon = Horizon(open_another(), "g", topic)  # as another process: marks live in the bus
    async with bus.consumer("g", [topic]) as consumer:
        records = await collect(consumer, 20)
        assert await horizon.look() is None
        partitions = sorted({record.partition for record in records})
        assert len(partitions) > 1
        for partition in partitions:
            assert await horizon.look() is None
            await consumer.commit([record for record in records if record.partition == partition])
        assert await horizon.look() == NOON


async def test_a_reader_that_is_always_a_little_behind_still_knows_what_it_has_passed(
    bus: Bus, topic: str
) -> None:
    """Each mark is replaced before it is reached; the one before it has been."""
    horizon = Horizon(bus, "g", topic)
    async with bus.consumer("g", [topic]) as consumer:
        await bus.publish(some(topic, ("a", "1")))
        await bus.vouch(topic, NOON)
        assert await horizon.look() is None
        await bus.publish(some(topic, ("a", "2")))
        await bus.vouch(topic, LATER)
        await consumer.commit((await collect(consumer, 2))[:1])
        assert await horizon.look() == NOON


async def test_marks_are_no_records(bus: Bus, topic: str) -> None:
    """The log does not grow by them, and nobody who reads it from the start sees any."""
    await bus.publish(some(topic, ("a", "1")))
    for seconds in range(3):
        await bus.vouch(topic, NOON + timedelta(seconds=seconds))
    await read_all(bus, topic, 1)
    seen = [record.value async for batch in bus.read_all([topic]) for record in batch]
    assert seen == [b"1"]
    assert await bus.lag("g", [topic]) == 0
