"""A page of 50 against PostgreSQL building the JSON, and whether the last page costs what the first does.

100,000 cases and as many reviews of ten councils; an officer of one of them pages through 10,000.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median

from sqlalchemy import text
from tests.bench import fill
from tests.bench.machine import Machine, Server, listening
from tests.bench.measure import Row, costed, cpu, in_turn, load, one_answer, rate_row, request

from case_service.main import service as cases
from review_scheduler.main import service as reviews
from service_kit import Database, Service

ROWS, COUNCILS, AT_ONCE = 100_000, 10, 160
LATE = 1.3

_PLAIN = {
    "cases": """
        CREATE TABLE plain_cases AS SELECT id, version, updated_at, status, la_code AS la, administering_la, surname,
            forename, birth_date, sex, upn, urn, setting, placed_since, icb, social_care_team, officer, plan_first_made,
            plan_version, last_concluded, in_force_to, appeal_open, ceased_on, facts, primary_need FROM cases;
        CREATE INDEX ON plain_cases (la, updated_at, id)""",
    "reviews": """
        CREATE TABLE plain_reviews AS SELECT id, case_id, kind, status, responsible_la AS la, administering_la, urn,
            icb, social_care_team, officer, due_on, alternative_due_on, latest_meeting_on, rule_id, citation,
            counts_as_statutory, meeting_on, held_on, decision_due, outcome, notified_on, concluded_on, days_late,
            breaches, version, updated_at FROM review;
        CREATE INDEX ON plain_reviews (la, due_on, id)""",
}


async def bench(machine: Machine) -> list[Row]:
    return [
        *await _list(machine, cases, "cases", fill.cases),
        *await _list(machine, reviews, "reviews", fill.reviews),
    ]


async def _list(
    machine: Machine, service: Service, name: str, filled: Callable[[Database, int, int], Awaitable[object]]
) -> list[Row]:
    async with machine.service(service) as one:
        await filled(one.hub.db, ROWS, COUNCILS)
        await _plain_copy(one.hub.db, name)
        database = fill.address_of(one.hub.db)
    with machine.server("floor", database) as by_hand, machine.server(name, database) as ours:
        await listening(by_hand.port)
        await listening(ours.port)
        last = await _last_cursor(ours, f"/v1/{name}")
        costs: dict[str, list[float]] = {}
        lowest, first, late = await in_turn(
            partial(costed, costs, by_hand, partial(load, by_hand.port, [request("GET", f"/page/{name}")] * AT_ONCE), AT_ONCE),
            partial(costed, costs, ours, partial(load, ours.port, [_get(ours, f"/v1/{name}")] * AT_ONCE), AT_ONCE),
            partial(load, ours.port, [_get(ours, f"/v1/{name}?cursor={last}")] * AT_ONCE),
        )  # fmt: skip
    least, cost = (median(found) for found in costs.values())
    flat = Row(
        f"page of 50: {name}, last page against first", f"{1000 / first:.2f} ms", f"{1000 / late:.2f} ms",
        first / late, LATE, "<=", f"{ROWS // COUNCILS:,} rows",
    )  # fmt: skip
    return [rate_row(f"page of 50: {name}", "req/s", lowest, first, 0.5, cpu(least, cost)), flat]


async def _plain_copy(db: Database, name: str) -> None:
    async with db.engine.begin() as connection:
        for statement in _PLAIN[name].split(";"):
            await connection.execute(text(statement))
    async with db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text(f"VACUUM ANALYZE plain_{name}"))


async def _last_cursor(server: Server, path: str) -> str:
    """The cursor of the last page of 50."""
    cursor, here = "", "start"
    while here:
        page = json.loads(await one_answer(server.port, _get(server, f"{path}?limit=50{cursor}")))
        before, here = here, page["next"]
        cursor = f"&cursor={here}"
    return before


def _get(server: Server, path: str) -> bytes:
    return request("GET", path, Authorization=server.bearer("officer"))
