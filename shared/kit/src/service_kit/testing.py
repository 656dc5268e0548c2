"""A service under test: real SQLite file, real migrations, real bus, nothing in the background.

`running(service, tmp_path)` gives a `Harness`: an HTTP client as any role, events delivered as another service would
send them, and `settle()`, which relays and consumes until nothing is left to do, without sleeping.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from ehcp_contracts.envelope import Envelope
from ehcp_contracts.events import Event
from service_kit.access import LocalKeys
from service_kit.bus import Message
from service_kit.bus.log_bus import LogBus
from service_kit.clock import Clock
from service_kit.ids import uuid7
from service_kit.service import Running, Service
from service_kit.settings import Settings

_KEY = ec.generate_private_key(ec.SECP256R1())
ISSUER, AUDIENCE = "https://issuer.test", "ehcp"
_templates: dict[str, Path] = {}


class TestClock(Clock):
    """A clock that stands still until it is told to move; instants follow `instant`."""

    __test__ = False

    def __init__(self, today: date) -> None:
        self.instant = datetime(today.year, today.month, today.day, 9, 0, tzinfo=UTC)
        super().__init__(today, lambda: self.instant)

    def set(self, today: date) -> None:
        self.instant = self.instant + (datetime.combine(today, self.instant.timetz()) - self.instant)
        super().set(today)

    def pass_time(self, by: timedelta) -> None:
        """Let instants move on; the business date stays."""
        self.instant += by


def test_keys() -> LocalKeys:
    """The key set that `token` signs for."""
    jwk = jwt.algorithms.ECAlgorithm.to_jwk(_KEY.public_key(), as_dict=True)
    return LocalKeys({"keys": [{**jwk, "kid": "test", "alg": "ES256", "use": "sig"}]})


test_keys.__test__ = False  # type: ignore[attr-defined]


def token(
    role: str, *, org: str | None = None, las: Sequence[str] = ("351",), subject: str | None = None
) -> str:
    """A bearer token as the council's OpenID provider would issue it."""
    now = datetime.now(UTC)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject or f"{role}-{org or 'x'}",
        "iat": now,
        "exp": now + timedelta(minutes=10),
        "jti": str(uuid7()),
        "role": role,
        "org_id": org,
        "las": list(las),
    }
    return jwt.encode(claims, _KEY, algorithm="ES256", headers={"kid": "test", "typ": "at+jwt"})


class Bearer(httpx2.Auth):
    """Signs requests as a role, and gives each POST a fresh Idempotency-Key."""

    def __init__(self, role: str, org: str | None, las: Sequence[str]) -> None:
        self.role, self.org, self.las = role, org, las

    def auth_flow(self, request: httpx2.Request) -> Any:
        request.headers["Authorization"] = f"Bearer {token(self.role, org=self.org, las=self.las)}"
        if request.method == "POST" and "Idempotency-Key" not in request.headers:
            request.headers["Idempotency-Key"] = str(uuid7())
        yield request


class Harness:
    """One service under test; see the module."""

    def __init__(self, running: Running, clock: TestClock, bus: LogBus, app: Any) -> None:
        self.running, self.clock, self.bus, self.asgi = running, clock, bus, app
        self.hub = running.hub
        self.client = self._client(None)
        self._sequences: dict[tuple[str, UUID], int] = defaultdict(int)
        self.extra: list[Callable[[], Awaitable[int]]] = []  # further work that settle() must drain

    def _client(self, auth: httpx2.Auth | None) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=self.asgi, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport, base_url="http://hub.test", auth=auth)

    def as_(self, role: str, *, org: str | None = None, las: Sequence[str] = ("351",)) -> httpx2.AsyncClient:
        """A client signed in as `role` of `org` for councils `las`; each POST gets a fresh Idempotency-Key."""
        return self._client(Bearer(role, org, las))

    async def deliver(
        self,
        event: Event,
        *,
        case: UUID,
        la: str = "351",
        source: str | None = None,
        sequence: int | None = None,
    ) -> Envelope:
        """Put an event on the bus as another service would; returns its envelope."""
        origin = source or {"ehcp.cases": "/case-service", "ehcp.reviews": "/review-scheduler"}.get(
            event.topic, "/notification-service"
        )
        number = self._sequences[origin, case] + 1 if sequence is None else sequence
        self._sequences[origin, case] = max(number, self._sequences[origin, case])
        envelope = Envelope(
            id=uuid7(),
            source=origin,
            type=event.wire_type,
            subject=str(case),
            time=self.clock.now(),
            dataschema=f"/schemas/{event.wire_type}.json",
            sequence=number,
            partitionkey=str(case),
            lacode=la,
            data=event.model_dump(mode="json", exclude_none=True),
        )
        await self.deliver_raw(event.topic, str(case), envelope.to_bytes())
        return envelope

    async def deliver_raw(self, topic: str, key: str, value: bytes) -> None:
        """Put any bytes on the bus."""
        await self.bus.publish([Message(topic, key, value)])

    async def settle(self) -> None:
        """Relay and consume until nothing is left to do."""
        while await self._step():
            continue

    async def _step(self) -> int:
        moved = await self.running.relay.drain() if self.running.relay else 0
        inbox = self.running.inbox
        if inbox is not None:
            async with self.bus.consumer(self.hub.name, inbox.topics) as consumer:
                while records := await consumer.fetch(wait=0):
                    await inbox.take(records)
                    await consumer.commit(records)
                    moved += len(records)
        for more in self.extra:
            moved += await more()
        return moved

    async def run_daily(self) -> None:
        """Run the daily jobs up to the clock's business date, then settle."""
        await self.running.days.catch_up()
        await self.settle()

    async def sent(self) -> list[Envelope]:
        """All events this service has written to its outbox, in order."""
        table = self.hub.db.tables["outbox"]
        async with self.hub.db.read() as session:
            rows = await session.execute(select(table.c.body).order_by(table.c.position))
            return [Envelope.from_bytes(row.body) for row in rows]

    async def parked(self) -> dict[str, int]:
        return await self.running.inbox.parked() if self.running.inbox else {}


@asynccontextmanager
async def running(
    service: Service,
    tmp_path: Path,
    *,
    today: date = date(2026, 9, 1),
    settings: dict[str, Any] | None = None,
) -> AsyncIterator[Harness]:
    """One migrated service on SQLite in `tmp_path`, without background loops."""
    options = Settings(
        environment="test",
        data_dir=tmp_path,
        issuer=ISSUER,
        audience=AUDIENCE,
        public_url="http://hub.test",
        **(settings or {}),
    )
    shutil.copy(await _template(service), tmp_path / f"{service.name}.sqlite3")
    clock, bus = TestClock(today), LogBus(tmp_path / "bus.sqlite3")
    built = service.build(options, clock=clock, bus=bus, keys=test_keys())
    app = built.app(frozenset())
    async with app.router.lifespan_context(app):
        harness = Harness(built, clock, bus, app)
        yield harness


async def _template(service: Service) -> Path:
    """A migrated database file, made once per test process and copied for each test."""
    if service.name not in _templates:
        folder = Path(tempfile.mkdtemp(prefix="ehcp-template-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        built = service.build(
            Settings(environment="test", data_dir=folder), bus=LogBus(folder / "bus.sqlite3")
        )
        await built.migrate()
        await built.stop()
        _templates[service.name] = folder / f"{service.name}.sqlite3"
    return _templates[service.name]
