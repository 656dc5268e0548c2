"""A write with outbox, idempotency key and policy check, against FastAPI + asyncpg storing a row and an outbox row.

Two of ours: the smallest service on the kit, which does just that (the goal is about this one), and a case-service
command, which also loads and locks the case, asks the domain and keeps the history.
"""

from __future__ import annotations

import json
from functools import partial
from statistics import median
from uuid import uuid4

import asyncpg
from tests.bench import fill, floor
from tests.bench.machine import Machine, Server, listening, settings
from tests.bench.measure import Row, costed, cpu, in_turn, load, rate_row, request
from tests.bench.plain import service as plain

from case_service.main import service as cases

NOTE = {
    "la": "351",
    "surname": "Ashworth",
    "forename": "Ada",
    "birth_date": "2017-03-02",
    "officer": "officer-3",
}
AT_ONCE = 300
CASES = 300


async def bench(machine: Machine) -> list[Row]:
    bare = machine.database("floor")
    connection = await asyncpg.connect(bare)
    await connection.execute(floor.TABLES)
    await connection.close()
    async with machine.service(cases) as one:
        case_ids = await fill.cases(one.hub.db, CASES)
        with_cases = fill.address_of(one.hub.db)
    on_kit = await created(machine, machine.database("plain"))
    with (
        machine.server("floor", bare) as by_hand,
        machine.server("plain", on_kit) as kit,
        machine.server("cases", with_cases) as service,
    ):
        for server in (by_hand, kit, service):
            await listening(server.port)
        costs: dict[str, list[float]] = {}
        lowest, kits, services = await in_turn(
            partial(costed, costs, by_hand, partial(_by_hand, by_hand), AT_ONCE),
            partial(costed, costs, kit, partial(notes, kit), AT_ONCE),
            partial(costed, costs, service, partial(_moves, service, case_ids), AT_ONCE // 2),
        )
    least, kits_cpu, services_cpu = (median(found) for found in costs.values())
    return [
        rate_row("write: row + outbox + key + policy, kit", "req/s", lowest, kits, 0.3, cpu(least, kits_cpu)),
        rate_row(
            "write: case-service changes a placement",
            "req/s",
            lowest,
            services,
            None,
            cpu(least, services_cpu),
        ),
    ]


async def created(machine: Machine, address: str) -> str:
    """Make the tables of the plain service in a database."""
    engine = plain.build(settings(machine.folder("plain"), address)).hub.db.engine
    async with engine.begin() as connection:
        await connection.run_sync(plain.metadata.create_all)
    await engine.dispose()
    return address


async def _by_hand(server: Server) -> float:
    return await load(server.port, [request("POST", "/write", json.dumps(NOTE).encode())] * AT_ONCE)


async def notes(server: Server, at_once: int = AT_ONCE) -> float:
    """Rows through the kit, each with a key of its own."""
    return await load(server.port, [_post(server, "/v1/cases", NOTE) for _ in range(at_once)])


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
