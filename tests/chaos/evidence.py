"""What is left after a run: journals, log and databases, read without any code of the hub."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from . import journal

REPORTING_TABLES = ("plan", "review", "notice", "item", "counter", "progress")
OF_THE_KIT = ("outbox", "inbox", "last_received", "parked", "sequences", "ticks")
"""What case-service's database holds besides the children themselves."""
SENDING = ("case", "scheduler", "notification")
SLOW_BROKER = "the broker is slow"
UNSENT = "SELECT count(*) FROM outbox WHERE published_at IS NULL"


class Entry(NamedTuple):
    """One record of the log. Times are seconds since the epoch."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    headers: bytes = b""

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.value).hexdigest()

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
    delivered: float | None = None


class Parked(NamedTuple):
    """One event that a service could not apply."""

    topic: str
    key: str
    digest: str
    state: str


class Outage(NamedTuple):
    """A time in which the broker could not be reached, or not well. How long after its end everything that had been written
    before was `sent`, and something written meanwhile had been `heard` by each who listens; None if it never was. At most
    `within` seconds are promised for the sending."""

    what: str
    began: float
    ended: float
    backlog: int
    sent: float | None
    heard: float | None
    within: float


class Ending(NamedTuple):
    """A process that was asked to end: when, when it was gone, and how."""

    part: str
    asked: float
    ended: float | None
    cause: str | None


class Sample(NamedTuple):
    """What one process holds at one moment; `born` tells its lives apart. `memory` is resident, in MB."""

    at: float
    part: str
    born: float
    files: int
    threads: int
    memory: float


@dataclass
class Evidence:
    """Everything the checker looks at."""

    load: Sequence[dict[str, Any]] = ()
    requests: Sequence[dict[str, Any]] = ()
    log: Sequence[Entry] = ()
    outbox: Mapping[str, Sequence[Written]] = field(default_factory=dict)
    inbox: Mapping[str, Counter[str]] = field(default_factory=dict)
    listens: Mapping[str, Sequence[str]] = field(default_factory=dict)
    parked: Mapping[str, Sequence[Parked]] = field(default_factory=dict)
    strays: frozenset[tuple[str, str, str]] = frozenset()
    """Records put into the log that nobody can apply: topic, key and digest of the value."""
    lag: Mapping[str, int] = field(default_factory=dict)
    keys: Mapping[str, int] = field(default_factory=dict)
    changes: Sequence[tuple[str, int, str | None]] = ()
    versions: Mapping[str, int] = field(default_factory=dict)
    contradictions: frozenset[str] = frozenset()
    """References of snapshots that case-service has kept because they contradict the register."""
    deliveries: Sequence[Delivery] = ()
    attempts: Sequence[tuple[str, int | None]] = ()
    """The ledger: the delivery and the status that its partner answered, None without an answer."""
    routes: Mapping[str, Mapping[str, tuple[str | None, ...]]] = field(default_factory=dict)
    learned: Mapping[str, float] = field(default_factory=dict)
    fingerprints: Sequence[str] = ()
    outages: Sequence[Outage] = ()
    absences: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    """When a process was not there, by its name."""
    database_away: Sequence[tuple[float, float]] = ()
    silences: Sequence[tuple[float, float]] = ()
    """When the database could be reached by the APIs and did not answer."""
    rejoined: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """When a consumer got its partitions anew, by the name of its process."""
    replays: Sequence[float] = ()
    """When every consumer was sent back to the first record."""
    endings: Sequence[Ending] = ()
    samples: Sequence[Sample] = ()
    connections: Mapping[str, int] = field(default_factory=dict)
    """The most connections to a service's database at once."""
    processes: Mapping[str, int] = field(default_factory=dict)
    """How many processes a service has."""
    left: Sequence[Path] = ()
    """All that has left case-service: records, other databases, logs, webhooks, refusals."""

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """The events of the log, each id once, in the order of the log within each partition."""
        first: dict[str, dict[str, Any]] = {}
        for entry in self.log:
            event = entry.event
            first.setdefault(event["id"], event | {"topic": entry.topic})
        return list(first.values())


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
    evidence.outbox = {service: await _outbox(databases[service]) for service in SENDING}
    evidence.inbox = {
        service: Counter(str(row[0]) for row in await rows(url, "SELECT event_id FROM inbox"))
        for service, url in databases.items()
    }
    evidence.parked = {
        service: [
            Parked(row[0], row[1], hashlib.sha256(row[2]).hexdigest(), row[3])
            for row in await rows(url, "SELECT topic, subject, body, state FROM parked")
        ]
        for service, url in databases.items()
    }
    evidence.contradictions = frozenset(row[0] for row in await rows(case, "SELECT ref FROM quarantine"))
    evidence.attempts = [
        (str(row[0]), row[1])
        for row in await rows(notification, "SELECT delivery_id, status_code FROM attempt")
    ]
    evidence.keys = {
        row["key"]: row["status"]
        for service in SENDING
        for row in await rows(databases[service], "SELECT key, status FROM idempotency")
    }
    evidence.changes = [
        (str(row[0]), row[1], row[2] and str(row[2]))
        for row in await rows(case, "SELECT case_id, version, event_id FROM changes ORDER BY 1, 2")
    ]
    evidence.versions = {str(r[0]): r[1] for r in await rows(case, "SELECT id, version FROM cases")}
    evidence.deliveries = [
        Delivery(str(row[0]), str(row[1]), str(row[2]), row[3], row[4], row[5], row[6] and row[6].timestamp())
        for row in await rows(
            notification,
            "SELECT id, event_id, partner_id, channel, status, reason, delivered_at FROM delivery",
        )
    ]
    evidence.learned = {
        str(row[0]): row[1].timestamp()
        for row in await rows(notification, "SELECT event_id, received_at FROM inbox")
    }
    evidence.routes = {
        "notification": await _routes(notification, "SELECT case_id, urn, icb, team FROM case_route"),
        "scheduler": await _routes(scheduler, "SELECT case_id, urn, icb, social_care_team FROM plan"),
    }


