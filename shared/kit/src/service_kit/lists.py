"""Lists that the database writes: a page is one statement, whose rows are JSON text.

A service declares a `Listing` beside its scopes; `Context.page` answers a page of it. Which rows the caller may see is
part of the statement, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, literal_column, select, tuple_, union_all

from service_kit.access import Caller, Scopes, alternatives
from service_kit.paging import DEFAULT_LIMIT, MAX_LIMIT, PageRequest
from service_kit.prepared import Prepared

_MOST_KEPT = 500
# PostgreSQL does not know a limit that is a parameter when it plans, and plans each execution anew.
_LIMITS = (DEFAULT_LIMIT + 1, MAX_LIMIT + 1)


class Listing:
    """The rows of `table`, a key of `scopes`: `item` gives the JSON of a row as a role sees it (`Shape.json`), `order`
    are the columns by which it is sorted and paged (ascending, not null, the last one unique), `filters` conditions by
    name, each on a parameter of its own name.

    Statements are kept, one for each combination of rights and filters.
    """

    def __init__(
        self,
        scopes: Scopes,
        table: Any,
        item: Callable[[str], ColumnElement[str]],
        order: Sequence[Any],
        filters: Mapping[str, ColumnElement[bool]],
    ) -> None:
        self.order = order
        self._scopes, self._table, self._item, self._filters = scopes, table, item, filters
        self._kept = lru_cache(_MOST_KEPT)(self._made)

    def statement(self, who: Caller, action: str, filters: Iterable[str], paging: PageRequest) -> Prepared:
        """The statement of a page: its rows and at least one more, if there is one, each its JSON and its sort key.
        It needs the parameters of `PageRequest.behind`."""
        rights = replace(who, subject="", client_id=None)  # the same statement for all who may see the same
        limit = next(limit for limit in _LIMITS if limit >= paging.fetch)
        return self._kept(rights, action, frozenset(filters), limit, paging.cursor is None)

    def _made(
        self, rights: Caller, action: str, filters: frozenset[str], limit: int, first: bool
    ) -> Prepared:
        conditions = [self._filters[name] for name in sorted(filters)]
        if not first:
            key = [bindparam(f"behind_{n}", type_=column.type) for n, column in enumerate(self.order)]
            conditions.append(tuple_(*self.order) > tuple_(*key))
        # Each part is read in the order of its own index and only as far as the page goes; then its rows are written.
        parts = [
            _some(select(*self.order).where(part, *conditions), self.order, limit).subquery()
            for part in alternatives(rights, action, self._scopes, self._table)
        ]
        keys = parts[0] if len(parts) == 1 else union_all(*(select(part) for part in parts)).subquery()
        unique = self.order[-1]
        rows = select(self._item(rights.role), *self.order).join(keys, keys.c[unique.name] == unique)
        return Prepared(_some(rows, [keys.c[column.name] for column in self.order], limit))


def _some(rows: Select[Any], order: Sequence[Any], limit: int) -> Select[Any]:
    return rows.order_by(*order).limit(literal_column(str(limit)))
