"""`ehcp run`: serve the hub, fill it once, and tell the person at the terminal where to look."""

from __future__ import annotations

import asyncio
import socket
import time
from datetime import date

import httpx2
import uvicorn
from rich.console import Console

from ehcp_embedded.demo.fill import Fill, Secrets, way_into
from ehcp_embedded.demo.life import Life, Rates
from ehcp_embedded.demo.partners import RECEIVERS
from ehcp_embedded.demo.receivers import TITLES, Arrival, Receivers
from ehcp_embedded.demo.register import BURY
from ehcp_embedded.demo.seed import NotTaken
from ehcp_embedded.host import Host
from ehcp_embedded.issuer import Issuer
from service_kit.logs import configure
from service_kit.settings import Settings

GRACE_SECONDS = 10
LOG_FILE = "hub.log"
SIGN_IN = (
    ("officer", None),
    ("board", None),
    ("school", RECEIVERS["school"]),
    ("icb", RECEIVERS["icb"]),
    ("social-care", RECEIVERS["social-care"]),
)
WHERE = (
    ("/dashboard", "dashboard: plans, reviews due, overdue, completed, in time"),
    ("/docs", "the HTTP API of all four services"),
    ("/receivers", "what a school, the ICB and a social care team have just received"),
    ("/schemas", "events and their schemas; /asyncapi: services and channels; /problems"),
    ("/ready", "what waits or is stuck in each service"),
)


class Embedded:
    """The hub with its demonstration, in one process. `plans` 0: without invented children; `rates` None:
    nobody acts while the calendar moves."""

    def __init__(self, settings: Settings, console: Console, plans: int, rates: Rates | None = None) -> None:
        self.settings, self.console, self.plans = settings, console, plans
        self.local = f"http://127.0.0.1:{settings.port}"
        self.receivers = Receivers({}, self._arrived)
        self.host = Host(settings, Issuer.of(settings), extra=[self.receivers.routes()])
        self.receivers.secrets.update(self.host.state.demo)
        self.rates = rates
        self.ready = asyncio.Event()
        self._server: uvicorn.Server | None = None
        self._client = httpx2.AsyncClient(base_url=self.local, timeout=120, trust_env=False)
        self._told_at, self._untold = 0.0, 0

    def stop(self) -> None:
        """Begin to end, as Ctrl-C does."""
        if self._server is not None:
            self._server.should_exit = True

    async def run(self) -> None:
        """Until the process is told to end. Raises RuntimeError if it cannot start."""
        started = time.monotonic()
        self.settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (
            _listening(self.settings) as listener,
            (self.settings.data_dir / LOG_FILE).open("a", encoding="utf-8") as log,
        ):
            configure("ehcp", level=self.settings.log_level, stream=log)
            try:
                await self.host.migrate()
                await self._serve(listener, started)
            finally:
                await self.host.close()
                await self._client.aclose()

    async def _serve(self, listener: socket.socket, started: float) -> None:
        server = self._server = uvicorn.Server(_uvicorn(self.host, self.settings))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        try:
            if server.started:
                await self._furnish()
                self._say_where_to_look(time.monotonic() - started)
                self.ready.set()
        except NotTaken as reason:
            raise RuntimeError(f"the fill stopped: {reason}") from None
        except BaseException:
            self.stop()
            raise
        finally:
            if not self.ready.is_set():
                self.stop()
            await serving
        if not server.started:
            raise RuntimeError("the hub did not start; its log says why")

    async def _furnish(self) -> None:
        """Fill an empty hub; tell a filled one where its receivers are now, if it moved."""
        before = self.host.state.address
        self.host.remember(address=self.settings.public_url)
        fill = Fill(self.host, way_into(self.host, self.local, self._client), self.console, self._learn)
        if self.host.state.filled:
            if before != self.settings.public_url:
                await fill.receivers_only()
                self.host.remember(demo=tuple(self.receivers.secrets.items()))
        elif self.plans:
            await fill.whole(self.plans)
            self.host.remember(demo=tuple(self.receivers.secrets.items()))
        if self.host.state.filled and self.rates:
            self.host.on_day.append(self._live)

    async def _live(self, day: date) -> None:
        """A day's work of schools and officers, with tokens of the day: a move may take hours."""
        way = way_into(self.host, self.local, self._client)
        await Life(way, self.settings.data_dir, self.rates).day(day)

    def _learn(self, secrets: Secrets) -> None:
        self.receivers.secrets.update(secrets)

    def _say_where_to_look(self, seconds: float) -> None:
        day, address = self.host.clock.today(), self.settings.public_url
        lines = [
            "",
            f"[bold]The hub is running at {address}[/bold] (ready after {seconds:.0f} s). Its day is {day}.",
            "",
        ]
        if self.host.state.filled:
            lines.append("Sign in (each link works once, for a day; `ehcp sign-in --as ROLE` prints more):")
            lines += [f"  {f'{role} {org or BURY}':22} {self._link(role, org)}" for role, org in SIGN_IN]
        lines += ["", "Where to look:", *(f"  {address + path:40} {what}" for path, what in WHERE), ""]
        lines.append(
            f"Move the calendar:  ehcp tick --until {day.replace(year=day.year + 1, day=min(day.day, 28))}"
        )
        lines.append(f"Stop with Ctrl-C. The log is {self.settings.data_dir / LOG_FILE}.")
        for line in lines:
            self.console.print(line, soft_wrap=True)

    def _link(self, role: str, org: str | None) -> str:
        return self.host.issuer.link(role, org, [] if org else [BURY])

    def _arrived(self, name: str, arrival: Arrival) -> None:
        """A line at the terminal for what a receiver got; at most one a second, the others are counted."""
        now = time.monotonic()
        if not self.ready.is_set() or now - self._told_at < 1:
            self._untold += 1
            return
        more = f" (and {self._untold} more before)" if self._untold else ""
        self._told_at, self._untold = now, 0
        line = f"{arrival.time}  {TITLES[name]} has received: {arrival.title}, {arrival.about}{more}"
        self.console.print(line, soft_wrap=True)


def _listening(settings: Settings) -> socket.socket:
    """The port, taken before anything else is done. Raises RuntimeError if another process has it."""
    try:
        return socket.create_server((settings.host, settings.port))
    except OSError:
        raise RuntimeError(f"port {settings.port} cannot be used; choose another with --port") from None


def _uvicorn(host: Host, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        host.asgi,
        host=settings.host,
        port=settings.port,
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
