"""The whole house in one test: four services, live, on one bus; partners that listen on loopback.

`House.open(mode)` runs the same services on SQLite and the event log, or on PostgreSQL and Kafka; the flow tests do not
know which. `quiet()` waits until nothing is under way; `go_to(day)` lets the days pass one by one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from sqlalchemy import func, select
from standardwebhooks.webhooks import Webhook
from starlette.types import ASGIApp, Receive, Scope, Send

from case_service.main import service as cases
from notification_service.main import service as notifications
from reporting_service.main import service as reporting
from review_scheduler.main import service as reviews
from service_kit import Clock, Part, Running, Service, Settings
from service_kit.service import ALL_PARTS
from service_kit.testing import AUDIENCE, ISSUER, Bearer, test_keys

SERVICES: tuple[Service, ...] = (cases, reviews, notifications, reporting)
DEADLINE = 60.0


@dataclass
class Received:
    """One request that reached a partner."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Partner:
    """A partner with a webhook receiver on loopback. `secret` is set when it subscribes; `answers` are given in turn,
    then 204."""

    url: str = ""
    secret: str = ""
    requests: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {k.decode(): v.decode() for k, v in scope["headers"]}
        if challenge := json.loads(body).get("challenge"):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": challenge.encode()})
            return
        self.requests.append(Received(headers, body))
        status = self.answers.pop(0) if self.answers else 204
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def verified(self) -> list[Received]:
        """Everything received, each signature checked by the third-party library."""
        webhook = Webhook(self.secret)
        for one in self.requests:
            webhook.verify(one.body, one.headers)
        return self.requests

    def heard(self, event_type: str) -> list[dict[str, Any]]:
        """The verified events of one type, each once, in the order they came."""
        seen: dict[str, dict[str, Any]] = {}
        for one in self.verified():
            if one.event["type"] == event_type:
                seen.setdefault(one.event["id"], one.event)
        return list(seen.values())


class Gateway:
    """Routes by path prefix to the service that owns it, as the gateway in production does."""

    def __init__(self, apps: Sequence[tuple[Service, ASGIApp]]) -> None:
        self.routes = {path: app for service, app in apps for path in service.paths}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for path, app in self.routes.items():
            if scope["path"] == path or scope["path"].startswith(f"{path}/"):
                await app(scope, receive, send)
                return
        raise LookupError(scope["path"])


class House:
    """Four services that live."""

    def __init__(
        self, running: Sequence[Running], clock: Clock, gateway: ASGIApp, stack: AsyncExitStack
    ) -> None:
        self.running = {one.service.name: one for one in running}
        self.clock, self.gateway, self._stack = clock, gateway, stack

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Callable[[Service], dict[str, Any]], data: Path, today: date
    ) -> AsyncIterator[House]:
        """Migrate and start all four; `settings` gives a service its database and bus."""
        clock = Clock(today)
        async with AsyncExitStack() as stack:
            apps: list[tuple[Service, ASGIApp]] = []
            running: list[Running] = []
            for service in SERVICES:
                options = Settings(
                    environment="test", data_dir=data, issuer=ISSUER, audience=AUDIENCE, go_live=date(2026, 9, 1),
                    writes_per_minute=0, reads_per_minute=0, pushes_per_minute=0, **settings(service),
                )  # fmt: skip
                one = service.build(options, clock=clock, keys=test_keys())
                await one.migrate()
                app = one.app(ALL_PARTS)
                await stack.enter_async_context(app.router.lifespan_context(app))
                apps.append((service, app))
                running.append(one)
            yield cls(running, clock, Gateway(apps), stack)

    def as_(self, role: str, *, org: str | None = None, las: Sequence[str] = ("351",)) -> httpx2.AsyncClient:
        """A client signed in as `role`."""
        transport = httpx2.ASGITransport(app=self.gateway)
        return httpx2.AsyncClient(
            transport=transport, base_url="http://hub.test", auth=Bearer(role, org, las), timeout=DEADLINE
        )

    async def quiet(self) -> None:
        """Wait until every event is published and consumed and every delivery that is due has been made."""
        async with asyncio.timeout(DEADLINE):
            # Calm twice with nothing written in between: one look alone can miss what is between two services.
            before: list[int] | None = None
            while True:
                written = [await self._written(one) for one in self.running.values()]
                if not await self._is_calm():
                    before = None
                elif written == before:
                    return
                else:
                    before = written
                await asyncio.sleep(0.02)

    async def _is_calm(self) -> bool:
        for one in self.running.values():
            if one.relay and await one.relay.backlog():
                return False
            if one.inbox and await one.bus.lag(one.service.name, one.service.listens):
                return False
        async with self.as_("operator") as operator:
            waiting = [
                one
                for status in ("pending", "available")
                for one in (
                    (await operator.get("/v1/deliveries", params={"status": status, "limit": "200"}))
                    .raise_for_status()
                    .json()["items"]
                )
            ]
        # What was tried and failed waits for its next attempt; the rest is under way.
        tried = all(one["attempts"] for one in waiting if one["status"] == "pending")
        return tried and not any(one["held"] for one in waiting)

    async def go_to(self, day: date) -> None:
        """Let the days pass: for each, every service's daily jobs, each seeing what the one before has sent."""
        while self.clock.today() < day:
            self.clock.set(self.clock.today() + timedelta(days=1))
            for one in self.running.values():
                if not one.days.jobs:
                    continue
                before = await self._written(one)
                await one.days.catch_up()
                if await self._written(one) != before:
                    await self.quiet()

    async def _written(self, one: Running) -> int:
        async with one.hub.db.read() as session:
            return int(
                await session.scalar(select(func.count()).select_from(one.hub.db.tables["outbox"])) or 0
            )

    async def partner(
        self, kind: str, ref: str, events: Sequence[str] | None = None, la: str = "351"
    ) -> Partner:
        """Register a partner as an officer would and subscribe its webhook, at an address that a manager approves."""
        partner = Partner()
        partner.url = await self._listen(partner)
        async with self.as_("officer", las=(la,)) as officer:
            made = await officer.post(
                "/v1/partners", json={"kind": kind, "ref": ref, "la_code": la, "name": f"{kind} {ref}"}
            )
            made.raise_for_status()
            subscribed = await officer.post(
                "/v1/subscriptions",
                json={"partner_id": made.json()["id"], "channel": "webhook", "url": partner.url}
                | ({"event_types": list(events)} if events else {}),
            )
            partner.secret = subscribed.raise_for_status().json()["secret"]
        async with self.as_("manager", las=(la,)) as manager:
            place = f"/v1/subscriptions/{subscribed.json()['id']}"
            (await manager.post(f"{place}/approval", json={"url": partner.url})).raise_for_status()
            async with asyncio.timeout(DEADLINE):
                while (await manager.get(place)).raise_for_status().json()["status"] != "active":
                    await asyncio.sleep(0.02)
        return partner

    async def _listen(self, app: ASGIApp) -> str:
        server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off")
        )
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(server.serve())
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]

        async def stop() -> None:
            server.should_exit = True
            await task

        self._stack.push_async_callback(stop)
        return f"http://127.0.0.1:{port}/hook"


__all__ = ["House", "Part", "Partner"]
