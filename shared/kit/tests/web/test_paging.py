"""Keyset paging: bad-inputs 1.16, S83."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    Column,
    Date,
    DateTime,
    Integer,
    MetaData,
    String,
    Table,
    Uuid,
    create_engine,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql

from service_kit.paging import Key, PageRequest, after, decode_cursor, encode_cursor
from service_kit.problems import Refusal

SECRET = b"k" * 32
ROUTE = "/v1/reviews"
KEYS: list[tuple[Key, ...]] = [
    ("name", 5, date(2026, 9, 1), UUID(int=7), datetime(2026, 9, 1, 8, 30, tzinfo=UTC)),
    ("", -1),
    ("O’Brien ' \" \\ \x00", 2**53),
    (),
]


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_a_cursor_gives_back_its_key(key: tuple[Key, ...]) -> None:
    cursor = encode_cursor(key, secret=SECRET, route=ROUTE)
    assert decode_cursor(cursor, secret=SECRET, route=ROUTE) == key
    assert cursor.replace("-", "").replace("_", "").isalnum()


def test_s83_a_cursor_with_one_character_changed_is_400() -> None:
    cursor = encode_cursor(KEYS[0], secret=SECRET, route=ROUTE)
    for place in range(len(cursor)):
        other = "A" if cursor[place] != "A" else "B"
        with pytest.raises(Refusal, match="bad-parameter"):
            decode_cursor(cursor[:place] + other + cursor[place + 1 :], secret=SECRET, route=ROUTE)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "====",
        "a" * 2048,
        "é",
        "../..",
        "null",
        base64.urlsafe_b64encode(b"\0" * 16 + b'[["i",1]]').decode(),
        "A" * 22,
    ],
)
def test_a_made_up_cursor_is_400(cursor: str) -> None:
    with pytest.raises(Refusal, match="bad-parameter"):
        decode_cursor(cursor, secret=SECRET, route=ROUTE)


def test_a_cursor_counts_for_its_route_and_key_only() -> None:
    cursor = encode_cursor((1,), secret=SECRET, route=ROUTE)
    for changes in ({"route": "/v1/cases"}, {"secret": b"j" * 32}):
        with pytest.raises(Refusal, match="bad-parameter"):
            decode_cursor(cursor, **({"secret": SECRET, "route": ROUTE} | changes))  # type: ignore[arg-type]
    for spelling in (cursor + "=", cursor + "\n", cursor + " "):
        with pytest.raises(Refusal, match="bad-parameter"):
            decode_cursor(spelling, secret=SECRET, route=ROUTE)


metadata = MetaData()
ROWS = Table(
    "rows",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("due", Date),
    Column("name", String),
    Column("rank", Integer),
    Column("at", DateTime),
)


def test_walking_the_pages_sees_each_row_once_in_order() -> None:
    """Ties in the first column are where offsets and single-column cursors lose rows."""
    engine = create_engine("sqlite://")
    made = [(date(2026, 9, 1 + n % 3), UUID(int=(n * 7919) % 101)) for n in range(101)]
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.execute(insert(ROWS), [{"due": due, "id": one} for due, one in made])
        seen: list[tuple[date, UUID]] = []
        cursor: str | None = None
        while True:
            key = decode_cursor(cursor, secret=SECRET, route=ROUTE) if cursor else None
            request = PageRequest(limit=10, cursor=key, secret=SECRET, route=ROUTE)
            query = select(ROWS.c.due, ROWS.c.id).where(request.after(ROWS.c.due, ROWS.c.id))
            rows: Any = connection.execute(query.order_by(ROWS.c.due, ROWS.c.id).limit(request.fetch)).all()
            page = request.page(rows, key=lambda row: (row.due, row.id), view=lambda row: (row.due, row.id))
            assert len(page.items) <= 10
            seen += page.items
            cursor = page.next
            if cursor is None:
                break
    engine.dispose()
    assert seen == sorted(made)


def test_a_full_last_page_has_no_next() -> None:
    request = PageRequest(limit=2, cursor=None, secret=SECRET, route=ROUTE)
    assert request.page([1, 2], key=lambda n: (n,), view=str).model_dump() == {
        "items": ["1", "2"],
        "next": None,
    }
    assert request.page([1, 2, 3], key=lambda n: (n,), view=str).next is not None
    assert request.page([], key=lambda n: (n,), view=str).model_dump() == {"items": [], "next": None}


def test_the_clause_is_one_row_comparison_on_postgresql() -> None:
    clause = after([ROWS.c.due, ROWS.c.id], (date(2026, 9, 1), UUID(int=1)))
    text = str(clause.compile(dialect=postgresql.dialect()))
    assert text.startswith("(rows.due, rows.id) > (")


def test_a_cursor_of_another_length_is_400_and_none_is_no_condition() -> None:
    with pytest.raises(Refusal, match="bad-parameter"):
        after([ROWS.c.due, ROWS.c.id], (1,))
    assert str(after([ROWS.c.due], None)) == "true"


def test_a_bool_is_no_key() -> None:
    with pytest.raises(TypeError):
        encode_cursor((True,), secret=SECRET, route=ROUTE)
