"""A running case-service with a few invented schools, and builders for what is sent to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from case_service.main import service
from service_kit.settings import Environment, Settings
from service_kit.testing import Harness, running

Document = dict[str, Any]
TODAY = date(2026, 9, 14)
BURY, ROCHDALE = "351", "354"
PRIMARY, INFANT, SECONDARY, MIDDLE = "900101", "900102", "900103", "900104"

SCHOOLS = [
    {"urn": PRIMARY, "name": "Larkhill Primary School (invented)", "kind": "primary", "ages": (4, 11)},
    {"urn": INFANT, "name": "Mill Brow Infant School (invented)", "kind": "infant", "ages": (4, 7)},
    {"urn": SECONDARY, "name": "Irwell Vale High School (invented)", "kind": "secondary", "ages": (11, 16)},
    {"urn": MIDDLE, "name": "Two Bridges First School (invented)", "kind": "primary", "ages": (4, 9)},
]
# Weights and letters of the UPN's check letter (DfE guide); the school number 9999 belongs to no school.
LETTERS = "ABCDEFGHJKLMNPQRTUVWXYZ"


def make_upn(number: int) -> str:
    """An invented UPN of council 351."""
    digits = f"3519999{20 + number // 1000:02d}{number % 1000:03d}"
    return LETTERS[sum(int(d) * w for d, w in zip(digits, range(2, 14), strict=True)) % 23] + digits


def ndjson(lines: Iterable[Any]) -> bytes:
    """One document a line; bytes are taken as they are."""
    return b"".join((x if isinstance(x, bytes) else json.dumps(x).encode()) + b"\n" for x in lines)


def results(response: httpx2.Response) -> list[Document]:
    """The result lines of a batch."""
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


class Hub:
    """The service under test as its users meet it."""

    def __init__(self, app: Harness) -> None:
        self.app = app
        self.officer = app.as_("officer")
        self.adapter = app.as_("adapter", org="liquid-logic")

    async def push(self, document: Document) -> httpx2.Response:
        """PUT a snapshot under its own reference."""
        ref, body = document["ref"], {k: v for k, v in document.items() if k != "ref"}
        return await self.adapter.put(f"/v1/sources/liquid-logic/cases/{ref}", json=body)

    async def batch(self, lines: Iterable[Any]) -> list[Document]:
        """POST snapshots as NDJSON; the result lines."""
        headers = {"Content-Type": "application/x-ndjson"}
        url = "/v1/sources/liquid-logic/batches"
        return results(await self.adapter.post(url, content=ndjson(lines), headers=headers))

    async def schools(self, lines: Iterable[Any]) -> list[Document]:
        """POST institutions as NDJSON; the result lines."""
        headers = {"Content-Type": "application/x-ndjson"}
        url = "/v1/imports/institutions"
        return results(await self.officer.post(url, content=ndjson(lines), headers=headers))

    async def a_plan(self, document: Document) -> str:
        """Push a snapshot and return the id of its case."""
        response = await self.push(document)
        assert response.status_code == 201, response.text
        return str(response.json()["case_id"])

    async def post(self, path: str, body: Document, **headers: str) -> httpx2.Response:
        return await self.officer.post(path, json=body, headers=headers)

    async def case(self, case_id: str) -> Document:
        response = await self.officer.get(f"/v1/cases/{case_id}")
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def history(self, case_id: str) -> list[Document]:
        response = await self.officer.get(f"/v1/cases/{case_id}/history")
        return list(response.json()["items"])

    async def events(self) -> list[tuple[str, Document]]:
        """What was sent, as (short name, data)."""
        return [(e.type.removeprefix("ehcp.").removesuffix(".v1"), e.data) for e in await self.app.sent()]


@pytest.fixture
async def hub(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Hub]:
    """case-service on 14 September 2026, with four schools in its register; on SQLite unless asked otherwise with
    `parametrize("hub", ["postgres"], indirect=True)`."""
    settings: Document = {}
    if getattr(request, "param", "sqlite") == "postgres":
        url = request.getfixturevalue("postgres").create_database(f"case_{uuid4().hex}")
        settings["database_url"] = url
        await migrated(url, tmp_path)
    async with running(service, tmp_path, today=TODAY, settings=settings) as app:
        hub = Hub(app)
        lines = [school_line(school) for school in SCHOOLS]
        assert {line["status"] for line in await hub.schools(lines)} == {"created"}
        yield hub


async def migrated(url: str, folder: Path) -> None:
    """Bring a new database to the newest revision."""
    settings = Settings(environment=Environment.test, data_dir=folder, database_url=url)
    built = service.build(settings)
    await built.migrate()
    await built.stop()


def school_line(school: Document) -> Document:
    """An import line for one of `SCHOOLS`."""
    low, high = school["ages"]
    line = {k: v for k, v in school.items() if k != "ages"}
    return {**line, "low_age": low, "high_age": high, "la_code": BURY, "section20_12": True}


Snapshot = Callable[..., Document]


@pytest.fixture
def snapshot() -> Snapshot:
    """A builder of Liquid Logic snapshots: a Year 5 child at a primary school, plan made on 20 May 2024, last
    review concluded on 1 May 2026. `child`, `plan` and `placement` are merged, everything else replaced."""

    def build(ref: str = "LL-1", version: int = 1, **changes: Any) -> Document:
        document: Document = {
            "ref": ref,
            "version": version,
            "child": {"surname": "Quillfeather", "forename": "Ada", "birth_date": "2017-03-02", "sex": "F"},
            "responsible_la": BURY,
            "plan": {"first_made": "2024-05-20", "last_concluded": "2026-05-01", "status": "active"},
            "placement": {"urn": PRIMARY, "since": "2021-09-06"},
            "primary_need": "SLCN",
            "icb": "QOP",
            "social_care_team": "team-a",
            "officer": "officer-3",
        }
        for name, value in changes.items():
            merge = name in ("child", "plan", "placement") and isinstance(value, dict)
            document[name] = {**document[name], **value} if merge else value
        return document

    return build


@pytest.fixture
def upn() -> Callable[[int], str]:
    """Invented UPNs by number."""
    return make_upn
