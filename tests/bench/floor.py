"""The floor over HTTP: FastAPI and asyncpg by hand, without access rules, keys or layers.

`POST /write` stores a row and an outbox row in one transaction; `GET /page/{name}` lets PostgreSQL build the JSON of 50
rows behind a key. Connections are given back without a reset query.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from fastapi import FastAPI, Response
from pydantic import BaseModel

TABLES = """
    CREATE TABLE plain_row (
        id uuid PRIMARY KEY, la text NOT NULL, surname text NOT NULL, forename text NOT NULL,
        birth_date date NOT NULL, officer text, made_at timestamptz NOT NULL);
    CREATE TABLE plain_outbox (
        position bigserial PRIMARY KEY, event_id uuid NOT NULL, topic text NOT NULL, subject text NOT NULL,
        body bytea NOT NULL, written_at timestamptz NOT NULL, published_at timestamptz);
"""
PAGES = {
    # name: (table, columns of the order, type of the first)
    "cases": ("plain_cases", "updated_at", "timestamptz"),
    "reviews": ("plain_reviews", "due_on", "date"),
}


class Note(BaseModel):
    """What is written."""

    la: str
    surname: str
    forename: str
    birth_date: date
    officer: str | None = None


def on_sqlite(path: str) -> FastAPI:
    """The write on SQLite, inline: nothing is faster for one writer, and nothing else is answered meanwhile."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE plain_row (id PRIMARY KEY, la, surname, forename, birth_date, officer, made_at)"
    )
    connection.execute(
        "CREATE TABLE plain_outbox (position INTEGER PRIMARY KEY, event_id, topic, subject, body, at)"
    )
    served = FastAPI()

    @served.post("/write", status_code=201)
    async def write(note: Note) -> Response:
        made, now, fields = str(uuid4()), datetime.now(UTC).isoformat(), note.model_dump(mode="json")
        answer = b'{"id":"%s",%s' % (made.encode(), note.model_dump_json().encode()[1:])
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "INSERT INTO plain_row VALUES (?, ?, ?, ?, ?, ?, ?)", (made, *fields.values(), now)
        )
        outgoing = (str(uuid4()), "ehcp.cases", made, answer, now)
        connection.execute("INSERT INTO plain_outbox VALUES (NULL, ?, ?, ?, ?, ?)", outgoing)
        connection.execute("COMMIT")
        return Response(answer, 201, media_type="application/json")

    return served


def app(database: str) -> FastAPI:
    """The application on a PostgreSQL database of its own."""
    pool: Any = None

    async def keep(_: Any) -> None:
        """Instead of asyncpg's reset query."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        nonlocal pool
        pool = await asyncpg.create_pool(database, min_size=10, max_size=10, reset=keep)
        yield
        await pool.close()

    served = FastAPI(lifespan=lifespan)

    @served.post("/write", status_code=201)
    async def write(note: Note) -> Response:
        made, now = uuid4(), datetime.now(UTC)
        answer = b'{"id":"%s",%s' % (str(made).encode(), note.model_dump_json().encode()[1:])
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO plain_row VALUES ($1, $2, $3, $4, $5, $6, $7)",
                made, note.la, note.surname, note.forename, note.birth_date, note.officer, now,
            )  # fmt: skip
            await connection.execute(
                "INSERT INTO plain_outbox (event_id, topic, subject, body, written_at) VALUES ($1, $2, $3, $4, $5)",
                uuid4(), "ehcp.cases", str(made), answer, now,
            )  # fmt: skip
        return Response(answer, 201, media_type="application/json")

    @served.get("/page/{name}")
    async def page(name: str, after: str | None = None, last: UUID | None = None) -> Response:
        table, order, kind = PAGES[name]
        start = f"AND ({order}, id) > ($2::text::{kind}, $3)" if after else ""
        values = [after, last] if after else []
        query = (
            f"SELECT json_build_object('items', coalesce(json_agg(row_to_json(r)), '[]'))::text FROM"
            f" (SELECT * FROM {table} WHERE la = $1 {start} ORDER BY {order}, id LIMIT 50) r"
        )
        async with pool.acquire() as connection:
            body = await connection.fetchval(query, "351", *values)
        return Response(body, media_type="application/json")

    return served
