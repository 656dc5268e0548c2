"""Migrations: Alembic, with one environment for all services and each service's revisions in its own package.

Alembic is loaded when there is something to do: a start with a current database, which is nearly every start, saves its
6 MB and a tenth of a second.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, MetaData, event, inspect, text

from service_kit.database import Database, file_lock
from service_kit.failpoints import failpoint

if TYPE_CHECKING:
    from alembic.config import Config


def _versions(package: str) -> Path:
    return Path(str(importlib.resources.files(package))) / "migrations" / "versions"


def _config(package: str, metadata: MetaData, connection: Connection) -> Config:
    from alembic.config import Config

    here = Path(__file__).parent / "alembic"
    config = Config()
    config.set_main_option("script_location", str(here).replace("%", "%%"))
    config.set_main_option("version_locations", str(_versions(package)).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes.update(connection=connection, metadata=metadata)
    return config


async def _on(db: Database, work: Callable[[Connection], None]) -> None:
    # Two processes that migrate at once: the second waits and then finds nothing to do.
    async with _alone(db), db.engine.connect() as connection:
        await connection.run_sync(work)
        await connection.commit()


@asynccontextmanager
async def _alone(db: Database) -> AsyncIterator[None]:
    if db.is_sqlite:
        async with file_lock(Path(f"{db.url.database}.migrate.lock"), 0.05):
            yield
        return
    async with db.engine.connect() as holder:
        await holder.execute(text("SELECT pg_advisory_lock(7266001)"))
        await holder.commit()
        try:
            yield
        finally:
            await holder.execute(text("SELECT pg_advisory_unlock(7266001)"))
            await holder.commit()


async def upgrade(db: Database, package: str, metadata: MetaData, to: str = "head") -> None:
    """Bring the database to a revision. Safe to run again, also after a crash, and by two processes at once."""
    if to == "head" and await is_current(db, package):
        return
    from alembic import command

    def work(connection: Connection) -> None:
        event.listen(connection, "after_cursor_execute", lambda *_: failpoint("migrate.mid"))
        command.upgrade(_config(package, metadata, connection), to)

    await _on(db, work)


async def downgrade(db: Database, package: str, metadata: MetaData, to: str) -> None:
    """Take the database back to a revision."""
    from alembic import command

    await _on(db, lambda connection: command.downgrade(_config(package, metadata, connection), to))


async def revise(db: Database, package: str, metadata: MetaData, message: str) -> None:
    """Write a new revision from the difference between tables and database."""
    from alembic import command

    await _on(
        db, lambda c: (command.revision(_config(package, metadata, c), message, autogenerate=True), None)[1]
    )


async def differences(db: Database, metadata: MetaData) -> list[object]:
    """What the tables of the code have that the database has not, or the other way round; empty when they agree."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    found: list[object] = []
    await _on(
        db,
        lambda c: found.extend(
            compare_metadata(MigrationContext.configure(c, opts={"compare_type": True}), metadata)
        ),
    )
    return found


async def is_current(db: Database, package: str) -> bool:
    """Whether the database stands at the newest revision this code knows."""
    async with db.read() as session:
        connection = await session.connection()
        begun = await connection.run_sync(lambda c: inspect(c).has_table("alembic_version"))
        stands = text("SELECT version_num FROM alembic_version")
        found = (await session.execute(stands)).scalar_one_or_none() if begun else None
    return found == newest(package)


_NAMED = re.compile(r"""^(down_revision|revision)\b.*= ["'](\w+)["']$""", re.MULTILINE)


@cache
def newest(package: str) -> str | None:
    """The revision of a service that no other follows; None if it has none."""
    found = [name for file in _versions(package).glob("*.py") for name in _NAMED.findall(file.read_text())]
    followed = {name for what, name in found if what == "down_revision"}
    heads = {name for what, name in found if what == "revision"} - followed
    if len(heads) > 1:
        raise ValueError(f"{package}: two revisions follow the same one")
    return next(iter(heads), None)
