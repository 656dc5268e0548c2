"""The `ehcp` command: run the hub on this machine, move its calendar, and look after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import httpx2
import typer
from rich.console import Console

from ehcp_embedded import state, statute_commands
from ehcp_embedded.demo.figures import PLANS
from ehcp_embedded.issuer import Issuer
from service_kit import collector
from service_kit.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, help=__doc__)
parked = typer.Typer(no_args_is_help=True, help="Events that wait for an operator.")
app.add_typer(parked, name="parked")
statute_commands.register(app)
console = Console(highlight=False)

Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")]
Port = Annotated[int | None, typer.Option(min=1, max=65_535, help="Port (default: EHCP_PORT, or 8000).")]
Data = Annotated[
    Path | None, typer.Option("--data", help="Data directory (default: ./data, or EHCP_DATA_DIR).")
]
As = Annotated[str, typer.Option("--as", help="role or role:organisation, such as school:900123 or officer")]
Councils = Annotated[list[str] | None, typer.Option("--la", help="council, three digits; may be repeated")]


def settings_for(data: Path | None = None, port: int | None = None) -> Settings:
    """Settings of the environment with what the command line says. A fill writes more than a person would, so
    the embedded limits are wider unless they were set."""
    settings = load_settings(Settings)
    if settings.production:
        fail("this command is for the embedded mode; in production each service runs by itself")
    changes: dict[str, object] = {}
    if data is not None:
        changes["data_dir"] = data
    if port is not None:
        changes["port"] = port
    if "public_url" not in settings.model_fields_set:
        changes["public_url"] = f"http://127.0.0.1:{changes.get('port', settings.port)}"
    if "writes_per_minute" not in settings.model_fields_set:
        changes["writes_per_minute"] = 6000
    return settings.model_copy(update=changes)


def fail(message: str) -> None:
    """End with code 2 and one line."""
    Console(stderr=True, highlight=False).print(f"ehcp: {message}")
    raise typer.Exit(2)


@app.command()
def run(
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Port (default 8000).")] = None,
    today: Day = None,
    data: Data = None,
    plans: Annotated[int, typer.Option(min=1, max=20_000, help="How many invented children.")] = PLANS,
    demo: Annotated[
        bool, typer.Option("--demo/--no-demo", help="Fill an empty hub with invented children.")
    ] = True,
    life: Annotated[
        bool, typer.Option("--life/--no-life", help="Schools and officers act while the calendar moves.")
    ] = True,
) -> None:
    """Run the whole hub in this process; fill it with invented children at the first start."""
    from ehcp_embedded.demo.life import Rates
    from ehcp_embedded.running import Embedded

    settings = settings_for(data, port)
    embedded = Embedded(settings, console, plans if demo else 0, Rates() if life else None)
    if today:
        start_on(embedded.host.state, today.date(), embedded.host.set_first_day)
    collector.settle()
    try:
        asyncio.run(embedded.run())
    except KeyboardInterrupt:
        pass
    except RuntimeError as reason:
        fail(str(reason))


def start_on(kept: state.State, day: date, use: Callable[[date], None]) -> None:
    """Take the business date of the command line where none is kept, or the kept one is the same."""
    if kept.today not in (None, day):
        fail(
            f"the calendar of this data directory stands at {kept.today}; move it on with: ehcp tick --until {day}"
        )
    use(day)


@app.command()
def token(role: As, la: Councils = None, data: Data = None) -> None:
    """Print an access token for curl: ehcp token --as school:900123"""
    issuer = Issuer.of(settings_of(data))
    name, _, org = role.partition(":")
    try:
        typer.echo(issuer.mint(name, org or None, councils(name, la)))
    except ValueError as reason:
        fail(str(reason))


@app.command("sign-in")
def sign_in(role: As = "officer", la: Councils = None, data: Data = None) -> None:
    """Print a link that signs in once: ehcp sign-in --as board"""
    issuer = Issuer.of(settings_of(data))
    name, _, org = role.partition(":")
    try:
        typer.echo(issuer.link(name, org or None, councils(name, la)))
    except ValueError as reason:
        fail(str(reason))


def councils(role: str, given: list[str] | None) -> tuple[str, ...]:
    """The councils of a token: as given; else Bury for those who act for a council, none for partners."""
    return tuple(given) if given else (() if role in ("school", "icb", "social-care") else ("351",))


def settings_of(data: Path | None) -> Settings:
    """Settings for speaking to the hub of a data directory, at the address it was last started on."""
    settings = settings_for(data)
    return settings.model_copy(update={"public_url": state.load(settings.data_dir).address})


@app.command()
def tick(
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")], data: Data = None
) -> None:
    """Move the calendar of the running hub on, day by day, each day worked to its end."""
    settings = settings_of(data)
    bearer = Issuer.of(settings).mint("operator")
    headers = {"Authorization": f"Bearer {bearer}"}
    try:
        with httpx2.Client(
            base_url=settings.public_url, headers=headers, timeout=30, trust_env=False
        ) as client:
            _move(client, until.date())
    except httpx2.TransportError:
        fail(f"no hub answers at {settings.public_url}; start it with: ehcp run")


def _move(client: httpx2.Client, until: date) -> None:
    from ehcp_embedded.demo.fill import bar

    answer = client.put("/v1/clock", json={"until": until.isoformat()})
    if answer.status_code != 202:
        fail(answer.json()["errors"][0]["message"] if "errors" in answer.json() else answer.json()["detail"])
    view = answer.json()
    with bar(console) as progress:
        task = progress.add_task(f"{view['today']}", total=view["days"])
        while view["moving"]:
            time.sleep(0.2)
            view = client.get("/v1/clock").json()
            progress.update(task, completed=view["done"], description=view["today"])
    if view["failed"]:
        fail(f"stopped at {view['today']}; the hub's log says why")
    console.print(f"The calendar stands at {view['today']}.")


@parked.command("list")
def list_events(data: Data = None) -> None:
    """Show what is parked in each service, and why. Never the payload."""
    from ehcp_embedded.upkeep import parked_lines

    lines = asyncio.run(parked_lines(settings_for(data)))
    typer.echo("\n".join(lines) or "Nothing is parked.")


@parked.command()
def replay(
    case: Annotated[str, typer.Argument(help="a case id, or: all")],
    service: Annotated[str | None, typer.Option(help="only this service, such as reporting")] = None,
    data: Data = None,
) -> None:
    """Try parked events again after a fix, in the order they came."""
    from ehcp_embedded.upkeep import replay_case

    _attempt(lambda: replay_case(settings_for(data), case, service), "{} events applied.")


@parked.command()
def discard(
    service: Annotated[str, typer.Argument(help="the service, such as reporting")],
    position: Annotated[int, typer.Argument(help="the number in `ehcp parked list`")],
    why: Annotated[str, typer.Option(help="the reason, which is kept")],
    data: Data = None,
) -> None:
    """Set aside for good a record that can never be read; it stays on the list and holds back nothing."""
    from ehcp_embedded.upkeep import discard_record

    _attempt(lambda: discard_record(settings_for(data), service, position, why), "{} records set aside.")


@app.command()
def rebuild(
    service: Annotated[
        str, typer.Argument(help="reporting: the service whose tables come from events alone")
    ],
    data: Data = None,
) -> None:
    """Read the log from its start into new tables and put them in place of the old."""
    from ehcp_embedded.upkeep import rebuild_reporting

    if service not in ("reporting", "reporting-service"):
        fail("only reporting can be rebuilt: the other services own what they know")
    with console.status("Reading the log from its start") as shown:
        _attempt(
            lambda: rebuild_reporting(settings_for(data), lambda read: shown.update(f"{read:,} events read")),
            "{} events read; the tables are in place.",
        )


def _attempt(work: Callable[[], Awaitable[int]], said: str) -> None:
    async def inner() -> int:
        return await work()

    try:
        typer.echo(said.format(asyncio.run(inner())))
    except LookupError as reason:
        fail(f"there is no service {reason}")


@app.command()
def issuer(port: Port = None, data: Data = None) -> None:
    """Only the local token issuer, for compositions that run the services apart."""
    from ehcp_embedded.apart import issuer_app, serve

    settings = settings_for(data, port)
    serve(issuer_app(settings), settings)


@app.command()
def pages(port: Port = None) -> None:
    """Only the catalogue and the API pages (/schemas, /asyncapi, /problems, /docs), for the gateway."""
    from ehcp_embedded.apart import pages_app, serve

    settings = load_settings(Settings)
    serve(pages_app(settings), settings.model_copy(update={"port": port or settings.port}))
