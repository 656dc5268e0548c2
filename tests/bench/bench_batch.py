"""Liquid Logic's batch of 2,850 cases against one transaction per 500 lines by hand, which parses each line, looks up
the known references, and stores case, history and outbox rows with one statement each.

The whole way: HTTP (in the process), NDJSON, validation, the statute's facts, events, results. Pushed a second time,
unchanged, as happens every night.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
from tests.bench.machine import TODAY, Machine
from tests.bench.measure import Row, in_turn, profiled, rate_row, seconds

from case_service.main import service
from ehcp_embedded.demo.register import institutions
from ehcp_embedded.demo.shaped import caseload
from service_kit import Running
from service_kit.service import Part
from service_kit.testing import Bearer

PLANS, CHUNK = 2_850, 500
Documents = list[dict[str, Any]]


async def bench(machine: Machine) -> list[Row]:
    return [*await _on(machine, sqlite=True), *await _on(machine, sqlite=False)]


async def _on(machine: Machine, *, sqlite: bool) -> list[Row]:
    where = "SQLite" if sqlite else "PostgreSQL"
    documents = caseload(TODAY, PLANS)
    async with machine.service(service, sqlite=sqlite) as running:
        await _load_register(running)
        batches = _batches(documents)
        pushed: list[Documents] = []
        by_hand = partial(_on_sqlite, machine.folder("floor")) if sqlite else partial(_on_postgres, machine)
        with profiled(f"batch-{where}"):
            lowest, new, again = await in_turn(
                partial(_floor, by_hand, batches),
                partial(_new, running, batches, pushed),
                partial(_again, running, pushed),
                rounds=1,
            )
    return [
        rate_row(f"Liquid Logic batch, {where}: new cases", "lines/s", lowest, new, 0.5),
        rate_row(f"Liquid Logic batch, {where}: unchanged", "lines/s", lowest, again, 0.5),
    ]


def _batches(documents: Documents) -> Iterator[Documents]:
    """The same children again and again under new references; a UPN stands for one child only."""
    while True:
        mark = uuid4().hex[:8]
        yield [
            {**d, "ref": f"{mark}-{n}", "child": {**d["child"], "upn": None}} for n, d in enumerate(documents)
        ]


def _lines(documents: Documents) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


# -- ours ----------------------------------------------------------------------------------------------------------


async def _load_register(running: Running) -> None:
    lines = [institution.line() for institution in institutions()]
    await _post(running, "/v1/imports/institutions", _lines(lines))


async def _new(running: Running, batches: Iterator[Documents], pushed: list[Documents]) -> float:
    pushed.append(next(batches))
    return await _push(running, pushed[-1], "created")


async def _again(running: Running, pushed: list[Documents]) -> float:
    return await _push(running, pushed[-1], "unchanged")


async def _push(running: Running, documents: Documents, expected: str) -> float:
    body = _lines(documents)
    took = await seconds(_post(running, "/v1/sources/liquid-logic/batches", body, expected))
    return len(documents) / took


async def _post(running: Running, path: str, body: bytes, expected: str = "created") -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    app = running.app(frozenset({Part.SERVE}))
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app),
        base_url="http://hub.test",
        auth=Bearer("adapter", "liquid-logic", ()),
        timeout=600,
    ) as client:
        answer = await client.post(path, content=chunks(), headers={"Content-Type": "application/x-ndjson"})
    statuses = {json.loads(line)["status"] for line in answer.text.splitlines()}
    if statuses != {expected}:
        raise RuntimeError(f"{answer.status_code} {statuses} {answer.text[:500]}")


# -- the floor -----------------------------------------------------------------------------------------------------


async def _floor(by_hand: Any, batches: Iterator[Documents]) -> float:
    documents = next(batches)
    body = _lines(documents)
    return len(documents) / await seconds(by_hand(body))


def _rows(lines: list[bytes]) -> tuple[list[Any], list[Any], list[Any]]:
    """Case, history and outbox rows of a chunk."""
    cases, changes, outbox = [], [], []
    for line in lines:
        case = json.loads(line)
        child, made = case["child"], uuid4()
        event = json.dumps({"id": str(uuid4()), "subject": str(made), "data": case["plan"]}).encode()
        cases.append(
            (made, case["ref"], child["surname"], child["forename"], child["birth_date"], line.decode())
        )
        changes.append((made, 1, "registered"))
        outbox.append((uuid4(), "ehcp.cases", str(made), event))
    return cases, changes, outbox


_TABLES = """
    CREATE TABLE cases ({id} PRIMARY KEY, ref TEXT NOT NULL UNIQUE, surname TEXT, forename TEXT, born TEXT, mapped TEXT);
    CREATE TABLE changes (case_{id}, version INTEGER, what TEXT, PRIMARY KEY (case_id, version));
    CREATE TABLE outbox ({key} PRIMARY KEY, event_{id} UNIQUE, topic TEXT, subject TEXT, body {bytes});
"""
_COLUMNS = {"cases": 6, "changes": 3, "outbox": 4}


def _chunks(body: bytes) -> Iterator[list[bytes]]:
    lines = body.splitlines()
    return (lines[start : start + CHUNK] for start in range(0, len(lines), CHUNK))


async def _on_sqlite(folder: Path, body: bytes) -> None:
    sqlite3.register_adapter(type(uuid4()), str)
    path = folder / "floor.sqlite3"
    is_new = not path.exists()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    if is_new:
        connection.executescript(_TABLES.format(id="id TEXT", key="position INTEGER", bytes="BLOB"))
    for lines in _chunks(body):
        connection.execute("BEGIN IMMEDIATE")
        for (table, width), rows in zip(_COLUMNS.items(), _rows(lines), strict=True):
            if table == "cases":
                refs = [row[1] for row in rows]
                connection.execute(
                    f"SELECT id FROM cases WHERE ref IN ({','.join('?' * len(refs))})", refs
                ).fetchall()
            places = ",".join("?" * width)
            names = "(event_id, topic, subject, body)" if table == "outbox" else ""
            connection.executemany(f"INSERT INTO {table} {names} VALUES ({places})", rows)
        connection.execute("COMMIT")
    connection.close()


async def _on_postgres(machine: Machine, body: bytes) -> None:
    if "batch_floor" not in machine.__dict__:
        machine.__dict__["batch_floor"] = machine.database("floor")
        connection = await asyncpg.connect(machine.__dict__["batch_floor"])
        await connection.execute(_TABLES.format(id="id UUID", key="position BIGSERIAL", bytes="BYTEA"))
    else:
        connection = await asyncpg.connect(machine.__dict__["batch_floor"])
    kinds = {
        "cases": "uuid, text, text, text, text, text",
        "changes": "uuid, int, text",
        "outbox": "uuid, text, text, bytea",
    }
    for lines in _chunks(body):
        async with connection.transaction():
            for table, rows in zip(_COLUMNS, _rows(lines), strict=True):
                if table == "cases":
                    await connection.fetch(
                        "SELECT id FROM cases WHERE ref = ANY($1)", [row[1] for row in rows]
                    )
                arrays = ", ".join(
                    f"${n}::{kind.strip()}[]" for n, kind in enumerate(kinds[table].split(","), 1)
                )
                names = "(event_id, topic, subject, body)" if table == "outbox" else ""
                columns = [list(column) for column in zip(*rows, strict=True)]
                await connection.execute(
                    f"INSERT INTO {table} {names} SELECT * FROM unnest({arrays})", *columns
                )
    await connection.close()
