"""The one Alembic environment of all services: the caller hands over an open connection and the metadata."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

config = context.config


def _render_item(kind: str, item: Any, autogen_context: Any) -> str | Literal[False]:
    """Write our column types into revisions by name."""
    if kind == "type" and type(item).__module__.startswith("service_kit"):
        autogen_context.imports.add("from service_kit.tables import UtcDateTime")
        return f"{type(item).__name__}()"
    return False


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
