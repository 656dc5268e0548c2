"""Migrations: Alembic, with one environment for all services and each service's revisions in its own package."""

from __future__ import annotations

import importlib.resources
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, event, text

from service_kit.database import Database, file_lock
from service_kit.failpoints import failpoint


def _config(package: str, metadata: MetaData, connection: Connection | None = None) -> Config:
    here = Path(__file__).parent / "alembic"
    versions = Path(str(importlib.resources.files(package))) / "migrations" / "versions"
    config = Config()
    config.set_main_option("script_location", str(here).replace("%", "%%"))
    config.set_main_option("version_locations", str(versions).replace("%", "%%"))
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

    def work(connection: Connection) -> None:
        event.listen(connection, "after_cursor_execute", lambda *_: failpoint("migrate.mid"))
        command.upgrade(_config(package, metadata, connection), to)

    await _on(db, work)


async def downgrade(db: Database, package: str, metadata: MetaData, to: str) -> None:
    """Take the database back to a revision."""
    await _on(db, lambda connection: command.downgrade(_config(package, metadata, connection), to))


async def revise(db: Database, package: str, metadata: MetaData, message: str) -> None:
    """Write a new revision from the difference between tables and database."""
    await _on(
        db, lambda c: (command.revision(_config(package, metadata, c), message, autogenerate=True), None)[1]
    )


async def differences(db: Database, metadata: MetaData) -> list[object]:
    """What the tables of the code have that the database has not, or the other way round; empty when they agree."""
    found: list[object] = []
    await _on(
        db,
        lambda c: found.extend(
            compare_metadata(MigrationContext.configure(c, opts={"compare_type": True}), metadata)
        ),
    )
    return found


async def is_current(db: Database, package: str, metadata: MetaData) -> bool:
    """Whether the database stands at the newest revision this code knows."""
    async with db.read() as session:
        connection = await session.connection()
        found = await connection.run_sync(lambda c: MigrationContext.configure(c).get_current_revision())
    return found == _head(package, metadata)


@cache
def _head(package: str, metadata: MetaData) -> str | None:
    return ScriptDirectory.from_config(_config(package, metadata)).get_current_head()
