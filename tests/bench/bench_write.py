"""A write with outbox, idempotency key and policy check, against FastAPI + asyncpg storing a row and an outbox row.

Two of ours: the smallest service on the kit, which does just that (the goal is about this one), and a case-service
command, which also loads and locks the case, asks the domain and keeps the history.
"""

from __future__ import annotations

import json
from functools import partial
from uuid import uuid4

import asyncpg

from case_service.main import service as cases
from tests.bench import fill, floor
from tests.bench.machine import Machine, Server, listening
from tests.bench.measure import Row, in_turn, load, rate_row, request
from tests.bench.plain import service as plain

NOTE = {"la": "351", "surname": "Ashworth", "forename": "Ada", "birth_date": "2017-03-02", "officer": "officer-3"}
AT_ONCE = 300
CASES = 300


async def bench(machine: Machine) -> list[Row]:
    bare = machine.database("floor")
    connection = await asyncpg.connect(bare)
    await connection.execute(floor.TABLES)
    await connection.close()
    async with machine.service(cases) as one:
        case_ids = await fill.cases(one.hub.db, CASES)
        with_cases = one.hub.db.url.set(drivername="postgresql").render_as_string(hide_password=False)
    on_kit = await _created(machine)
    with (
        machine.server("floor", bare) as by_hand,
        machine.server("plain", on_kit) as kit,
        machine.server("cases", with_cases) as service,
    ):
        for server in (by_hand, kit, service):
            await listening(server.port)
        lowest, kits, services = await in_turn(
            partial(_by_hand, by_hand), partial(_notes, kit), partial(_moves, service, case_ids)
        )
    return [
        rate_row("write: row + outbox + key + policy, kit", "req/s", lowest, kits, 0.3),
        rate_row("write: case-service changes a placement", "req/s", lowest, services, None, "8 more statements"),
    ]


async def _created(machine: Machine) -> str:
    """A database with the tables of the plain service."""
    address = machine.database("plain")
    engine = plain.build(_settings(machine, address)).hub.db.engine
    async with engine.begin() as connection:
        await connection.run_sync(plain.metadata.create_all)
    await engine.dispose()
    return address


def _settings(machine: Machine, address: str):  # type: ignore[no-untyped-def]
    from tests.bench.machine import settings

    return settings(machine.folder("plain"), address)


async def _by_hand(server: Server) -> float:
    return await load(server.port, [request("POST", "/write", json.dumps(NOTE).encode())] * AT_ONCE)


async def _notes(server: Server) -> float:
    return await load(server.port, [_post(server, "/v1/cases", NOTE) for _ in range(AT_ONCE)])


async def _moves(server: Server, case_ids: list[str]) -> float:
    body = {"officer": f"officer-{uuid4().hex[:6]}"}
    return await load(
        server.port, [_post(server, f"/v1/cases/{case}/placement", body) for case in case_ids[: AT_ONCE // 2]]
    )


def _post(server: Server, path: str, body: object) -> bytes:
    return request(
        "POST",
        path,
        json.dumps(body).encode(),
        Authorization=server.bearer("officer"),
        Idempotency_Key=str(uuid4()),
    )
