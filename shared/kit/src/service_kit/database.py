"""One database of one service: `read()` and `write()`, on SQLite or PostgreSQL, chosen by URL.

A write transaction is `BEGIN IMMEDIATE` on SQLite (a deferred one that reads first fails at once when another writer
commits, whatever the busy timeout) and commits when the block ends, before anyone is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from pydantic_core import to_json
from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    MetaData,
    Table,
    all_,
    any_,
    bindparam,
    event,
    func,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import (
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.ext.asyncio import AsyncSession as SqlAlchemySession
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn
from sqlmodel.ext.asyncio.session import AsyncSession

from service_kit.clock import Clock
from service_kit.prepared import Prepared, Rows

T = TypeVar("T")
Fetch = Callable[[Prepared, Mapping[str, Any]], Awaitable[Rows]]
# SQLite refuses more than 32,766 parameters in a statement; this many rows of our widest table stay below it.
ROWS_PER_STATEMENT = 500
KEYS_PER_STATEMENT = 10_000  # the same for values of one column
COPIED = 50  # from so many new rows on, COPY costs less than one prepared INSERT, which has a round trip less
NOTIFY_PAUSE = 0.005  # seconds between two wake-ups of a relay in another process
_NOTIFY = Prepared(select(func.pg_notify("outbox", "")))
PATIENCE = 60.0
OVERFLOW = 4  # connections beyond the pool, for a moment
# SQLSTATE of PostgreSQL: connection lost, shutting down or starting up, no room (connections, memory, disk); and rolled
# back for another's sake.
AWAY = ("08", "57P", "53")
CROSSED = ("40",)


class Session(AsyncSession):
    """SQLModel's session. `exec` returns models; `execute` is for core statements on the hot paths, without the hint
    that SQLModel gives those who meant `exec`."""

    execute = SqlAlchemySession.execute


class Unavailable(Exception):
    """The database cannot be reached just now; nothing was changed, or the outcome of a commit is unknown."""


class Crossed(Unavailable):
    """Of two writers that waited for each other the database ended this one: nothing was changed, and trying again at once
    is right."""


def _json(value: Any) -> str:
    """JSON as it is stored; a fifth of what the standard library takes."""
    return to_json(value, inf_nan_mode="constants").decode()


def is_outage(error: BaseException) -> bool:
    """Whether an error means "the database is away or busy", so that trying again later is right."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, PoolTimeout | OSError):
        return True
    cause = getattr(error, "orig", error)  # a prepared statement raises what the driver raised
    if isinstance(cause.__cause__ or cause, ValueError):
        return False  # a value that cannot be sent, which asyncpg takes for a fault of the interface
    if isinstance(cause, sqlite3.OperationalError):  # which SQLite also raises for a mistake in a statement
        return any(word in str(cause) for word in ("locked", "busy", "disk", "unable to open", "readonly"))
    if isinstance(error, OperationalError | InterfaceError | asyncpg.InterfaceError):
        return True
    return _sqlstate(error).startswith(AWAY + CROSSED)


def _sqlstate(error: BaseException) -> str:
    return str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")


@contextmanager
def _outages() -> Iterator[None]:
    """Raise `Unavailable` in place of what the driver calls an outage."""
    try:
        yield
    except Exception as error:
        if is_outage(error):
            raise (Crossed if _sqlstate(error).startswith(CROSSED) else Unavailable) from error
        raise


