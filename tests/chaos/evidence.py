"""What is left after a run: the journals, the log and the databases, read without any code of the hub."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from confluent_kafka import Consumer, TopicPartition

from . import journal

REPORTING_TABLES = ("plan", "review", "notice", "item", "counter", "progress")


class Entry(NamedTuple):
    """One record of the log. Times are seconds since the epoch."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.value)
        return found


class Written(NamedTuple):
    """One row of an outbox."""

    event_id: str
    topic: str
    subject: str
    sequence: int
    body: bytes
    published: bool


class Delivery(NamedTuple):
    """One delivery of notification-service."""

    id: str
    event_id: str
    partner_id: str
    channel: str
    status: str
    reason: str | None


@dataclass
class Evidence:
    """Everything the checker looks at."""

    load: Sequence[dict[str, Any]] = ()
    requests: Sequence[dict[str, Any]] = ()
    log: Sequence[Entry] = ()
    outbox: Mapping[str, Sequence[Written]] = field(default_factory=dict)
    inbox: Mapping[str, Counter[str]] = field(default_factory=dict)
    listens: Mapping[str, Sequence[str]] = field(default_factory=dict)
    parked: Mapping[str, int] = field(default_factory=dict)
    lag: Mapping[str, int] = field(default_factory=dict)
    keys: Mapping[str, int] = field(default_factory=dict)
    changes: Sequence[tuple[str, int, str | None]] = ()
    versions: Mapping[str, int] = field(default_factory=dict)
    deliveries: Sequence[Delivery] = ()
    routes: Mapping[str, Mapping[str, tuple[str | None, ...]]] = field(default_factory=dict)
    fingerprints: Sequence[str] = ()
    cuts: Sequence[tuple[float, float, float | None]] = ()
    absences: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    outages: Sequence[tuple[float, float]] = ()

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """The events of the log, each id once, in the order of the log within each partition."""
        first: dict[str, dict[str, Any]] = {}
        for entry in self.log:
            event = entry.event
            first.setdefault(event["id"], event | {"topic": entry.topic})
        return list(first.values())


# -- the log ----------------------------------------------------------------------------------------------------------


def read_log(bootstrap: str, prefix: str, topics: Sequence[str]) -> list[Entry]:
    """Every record of these topics from the first to the end as it is now."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "checker", "enable.auto.commit": False})
    try:
        left = {}
        for place in _places(consumer, prefix, topics):
            low, high = consumer.get_watermark_offsets(place, timeout=10)
            if high > low:
                left[place.topic, place.partition] = high
        consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in left])
        entries = []
        while left:
            for message in consumer.consume(500, timeout=5):
                assert message.error() is None, message.error()
                topic, partition, offset = message.topic(), message.partition(), message.offset()
                assert topic is not None
                assert partition is not None
                assert offset is not None
                key = (message.key() or b"").decode()
                entries.append(
                    Entry(topic.removeprefix(prefix), partition, offset, key, message.value() or b"")
                )
                if offset + 1 >= left.get((topic, partition), 0):
                    left.pop((topic, partition), None)
    finally:
        consumer.close()
    return sorted(entries, key=lambda entry: entry[:3])


def lag(bootstrap: str, prefix: str, group: str, topics: Sequence[str]) -> int:
    """How many records a group has not committed."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": prefix + group})
    try:
        behind = 0
        for place in consumer.committed(_places(consumer, prefix, topics), timeout=10):
            low, high = consumer.get_watermark_offsets(place, timeout=10)
            behind += high - max(place.offset, low)
        return behind
    finally:
        consumer.close()


def _places(consumer: Consumer, prefix: str, topics: Sequence[str]) -> list[TopicPartition]:
    found = []
    for topic in topics:
        known = consumer.list_topics(prefix + topic, timeout=10).topics[prefix + topic]
        found += [TopicPartition(prefix + topic, partition) for partition in known.partitions]
    return found


# -- the databases ----------------------------------------------------------------------------------------------------


