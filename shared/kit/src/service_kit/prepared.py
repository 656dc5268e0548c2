"""Core statements that are built once and go straight to the driver: SQLAlchemy says what is asked, its engine does
not carry it.

Between a statement and its rows the engine spends several times what the driver itself does (see
docs/decisions/kit-prepared.md). For the kit's own statements and the hot lists; everything else goes through the session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Dialect

Rows = Sequence[Sequence[Any]]
_Convert = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class _Text:
    """A statement in the words of one database: its parameters in the driver's order, the values that stand in the
    statement itself, and what turns the driver's columns into Python's types (None: nothing needs it)."""

    sql: str
    parameters: tuple[tuple[str, _Convert], ...]
    own: Mapping[str, Any]
    columns: tuple[_Convert, ...] | None


class Prepared:
    """A core statement, compiled once for each database: no ORM entities, no `IN` list of a varying length. `columns`
    are those that an INSERT without values of its own is given."""

    def __init__(self, statement: Any, *columns: str) -> None:
        self._statement, self._columns = statement, columns
        self._texts: dict[str, _Text] = {}

    async def fetch(self, driver: Any, dialect: Dialect, values: Mapping[str, Any]) -> Rows:
        """The rows, on a connection of asyncpg or aiosqlite. What a session has not flushed is not seen."""
        text = self._texts.get(dialect.name) or self._compiled(dialect)
        given = {**text.own, **values}
        arguments = [convert(given[name]) if convert else given[name] for name, convert in text.parameters]
        if dialect.name == "sqlite":
            rows: Rows = await driver.execute_fetchall(text.sql, arguments)
        else:
            rows = await driver.fetch(text.sql, *arguments)
        if text.columns is None:
            return rows
        return [
            [convert(cell) if convert else cell for cell, convert in zip(row, text.columns, strict=True)]
            for row in rows
        ]

    def _compiled(self, dialect: Dialect) -> _Text:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns or None)
        if compiled.post_compile_params:
            raise ValueError("a prepared statement has no IN list of a varying length")
        binds = [compiled.binds[name] for name in compiled.positiontup or ()]
        columns = tuple(
            column.type.dialect_impl(dialect).result_processor(dialect, None)
            for column in self._statement.exported_columns
        )
        text = self._texts[dialect.name] = _Text(
            compiled.string,
            tuple((bind.key, bind.type.dialect_impl(dialect).bind_processor(dialect)) for bind in binds),
            {bind.key: bind.value for bind in binds if not bind.required},
            columns if any(columns) else None,
        )
        return text
