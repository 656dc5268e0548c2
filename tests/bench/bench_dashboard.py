"""The data of the dashboard for one council when the counters hold the whole country, and one hundredth of it.

Counters are written as the projections would keep them: for each of 150 councils some 4,000 kinds of open item (measure,
year group, due date), which is what 640,000 plans come to.
"""

from __future__ import annotations

from functools import partial

from tests.bench import fill
from tests.bench.machine import Machine, Server, listening
from tests.bench.measure import Row, in_turn, load, request

from reporting_service.main import service
from service_kit import Database

COUNCILS, AT_ONCE = 150, 30
SMALL, LIMIT_MS = COUNCILS // 100 or 1, 50
_COUNTERS = """
    INSERT INTO counter (la, academic_year, measure, administering_la, year_group, phase, state, falls, n)
    SELECT la, year, measure, la, year_group, 'none', state, falls, 1 + random()::int
    FROM (SELECT (350 + n)::text AS la FROM generate_series(1, {councils}) n) councils,
         (VALUES ('2025/26'), ('2026/27')) AS years (year),
         generate_series(-1, 14) year_group,
         (VALUES ('K6b', 'open'), ('K7', 'open'), ('K9', 'met')) AS kinds (measure, state),
         LATERAL (SELECT date '2026-01-01' + (d * 9) AS falls FROM generate_series(0, 40) d) days
"""


async def bench(machine: Machine) -> list[Row]:
    async with machine.service(service) as large, machine.service(service) as small:
        rows = await _fill(large.hub.db, COUNCILS)
        await _fill(small.hub.db, SMALL)
        addresses = [fill.address_of(one.hub.db) for one in (large, small)]
    with machine.server("figures", addresses[0]) as country, machine.server("figures", addresses[1]) as one:
        await listening(country.port)
        await listening(one.port)
        least, ours = await in_turn(partial(_milliseconds, one), partial(_milliseconds, country))
    return [
        Row(
            "dashboard data, one council of 150 against of one",
            f"{least:.1f} ms",
            f"{ours:.1f} ms",
            ours / least,
            2,
            "<=",
            f"{rows:,} counters",
        ),
        Row(
            "dashboard data, national size",
            "–",
            f"{ours:.1f} ms",
            ours,
            LIMIT_MS,
            "<=",
            absolute=f"<= {LIMIT_MS} ms",
        ),
    ]


async def _fill(db: Database, councils: int) -> int:
    async with fill.connected(db) as connection:
        await connection.execute(_COUNTERS.format(councils=councils))
        await connection.execute(
            "INSERT INTO progress (id, last_event_at, events, horizon) VALUES (1, now(), 1, '2026-09-01')"
        )
        await connection.execute("VACUUM ANALYZE counter")
        return int(await connection.fetchval("SELECT count(*) FROM counter"))


async def _milliseconds(server: Server) -> float:
    """One request at a time: all measures of the council, by year group."""
    asked = request("GET", "/v1/measures?by=year_group", Authorization=server.bearer("officer"))
    return 1000 / await load(server.port, [asked] * AT_ONCE, clients=1)
