"""The daily tick over a whole register, against a register that holds only the rows that are due.

Each plan has one open review with four stages, spread evenly over a year; both registers tick the same days in turn.
"""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from itertools import count

import asyncpg
from tests.bench import fill
from tests.bench.machine import TODAY, Machine
from tests.bench.measure import Row, in_turn, profiled

from review_scheduler import clock
from review_scheduler.main import service
from service_kit import Running

SIZES = (32_000, 320_000)
DAYS = 8
_ONLY_DUE = (
    "DELETE FROM stage WHERE state <> 'pending' OR \"on\" > CAST(:last AS date)",
    "DELETE FROM review WHERE NOT EXISTS (SELECT FROM stage WHERE review_id = id)",
    "DELETE FROM plan p WHERE NOT EXISTS (SELECT FROM review r WHERE r.case_id = p.case_id)",
)


async def bench(machine: Machine) -> list[Row]:
    return [await _ticks(machine, size) for size in SIZES]


async def _ticks(machine: Machine, size: int) -> Row:
    async with machine.service(service) as whole, machine.service(service) as due:
        await fill.reviews(whole.hub.db, size)
        await _copy_due(machine, whole, due)
        with profiled(f"tick-{size}"):
            least, all_of_them = await in_turn(
                partial(_tick, due, count()), partial(_tick, whole, count()), rounds=DAYS - 2
            )
    return Row(
        f"daily tick, {size:,} reviews",
        f"{least * 1000:.0f} ms",
        f"{all_of_them * 1000:.0f} ms",
        all_of_them / least,
        2,
        "<=",
        f"about {size * 4 // 366:,} stages a day",
    )


async def _tick(running: Running, days: count[int]) -> float:
    start = time.perf_counter()
    await clock.tick(running.hub, TODAY + timedelta(days=next(days)))
    return time.perf_counter() - start


async def _copy_due(machine: Machine, whole: Running, due: Running) -> None:
    """Fill the second register with what falls due in the days that will be ticked."""
    name, origin = due.hub.db.url.database, whole.hub.db.url.database
    await due.hub.db.close()
    await whole.hub.db.close()
    machine.postgres.drop_database(str(name))
    machine.postgres.create_database(str(name), template=origin)
    last = (TODAY + timedelta(days=DAYS)).isoformat()
    connection = await asyncpg.connect(fill.address_of(due.hub.db))
    for statement in (*_ONLY_DUE, "VACUUM FULL ANALYZE"):
        await connection.execute(statement.replace(":last", f"'{last}'"))
    await connection.close()
