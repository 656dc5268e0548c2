"""The one Alembic environment of all services: the caller hands over an open connection and the metadata."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON, BigInteger
from sqlmodel.sql.sqltypes import AutoString

from service_kit.tables import UtcDateTime

config = context.config


def _render_item(kind: str, item: Any, autogen_context: Any) -> str | Literal[False]:
    """Write our column types into revisions by name."""
    if kind != "type":
        return False
    if isinstance(item, UtcDateTime):
        call = "UtcDateTime()"
    elif isinstance(item, JSON):
        call = "json_type()"
    elif isinstance(item, BigInteger) and item._variant_mapping:
        call = "big_serial()"
    elif isinstance(item, AutoString):
        return f"sa.String({item.length or ''})"
    else:
        return False
    autogen_context.imports.add(f"from service_kit.tables import {call.removesuffix('()')}")
    return call


connection = config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=config.attributes["metadata"],
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
    render_item=_render_item,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
