"""Statements that go straight to the driver, and the transaction they share with a session, on both databases."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Date,
    Integer,
    MetaData,
    String,
    Table,
    Uuid,
    bindparam,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError

from service_kit import Prepared
from service_kit.database import COPIED, Database, add_all, insert_all, insert_many
from service_kit.tables import UtcDateTime, json_type

METADATA = MetaData()
KEPT = Table(
    "kept",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("day", Date),
    Column("at", UtcDateTime),
    Column("yes", Boolean),
    Column("more", json_type()),
    Column("size", Integer),
    Column("name", String(20)),
)
ID = UUID("0190aaaa-0000-7000-8000-000000000001")
OTHER = UUID("0190aaaa-0000-7000-8000-000000000002")
SUMMER = datetime(2026, 7, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))
ROW: dict[str, Any] = {
    "id": ID,
    "day": date(2026, 9, 1),
    "at": SUMMER,
    "yes": True,
    "more": {"a": [1, None]},
    "size": 7,
    "name": "O'Hara é",
}
EMPTY: dict[str, Any] = {**dict.fromkeys(ROW), "id": OTHER}
STORE = Prepared(insert(KEPT), *KEPT.columns.keys())
ALL = Prepared(select(KEPT).order_by(KEPT.c.id))
BY_SIZE = Prepared(select(KEPT.c.id).where(KEPT.c.size > bindparam("above"), KEPT.c.name != "nobody"))


@pytest.fixture
async def kept(db: Database) -> Database:
    async with db.engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    return db


async def test_every_type_comes_back_as_it_went_in(kept: Database) -> None:
    async with kept.transaction() as tx:
        await tx.fetch(STORE, ROW)
        await tx.fetch(STORE, EMPTY)
    first, second = await kept.fetch(ALL, {})
    assert list(first) == [*ROW.values()]
    assert (first[2], first[2].utcoffset()) == (datetime(2026, 6, 30, 23, 30, tzinfo=UTC), timedelta(0))
    assert list(second) == [OTHER, *[None] * 6]


async def test_a_value_that_is_asked_for_must_be_given(kept: Database) -> None:
    async with kept.transaction() as tx:
        await tx.fetch(STORE, ROW)
    assert [row[0] for row in await kept.fetch(BY_SIZE, {"above": 6})] == [ID]
    assert await kept.fetch(BY_SIZE, {"above": 7}) == []
    with pytest.raises(KeyError):
        await kept.fetch(BY_SIZE, {})


async def test_a_list_of_varying_length_is_refused(kept: Database) -> None:
    with pytest.raises(ValueError, match="IN list"):
        await kept.fetch(Prepared(select(KEPT.c.id).where(KEPT.c.size.in_([1, 2]))), {})


async def test_a_session_and_a_statement_share_one_transaction(kept: Database) -> None:
    async with kept.transaction() as tx:
        await tx.fetch(STORE, ROW)
        assert (await tx.session.execute(select(KEPT.c.size))).scalar_one() == 7
        await tx.session.execute(insert(KEPT).values(id=OTHER))
        assert len(await tx.fetch(ALL, {})) == 2
    assert len(await kept.fetch(ALL, {})) == 2


async def test_what_either_wrote_is_gone_when_the_block_raises(kept: Database) -> None:
    with pytest.raises(RuntimeError, match="no"):
        async with kept.transaction() as tx:
            await tx.session.execute(insert(KEPT).values(id=OTHER))
            await tx.fetch(STORE, ROW)
            raise RuntimeError("no")
    assert await kept.fetch(ALL, {}) == []


@pytest.mark.parametrize("rows", [[ROW], [ROW, {**ROW, "id": OTHER, "more": [None]}]])
async def test_one_row_and_many_are_stored_and_returned_alike(
    kept: Database, rows: list[dict[str, Any]]
) -> None:
    statement = insert_many(KEPT, kept.engine.dialect.name, *ROW).returning(KEPT.c.id)
    async with kept.write() as tx:
        assert {row[0] for row in await insert_all(tx, statement, rows)} == {row["id"] for row in rows}
    assert [row[4] for row in await kept.fetch(ALL, {})] == [row["more"] for row in rows]


@pytest.mark.parametrize("number", [1, 2, COPIED + 1])
async def test_new_rows_are_stored_alike_however_many_they_are(kept: Database, number: int) -> None:
    names, row = list(ROW), tuple(ROW.values())
    rows = [(UUID(int=n), *row[1:]) for n in range(number - 1)] + [tuple(EMPTY.values())]
    async with kept.write() as tx:
        await add_all(tx, KEPT, names, rows)
    assert [tuple(row) for row in await kept.fetch(ALL, {})] == rows


@pytest.mark.parametrize("number", [0, 2, COPIED + 1])
async def test_a_row_that_is_there_already_is_refused_with_all_that_came_with_it(
    kept: Database, number: int
) -> None:
    async with kept.write() as tx:
        await add_all(tx, KEPT, ["id"], [(OTHER,)])
    with pytest.raises(IntegrityError):
        async with kept.write() as tx:
            await add_all(tx, KEPT, ["id"], [*[(UUID(int=n),) for n in range(number)], (OTHER,)])
    assert [row[0] for row in await kept.fetch(ALL, {})] == [OTHER]
