"""A service in one declaration, and what it becomes when it runs.

`Service` is what a service's `main.py` says; `Running` is its database, relay, inbox, jobs and API in one process.
In production each part is a process of its own (`serve`, `relay`, `work`); embedded, all parts share one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, partial
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI
from sqlalchemy import MetaData

from ehcp_contracts.events import Event
from service_kit import migrate
from service_kit.access import Keys, Scopes
from service_kit.bus import Bus, open_bus
from service_kit.clock import Clock
from service_kit.database import PATIENCE, Database
from service_kit.housekeeping import housekeeping
from service_kit.hub import Hub
from service_kit.inbox import Inbox, Reactions
from service_kit.jobs import Days, Job, supervise
from service_kit.relay import Relay
from service_kit.sealing import sealer
from service_kit.settings import Settings

log = structlog.get_logger(__name__)


class Part(StrEnum):
    """What one process of a service does."""

    SERVE = "serve"
    RELAY = "relay"
    WORK = "work"


ALL_PARTS = frozenset(Part)


@dataclass(frozen=True)
class Metric:
    """A number of a service's own in `/ready` and, as `ehcp_NAME`, in `/metrics`."""

    name: str
    text: str
    read: Callable[[Hub], Awaitable[float]]


@dataclass(frozen=True)
class Service:
    """One service: its name (also its consumer group), what it owns, sends, hears and answers.

    `paths` are the URL prefixes it owns at the gateway; `seals`: it keeps secrets that must be read again,
    so that in production it does not start without EHCP_SEALING_KEYS. `reactions` is a table of event class to handler, or one
    function that takes whole batches.
    """

    name: str
    package: str
    metadata: MetaData
    source: str
    topic: str | None = None
    sends: Sequence[type[Event]] = ()
    listens: Sequence[str] = ()
    reactions: Reactions = field(default_factory=dict)
    routers: Sequence[APIRouter] = ()
    scopes: Scopes = field(default_factory=dict)
    jobs: Sequence[Job] = ()
    metrics: Sequence[Metric] = ()
    seals: bool = False
    paths: Sequence[str] = ()

    def build(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        bus: Bus | None = None,
        keys: Keys | None = None,
        patience: float = PATIENCE,
    ) -> Running:
        """Put the parts together; nothing is opened yet. `patience` with the database is in seconds a statement."""
        bus = bus or open_bus(_bus_url(settings))
        return Running(self, settings, clock or Clock(settings.today), bus, keys, patience)

    def cli(self) -> None:
        """The command line of one service: ``python -m case_service serve|relay|work|migrate|revise``."""
        from service_kit.cli import run

        run(self)


class Running:
    """A service put together."""

    def __init__(
        self,
        service: Service,
        settings: Settings,
        clock: Clock,
        bus: Bus,
        keys: Keys | None,
        patience: float,
    ) -> None:
        self.service, self.settings, self.bus, self.keys = service, settings, bus, keys
        if service.seals:
            sealer(settings)  # a key file that others may read is refused at the start
        db = Database(
            _database_url(settings, service.name),
            service.metadata,
            source=service.source,
            topic=service.topic,
            clock=clock,
            pool=settings.database_pool,
            patience=patience,
            public_url=settings.public_url,
        )
        self.hub = Hub(service.name, db, clock, settings, bus)
        self.relay = Relay(db, bus, db.tables["outbox"]) if service.topic else None
        self.inbox = Inbox(self.hub, bus, service.listens, service.reactions) if service.listens else None
        self.days = Days(self.hub, service.jobs)
        self.in_flight: set[tuple[str, str]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def migrate(self) -> None:
        """Bring the database to the newest revision."""
        await migrate.upgrade(self.hub.db, self.service.package, self.service.metadata)

    async def is_current(self) -> bool:
        """Whether the database stands at the revision this code was written for."""
        return await migrate.is_current(self.hub.db, self.service.package)

    def app(self, parts: frozenset[Part] = ALL_PARTS) -> FastAPI:
        """The ASGI application; while it lives, the background parts run."""
        from service_kit.app import build_app

        return build_app(self, parts)

    @cached_property
    def _loops(self) -> Mapping[Part, Sequence[tuple[str, Callable[[], Awaitable[None]], float]]]:
        loops: dict[Part, list[tuple[str, Callable[[], Awaitable[None]], float]]] = {
            part: [] for part in Part
        }
        if self.relay:
            loops[Part.RELAY].append(("relay", self.relay.run, 0.5))
            loops[Part.RELAY].append(("marks", self.relay.keep_vouching, 0.5))
        if self.inbox:
            loops[Part.WORK].append(("inbox", self.inbox.run, 0.5))
        for job in (*self.service.jobs, *housekeeping(self.inbox)):
            if job.run is not None:
                loops[Part.WORK].append((job.name, partial(job.run, self.hub), job.seconds))
        if self.days.jobs:
            loops[Part.WORK].append(("days", self.days.catch_up, 5.0))
        return loops

    @asynccontextmanager
    async def live(self, parts: frozenset[Part]) -> AsyncIterator[None]:
        """Run the background parts until the block ends. Refuses to start on a database of another revision."""
        if not await self.is_current():
            raise RuntimeError(
                f"{self.service.name}: the database is not at this version's schema; run migrate"
            )
        # A relay alone in its process is crash-only: a producer that hangs cannot be stopped, only ended.
        alone = parts == frozenset({Part.RELAY})
        for part in parts:
            for name, once, pause in self._loops[part]:
                work = _crash(name, once) if alone else supervise(f"{self.service.name}/{name}", once, pause)
                self._tasks.append(asyncio.create_task(work, name=f"{self.service.name}/{name}"))
        try:
            yield
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Stop the background parts and give back what was opened."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self.bus.close()
        await self.hub.db.close()

    async def health(self) -> dict[str, Any]:
        """What an operator needs to know: whether the database answers, and what is stuck."""
        parked = await self.inbox.parked() if self.inbox else {}
        return {
            "service": self.service.name,
            "business_date": self.hub.clock.today().isoformat(),
            "outbox_backlog": await self.relay.backlog() if self.relay else 0,
            "outbox_held": await self.relay.held() if self.relay else 0,
            "relay_standby": int(bool(self.relay) and not (self.relay and self.relay.leading)),
            "parked": parked,
            "inbox_reachable": self.inbox.reachable if self.inbox else True,
        } | {one.name: await one.read(self.hub) for one in self.service.metrics}


def _database_url(settings: Settings, name: str) -> str:
    """The service's database: as configured, or a SQLite file of its own in the data directory."""
    return settings.database_url or f"sqlite+aiosqlite:///{settings.data_dir.absolute() / name}.sqlite3"


def _bus_url(settings: Settings) -> str:
    return settings.bus_url or f"sqlite://{settings.data_dir.absolute() / 'bus.sqlite3'}"


async def _crash(name: str, once: Callable[[], Awaitable[None]]) -> None:
    try:
        await once()
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        log.critical("ending the process to be started anew", job=name, error=type(error).__name__)
        os._exit(70)