async def rows(url: str, query: str) -> list[Any]:
    """The rows of one query."""
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


async def count(url: str, query: str) -> int:
    """The one number that a query gives."""
    return int((await rows(url, query))[0][0])


async def fingerprint(url: str) -> str:
    """SHA-256 of all business columns of all read models, ordered by their text."""
    digest = hashlib.sha256()
    for table in REPORTING_TABLES:
        lines = [row[0] for row in await rows(url, f'SELECT t::text FROM "{table}" t')]
        digest.update("\n".join([table, *sorted(lines)]).encode())
    return digest.hexdigest()


async def read_databases(databases: Mapping[str, str], evidence: Evidence) -> None:
    """Fill in what the databases hold."""
    case, scheduler, notification = (databases[name] for name in ("case", "scheduler", "notification"))
    sending = ("case", "scheduler", "notification")
    evidence.outbox = {service: await _outbox(databases[service]) for service in sending}
    evidence.inbox = {
        service: Counter(str(row[0]) for row in await rows(url, "SELECT event_id FROM inbox"))
        for service, url in databases.items()
    }
    evidence.parked = {
        service: await count(url, "SELECT count(*) FROM parked") for service, url in databases.items()
    }
    evidence.keys = {
        row["key"]: row["status"]
        for service in sending
        for row in await rows(databases[service], "SELECT key, status FROM idempotency")
    }
    evidence.changes = [
        (str(row[0]), row[1], row[2] and str(row[2]))
        for row in await rows(case, "SELECT case_id, version, event_id FROM changes ORDER BY 1, 2")
    ]
    evidence.versions = {str(r[0]): r[1] for r in await rows(case, "SELECT id, version FROM cases")}
    evidence.deliveries = [
        Delivery(str(row[0]), str(row[1]), str(row[2]), *row[3:])
        for row in await rows(
            notification, "SELECT id, event_id, partner_id, channel, status, reason FROM delivery"
        )
    ]
    evidence.routes = {
        "notification": await _routes(notification, "SELECT case_id, urn, icb, team FROM case_route"),
        "scheduler": await _routes(scheduler, "SELECT case_id, urn, icb, social_care_team FROM plan"),
    }


async def _outbox(url: str) -> list[Written]:
    query = "SELECT event_id, topic, subject, sequence, body, published_at IS NOT NULL FROM outbox"
    return [Written(str(row[0]), *row[1:]) for row in await rows(url, query)]


async def _routes(url: str, query: str) -> dict[str, tuple[str | None, ...]]:
    return {str(row[0]): tuple(row)[1:] for row in await rows(url, query)}


# -- healing ----------------------------------------------------------------------------------------------------------


@dataclass
class Calm:
    """How much is still under way: unsent events, unread events, parked ones, deliveries that wait."""

    outbox: int = 0
    lag: int = 0
    parked: int = 0
    deliveries: int = 0

    @property
    def reached(self) -> bool:
        return not (self.outbox or self.lag or self.parked or self.deliveries)


async def how_calm(
    databases: Mapping[str, str], bootstrap: str, prefix: str, groups: Mapping[str, tuple[str, Sequence[str]]]
) -> Calm:
    """A look at what is under way."""
    calm = Calm()
    for service, url in databases.items():
        calm.outbox += await count(url, "SELECT count(*) FROM outbox WHERE published_at IS NULL")
        calm.parked += await count(url, "SELECT count(*) FROM parked")
        group, topics = groups[service]
        calm.lag += await asyncio.to_thread(lag, bootstrap, prefix, group, topics)
    waiting = "SELECT count(*) FROM delivery WHERE status = 'pending'"
    calm.deliveries = await count(databases["notification"], waiting)
    return calm


def read_journals(directory: Path, evidence: Evidence) -> None:
    """Fill in what the load and the partners wrote down."""
    evidence.load = journal.read(directory / "load.journal")
    evidence.requests = journal.read(directory / "partners.journal")