def _prepare_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see below
        cursor = connection.cursor()
        # busy_timeout first: switching to WAL needs the lock itself.
        for pragma in ("busy_timeout=15000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "invalidate")
    def _invalidate(connection: Any, _: Any, __: Any) -> None:
        # A statement was cancelled and its connection is to be closed. SQLite keeps the lock of a connection that is closed
        # while a cursor of it is still in use, until Python has collected that.
        with contextlib.suppress(Exception):
            connection.rollback()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        if not connection.get_execution_options().get("begun"):
            connection.exec_driver_sql("BEGIN")


def _prepare_postgres(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "checkout")
    def _checkout(connection: Any, _: Any, __: Any) -> None:
        # A server that went away closed its end, which asyncpg has noticed. Asking costs nothing; the pool's own ping
        # would be three round trips before every transaction.
        # Or whoever had it could not end its transaction (cancelled during COMMIT): what would follow is not ours.
        if connection.driver_connection.is_closed() or connection.driver_connection.is_in_transaction():
            raise DisconnectionError

    # A statement was given up: whoever had its connection next would wait until it had been cancelled.
    @event.listens_for(engine.sync_engine, "handle_error")
    def _handle_error(context: Any) -> None:
        if isinstance(context.original_exception, TimeoutError) and context.connection is not None:
            context.connection.connection.driver_connection.terminate()


@asynccontextmanager
async def _on_sqlite(driver: Any) -> AsyncIterator[None]:
    """A deferred transaction that reads first would fail at once when another writer commits, whatever the busy
    timeout."""
    try:
        await driver.execute_fetchall("BEGIN IMMEDIATE")
        yield
        await driver.commit()
    except BaseException:
        # SQLAlchemy closes a connection whose statement was cancelled; there is nothing left to roll back.
        with contextlib.suppress(ValueError):
            await driver.rollback()
        raise


@asynccontextmanager
async def _on_postgres(driver: Any) -> AsyncIterator[None]:
    transaction = driver.transaction()
    try:
        await transaction.start()
    except BaseException:
        driver.terminate()  # asyncpg would take the next one for a savepoint of this, which may never have begun
        raise
    try:
        yield
    except BaseException as error:
        # The same; and who gave up a statement would wait as long again, for a connection that is given up as well.
        if not (driver.is_closed() or isinstance(error, TimeoutError)):
            await transaction.rollback()
        raise
    await transaction.commit()


@contextmanager
def _constraints() -> Iterator[None]:
    """A constraint that does not hold is the same error, whichever way the statement went."""
    try:
        yield
    except (asyncpg.IntegrityConstraintViolationError, sqlite3.IntegrityError) as error:
        raise IntegrityError(None, None, error, hide_parameters=True) from error


class Transaction:
    """An open transaction. `session` is SQLAlchemy's on the same connection; what knows its statements beforehand
    does without and calls `fetch`."""

    def __init__(self, db: Database, pooled: PoolProxiedConnection) -> None:
        self.published = False  # whether the relay has something to do after the commit
        self.dialect = db.engine.dialect
        self.info: dict[str, Any] = {
            "source": db.source,
            "topic": db.topic,
            "clock": db.clock,
            "tables": db.tables,
            "public_url": db.public_url,
            "transaction": self,
        }
        self._db, self._pooled = db, pooled

    async def fetch(self, statement: Prepared, values: Mapping[str, Any]) -> Rows:
        """The rows of a statement, straight from the driver. Raises IntegrityError as a session does."""
        with _constraints():
            return await statement.fetch(self._pooled.driver_connection, self.dialect, values)

    async def copy(self, table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Write new rows by PostgreSQL's COPY, which asks no planner, builds no arrays and writes pages at a time."""
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        for place, name in enumerate(names):
            convert = table.c[name].type.dialect_impl(self.dialect).bind_processor(self.dialect)
            if convert:
                columns[place] = [convert(value) for value in columns[place]]
        driver: Any = self._pooled.driver_connection
        with _constraints():
            await driver.copy_records_to_table(table.name, records=zip(*columns, strict=True), columns=names)

    @cached_property
    def session(self) -> AsyncSession:
        return self._db.session(self._pooled, self.info)

    async def flush(self) -> None:
        """Send what the session, if there is one, still holds."""
        if "session" in self.__dict__:
            await self.session.flush()

    async def close(self) -> None:
        if "session" in self.__dict__:
            await self.session.close()


class Database:
    """Reads and writes of one service. `patience` is how long PostgreSQL may take to answer a statement, in seconds.

    `on_publish` callbacks run after a commit that wrote to the outbox (the relay's wake-up). Raises `Unavailable`
    when the database cannot be reached.
    """

    def __init__(
        self,
        url: str,
        metadata: MetaData,
        *,
        source: str = "",
        topic: str | None = None,
        clock: Clock | None = None,
        pool: int = 8,
        patience: float = PATIENCE,
        public_url: str = "",
    ) -> None:
        self.url = make_url(url)
        self.tables = metadata.tables
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.clock = clock or Clock()
        self.source, self.topic, self.public_url = source, topic, public_url.rstrip("/")
        self.on_publish: list[Callable[[], None]] = []
        self.connections = pool + OVERFLOW  # at most, on PostgreSQL
        options: dict[str, Any] = {} if self.is_sqlite else {"pool_size": pool, "max_overflow": OVERFLOW}
        if not self.is_sqlite:
            # Together no longer than a statement, for whoever waits for a connection and then has to make one.
            options["pool_timeout"] = connecting = min(5.0, patience / 2)
            options["connect_args"] = {"timeout": connecting, "command_timeout": patience}
        # An error text of SQLAlchemy must never carry a name into a log.
        # Whoever opens a transaction ends it, so none is rolled back on the way into the pool.
        self.engine = create_async_engine(
            self.url, hide_parameters=True, pool_reset_on_return=None, json_serializer=_json, **options
        )
        if self.is_sqlite:
            _prepare_sqlite(self.engine)
            self._begun = _on_sqlite
            reading, self._writing = self.engine, self.engine.execution_options(begun=True)
        else:
            _prepare_postgres(self.engine)
            self._begun = _on_postgres
            # Reads in autocommit save BEGIN and ROLLBACK, a third of their cost; a write begins on the driver.
            reading = self._writing = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sessions = async_sessionmaker(reading, class_=Session, expire_on_commit=False)
        # SQLite has one writer; queueing here is fair, its busy handler is not.
        self._turn = asyncio.Lock() if self.is_sqlite else contextlib.nullcontext()
        self._untold, self._telling = False, None  # type: tuple[bool, asyncio.Task[None] | None]

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session for reading; nothing it does is kept."""
        with _outages():
            async with self._sessions() as session:
                yield session

    async def fetch(self, statement: Prepared, values: Mapping[str, Any]) -> Rows:
        """The rows of one reading statement, straight from the driver."""
        with _outages():
            async with self._pooled() as pooled:
                return await statement.fetch(pooled.driver_connection, self.engine.dialect, values)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A transaction as a session: committed when the block ends, rolled back when it raises."""
        async with self.transaction() as tx:
            yield tx.session

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """The same, without a session until one is asked for. The transaction is begun and ended on the driver itself."""
        with _outages():
            async with self._turn, self._pooled() as pooled:
                driver: Any = pooled.driver_connection
                tx = Transaction(self, pooled)
                try:
                    async with self._begun(driver):
                        yield tx
                        await tx.flush()
                finally:
                    await tx.close()
        if tx.published:
            self._wake_relay()

    @asynccontextmanager
    async def _pooled(self) -> AsyncIterator[PoolProxiedConnection]:
        """A connection of the pool, without what SQLAlchemy builds around one."""
        pooled = await self.engine.raw_connection()
        driver: Any = pooled.driver_connection
        try:
            yield pooled
        except TimeoutError:  # the same for a statement without SQLAlchemy
            if not self.is_sqlite:
                driver.terminate()
            raise
        finally:
            await greenlet_spawn(pooled.close)

    def session(self, pooled: PoolProxiedConnection, info: dict[str, Any]) -> AsyncSession:
        """A session on a connection whose transaction is already open."""
        connection = AsyncConnection(self._writing, Connection(self._writing.sync_engine, pooled))
        return self._sessions(bind=connection, info=info)

    def _wake_relay(self) -> None:
        """Wake the relay in this process, or the one in another process of a PostgreSQL service. A lost wake-up costs
        only the relay's poll, so nobody waits for it."""
        for wake in self.on_publish:
            wake()
        if self.is_sqlite or self.on_publish:
            return
        self._untold = True
        if not self._telling:
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        # A NOTIFY inside every transaction would make commits wait for one another: the first write is told of at
        # once, those of the next milliseconds together.
        while self._untold:
            self._untold = False
            with contextlib.suppress(Exception):
                await self.fetch(_NOTIFY, {})
            await asyncio.sleep(NOTIFY_PAUSE)
        self._telling = None

    @asynccontextmanager
    async def leader(
        self, role: str, woken: Callable[[], None], *, poll: float = 1.0
    ) -> AsyncIterator[Fetch]:
        """Wait until this process is the only one in `role` on this database; hold it until the block ends or the
        process dies. Yields a `fetch` that fails once the lead is lost, for on PostgreSQL it is the same connection that
        holds it. `woken` is called when another process of a PostgreSQL service has written to the outbox."""
        if self.is_sqlite:
            async with file_lock(Path(f"{self.url.database}.{role}.lock"), poll):
                yield self.fetch
            return
        key = int.from_bytes(hashlib.sha256(role.encode()).digest()[:8], "big", signed=True)
        async with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            while not await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
                await asyncio.sleep(poll)
            driver: Any = (await connection.get_raw_connection()).driver_connection

            async def fetch(statement: Prepared, values: Mapping[str, Any]) -> Rows:
                return await statement.fetch(driver, self.engine.dialect, values)

            await driver.add_listener("outbox", lambda *_: woken())
            try:
                yield fetch
            finally:
                # An advisory lock belongs to the connection: never give one that holds it back to the pool.
                await connection.invalidate()

    async def close(self) -> None:
        await self.engine.dispose()


@asynccontextmanager
async def file_lock(path: Path, poll: float) -> AsyncIterator[None]:
    """Wait for the lock on a file and hold it until the block ends or the process dies; `poll` in seconds."""
    with path.open("a") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(poll)
        yield


async def instant(session: AsyncSession, clock: Clock) -> datetime:
    """Now, by the database's clock, which all replicas share (an SQLite database shares this machine's). A clock that
    a test holds still wins."""
    if type(clock) is not Clock or dialect_of(session) == "sqlite":
        return clock.now()
    at: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return at.astimezone(UTC)


def upsert(session: AsyncSession, table: Table) -> Any:
    """An INSERT of the session's dialect, with `.on_conflict_do_nothing` and `.on_conflict_do_update`."""
    return postgresql.insert(table) if dialect_of(session) == "postgresql" else sqlite.insert(table)


@cache
def insert_many(table: Table, dialect: str, *names: str) -> Any:
    """An INSERT of many rows, whose text is the same however many there are, so that neither side prepares it anew:
    on PostgreSQL the rows travel as one array for each column, in their order. Execute it with `many(session, rows)`;
    `.on_conflict_…` and `.returning` as with `upsert`."""
    if dialect != "postgresql":
        return sqlite.insert(table)
    arrays = [bindparam(name, type_=postgresql.ARRAY(table.c[name].type, dimensions=1)) for name in names]
    columns = [Column(name, table.c[name].type) for name in names]
    given = (
        func.unnest(*arrays).table_valued(*columns, with_ordinality="nth_row").render_derived(name="given")
    )
    rows = select(*(given.c[name] for name in names)).order_by(given.c.nth_row)
    return postgresql.insert(table).from_select(list(names), rows)


def many(session: AsyncSession | Transaction, rows: Sequence[Mapping[str, Any]]) -> Any:
    """The parameters of an `insert_many` statement."""
    if dialect_of(session) != "postgresql":
        return list(rows)
    return {name: [row[name] for row in rows] for name in rows[0]}


async def insert_all(
    tx: AsyncSession | Transaction, statement: Any, rows: Sequence[Mapping[str, Any]]
) -> Rows:
    """Execute an `insert_many` statement, straight where it is one statement; what it returns, if anything."""
    straight: Transaction = tx.info["transaction"]
    if straight.dialect.name == "postgresql":
        return await straight.fetch(_prepared(statement), many(straight, rows))
    if len(rows) == 1:
        return await straight.fetch(_prepared(statement, *rows[0]), rows[0])
    result: Any = await straight.session.execute(statement, list(rows))
    return result.all() if result.returns_rows else []


_prepared = cache(Prepared)  # of statements that are themselves kept


async def add_all(
    tx: AsyncSession | Transaction, table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Write rows that are new, each with the columns `names`. Raises IntegrityError when one is there."""
    straight: Transaction = tx.info["transaction"]
    if straight.dialect.name == "postgresql" and len(rows) >= COPIED:
        await straight.copy(table, names, rows)
    elif rows:
        statement = insert_many(table, straight.dialect.name, *names)
        await insert_all(tx, statement, [dict(zip(names, row, strict=True)) for row in rows])


async def put_all(tx: AsyncSession | Transaction, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write whole rows, each in the place of the one with its key if there is one."""
    if rows:
        await insert_all(tx, _put(table, dialect_of(tx)), rows)


@cache
def _put(table: Table, dialect: str) -> Any:
    statement = insert_many(table, dialect, *table.columns.keys())
    rest = {
        name: statement.excluded[name] for name, column in table.columns.items() if not column.primary_key
    }
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=rest)


def among(session: AsyncSession, column: Any, values: Sequence[Any]) -> ColumnElement[bool]:
    """`column IN values`, with the values as one array where the database can: one text for any number of them."""
    if dialect_of(session) != "postgresql":
        return column.in_(values)  # type: ignore[no-any-return]
    return column == any_(bindparam(None, list(values), type_=postgresql.ARRAY(column.type)))  # type: ignore[no-any-return]


def one_of(dialect: str, column: Any, name: str) -> ColumnElement[bool]:
    """`column IN :name`, for a list given when a `Prepared` is fetched: an array, or JSON on SQLite, which has none. The
    column's values must be their own JSON: numbers or text."""
    if dialect == "postgresql":
        return column == any_(_array(column, name))  # type: ignore[no-any-return]
    return column.in_(_json_list(name))  # type: ignore[no-any-return]


def none_of(dialect: str, column: Any, name: str) -> ColumnElement[bool]:
    """`column NOT IN :name`, in the same way."""
    if dialect == "postgresql":
        return column != all_(_array(column, name))  # type: ignore[no-any-return]
    return column.not_in(_json_list(name))  # type: ignore[no-any-return]


def _array(column: Any, name: str) -> Any:
    return bindparam(name, type_=postgresql.ARRAY(type(column.type)()))  # a cast to VARCHAR(64) would cut


def _json_list(name: str) -> Any:
    return select(func.json_each(bindparam(name, type_=JSON)).table_valued("value").c.value)


def dialect_of(session: AsyncSession | Transaction) -> str:
    """The database behind a session, `postgresql` or `sqlite`."""
    if isinstance(session, Transaction):
        return session.dialect.name
    return session.get_bind().dialect.name


def in_chunks(rows: Sequence[T], size: int = ROWS_PER_STATEMENT) -> Iterable[Sequence[T]]:
    """Cut rows so that each statement stays below the parameter limit of both databases."""
    return (rows[i : i + size] for i in range(0, len(rows), size))
