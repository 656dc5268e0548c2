"""What a view is made of, said once: Python makes it from an object, or the database writes its JSON from a row.

A page that the database writes costs this process no object per row (docs/decisions/kit-lists.md).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import date
from functools import reduce
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    Date,
    Integer,
    Select,
    String,
    Text,
    TypeDecorator,
    Uuid,
    case,
    func,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from service_kit.tables import UtcDateTime

V = TypeVar("V", bound=BaseModel)


class Shape(Generic[V]):
    """A view, each of whose fields comes from the attribute or column of its own name, or of the name given here, or from
    a shape within this one; `computed` ones are handed over.

    `hidden` fields ("child.postcode" is one within `child`) are null. With `unless_null`, all of it is null where that
    attribute or column is.
    """

    def __init__(self, view: type[V], *, unless_null: str | None = None, **sources: str | Shape[Any]) -> None:
        self._view, self._unless_null = view, unless_null
        self._sources = {name: sources.get(name, name) for name in view.model_fields}

    def view(self, row: Any, *, hidden: Collection[str] = (), **computed: Any) -> V:
        """The view of an object."""
        return self._view(**{name: self._value(name, row, hidden, computed) for name in self._sources})

    def _value(self, name: str, row: Any, hidden: Collection[str], computed: Mapping[str, Any]) -> Any:
        source = self._sources[name]
        if name in hidden:
            return None
        if name in computed:
            return computed[name]
        if isinstance(source, str):
            return getattr(row, source)
        if source._unless_null and getattr(row, source._unless_null) is None:
            return None
        return source.view(row, hidden=_within(name, hidden))

    def json(
        self, columns: Mapping[str, Any], *, hidden: Collection[str] = (), **computed: Any
    ) -> ColumnElement[str]:
        """The same of a row, as JSON text in pydantic's own spelling; a JSON column stands as it is stored."""
        values = {name: self._expression(name, columns, hidden, computed) for name in self._sources}
        pieces = [
            constant(f'{"," if number else "{"}"{name}":').concat(as_json(value))
            for number, (name, value) in enumerate(values.items())
        ]
        whole = _json(reduce(ColumnElement.concat, [*pieces, constant("}")]))
        return whole if self._unless_null is None else case((columns[self._unless_null].is_not(None), whole))

    def _expression(
        self, name: str, columns: Mapping[str, Any], hidden: Collection[str], computed: Mapping[str, Any]
    ) -> Any:
        source = self._sources[name]
        if name in hidden:
            return NULL
        if name in computed:
            return computed[name]
        return (
            columns[source] if isinstance(source, str) else source.json(columns, hidden=_within(name, hidden))
        )


def _within(name: str, hidden: Collection[str]) -> Collection[str]:
    return [path.removeprefix(f"{name}.") for path in hidden if path.startswith(f"{name}.")]


# -- pieces of JSON ----------------------------------------------------------------------------------------


class JsonText(Text):
    """Text that is JSON already."""


def _json(text: Any) -> ColumnElement[str]:
    return type_coerce(text, JsonText)


def constant(text: str) -> ColumnElement[str]:
    """Text that stands in the statement itself instead of being sent with each execution. Never input."""
    return literal_column("'" + text.replace("'", "''") + "'", Text)


def quoted(text: str) -> ColumnElement[str]:
    """Constant text as a string in JSON."""
    return _json(constant(json.dumps(text)))


NULL = _json(constant("null"))


def listed(rows: Select[Any]) -> ColumnElement[str]:
    """The values of one column, in the order of its rows, as a list."""
    (value,) = rows.subquery().c
    values = func.coalesce(_one_text(as_json(value)), constant(""))
    return _json(select(constant("[").concat(values).concat(constant("]"))).scalar_subquery())


class _one_text(FunctionElement[str]):
    """Texts of several rows with commas between."""

    type = Text()
    inherit_cache = True


@compiles(_one_text, "postgresql")
def _one_on_postgres(element: _one_text, compiler: SQLCompiler, **options: Any) -> str:
    return f"string_agg({compiler.process(element.clauses, **options)}, ',')"


@compiles(_one_text, "sqlite")
def _one_on_sqlite(element: _one_text, compiler: SQLCompiler, **options: Any) -> str:
    return f"group_concat({compiler.process(element.clauses, **options)}, ',')"


class day_after(FunctionElement[date]):
    """The day after a date."""

    type = Date()
    inherit_cache = True


@compiles(day_after, "postgresql")
def _next_on_postgres(element: day_after, compiler: SQLCompiler, **options: Any) -> str:
    return f"({compiler.process(element.clauses, **options)} + 1)"


@compiles(day_after, "sqlite")
def _next_on_sqlite(element: day_after, compiler: SQLCompiler, **options: Any) -> str:
    return f"date({compiler.process(element.clauses, **options)}, '+1 day')"


class as_json(FunctionElement[str]):
    """A value as the JSON text that pydantic writes of it."""

    type = JsonText()
    inherit_cache = True


# By type of the value; dates have years of four digits. An instant has six decimals or none, in UTC.
_ON_POSTGRES = {
    JsonText: "{0}",
    UtcDateTime: """'"' || replace(to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '.000000', '') || 'Z"'""",
}
_ON_SQLITE = {
    JsonText: "{0}",
    UtcDateTime: """'"' || replace(replace({0}, ' ', 'T'), '.000000', '') || 'Z"'""",
    Boolean: "CASE {0} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END",
    JSON: "{0}",
    Uuid: """'"' || substr({0}, 1, 8) || '-' || substr({0}, 9, 4) || '-' || substr({0}, 13, 4) || '-'"""
    """ || substr({0}, 17, 4) || '-' || substr({0}, 21) || '"'""",
}
_KINDS = (JsonText, UtcDateTime, Boolean, JSON, Uuid, Date, Integer, String)


@compiles(as_json, "postgresql")
def _on_postgres(element: as_json, compiler: SQLCompiler, **options: Any) -> str:
    return _written(element, _ON_POSTGRES, "to_json({0})::text", compiler, options)


@compiles(as_json, "sqlite")
def _on_sqlite(element: as_json, compiler: SQLCompiler, **options: Any) -> str:
    return _written(element, _ON_SQLITE, "json_quote({0})", compiler, options)


def _written(
    element: as_json, words: Mapping[type, str], otherwise: str, compiler: SQLCompiler, options: Any
) -> str:
    (value,) = element.clauses
    stored = value.type
    if isinstance(stored, TypeDecorator) and not isinstance(stored, UtcDateTime):
        stored = stored.impl_instance
    kind = next((kind for kind in _KINDS if isinstance(stored, kind)), None)
    if kind is None:
        raise TypeError(f"{value}: no JSON is written of {stored!r}")
    text = words.get(kind, otherwise).format(compiler.process(value, **options))
    return f"coalesce({text}, 'null')"
