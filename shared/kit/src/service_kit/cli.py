"""The command line of one service: ``python -m case_service serve|relay|work|migrate|revise|parked|republish``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

import typer
import uvicorn

from service_kit import collector, fitness
from service_kit import migrate as migrations
from service_kit.database import PATIENCE, Unavailable
from service_kit.logs import configure
from service_kit.parked import list_parked, replay_parked
from service_kit.protocol import BoundedProtocol
from service_kit.service import Part, Running, Service
from service_kit.settings import Settings, load_settings, stop

GRACE_SECONDS = 10
API_PATIENCE = 4.5
"""Seconds after which an API gives up a statement: who asked is told so while he still waits (F26)."""


def run(service: Service) -> None:
    """Run the command named on the command line."""
    app = typer.Typer(
        name=service.name, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
    )

    @app.command()
    def serve() -> None:
        """The API."""
        _serve(service, Part.SERVE)

    @app.command()
    def relay() -> None:
        """The outbox relay: ends itself when the bus does not answer, to be started anew."""
        _serve(service, Part.RELAY)

    @app.command()
    def work() -> None:
        """The consumer and the jobs."""
        _serve(service, Part.WORK)

    @app.command()
    def migrate() -> None:
        """Bring the database to this version's schema."""
        _with(service, lambda running: running.migrate())

    @app.command()
    def revise(message: Annotated[str, typer.Option("-m")]) -> None:
        """Write a migration from the difference between the tables and the database (for developers)."""
        _with(service, lambda r: migrations.revise(r.hub.db, service.package, service.metadata, message))

    @app.command()
    def parked(replay: Annotated[str | None, typer.Option(help="a case id, or 'all'")] = None) -> None:
        """List parked events, or try them again after a fix."""

        async def act(running: Running) -> None:
            if replay:
                typer.echo(f"{await replay_parked(running, replay)} events applied")
            for line in await list_parked(running):
                typer.echo(line.as_text())

        _with(service, act)

    @app.command()
    def republish(
        since: Annotated[str, typer.Option(help="an instant, such as 2026-09-01T06:00Z")],
    ) -> None:
        """Send again what was sent since then, because the broker has lost it. End the relays before the broker is
        restored, run this, then start them: so each case keeps its order."""
        instant = _instant(since)

        async def act(running: Running) -> None:
            if running.relay:
                typer.echo(f"{await running.relay.republish(instant)} events will be sent again")

        _with(service, act)

    app()


def _instant(text: str) -> datetime:
    """An instant with its zone; raises `typer.BadParameter` for anything else."""
    with suppress(ValueError):
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found
    raise typer.BadParameter("an instant with its zone is needed, such as 2026-09-01T06:00Z")


def _settings(service: Service) -> Settings:
    return load_settings(needs=("sealing_keys",) if service.seals else ())


def _serve(service: Service, part: Part) -> None:
    settings = _settings(service)
    configure(service.name, level=settings.log_level)
    _with(service, _refuse_unfit)
    patience = API_PATIENCE if part is Part.SERVE else PATIENCE
    app = service.build(settings, patience=patience).app(frozenset({part}))
    collector.settle()
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        http=BoundedProtocol,
        access_log=False,
        server_header=False,
        date_header=True,
        log_config=None,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


async def _refuse_unfit(running: Running) -> None:
    """End the process with code 2 if it is not fit to start. A database that is away is waited for elsewhere: the
    process ends and is started again."""
    with contextlib.suppress(Unavailable):
        if faults := await fitness.faults(running):
            stop(f"{fault.pointer[1:]}: {fault.message}" for fault in faults)


def _with(service: Service, act: Any) -> None:
    async def inner() -> None:
        running = service.build(_settings(service))
        try:
            await act(running)
        finally:
            await running.stop()

    work: Coroutine[Any, Any, None] = inner()
    asyncio.run(work)
