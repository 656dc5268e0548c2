"""A view written by the database is the view written by Python; a list in parts is one list. On both databases."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Date,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Uuid,
    bindparam,
    case,
    insert,
    select,
)

from service_kit import Prepared
from service_kit.access import Caller, Predicate, either_council
from service_kit.database import Database
from service_kit.lists import Listing
from service_kit.paging import PageRequest, decode_cursor
from service_kit.problems import Refusal
from service_kit.shape import Shape, as_json, day_after, listed, quoted
from service_kit.strict import View
from service_kit.tables import UtcDateTime, json_type


class Colour(StrEnum):
    RED = "red"


class Inner(View):
    """Within `Outer`."""

    since: date | None
    note: str | None


class Outer(View):
    """One field of every kind."""

    id: UUID
    twin: UUID | None
    on: date | None
    at: datetime | None
    yes: bool | None
    size: int | None
    text: str | None
    colour: Colour | None
    facts: dict[str, Any] | None
    inner: Inner
    perhaps: Inner | None
    day_after: date | None


METADATA = MetaData()
TOY = Table(
    "toy_outer",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("twin", Uuid),
    Column("on", Date),
    Column("at", UtcDateTime),
    Column("yes", Boolean),
    Column("size", Integer),
    Column("text", String(60)),
    Column("colour", String(9)),
    Column("facts", json_type()),
    Column("since", Date),
    Column("note", String(60)),
    Column("secret", LargeBinary),
    Column("la", String(3)),
    Column("kept_by", String(3)),
    Index("ix_toy_outer_la", "la", "on", "id"),
)
OUTER = Shape(Outer, inner=Shape(Inner), perhaps=Shape(Inner, unless_null="since"))
A, B = UUID("0190aaaa-0000-7000-8000-00000000000a"), UUID("0190aaaa-0000-7000-8000-00000000000b")
EMPTY: dict[str, Any] = {**dict.fromkeys(TOY.c.keys()), "id": A}


@pytest.fixture
async def toy(db: Database) -> Database:
    async with db.engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    return db


async def stored(db: Database, **values: Any) -> None:
    async with db.transaction() as tx:
        await tx.fetch(Prepared(insert(TOY), *TOY.c.keys()), {**EMPTY, **values})


async def written(db: Database, **more: Any) -> str:
    computed = {"day_after": day_after(TOY.c.on)}
    ((text,),) = await db.fetch(Prepared(select(OUTER.json(TOY.c, **computed, **more))), {})
    return str(text)


NEXT_YEAR = timezone(timedelta(hours=-5))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"twin": B}, '"twin":"0190aaaa-0000-7000-8000-00000000000b"'),
        ({"on": date(2027, 2, 28)}, '"on":"2027-02-28"'),
        ({"on": date(2027, 2, 28)}, '"day_after":"2027-03-01"'),
        ({"at": datetime(2026, 7, 1, 0, 30, tzinfo=UTC)}, '"at":"2026-07-01T00:30:00Z"'),
        ({"at": datetime(2026, 12, 31, 22, 0, 0, 120, NEXT_YEAR)}, '"at":"2027-01-01T03:00:00.000120Z"'),
        ({"yes": True}, '"yes":true'),
        ({"yes": False}, '"yes":false'),
        ({"size": -7}, '"size":-7'),
        ({"text": ""}, '"text":""'),
        ({"text": "O'Hara é 陳 👩‍🏫"}, '"text":"O\'Hara é 陳 👩‍🏫"'),
        ({"text": 'a "b" \\ / </c> %s :d {e}'}, r'"text":"a \"b\" \\ / </c> %s :d {e}"'),
        ({"text": "\t\n\r\b\f\x01\x1f\x7f\u2028"}, '"text":"\\t\\n\\r\\b\\f\\u0001\\u001f\x7f\u2028"'),
        ({"colour": "red"}, '"colour":"red"'),
        ({"since": date(2026, 9, 1)}, '"inner":{"since":"2026-09-01","note":null}'),
        ({"since": date(2026, 9, 1), "note": "x"}, '"perhaps":{"since":"2026-09-01","note":"x"}'),
        ({"note": "x"}, '"perhaps":null'),
        ({}, '"at":null,"yes":null,"size":null,"text":null,"colour":null,"facts":null'),
    ],
)
async def test_the_database_writes_each_kind_of_value_as_the_view_does(
    toy: Database, values: dict[str, Any], expected: str
) -> None:
    await stored(toy, **values)
    row = (await toy.fetch(Prepared(select(TOY)), {}))[0]
    seen = type("Row", (), dict(zip(TOY.c.keys(), row, strict=True)))
    on = values.get("on")
    view = OUTER.view(seen, day_after=on and on + timedelta(days=1))
    text = await written(toy)
    assert expected in text
    assert text == view.model_dump_json()


async def test_a_json_column_stands_as_it_is_stored(toy: Database) -> None:
    await stored(toy, facts={"a": [1, None, "é\"'"], "b": {"c": True}})
    seen = Outer.model_validate_json(await written(toy))
    assert seen.facts == {"a": [1, None, "é\"'"], "b": {"c": True}}


async def test_hidden_fields_are_null_wherever_they_stand(toy: Database) -> None:
    await stored(toy, note="x", since=date(2026, 9, 1), size=7)
    text = await written(toy, hidden=("size", "inner.note", "perhaps"))
    assert '"inner":{"since":"2026-09-01","note":null},"perhaps":null' in text
    assert '"size":null' in text


async def test_rows_beside_and_constants_are_json_too(toy: Database) -> None:
    for name, id in (("b", A), ('"a"', B)):
        await stored(toy, id=id, note=name)
    notes = listed(select(TOY.c.note).order_by(TOY.c.note))
    none = listed(select(TOY.c.note).where(TOY.c.note == "c"))
    choice = as_json(case((TOY.c.note == "b", quoted('say "b"'))))
    rows = await toy.fetch(Prepared(select(notes, none, choice).order_by(TOY.c.id)), {})
    assert [tuple(row) for row in rows] == [
        (r'["\"a\"","b"]', "[]", r'"say \"b\""'),
        (r'["\"a\"","b"]', "[]", "null"),
    ]


async def test_a_kind_that_json_has_no_word_for_is_refused(toy: Database) -> None:
    with pytest.raises(TypeError, match="secret"):
        await toy.fetch(Prepared(select(as_json(TOY.c.secret))), {})


# --- lists --------------------------------------------------------------------------------------------------------


class Toys:
    """The key of the toy's scopes."""

    __table__ = TOY


