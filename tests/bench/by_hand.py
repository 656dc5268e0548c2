"""A batch of lines by hand: 500 to a transaction, parsed, what is known looked up, and rows stored with one statement for
each table. Nothing is checked, decided or answered.

`fewest_rows` is the floor: a case, its history and an event in tables of its own. `same_rows` writes what case-service
stores for a new case into the tables of that service, with all their columns and indexes.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from tests.bench.fill import address_of
from tests.bench.machine import TODAY, Machine

from service_kit import uuid7
from service_kit.database import Database

CHUNK = 500
Document = dict[str, Any]
Columns = dict[str, str]
Writer = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True)
class Writing:
    """The tables with the columns that are written and their types on PostgreSQL; what is looked up in `cases` first (a
    condition that ends in a column, and that column's value in a document); the rows of a line, in the order of the tables."""

    tables: dict[str, Columns]
    sought: dict[str, Callable[[Document], Any]]
    rows: Callable[[Document, bytes], Iterable[tuple[Any, ...]]]

    def of(self, lines: list[bytes]) -> tuple[dict[str, list[Any]], dict[str, list[tuple[Any, ...]]]]:
        """The values to look up and the rows to write."""
        read = [(json.loads(line), line) for line in lines]
        values = {where: [found for d, _ in read if (found := of(d))] for where, of in self.sought.items()}
        rows = zip(*(self.rows(document, line) for document, line in read), strict=True)
        return values, dict(zip(self.tables, map(list, rows), strict=True))


# -- the two databases ---------------------------------------------------------------------------------------------


def _on_sqlite(path: str, writing: Writing) -> Writer:
    sqlite3.register_adapter(UUID, str)

    async def write(body: bytes) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        for lines in _chunks(body):
            values, rows = writing.of(lines)
            connection.execute("BEGIN IMMEDIATE")
            for where, sought in values.items():
                places = ",".join("?" * len(sought))
                connection.execute(f"SELECT id FROM cases WHERE {where} IN ({places})", sought).fetchall()
            for table, columns in writing.tables.items():
                places = ",".join("?" * len(columns))
                connection.executemany(f"{_into(table, columns)} VALUES ({places})", rows[table])
            connection.execute("COMMIT")
        connection.close()

    return write


def _on_postgres(address: str, writing: Writing) -> Writer:
    async def write(body: bytes) -> None:
        connection = await asyncpg.connect(address)
        for lines in _chunks(body):
            values, rows = writing.of(lines)
            async with connection.transaction():
                for where, sought in values.items():
                    await connection.fetch(f"SELECT id FROM cases WHERE {where} = ANY($1)", sought)
                for table, columns in writing.tables.items():
                    given = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(columns.values(), 1))
                    insert = f"{_into(table, columns)} SELECT * FROM unnest({given})"
                    await connection.execute(insert, *zip(*rows[table], strict=True))
        await connection.close()

    return write


def _into(table: str, columns: Columns) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)})"


def _chunks(body: bytes) -> Iterator[list[bytes]]:
    lines = body.splitlines()
    return (lines[start : start + CHUNK] for start in range(0, len(lines), CHUNK))


# -- the floor -----------------------------------------------------------------------------------------------------

_TABLES = """
    CREATE TABLE cases ({id} PRIMARY KEY, ref TEXT NOT NULL UNIQUE, surname TEXT, forename TEXT, born TEXT, mapped TEXT);
    CREATE TABLE changes (case_{id}, version INTEGER, what TEXT, PRIMARY KEY (case_id, version));
    CREATE TABLE outbox ({key} PRIMARY KEY, event_{id} UNIQUE, topic TEXT, subject TEXT, body {bytes});
"""


async def fewest_rows(machine: Machine, *, sqlite: bool) -> Writer:
    """Writes batches into a new database of three tables."""
    if sqlite:
        path = str(machine.folder("floor") / "floor.sqlite3")
        with closing(sqlite3.connect(path)) as file:
            file.executescript(_TABLES.format(id="id TEXT", key="position INTEGER", bytes="BLOB"))
        return _on_sqlite(path, _FEWEST)
    address = machine.database("floor")
    connection = await asyncpg.connect(address)
    await connection.execute(_TABLES.format(id="id UUID", key="position BIGSERIAL", bytes="BYTEA"))
    await connection.close()
    return _on_postgres(address, _FEWEST)


def _few(document: Document, line: bytes) -> Iterator[tuple[Any, ...]]:
    child, made = document["child"], uuid4()
    event = {"id": str(uuid4()), "subject": str(made), "data": document["plan"]}
    names = (child["surname"], child["forename"], child["birth_date"])
    yield (made, document["ref"], *names, line.decode())
    yield (made, 1, "registered")
    yield (uuid4(), "ehcp.cases", str(made), json.dumps(event).encode())


