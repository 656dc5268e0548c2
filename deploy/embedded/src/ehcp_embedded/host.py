"""All four services in one process: one port, one clock, one application that routes by path.

The services are the same as in production, each with its own database and its own place in the log; they meet
here only in that they share an event loop, a business date and an address.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import date

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from case_service.main import service as case_service
from ehcp_embedded import state
from ehcp_embedded.days import Mover
from ehcp_embedded.front import front_app
from ehcp_embedded.issuer import Issuer
from notification_service.main import service as notification_service
from reporting_service.main import service as reporting_service
from review_scheduler.main import service as review_scheduler
from service_kit.clock import Clock
from service_kit.service import Service
from service_kit.settings import Settings

# In the order in which a day is worked: facts first, then what is due, then who is told, then the figures.
SERVICES: Sequence[Service] = (case_service, review_scheduler, notification_service, reporting_service)
QUIET_ROUNDS = 2
PAUSE = 0.04


class Host:
    """The embedded hub put together; `asgi` serves it, and while it is served its background parts run."""

    def __init__(self, settings: Settings, issuer: Issuer, *, extra: Iterable[APIRouter] = ()) -> None:
        self.settings, self.issuer = settings, issuer
        self.state = state.load(settings.data_dir)
        self.clock = Clock(self.state.today)
        self.services = [
            service.build(settings, clock=self.clock, keys=issuer.keys()) for service in SERVICES
        ]
        self.apps = {running.service.name: running.app() for running in self.services}
        self.on_day: list[Callable[[date], Awaitable[None]]] = []
        self.mover = Mover(self)
        self.front = front_app(self, extra)
        self.front.router.lifespan_context = self._lifespan
        self.asgi: ASGIApp = ByPath(
            self.front,
            [
                (path, self.apps[running.service.name])
                for running in self.services
                for path in running.service.paths
            ],
        )

    def remember(self, **changes: object) -> None:
        """Change the state and keep it."""
        self.state = replace(self.state, **changes)  # type: ignore[arg-type]
        state.save(self.settings.data_dir, self.state)

    def set_first_day(self, day: date) -> None:
        """Begin with `day` as the business date, and keep it."""
        self.clock.set(day)
        self.remember(today=day)

    async def close(self) -> None:
        """Give back what was opened; the services have done so already if they ran."""
        for running in self.services:
            await running.stop()

    async def migrate(self) -> None:
        """Bring the four databases to the newest revision."""
        for running in self.services:
            await running.migrate()

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """A mounted application's lifespan is nobody's: enter those of the services here, and leave them in
        reverse."""
        async with AsyncExitStack() as stack:
            for app in self.apps.values():
                await stack.enter_async_context(app.router.lifespan_context(app))
            stack.push_async_callback(self.mover.stop)
            yield

    async def begin_day(self, day: date) -> None:
        """Make `day` the business date: the daily jobs of each service run, and all that follows from them is
        done when this returns."""
        self.clock.set(day)
        self.remember(today=day)
        for running in self.services:
            if running.days.jobs:
                await running.days.catch_up()
                await self.drained()
        for live in self.on_day:
            await live(day)
            await self.drained()

    async def drained(self, tell: Callable[[int], None] | None = None) -> None:
        """Return when no event waits to be sent or applied: outboxes empty, inboxes level with the log, and both
        still so a moment later. `tell` is called with the number that wait."""
        quiet = 0
        while quiet < QUIET_ROUNDS:
            waiting = await self.waiting(every=tell is not None)
            if tell:
                tell(waiting)
            quiet = 0 if waiting else quiet + 1
            await asyncio.sleep(PAUSE if waiting else 0)

    async def waiting(self, *, every: bool = True) -> int:
        """How many events wait: in the log to be applied, counted once for each service that reads them, and in
        outboxes to be sent (those held for an operator left out). With `every=False` the first that are found are
        enough: who comes last in the chain is asked first, so that asking costs the others little."""
        count = 0
        for running in reversed(self.services):
            if running.inbox and (every or not count):
                count += await running.bus.lag(running.service.name, running.inbox.topics)
        for running in self.services:
            if running.relay and (every or not count) and (unsent := await running.relay.backlog()):
                count += unsent - await running.relay.held()
        return count


class ByPath:
    """ASGI: gives each request to the application that owns its path prefix, all others to the front."""

    def __init__(self, front: ASGIApp, owners: Sequence[tuple[str, ASGIApp]]) -> None:
        self.front, self.owners = front, owners

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._owner(scope)(scope, receive, send)

    def _owner(self, scope: Scope) -> ASGIApp:
        path: str = scope.get("path", "") if scope["type"] == "http" else ""
        for prefix, app in self.owners:
            if path == prefix or path.startswith(f"{prefix}/"):
                return app
        return self.front
