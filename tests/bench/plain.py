"""The smallest service on the kit: one route that stores one row and publishes one event.

What it costs is the kit's own: token, policy, strict body, idempotency key, session, outbox, log line.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from fastapi import Response
from sqlalchemy import Column, Date, String, Table, Uuid, insert, literal

from ehcp_contracts.events import CASES, PlanCeased
from service_kit import Ctx, Predicate, Prepared, Service, allow
from service_kit.api import router
from service_kit.strict import Body, IsoDate, LaCode, Name, View
from service_kit.tables import UtcDateTime, service_metadata

metadata = service_metadata()
ROW = Table(
    "plain_row",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("la", String(3), nullable=False),
    Column("surname", String(100), nullable=False),
    Column("forename", String(100), nullable=False),
    Column("birth_date", Date, nullable=False),
    Column("officer", String(100)),
    Column("made_at", UtcDateTime, nullable=False),
)


INSERT = Prepared(insert(ROW), *ROW.columns.keys())


class Note(Body):
    """What is written: the same as on the floor."""

    la: LaCode
    surname: Name
    forename: Name
    birth_date: IsoDate
    officer: Name | None = None


class NoteView(View):
    """What is answered."""

    id: Any
    la: str
    surname: str
    forename: str
    birth_date: Any
    officer: str | None


routes = router()


@routes.post("/v1/cases", status_code=201, response_model=NoteView, dependencies=[allow("cases.register")])
async def write(body: Note, ctx: Ctx) -> Response:
    """One row, one event."""
    made = uuid4()
    values = body.model_dump()
    async with ctx.write() as tx:
        await tx.fetch(INSERT, values | {"id": made, "made_at": ctx.clock.now()})
        event = PlanCeased(ceased_on=body.birth_date, reason="9")
        await tx.publish(event, case=made, la=body.la)
        return tx.answer(201, NoteView(id=made, **values), etag=1)


service = Service(
    name="plain-service",
    package="tests.bench.plain",
    metadata=metadata,
    source="/case-service",
    topic=CASES,
    sends=[PlanCeased],
    routers=[routes],
    scopes={ROW: {Predicate.own_la: lambda caller: literal(bool(caller.las))}},
    paths=("/v1/cases",),
)