def own_la(caller: Caller) -> tuple[Any, ...]:
    return either_council(TOY.c.la, TOY.c.kept_by, sorted(caller.las))


LIST = Listing(
    {Toys: {Predicate.own_la: own_la, Predicate.own_school: lambda _: ()}},
    Toys,
    lambda role: as_json(TOY.c.note) if role == "officer" else quoted(role),
    order=(TOY.c.on, TOY.c.id),
    filters={"size": TOY.c.size == bindparam("size")},
)


async def pages(
    db: Database, *las: str, limit: int = 2, role: str = "officer", **filters: Any
) -> list[list[str]]:
    """The notes of every page."""
    found: list[list[str]] = []
    cursor: Any = None
    while True:
        paging = PageRequest(limit, cursor, b"secret", "/toys")
        who = Caller("anybody", role, "900001", frozenset(las))
        statement = LIST.statement(who, "cases.list", filters, paging)
        page = json.loads(paging.written(await db.fetch(statement, {**filters, **paging.behind(2)})))
        found.append(page["items"])
        if page["next"] is None:
            return found
        cursor = decode_cursor(page["next"], secret=b"secret", route="/toys")


@pytest.fixture
async def toys(toy: Database) -> Database:
    """Notes say day, council and, if another, who keeps it for that council."""
    for number, note in enumerate(("1a", "2b", "2a", "3c", "3ab", "4ba", "5ca", "6a", "7b"), 1):
        day, la, kept_by = int(note[0]), note[1], note[-1]
        id = UUID(int=10 - number)
        await stored(toy, id=id, note=note, on=date(2026, 9, day), la=la, kept_by=kept_by, size=day)
    return toy


async def test_a_list_is_in_one_order_whichever_council_a_row_is_seen_through(toys: Database) -> None:
    assert await pages(toys, "a") == [["1a", "2a"], ["3ab", "4ba"], ["5ca", "6a"]]
    assert await pages(toys, "b") == [["2b", "3ab"], ["4ba", "7b"]]
    assert await pages(toys, "c") == [["3c", "5ca"]]


async def test_a_row_seen_through_several_councils_stands_there_once(toys: Database) -> None:
    assert await pages(toys, "a", "b", limit=3) == [["1a", "2a", "2b"], ["3ab", "4ba", "5ca"], ["6a", "7b"]]
    ten = [*"abcdefghij"]
    assert await pages(toys, *ten, limit=50) == [["1a", "2a", "2b", "3ab", "3c", "4ba", "5ca", "6a", "7b"]]
    assert await pages(toys, *"avwxyz", limit=50) == [["1a", "2a", "3ab", "4ba", "5ca", "6a"]]


async def test_nobody_sees_through_no_council(toys: Database) -> None:
    assert await pages(toys) == [[]]
    assert await pages(toys, "a", role="school") == [[]]


async def test_a_filter_narrows_what_may_be_seen(toys: Database) -> None:
    assert await pages(toys, "a", size=2) == [["2a"]]
    assert await pages(toys, "c", size=2) == [[]]


async def test_a_statement_is_shared_by_those_who_may_see_the_same_and_by_nobody_else() -> None:
    first, later = PageRequest(50, None, b"", ""), PageRequest(50, (date(2026, 9, 1), A), b"", "")

    def of(subject: str, la: str, paging: PageRequest = first, role: str = "officer") -> Prepared:
        return LIST.statement(Caller(subject, role, None, frozenset({la})), "cases.list", (), paging)

    assert of("ann", "a") is of("bob", "a")
    assert len({of("ann", "a"), of("ann", "b"), of("ann", "a", later), of("ann", "a", role="senior")}) == 4


async def test_a_role_that_may_not_list_is_refused() -> None:
    who = Caller("ann", "board", None, frozenset({"a"}))
    with pytest.raises(Refusal):
        LIST.statement(who, "cases.list", (), PageRequest(50, None, b"", ""))


async def test_a_cursor_of_another_order_is_refused() -> None:
    with pytest.raises(Refusal):
        PageRequest(50, (A,), b"", "").behind(2)
