"""A change over HTTP: committed before it is answered, repeated without a second effect, refused when stale."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from fastapi import Response
from sqlalchemy import Column, Integer, Table, Uuid, insert, select, update

from ehcp_contracts.events import CASES, CeaseReason, PlanCeased
from service_kit import Ctx, Predicate, Refusal, Service, Tx, allow
from service_kit.api import router
from service_kit.database import Database, Unavailable
from service_kit.strict import Body, BoundedInt, View
from service_kit.tables import service_metadata
from service_kit.testing import Harness, running

metadata = service_metadata()
things = Table(
    "thing",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("size", Integer),
    Column("version", Integer),
)
routes = router()


class Thing(Body):
    size: BoundedInt(0, 100)  # type: ignore[valid-type]


class ThingView(View):
    id: UUID
    size: int


@routes.post("/v1/cases", status_code=201, response_model=ThingView, dependencies=[allow("cases.register")])
async def make(body: Thing, ctx: Ctx) -> Response:
    async with ctx.write() as tx:
        id = uuid4()
        await tx.session.execute(insert(things).values(id=id, size=body.size, version=1))
        await tx.publish(
            PlanCeased(ceased_on=date(2026, 9, 1), reason=CeaseReason.NEEDS_MET), case=id, la="351"
        )
        if body.size == 13:
            raise Refusal("conflict", "Not thirteen.")
        if body.size == 50 and await _how_many(tx, 50) > 1:
            raise Refusal("conflict", "There is one already.")
        kept = ThingView(id=id, size=0) if body.size == 99 else None
        view = ThingView(id=id, size=body.size)
        return tx.answer(201, view, etag=1, location=f"/v1/cases/{id}", stored=kept)


async def _how_many(tx: Tx, size: int) -> int:
    return len((await tx.session.execute(select(things.c.id).where(things.c.size == size))).all())


@routes.put("/v1/cases/{id}", response_model=ThingView, dependencies=[allow("cases.change-placement")])
async def change(id: UUID, body: Thing, ctx: Ctx) -> Response:
    async with ctx.write() as tx:
        version = await _version(tx, id)
        ctx.match(version)
        await tx.session.execute(
            update(things).where(things.c.id == id).values(size=body.size, version=version + 1)
        )
        return tx.answer(200, ThingView(id=id, size=body.size), etag=version + 1)


async def _version(tx: Tx, id: UUID) -> int:
    found = await tx.session.scalar(select(things.c.version).where(things.c.id == id))
    if found is None:
        raise Refusal("not-found")
    return int(found)


service = Service(
    name="toy",
    package="toy",
    metadata=metadata,
    source="/toy",
    topic=CASES,
    sends=[PlanCeased],
    routers=[routes],
    scopes={things: {Predicate.own_la: lambda _: things.c.size >= 0}},
)


@pytest.fixture
async def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Harness]:
    from service_kit import migrate

    async def create(db: Database, *_: object) -> None:
        async with db.engine.begin() as connection:
            await connection.run_sync(metadata.create_all)

    async def current(*_: object) -> bool:
        return True

    monkeypatch.setattr(migrate, "upgrade", create)
    monkeypatch.setattr(migrate, "is_current", current)
    async with running(service, tmp_path) as harness:
        yield harness


async def test_a_change_is_answered_with_its_version_and_its_event_is_in_the_outbox(app: Harness) -> None:
    answer = await app.as_("officer").post("/v1/cases", json={"size": 7})
    assert answer.status_code == 201
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"] == f"/v1/cases/{answer.json()['id']}"
    (sent,) = await app.sent()
    assert (sent.type, sent.subject, sent.sequence) == ("ehcp.plan-ceased.v1", answer.json()["id"], 1)
    assert (
        sent.dataschema == "http://hub.test/schemas/ehcp.plan-ceased.v1.json"
    )  # CloudEvents asks for an absolute URI
    assert sent.traceparent is not None
    assert answer.headers["x-correlation-id"] in sent.traceparent


async def test_a_refused_change_leaves_neither_row_nor_event_nor_key(app: Harness) -> None:
    officer, key = app.as_("officer"), {"Idempotency-Key": "k1"}
    refused = await officer.post("/v1/cases", json={"size": 13}, headers=key)
    assert refused.status_code == 409
    assert refused.json()["detail"] == "Not thirteen."
    assert await app.sent() == []
    assert (await officer.post("/v1/cases", json={"size": 1}, headers=key)).status_code == 201


async def test_f02_a_repeated_request_gets_the_same_answer_and_has_no_second_effect(app: Harness) -> None:
    officer, key = app.as_("officer"), {"Idempotency-Key": "k1"}
    first = await officer.post("/v1/cases", json={"size": 7}, headers=key)
    again = await officer.post("/v1/cases", json={"size": 7}, headers=key)
    assert again.status_code == 201
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["etag"] == first.headers["etag"]
    assert len(await app.sent()) == 1


async def test_f02_a_request_that_its_own_effect_would_now_refuse_gets_its_first_answer_again(
    app: Harness,
) -> None:
    officer, key = app.as_("officer"), {"Idempotency-Key": "k1"}
    first = await officer.post("/v1/cases", json={"size": 50}, headers=key)
    again = await officer.post("/v1/cases", json={"size": 50}, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert (await officer.post("/v1/cases", json={"size": 50})).status_code == 409
    assert len(await app.sent()) == 1


async def test_what_may_be_shown_once_only_is_left_out_of_the_stored_answer(app: Harness) -> None:
    officer, key = app.as_("officer"), {"Idempotency-Key": "k1"}
    first = await officer.post("/v1/cases", json={"size": 99}, headers=key)
    again = await officer.post("/v1/cases", json={"size": 99}, headers=key)
    assert first.json()["size"] == 99
    assert again.json() == first.json() | {"size": 0}
    assert (again.status_code, again.headers["etag"]) == (201, first.headers["etag"])
    assert again.headers["idempotent-replayed"] == "true"
    assert len(await app.sent()) == 1


async def test_a_key_used_for_another_request_is_refused(app: Harness) -> None:
    officer, key = app.as_("officer"), {"Idempotency-Key": "k1"}
    await officer.post("/v1/cases", json={"size": 7}, headers=key)
    other = await officer.post("/v1/cases", json={"size": 8}, headers=key)
    assert other.status_code == 422
    assert other.json()["type"].endswith("/problems/idempotency-mismatch")


async def test_the_same_key_of_another_caller_is_another_key(app: Harness) -> None:
    key = {"Idempotency-Key": "k1"}
    await app.as_("officer", org="officer-1").post("/v1/cases", json={"size": 7}, headers=key)
    other = await app.as_("officer", org="officer-2").post("/v1/cases", json={"size": 8}, headers=key)
    assert other.status_code == 201


async def test_a_stored_answer_is_not_given_to_the_same_subject_with_other_rights(app: Harness) -> None:
    """One client may act for two councils, with the same subject in its tokens."""
    key = {"Idempotency-Key": "k1"}
    first = await app.as_("officer", las=("351",)).post("/v1/cases", json={"size": 7}, headers=key)
    other = await app.as_("officer", las=("352",)).post("/v1/cases", json={"size": 7}, headers=key)
    assert other.status_code == 201
    assert "idempotent-replayed" not in other.headers
    assert other.json()["id"] != first.json()["id"]


async def test_requests_with_one_key_at_the_same_time_have_one_effect(app: Harness) -> None:
    officer, key = app.as_("officer"), {"Idempotency-Key": "k1"}
    answers = await asyncio.gather(
        *(officer.post("/v1/cases", json={"size": 7}, headers=key) for _ in range(8))
    )
    assert {a.status_code for a in answers} <= {201, 409}
    assert len(await app.sent()) == 1
    for refused in (a for a in answers if a.status_code == 409):
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["type"].endswith("/problems/in-progress")


@pytest.mark.parametrize("key", ["", "x" * 300, "with space"])
async def test_a_missing_or_unfit_key_is_a_bad_parameter(app: Harness, key: str) -> None:
    answer = await app.as_("officer").post("/v1/cases", json={"size": 7}, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert answer.json()["type"].endswith("/problems/bad-parameter")


async def test_a_change_needs_the_version_last_read(app: Harness) -> None:
    officer = app.as_("officer")
    url = (await officer.post("/v1/cases", json={"size": 7})).headers["location"]
    assert (await officer.put(url, json={"size": 8})).status_code == 428
    assert (await officer.put(url, json={"size": 8}, headers={"If-Match": '"1"'})).headers["etag"] == '"2"'
    stale = await officer.put(url, json={"size": 9}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert stale.json()["type"].endswith("/problems/stale-version")


async def test_b06_a_commit_that_fails_is_never_answered_with_success(
    app: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object) -> None:
        raise ConnectionError("lost during COMMIT")

    officer, key = app.as_("officer"), {"Idempotency-Key": "k1"}
    with monkeypatch.context() as patch:
        patch.setattr("aiosqlite.Connection.commit", broken)
        answer = await officer.post("/v1/cases", json={"size": 7}, headers=key)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert (await officer.post("/v1/cases", json={"size": 7}, headers=key)).status_code == 201
    assert len(await app.sent()) == 1


async def test_f26_a_database_that_is_away_is_not_asked_for_an_answer_given_before(
    app: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waited until it was given up would wait as long again."""
    asked: list[object] = []

    async def broken(_: object) -> None:
        raise ConnectionError("no answer to COMMIT")

    async def fetch(_: object, statement: object, __: object) -> object:
        asked.append(statement)
        raise Unavailable

    monkeypatch.setattr("aiosqlite.Connection.commit", broken)
    monkeypatch.setattr(Database, "fetch", fetch)
    answer = await app.as_("officer").post("/v1/cases", json={"size": 7}, headers={"Idempotency-Key": "k1"})
    assert (answer.status_code, asked) == (503, [])