async def _outbox(url: str) -> list[Written]:
    query = "SELECT event_id, topic, subject, sequence, body, published_at IS NOT NULL FROM outbox"
    return [Written(str(row[0]), *row[1:]) for row in await rows(url, query)]


async def _routes(url: str, query: str) -> dict[str, tuple[str | None, ...]]:
    return {str(row[0]): tuple(row)[1:] for row in await rows(url, query)}


async def unsent(databases: Mapping[str, str], until: float) -> int:
    """How many events are written, up to an instant, and not sent."""
    query = f"SELECT count(*) FROM outbox WHERE published_at IS NULL AND written_at <= to_timestamp({until})"
    return sum([await count(databases[service], query) for service in SENDING])


async def deaf(
    databases: Mapping[str, str], listens: Mapping[str, Sequence[str]], since: float, until: float
) -> list[str]:
    """Who has heard nothing of what was written for him in a time."""
    query = (
        f"SELECT event_id, topic FROM outbox WHERE written_at >= to_timestamp({since}) "
        f"AND written_at <= to_timestamp({until})"
    )
    written = [tuple(row) for service in SENDING for row in await rows(databases[service], query)]
    found = []
    for service, topics in listens.items():
        owed = {event_id for event_id, topic in written if topic in topics}
        heard = {row[0] for row in await rows(databases[service], "SELECT event_id FROM inbox")}
        if owed and not owed & heard:
            found.append(service)
    return found


# -- what has left case-service ---------------------------------------------------------------------------------------


async def dump(url: str, directory: Path, name: str, only: Sequence[str] = ()) -> list[Path]:
    """Every row of every table of a database (or of some of its tables), a file for each, with bytes as they are."""
    tables = [
        row[0] for row in await rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    paths = []
    for table in sorted(set(tables) & set(only) if only else tables):
        path = directory / f"{name}.{table}"
        with path.open("wb") as file:
            for row in await rows(url, f'SELECT * FROM "{table}"'):
                file.write(b"\t".join(v if isinstance(v, bytes) else str(v).encode() for v in row) + b"\n")
        paths.append(path)
    return paths


def write_log(entries: Sequence[Entry], directory: Path) -> list[Path]:
    """Key, value and headers of every record, a file for each topic."""
    paths = []
    for topic in sorted({entry.topic for entry in entries}):
        parts = [b"\t".join([e.key.encode(), e.value, e.headers]) for e in entries if e.topic == topic]
        path = directory / f"log.{topic}"
        path.write_bytes(b"\n".join(parts))
        paths.append(path)
    return paths


# -- what the processes say of themselves -----------------------------------------------------------------------------

SYNCED = '"Successfully synced group'
"""How aiokafka says that a rebalance is over."""


def rejoined(logs: Sequence[Path]) -> dict[str, list[float]]:
    """When each consumer got its partitions anew, by the name of its process."""
    found = {}
    for log in logs:
        lines = [line for line in log.read_text(errors="replace").splitlines() if SYNCED in line]
        found[log.stem] = [
            datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp() for line in lines
        ]
    return found


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


async def how_calm(databases: Mapping[str, str], lag: Mapping[str, int], stray: str) -> Calm:
    """A look at what is under way; `lag` is what each service has still to read, and what is parked under a key that
    begins with `stray` is parked for good."""
    parked = f"SELECT count(*) FROM parked WHERE state <> 'quarantined' AND subject NOT LIKE '{stray}%'"
    return Calm(
        outbox=sum([await count(databases[service], UNSENT) for service in SENDING]),
        lag=sum(lag.values()),
        parked=sum([await count(url, parked) for url in databases.values()]),
        deliveries=await count(
            databases["notification"], "SELECT count(*) FROM delivery WHERE status = 'pending'"
        ),
    )


def read_journals(directory: Path, evidence: Evidence) -> None:
    """Fill in what the load and the partners wrote down."""
    evidence.load = journal.read(directory / "load.journal")
    evidence.requests = journal.read(directory / "partners.journal")
