"""`ehcp run`: serve the hub, fill it once, and tell the person at the terminal where to look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx2
import uvicorn
from rich.console import Console
from rich.progress import Progress

from ehcp_embedded.demo.partners import RECEIVERS, partners
from ehcp_embedded.demo.receivers import TITLES, Arrival, Receivers
from ehcp_embedded.demo.register import BURY, institutions
from ehcp_embedded.demo.seed import NotTaken, Way, load_register, push_cases, register_partners
from ehcp_embedded.demo.shaped import caseload
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


class Embedded:
    """The hub with its demonstration, in one process. `plans` 0: without invented children."""

    def __init__(self, settings: Settings, console: Console, plans: int) -> None:
        self.settings, self.console, self.plans = settings, console, plans
        self.address = settings.public_url
        issuer = Issuer.of(settings)
        self.receivers = Receivers({}, self._arrived)
        self.host = Host(settings, issuer, extra=[self.receivers.routes()])
        self.receivers.secrets.update(self.host.state.demo)
        self._told_at, self._untold = 0.0, 0
        self.ready = asyncio.Event()
        self._server: uvicorn.Server | None = None

    def stop(self) -> None:
        """Begin to end, as Ctrl-C does."""
        if self._server is not None:
            self._server.should_exit = True

    async def run(self) -> None:
        """Until the process is told to end. Raises RuntimeError if it cannot start."""
        started = time.monotonic()
        self.settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = (self.settings.data_dir / LOG_FILE).open("a", encoding="utf-8")
        configure("ehcp", level=self.settings.log_level, stream=log)
        await self.host.migrate()
        self.host.remember(address=self.address)
        server = self._server = uvicorn.Server(
            uvicorn.Config(
                self.host.asgi,
                host=self.settings.host,
                port=self.settings.port,
                access_log=False,
                server_header=False,
                log_config=None,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        serving = asyncio.create_task(server.serve())
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        if not server.started:
            raise RuntimeError(f"port {self.settings.port} cannot be used; choose another with --port")
        try:
            if self.plans and not self.host.state.filled:
                await self._fill()
            self._say_where_to_look(time.monotonic() - started)
            self.ready.set()
        except NotTaken as reason:
            self.stop()
            await serving
            raise RuntimeError(f"the fill stopped: {reason}") from None
        await serving

    async def _fill(self) -> None:
        """Register, partners and caseload over HTTP, then wait until every event has arrived everywhere."""
        from ehcp_embedded.cli import bar

        issuer = self.host.issuer
        adapter = issuer.mint("adapter", "liquid-logic", [BURY])
        officer = issuer.mint("officer", None, [BURY])
        secrets: dict[str, str] = {}
        async with httpx2.AsyncClient(base_url=self.address, timeout=120, trust_env=False) as client:
            way = Way(client, adapter, officer)
            with bar() as progress:
                await self._step(progress, "Register of schools", institutions(), way, load_register)
                plans = partners()
                task = progress.add_task("Partners", total=len(plans))
                made = register_partners(way, plans, self.address, lambda n: progress.advance(task, n))
                async for name, secret in made:
                    secrets[name] = self.receivers.secrets[name] = secret
                children = caseload(self.host.clock.today(), self.plans)
                await self._step(progress, "Invented children", children, way, push_cases)
                await self._settle(progress)
        self.host.remember(demo=tuple(secrets.items()))

    async def _settle(self, progress: Progress) -> None:
        """Wait until every event has arrived everywhere; what is still to come is not known, so the bar may grow."""
        task = progress.add_task("Events on their way", total=None)
        most = 0

        def tell(waiting: int) -> None:
            nonlocal most
            most = max(most, waiting)
            progress.update(task, total=most or None, completed=most - waiting)

        await self.host.drained(tell)

    @staticmethod
    async def _step(
        progress: Progress,
        title: str,
        items: object,
        way: Way,
        step: Callable[..., Awaitable[None]],
    ) -> None:
        task = progress.add_task(title, total=len(items))  # type: ignore[arg-type]
        await step(way, items, lambda n: progress.advance(task, n))

    def _say_where_to_look(self, seconds: float) -> None:
        say = self.console.print
        day = self.host.clock.today()
        say(
            f"\n[bold]The hub is running at {self.address}[/bold] (ready after {seconds:.0f} s); its day is {day}.\n"
        )
        if self.host.state.filled:
            say(
                "Sign in (each link works once, for a day; `ehcp sign-in --as ROLE` prints more):",
                soft_wrap=True,
            )
            for role, org in SIGN_IN:
                las = [BURY] if org is None else []
                say(f"  {f'{role} {org or BURY}':22} {self.host.issuer.link(role, org, las)}", soft_wrap=True)
        say("\nWhere to look:")
        for path, what in WHERE:
            say(f"  {self.address + path:40} {what}", soft_wrap=True)
        say(f"\nMove the calendar:  ehcp tick --until {day.replace(year=day.year + 1, day=min(day.day, 28))}")
        say(f"Stop with Ctrl-C. The log is {self.settings.data_dir / LOG_FILE}.\n")

    def _arrived(self, name: str, arrival: Arrival) -> None:
        """A line at the terminal for what a receiver got; at most one a second, the others are counted."""
        now = time.monotonic()
        if not self.host.state.filled or now - self._told_at < 1:
            self._untold += 1
            return
        more = f" (and {self._untold} more before)" if self._untold else ""
        self._told_at, self._untold = now, 0
        line = f"{arrival.time}  {TITLES[name]} has received: {arrival.title}, {arrival.about}{more}"
        self.console.print(line, soft_wrap=True)


WHERE = (
    ("/dashboard", "dashboard: plans, reviews due, overdue, completed, in time"),
    ("/docs", "the HTTP API of all four services"),
    ("/receivers", "what a school, the ICB and a social care team have just received"),
    ("/schemas", "events and their schemas; /asyncapi: services and channels; /problems"),
    ("/ready", "what waits or is stuck in each service"),
)