_FEWEST = Writing(
    {
        "cases": {"id": "uuid"} | dict.fromkeys(("ref", "surname", "forename", "born", "mapped"), "text"),
        "changes": {"case_id": "uuid", "version": "int", "what": "text"},
        "outbox": {"event_id": "uuid", "topic": "text", "subject": "text", "body": "bytea"},
    },
    {"ref": lambda document: document["ref"]},
    _few,
)


# -- the same rows as the service's --------------------------------------------------------------------------------


def same_rows(db: Database) -> Writer:
    """Writes batches into a database of case-service."""
    if db.is_sqlite:
        return _on_sqlite(str(db.url.database), _SAME)
    return _on_postgres(address_of(db), _SAME)


_TEXTS = (
    "la_code", "administering_la", "source", "source_la", "source_ref", "source_digest", "surname", "forename", "sex",
    "upn", "nhs_number", "postcode", "primary_need", "urn", "setting", "icb", "social_care_team", "officer", "status",
)  # fmt: skip
_DAYS = ("birth_date", "placed_since", "plan_first_made", "last_concluded", "next_facts_change")
_CASE = (
    {"id": "uuid"}
    | dict.fromkeys(_TEXTS, "text")
    | dict.fromkeys(_DAYS, "date")
    | {"source_mapped": "jsonb", "facts": "jsonb", "source_line": "bytea", "source_version": "bigint"}
    | {"version": "int", "plan_version": "int", "announced": "bool", "appeal_open": "bool"}
    | {"created_at": "timestamptz", "updated_at": "timestamptz"}
)
_FACTS = {
    "academic_year": "2026/27", "year_group": 5, "phase": None, "transfer_on": None, "phase_due": None, "phase_by": None,
    "phase_deadline_impossible": False, "under5_interims": [], "adulthood_preparation": False, "addressee": "parent",
}  # fmt: skip


def _same_rows(document: Document, line: bytes) -> Iterator[tuple[Any, ...]]:
    made, event, now = uuid4(), uuid7(), datetime.now(UTC)
    said = {**document["child"], **document["plan"], **document["placement"]}
    mapped = json.dumps(said)
    case = (
        document
        | said
        | {"source": "liquid-logic", "source_ref": document["ref"], "next_facts_change": "2027-09-01"}
    )
    case |= {"la_code": document["responsible_la"], "source_la": document["administering_la"]}
    case |= {"placed_since": said.get("since"), "source_digest": hashlib.sha256(mapped.encode()).hexdigest()}
    texts = [case.get(name) for name in _TEXTS]
    days = [case.get(name) and date.fromisoformat(case[name]) for name in _DAYS]
    mark = hashlib.sha256(line).digest()
    yield (made, *texts, *days, mapped, json.dumps(_FACTS), mark, 1, 1, 1, True, False, now, now)
    yield (made, 1, "plan_registered", "[]", event, _TYPE, "system:liquid-logic", now, TODAY)
    yield (str(made), 1)
    yield (event, "ehcp.cases", str(made), 1, _event(event, str(made), document), now)


_TYPE = "ehcp.plan-registered.v1"


def _event(event_id: UUID, subject: str, document: Document) -> bytes:
    responsible = {
        name: document.get(name) for name in ("responsible_la", "administering_la", "icb", "officer")
    }
    data = {
        **document["plan"],
        "placement": document["placement"],
        "responsible": responsible,
        "facts": _FACTS,
    }
    envelope = {
        "specversion": "1.0",
        "id": str(event_id),
        "source": "/case-service",
        "type": _TYPE,
        "subject": subject,
        "time": datetime.now(UTC).isoformat(),
        "dataschema": f"http://hub.test/schemas/{_TYPE}.json",
        "datacontenttype": "application/json",
        "sequence": "0000000001",
        "partitionkey": subject,
        "dataref": f"/v1/cases/{subject}",
        "lacode": document["responsible_la"],
        "data": data,
    }
    return json.dumps(envelope).encode()


_SAME = Writing(
    {
        "cases": _CASE,
        "changes": {"case_id": "uuid", "version": "int", "what": "text", "fields": "jsonb", "event_id": "uuid", "event_type": "text", "who": "text", "at": "timestamptz", "business_date": "date"},
        "sequences": {"subject": "text", "last": "bigint"},
        "outbox": {"event_id": "uuid", "topic": "text", "subject": "text", "sequence": "bigint", "body": "bytea", "written_at": "timestamptz"},
    },
    {
        "source = 'liquid-logic' AND source_la = '351' AND source_ref": lambda document: document["ref"],
        "status <> 'ceased' AND upn": lambda document: document["child"].get("upn"),
        "status <> 'ceased' AND nhs_number": lambda document: document["child"].get("nhs_number"),
    },
    _same_rows,
)  # fmt: skip
