"""Keyset paging: `?limit=50&cursor=…`, answered as `{"items": […], "next": cursor or null}`.

A cursor holds the sort key of the last row shown, signed and bound to the route, so that nobody can make
one up. No offsets: rows that come or go meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query, Request
from sqlalchemy import ColumnElement, bindparam, true, tuple_

from service_kit.problems import Fault, Refusal
from service_kit.strict import View

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

Key = str | int | date | datetime | UUID
T = TypeVar("T")
R = TypeVar("R")


class Page(View, Generic[T]):
    """One page of a list; `next` is the cursor of the following page, null on the last one."""

    items: list[T]
    next: str | None = None


def _pack(value: Key) -> list[Any]:
    if isinstance(value, bool):
        raise TypeError("a cursor holds str, int, date, datetime or UUID")
    if isinstance(value, datetime):
        return ["t", value.astimezone(UTC).isoformat()]
    if isinstance(value, date):
        return ["d", value.isoformat()]
    if isinstance(value, UUID):
        return ["u", str(value)]
    if isinstance(value, int):
        return ["i", value]
    return ["s", str(value)]


_UNPACK: dict[str, Callable[[Any], Key]] = {
    "t": datetime.fromisoformat,
    "d": date.fromisoformat,
    "u": UUID,
    "i": int,
    "s": str,
}


def encode_cursor(key: Sequence[Key], *, secret: bytes, route: str) -> str:
    """A signed cursor for the sort key of the last row shown; valid for this route (its path template)
    only."""
    payload = json.dumps([_pack(value) for value in key], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_sign(payload, secret, route) + payload).decode().rstrip("=")


def decode_cursor(cursor: str, *, secret: bytes, route: str) -> tuple[Key, ...]:
    """The sort key in a cursor. Raises `Refusal` bad-parameter if one bit of it, or the route, is
    different."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _bad("cursor") from None
    signature, payload = raw[:16], raw[16:]
    # Base64 has several spellings of the same bytes; only the one that was handed out counts.
    same = base64.urlsafe_b64encode(raw).decode().rstrip("=") == cursor
    if not same or not hmac.compare_digest(signature, _sign(payload, secret, route)):
        raise _bad("cursor")
    return tuple(_UNPACK[kind](value) for kind, value in json.loads(payload))


def _sign(payload: bytes, secret: bytes, route: str) -> bytes:
    return hmac.new(secret, route.encode() + b"\0" + payload, hashlib.sha256).digest()[:16]


def _bad(name: str) -> Refusal:
    texts = {
        "limit": f"This must be a whole number from 1 to {MAX_LIMIT}.",
        "cursor": "This is not a cursor of this list.",
    }
    return Refusal("bad-parameter", errors=[Fault(f"/{name}", name, texts[name])])


def after(columns: Sequence[ColumnElement[Any]], cursor: Sequence[Key] | None) -> ColumnElement[bool]:
    """SQL: rows behind the cursor in the ascending order of `columns` (not null, the last one unique); true
    for the first page. A row value comparison, which both databases answer from an index over these
    columns."""
    if cursor is None:
        return true()
    if len(cursor) != len(columns):
        raise _bad("cursor")
    bound = [bindparam(None, value, type_=column.type) for column, value in zip(columns, cursor, strict=True)]
    return tuple_(*columns) > tuple_(*bound)


@dataclass(frozen=True)
class PageRequest:
    """What the caller asked for. Read `limit + 1` rows behind `cursor`, then make the `page`."""

    limit: int
    cursor: tuple[Key, ...] | None
    secret: bytes
    route: str

    @property
    def fetch(self) -> int:
        """How many rows to read: one more than shown tells whether there is a next page."""
        return self.limit + 1

    def after(self, *columns: Any) -> ColumnElement[bool]:
        """`after(columns, cursor)` for this request."""
        return after(columns, self.cursor)

    def page(self, rows: Sequence[R], key: Callable[[R], Sequence[Key]], view: Callable[[R], T]) -> Page[T]:
        """The page of up to `limit` of these rows; `key` gives a row's sort key, `view` its public form."""
        shown = rows[: self.limit]
        more = len(rows) > self.limit
        following = encode_cursor(key(shown[-1]), secret=self.secret, route=self.route) if more else None
        return Page(items=[view(row) for row in shown], next=following)

    def behind(self, keys: int) -> dict[str, Key]:
        """The cursor as parameters `behind_0`, `behind_1`…, of a list sorted by so many columns."""
        if self.cursor is not None and len(self.cursor) != keys:
            raise _bad("cursor")
        return {f"behind_{n}": value for n, value in enumerate(self.cursor or ())}

    def written(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """The same page of rows that are JSON text, followed by their sort key."""
        more = len(rows) > self.limit
        key = rows[self.limit - 1][1:] if more else ()
        following = f'"{encode_cursor(key, secret=self.secret, route=self.route)}"' if more else "null"
        items = ",".join([row[0] for row in rows[: self.limit]])
        return f'{{"items":[{items}],"next":{following}}}'.encode()


async def page_request(  # async: FastAPI would give a plain function to a thread
    request: Request,
    limit: Annotated[str | None, Query(description="rows per page, 1 to 200; 50 if not given")] = None,
    cursor: Annotated[str | None, Query(description="`next` of the page before", max_length=2048)] = None,
) -> PageRequest:
    """The dependency behind `Paging`. Raises `Refusal` bad-parameter."""
    count = DEFAULT_LIMIT
    if limit is not None:
        if not re.fullmatch(r"[0-9]{1,3}", limit) or not 1 <= int(limit) <= MAX_LIMIT:
            raise _bad("limit")
        count = int(limit)
    secret: bytes = request.app.state.cursor_key
    route: str = request.scope["route"].path
    key = decode_cursor(cursor, secret=secret, route=route) if cursor is not None else None
    return PageRequest(count, key, secret, route)


Paging = Annotated[PageRequest, Depends(page_request)]
