"""A single write on SQLite, one at a time, against FastAPI with sqlite3 inline: a row and an outbox row in one durable
transaction (WAL, synchronous=FULL)."""

from __future__ import annotations

import json
from functools import partial
from statistics import median

from tests.bench.bench_write import NOTE, created, notes
from tests.bench.machine import Machine, Server, listening
from tests.bench.measure import Row, costed, cpu, in_turn, load, rate_row, request

AT_ONCE = 200


async def bench(machine: Machine) -> list[Row]:
    folder = machine.folder("embedded")
    address = f"sqlite+aiosqlite:///{folder}/plain.sqlite3"
    await created(machine, address)
    with (
        machine.server("floor-sqlite", str(folder / "floor.sqlite3")) as by_hand,
        machine.server("plain", address) as kit,
    ):
        await listening(by_hand.port)
        await listening(kit.port)
        costs: dict[str, list[float]] = {}
        lowest, ours = await in_turn(
            partial(costed, costs, by_hand, partial(_by_hand, by_hand), AT_ONCE),
            partial(costed, costs, kit, partial(notes, kit, AT_ONCE), AT_ONCE),
        )
    least, cost = (median(found) for found in costs.values())
    return [rate_row("embedded: single write", "req/s", lowest, ours, 0.12, cpu(least, cost))]


async def _by_hand(server: Server) -> float:
    return await load(server.port, [request("POST", "/write", json.dumps(NOTE).encode())] * AT_ONCE)
