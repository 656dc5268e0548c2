"""Whether a process is fit to work: room on its disk, a database of its schema, clocks that agree, connections enough
(bad-inputs 6.3, 6.7, 6.8, 6.14).

What is wrong at the start ends the process with code 2 and a line for each fault; what goes wrong later turns
`/ready` to 503 until it is mended.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import text

from service_kit.problems import Fault

if TYPE_CHECKING:
    from service_kit.service import Running

log = structlog.get_logger(__name__)
CLOCK_WARNS, CLOCK_FAILS = 300.0, 600.0  # seconds between this machine's clock and the database's
_ASK = text(
    "SELECT extract(epoch FROM clock_timestamp())::float AS now, current_setting('max_connections')::int"
    " - current_setting('superuser_reserved_connections')::int AS connections"
)


async def faults(running: Running) -> list[Fault]:
    """What keeps this process from its work now; empty when nothing does. Raises `Unavailable` when the database
    cannot be reached."""
    found = [*_disk(running.settings.data_dir, running.settings.disk_floor_mb)]
    if not await running.is_current():
        found.append(
            Fault("/database", "schema", "The database is not at this version's schema: run migrate.")
        )
    if not running.hub.db.is_sqlite:
        found += await _server(running)
    if running.inbox and not running.inbox.reachable:
        found.append(
            Fault("/inbox", "unreachable", "Events cannot be taken in: the database does not answer.")
        )
    return found


def _disk(folder: Path, floor_mb: int) -> Iterable[Fault]:
    place = next((part for part in (folder, *folder.absolute().parents) if part.exists()), Path("/"))
    if shutil.disk_usage(place).free < floor_mb * 1_000_000:
        yield Fault("/disk", "full", "There is too little room left on the disk of the data directory.")
    if folder.exists() and not os.access(folder, os.W_OK):
        yield Fault("/disk", "read-only", "The data directory cannot be written to.")


async def _server(running: Running) -> list[Fault]:
    """What PostgreSQL says of its clock, and of how many connections it has for all processes of the hub."""
    async with running.hub.db.read() as session:
        said = (await session.execute(_ASK)).one()
    found = []
    apart = abs(said.now - running.hub.clock.now().timestamp())
    if apart > CLOCK_FAILS:
        found.append(
            Fault("/clock", "off", "The clocks of this machine and of the database are too far apart.")
        )
    elif apart > CLOCK_WARNS:
        log.warning("the clocks of this machine and of the database differ", seconds=round(apart))
    if running.hub.db.connections * running.settings.database_processes > said.connections:
        found.append(
            Fault(
                "/database",
                "connections",
                "All pools together may want more connections than PostgreSQL has.",
            )
        )
    return found
