"""Column types, naming convention, and the tables that every service's database holds for the kit.

Each service has its own metadata (`service_metadata()`), so that four services can live in one process and each
migrates its own outbox.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An instant. Naive values are refused; SQLite, which drops the zone, stores and returns UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        # PostgreSQL's driver gives UTC already; converting again is felt in lists.
        return None if dialect.name == "postgresql" else super().result_processor(dialect, coltype)


def json_type() -> TypeEngine[Any]:
    """JSON: JSONB on PostgreSQL, JSON text on SQLite."""
    return JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def big_serial() -> TypeEngine[Any]:
    """A 64-bit key that the database counts (SQLite counts only INTEGER keys)."""
    return BigInteger().with_variant(Integer(), "sqlite")


def service_metadata() -> MetaData:
    """New metadata for one service, with the kit's tables on it."""
    metadata = MetaData(naming_convention=NAMING)
    Table(
        "outbox",
        metadata,
        Column("position", big_serial(), primary_key=True, autoincrement=True),
        Column("event_id", Uuid, nullable=False, unique=True),
        Column("topic", String(100), nullable=False),
        Column("subject", String(64), nullable=False),
        Column("sequence", BigInteger, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("written_at", UtcDateTime, nullable=False),
        Column("published_at", UtcDateTime),
        Column("held_reason", String(100)),
        UniqueConstraint("subject", "sequence"),
        Index(
            "ix_outbox_unpublished",
            "position",
            postgresql_where=text("published_at IS NULL"),
            sqlite_where=text("published_at IS NULL"),
        ),
        # Never reuse a position: a reused one could hide a row from someone who pages by it.
        sqlite_autoincrement=True,
    )
    Table(
        "sequences",
        metadata,
        Column("subject", String(64), primary_key=True),
        Column("last", BigInteger, nullable=False),
    )
    Table(
        "inbox",
        metadata,
        Column("event_id", Uuid, primary_key=True),
        Column("source", String(100), nullable=False),
        Column("subject", String(64), nullable=False),
        Column("sequence", BigInteger, nullable=False),
        Column("digest", LargeBinary(32), nullable=False),
        Column("received_at", UtcDateTime, nullable=False, index=True),
    )
    Table(
        "last_received",
        metadata,
        Column("source", String(100), primary_key=True),
        Column("subject", String(64), primary_key=True),
        Column("sequence", BigInteger, nullable=False),
    )
    Table(
        "parked",
        metadata,
        Column("position", big_serial(), primary_key=True, autoincrement=True),
        Column("topic", String(100), nullable=False),
        Column("subject", String(200), nullable=False, index=True),
        Column("source", String(100)),
        Column("event_id", Uuid),
        Column("sequence", BigInteger),
        Column("body", LargeBinary, nullable=False),
        Column("digest", LargeBinary(32), nullable=False),
        Column("state", String(20), nullable=False, index=True),
        Column("reason", String(40), nullable=False),
        Column("detail", String(200)),
        Column("attempts", Integer, nullable=False),
        Column("parked_at", UtcDateTime, nullable=False),
        UniqueConstraint("topic", "digest"),
        sqlite_autoincrement=True,
    )
    Table(
        "idempotency",
        metadata,
        Column("caller", String(200), primary_key=True),
        Column("key", String(255), primary_key=True),
        Column("digest", LargeBinary(32), nullable=False),
        Column("status", Integer, nullable=False),
        Column("headers", json_type(), nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("answered_at", UtcDateTime, nullable=False, index=True),
    )
    Table(
        "ticks",
        metadata,
        Column("job", String(100), primary_key=True),
        Column("last_day", Date, nullable=False),
    )
    return metadata
