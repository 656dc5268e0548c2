"""`ehcp rebuild reporting`: read the log from the start into an empty copy of the database, then put it in place.

The copy is filled by the same inbox and projections as the live tables, so duplicates, gaps and poison come out the
same. While it is filled the live service works on. Then, with the live database's writers waiting, the copy reads what
was added meanwhile and replaces the live tables, inbox included: whatever the copy has applied, the live consumer will
recognise as seen. Nothing is sent, for this service sends nothing (reliability F40).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, Table, event, insert, select, text
from sqlmodel.ext.asyncio.session import AsyncSession

from reporting_service import projections
from reporting_service.tables import BUSINESS_TABLES, metadata
from service_kit.bus.port import Bus, Record
from service_kit.database import Database
from service_kit.hub import Hub
from service_kit.inbox import Inbox

SHADOW = "rebuild"
AT_ONCE = 10_000  # records in a transaction: nobody waits for the copy, and the more, the less each costs
# What the consumer knows belongs with what it has done; both are replaced together.
REPLACED = (*BUSINESS_TABLES, *(metadata.tables[name] for name in ("inbox", "last_received", "parked")))
Progress = Callable[[int], None]


async def rebuild(
    hub: Hub, bus: Bus, topics: Sequence[str], *, progress: Progress = lambda events: None
) -> int:
    """Rebuild all read models of `hub`'s database from the log; returns how many records were read."""
    async with _shadow(hub.db) as shadow:
        reader = _Reader(
            bus, topics, Inbox(replace(hub, db=shadow), bus, topics, projections.apply), progress
        )
        await reader.catch_up()
        async with hub.db.write() as tx:
            await _hold(tx)
            await reader.catch_up()
            await _see(tx, shadow)
            for table in REPLACED:
                await _put_in_place(tx, table)
    return reader.read


class _Reader:
    """Feeds the log to the copy's inbox, remembering how far it has come in each partition."""

    def __init__(self, bus: Bus, topics: Sequence[str], inbox: Inbox, progress: Progress) -> None:
        self.bus, self.topics, self.inbox, self.progress = bus, topics, inbox, progress
        self.read = 0
        self._done: dict[tuple[str, int], int] = {}

    async def catch_up(self) -> None:
        waiting: list[Record] = []
        async for records in self.bus.read_all(self.topics, after=dict(self._done)):
            waiting += records
            if len(waiting) >= AT_ONCE:
                await self._take(waiting)
                waiting = []
        await self._take(waiting)

    async def _take(self, records: Sequence[Record]) -> None:
        await self.inbox.take(records)
        self.read += len(records)
        self._done |= {(record.topic, record.partition): record.offset for record in records}
        self.progress(self.read)


async def _hold(tx: AsyncSession) -> None:
    """Let no consumer commit until this transaction ends. (On SQLite a write transaction is alone anyway.)"""
    if tx.get_bind().dialect.name == "postgresql":
        await tx.execute(text("LOCK TABLE inbox, last_received, parked IN EXCLUSIVE MODE"))


async def _see(tx: AsyncSession, shadow: Database) -> None:
    """Let this transaction read the copy, as `rebuild.<table>`: a schema of this database, or the file beside it."""
    if shadow.is_sqlite:
        # The file stays attached to this connection, which is therefore closed at the end and not used again.
        await tx.run_sync(lambda session: session.connection().detach())
        await tx.execute(text(f"ATTACH DATABASE :file AS {SHADOW}"), {"file": shadow.url.database})


async def _put_in_place(tx: AsyncSession, table: Table) -> None:
    # A position that the database counted is counted anew: the live sequence knows nothing of the copy's.
    names = [column.name for column in table.columns if column is not table.autoincrement_column]
    copy = table.to_metadata(MetaData(), schema=SHADOW)
    rows = select(*(copy.c[name] for name in names)).order_by(*copy.primary_key)
    await tx.execute(table.delete())
    await tx.execute(insert(table).from_select(names, rows))


# --- the copy -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _shadow(live: Database) -> AsyncIterator[Database]:
    """An empty database of the same tables: a file beside the live one, or a schema within it."""
    async with _file_beside(live) if live.is_sqlite else _schema_within(live) as shadow:
        async with shadow.engine.begin() as connection:
            await connection.run_sync(lambda c: metadata.create_all(c, checkfirst=False))
        yield shadow


@asynccontextmanager
async def _file_beside(live: Database) -> AsyncIterator[Database]:
    path = Path(f"{live.url.database}.{SHADOW}")
    _remove(path)
    shadow = Database(str(live.url.set(database=str(path))), metadata, clock=live.clock)
    try:
        yield shadow
    finally:
        await shadow.close()
        _remove(path)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


@asynccontextmanager
async def _schema_within(live: Database) -> AsyncIterator[Database]:
    async def run(*statements: str) -> None:
        async with live.engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))

    await run(f"DROP SCHEMA IF EXISTS {SHADOW} CASCADE", f"CREATE SCHEMA {SHADOW}")
    shadow = Database(live.url.render_as_string(hide_password=False), metadata, clock=live.clock)

    @event.listens_for(shadow.engine.sync_engine, "connect")
    def _look_there(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET SESSION search_path TO {SHADOW}")
        cursor.close()
        connection.commit()

    try:
        yield shadow
    finally:
        await shadow.close()
        await run(f"DROP SCHEMA IF EXISTS {SHADOW} CASCADE")


# --- comparing ----------------------------------------------------------------------------------------------------


async def fingerprint(db: Database) -> str:
    """SHA-256 of an ordered dump of all business tables: equal for equal content, on either database."""
    digest = hashlib.sha256()
    async with db.read() as session:
        for table in BUSINESS_TABLES:
            digest.update(f"{table.name}\n".encode())
            # Sorted here, not there: databases disagree on the order of text.
            rows = [_line(row) for row in (await session.execute(select(table))).all()]
            for line in sorted(rows):
                digest.update(line)
    return digest.hexdigest()


def _line(row: Any) -> bytes:
    return json.dumps([_plain(value) for value in row], sort_keys=True).encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, date | datetime):
        return value.isoformat()
    return value if isinstance(value, bool | int | str | dict) or value is None else str(value)


# --- the command --------------------------------------------------------------------------------------------------


def cli() -> None:
    """`python -m reporting_service rebuild`: rebuild the database that the settings name."""
    from reporting_service.main import service
    from service_kit.settings import load_settings

    async def run() -> None:
        running = service.build(load_settings())
        try:
            read = await rebuild(running.hub, running.bus, service.listens)
            print(f"{read} events read; fingerprint {await fingerprint(running.hub.db)}")  # noqa: T201
        finally:
            await running.stop()

    asyncio.run(run())
