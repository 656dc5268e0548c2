"""The event log of the embedded mode: the bus on one SQLite file.

Partitions exist only to share keys between members of a group; offsets count through the whole file. A member claims
partitions in the file; claims of a member whose process is gone, or that has not been heard of for a lease, are free
to take. Several processes of one machine may use the same file.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
import weakref
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import aiosqlite

from service_kit.bus.port import BusAway, Mark, Message, Place, Record, refuse
from service_kit.ids import uuid7

PARTITIONS = 6
POLL = 0.2
BATCH = 500
"""As many records at once: this consumer shares its process with the API, which waits while a batch is worked out."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    offset INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, partition INTEGER NOT NULL,
    key TEXT NOT NULL, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS positions (
    consumer_group TEXT, topic TEXT, partition INTEGER, offset INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (
    consumer_group TEXT, member TEXT, seen REAL NOT NULL, PRIMARY KEY (consumer_group, member)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (
    consumer_group TEXT, topic TEXT, partition INTEGER, member TEXT NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (
    topic TEXT PRIMARY KEY, until TEXT NOT NULL, ends TEXT NOT NULL, scanned INTEGER NOT NULL) WITHOUT ROWID;
"""


def partition_of(key: str) -> int:
    """The partition of a key; stable for ever."""
    return zlib.crc32(key.encode()) % PARTITIONS


class LogBus:
    """The bus contract on one file. `lease` (seconds) is how long a silent member keeps its partitions."""

    # Consumers of this process, woken by a publish.
    _nearby: ClassVar[weakref.WeakSet[_LogConsumer]] = weakref.WeakSet()

    def __init__(self, path: Path, *, lease: float = 10.0, now: Callable[[], float] = time.time) -> None:
        self.path, self.lease, self.now = path, lease, now
        self._connection: aiosqlite.Connection | None = None
        self._turn = asyncio.Lock()

    async def _open(self) -> aiosqlite.Connection:
        if self._connection is None:
            self._connection = await _connect(self.path)
        return self._connection

    async def publish(self, messages: Sequence[Message]) -> list[str | None]:
        refusals = refuse(messages)
        rows = [
            (m.topic, partition_of(m.key), m.key, m.value)
            for m, refusal in zip(messages, refusals, strict=True)
            if refusal is None
        ]
        async with self._turn:
            connection = await self._open()
            try:
                # Inside: a deadline may end the wait for the lock, and the thread behind it gets the lock all the same.
                await connection.execute("BEGIN IMMEDIATE")
                await connection.executemany(
                    "INSERT INTO log (topic, partition, key, value) VALUES (?, ?, ?, ?)", rows
                )
                await connection.commit()
            except BaseException:
                await connection.rollback()
                raise
        for consumer in list(LogBus._nearby):
            if consumer.path == self.path:
                consumer.wake()
        return refusals

    @asynccontextmanager
    async def consumer(self, group: str, topics: Sequence[str]) -> AsyncIterator[_LogConsumer]:
        connection = await _connect(self.path)
        member = _LogConsumer(self, connection, group, topics)
        LogBus._nearby.add(member)
        try:
            yield member
        finally:
            LogBus._nearby.discard(member)
            try:
                await member.leave()
            finally:
                await connection.close()

    async def read_all(
        self, topics: Sequence[str], *, after: Mapping[Place, int] | None = None
    ) -> AsyncIterator[list[Record]]:
        connection = await _connect(self.path)
        try:
            end = await _scalar(connection, "SELECT coalesce(max(offset), 0) FROM log")
            at = max((after or {}).values(), default=0)
            while at < end:
                found, at = await _scan(connection, at, BATCH)
                if records := [r for r in found if r.topic in topics and r.offset <= end]:
                    yield records
        finally:
            await connection.close()

    async def lag(self, group: str, topics: Sequence[str]) -> int:
        async with self._turn:
            connection = await self._open()
            marks = ",".join("?" * len(topics))
            return await _scalar(
                connection,
                f"""SELECT count(*) FROM log l LEFT JOIN positions p
                    ON p.consumer_group = ? AND p.topic = l.topic AND p.partition = l.partition
                    WHERE l.topic IN ({marks}) AND l.offset > coalesce(p.offset, 0)""",
                (group, *topics),
            )

    async def vouch(self, topic: str, until: datetime) -> None:
        async with self._asked() as connection:
            mark = await _one(connection, "SELECT ends, scanned FROM marks WHERE topic = ?", (topic,))
            ends, scanned = (json.loads(mark[0]), mark[1]) if mark else ({}, 0)
            end = await _scalar(connection, "SELECT coalesce(max(offset), 0) FROM log")
            fresh = await connection.execute_fetchall(
                """SELECT partition, max(offset) FROM log
                   WHERE offset > ? AND offset <= ? AND topic = ? GROUP BY partition""",
                (scanned, end, topic),
            )
            ends |= {str(partition): offset for partition, offset in fresh}
            await connection.execute(
                "INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)",
                (topic, until.isoformat(), json.dumps(ends), end),
            )

    async def vouched(self, topic: str) -> Mark | None:
        async with self._asked() as connection:
            mark = await _one(connection, "SELECT until, ends FROM marks WHERE topic = ?", (topic,))
        if mark is None:
            return None
        ends = {int(partition): end for partition, end in json.loads(mark[1]).items()}
        return Mark(datetime.fromisoformat(mark[0]), ends)

    async def positions(self, group: str, topic: str) -> dict[int, int]:
        async with self._asked() as connection:
            rows = await connection.execute_fetchall(
                "SELECT partition, offset FROM positions WHERE consumer_group = ? AND topic = ?",
                (group, topic),
            )
        return {row[0]: row[1] for row in rows}

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[aiosqlite.Connection]:
        async with self._turn:
            try:
                yield await self._open()
            except sqlite3.OperationalError as error:
                raise BusAway from error

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None


class _LogConsumer:
    def __init__(
        self, bus: LogBus, connection: aiosqlite.Connection, group: str, topics: Sequence[str]
    ) -> None:
        self.bus, self.path, self.group, self.topics = bus, bus.path, group, tuple(topics)
        self.member = f"{os.getpid()}:{uuid7()}"
        self._connection = connection
        self._woken = asyncio.Event()
        self._next: dict[Place, int] = {}  # claimed partitions: the last offset handed out there
        self._scanned = 0
        self._renew_at = 0.0

    def wake(self) -> None:
        self._woken.set()

    async def fetch(self, limit: int = BATCH, wait: float = 1.0) -> list[Record]:
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            self._woken.clear()
            if self.bus.now() >= self._renew_at:
                await self._rebalance()
            if records := await self._take(limit):
                return records
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return []
            # The wake-up serves this process; other processes' messages are found by polling.
            try:
                await asyncio.wait_for(self._woken.wait(), min(left, POLL))
            except TimeoutError:
                continue

    async def _take(self, limit: int) -> list[Record]:
        while True:
            found, scanned = await _scan(self._connection, self._scanned, max(limit, 100))
            mine = [r for r in found if r.offset > self._next.get((r.topic, r.partition), r.offset)][:limit]
            self._scanned = mine[-1].offset if len(mine) == limit else scanned
            for record in mine:
                self._next[record.topic, record.partition] = record.offset
            if mine or not found:
                return mine

    async def commit(self, records: Sequence[Record]) -> None:
        last: dict[Place, int] = {}
        for record in records:
            last[record.topic, record.partition] = max(
                record.offset, last.get((record.topic, record.partition), 0)
            )
        rows = [
            (self.group, topic, partition, offset, self.member) for (topic, partition), offset in last.items()
        ]
        await self._transaction(
            """INSERT INTO positions (consumer_group, topic, partition, offset)
               SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM claims
                   WHERE consumer_group = ?1 AND topic = ?2 AND partition = ?3 AND member = ?5)
               ON CONFLICT DO UPDATE SET offset = max(offset, excluded.offset)""",
            rows,
        )

    async def _rebalance(self) -> None:
        """Renew membership, give up what belongs to others now, claim what is ours and free."""
        now = self.bus.now()
        self._renew_at = now + self.bus.lease / 5
        await self._transaction(
            "INSERT INTO members VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET seen = excluded.seen",
            [(self.group, self.member, now)],
        )
        rows = await self._rows("SELECT member, seen FROM members WHERE consumer_group = ?", (self.group,))
        alive = sorted(
            m for m, seen in rows if m == self.member or (seen > now - self.bus.lease and _runs(m))
        )
        await self._forget([m for m, _ in rows if m not in alive])
        places = sorted((topic, p) for topic in self.topics for p in range(PARTITIONS))
        mine = {place for i, place in enumerate(places) if alive[i % len(alive)] == self.member}
        await self._release(place for place in list(self._next) if place not in mine)
        await self._transaction(
            "INSERT INTO claims VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [(self.group, topic, p, self.member) for topic, p in sorted(mine)],
        )
        await self._read_claims()

    async def _read_claims(self) -> None:
        rows = await self._rows(
            """SELECT c.topic, c.partition, coalesce(p.offset, 0) FROM claims c LEFT JOIN positions p
               ON p.consumer_group = c.consumer_group AND p.topic = c.topic AND p.partition = c.partition
               WHERE c.consumer_group = ? AND c.member = ?""",
            (self.group, self.member),
        )
        claimed = {(topic, partition): offset for topic, partition, offset in rows}
        fresh = {place: offset for place, offset in claimed.items() if place not in self._next}
        self._next = {place: self._next.get(place, offset) for place, offset in claimed.items()}
        if fresh:
            self._scanned = min(self._scanned, *fresh.values()) if self._scanned else min(fresh.values())

    async def _release(self, places: Iterable[Place]) -> None:
        gone = list(places)
        for place in gone:
            del self._next[place]
        await self._transaction(
            "DELETE FROM claims WHERE consumer_group = ? AND topic = ? AND partition = ? AND member = ?",
            [(self.group, topic, partition, self.member) for topic, partition in gone],
        )

    async def _forget(self, members: Iterable[str]) -> None:
        rows = [(self.group, member) for member in members]
        await self._transaction("DELETE FROM claims WHERE consumer_group = ? AND member = ?", rows)
        await self._transaction("DELETE FROM members WHERE consumer_group = ? AND member = ?", rows)

    async def leave(self) -> None:
        """Give everything up, so that others need not wait for the lease."""
        await self._forget([self.member])

    async def _transaction(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if not rows:
            return
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
            await self._connection.executemany(statement, rows)
            await self._connection.commit()
        except BaseException:
            await self._connection.rollback()
            raise

    async def _rows(self, query: str, values: tuple[object, ...]) -> list[sqlite3.Row]:
        return list(await self._connection.execute_fetchall(query, values))


async def _connect(path: Path) -> aiosqlite.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = await aiosqlite.connect(path, isolation_level=None)
    try:
        for pragma in ("busy_timeout=15000", "journal_mode=WAL", "synchronous=FULL"):
            await connection.execute(f"PRAGMA {pragma}")
        await connection.executescript(SCHEMA)
    except BaseException:  # a deadline, or the end of the relay: nobody will know this connection
        await connection.close()
        raise
    return connection


async def _scan(connection: aiosqlite.Connection, after: int, limit: int) -> tuple[list[Record], int]:
    """The next `limit` records of all topics, and the offset scanned to."""
    rows = list(
        await connection.execute_fetchall(
            "SELECT topic, partition, offset, key, value FROM log WHERE offset > ? ORDER BY offset LIMIT ?",
            (after, limit),
        )
    )
    return [Record(*row) for row in rows], (rows[-1][2] if rows else after)


async def _one(
    connection: aiosqlite.Connection, query: str, values: tuple[object, ...] = ()
) -> sqlite3.Row | None:
    return next(iter(await connection.execute_fetchall(query, values)), None)


async def _scalar(connection: aiosqlite.Connection, query: str, values: tuple[object, ...] = ()) -> int:
    (row,) = await connection.execute_fetchall(query, values)
    return int(row[0])


def _runs(member: str) -> bool:
    """Whether the member's process is alive (the file is on this machine, so its processes are too)."""
    try:
        os.kill(int(member.split(":")[0]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
