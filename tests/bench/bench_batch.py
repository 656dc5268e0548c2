"""Liquid Logic's batch of 2,850 cases against one transaction per 500 lines by hand, which parses each line, looks up
the known references, and stores case, history and outbox rows with one statement each.

The whole way: HTTP (in the process), NDJSON, validation, the statute's facts, events, results. Every batch has new
children, and ours is pushed a second time, unchanged, as happens every night. New cases are also held against the rows
that case-service writes for them, written by hand: that row informs.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from statistics import median
from time import process_time
from typing import Any

import httpx2
from sqlalchemy import text
from tests.bench import by_hand
from tests.bench.machine import TODAY, Machine
from tests.bench.measure import Row, cpu, in_turn, profiled, rate_row, seconds

from case_service.main import service
from ehcp_embedded.demo import people
from ehcp_embedded.demo.register import institutions
from ehcp_embedded.demo.shaped import caseload
from service_kit import Running
from service_kit.service import Part
from service_kit.testing import Bearer

PLANS, ROUNDS = 2_850, 3
Writer = Callable[[bytes], Awaitable[None]]


async def bench(machine: Machine) -> list[Row]:
    return [*await _on(machine, sqlite=True), *await _on(machine, sqlite=False)]


async def _on(machine: Machine, *, sqlite: bool) -> list[Row]:
    where = "SQLite" if sqlite else "PostgreSQL"
    fewest = await by_hand.fewest_rows(machine, sqlite=sqlite)
    async with (
        machine.service(service, sqlite=sqlite) as empty,
        machine.service(service, sqlite=sqlite) as running,
        _adapter(running) as client,
    ):
        push = partial(_post, client, "/v1/sources/liquid-logic/batches")
        await _post(client, "/v1/imports/institutions", "created", _lines(i.line() for i in institutions()))
        batches, pushed = _batches(), [b""]

        def another() -> bytes:
            pushed[0] = next(batches)
            return pushed[0]

        same_rows = by_hand.same_rows(empty.hub.db)
        await push("created", another())
        await same_rows(next(batches))
        if not sqlite:
            await _analyse(running)
            await _analyse(empty)
        costs: dict[str, list[float]] = {}
        with profiled(f"batch-{where}"):
            lowest, same, new, again = await in_turn(
                partial(_rate, costs, "floor", fewest, batches.__next__),
                partial(_rate, costs, "same", same_rows, batches.__next__),
                partial(_rate, costs, "new", partial(push, "created"), another),
                partial(_rate, costs, "again", partial(push, "unchanged"), lambda: pushed[0]),
                rounds=ROUNDS,
            )
    least, least_same, cost, cost_again = (median(found[-ROUNDS:]) for found in costs.values())
    name = f"Liquid Logic batch, {where}"
    return [
        rate_row(f"{name}: new cases", "lines/s", lowest, new, 0.5, cpu(least, cost)),
        rate_row(f"{name}: new, the same rows by hand", "lines/s", same, new, None, cpu(least_same, cost)),
        rate_row(f"{name}: unchanged", "lines/s", lowest, again, 0.5, cpu(least, cost_again)),
    ]


async def _rate(costs: dict[str, list[float]], which: str, write: Writer, body: Callable[[], bytes]) -> float:
    """Lines per second of a batch; notes the CPU seconds that a line of it cost this process."""
    lines, before = body(), process_time()
    took = await seconds(write(lines))
    costs.setdefault(which, []).append((process_time() - before) / PLANS)
    return PLANS / took


async def _analyse(running: Running) -> None:
    """What PostgreSQL's autovacuum does within a minute: a database that is seconds old has no statistics."""
    async with running.hub.db.write() as session:
        await session.execute(text("ANALYZE"))


# -- what is pushed ------------------------------------------------------------------------------------------------


def _batches() -> Iterator[bytes]:
    """Caseloads of ever new children: an identifying number stands for one child only."""
    serial = count(1)
    for number in count(1):
        documents = enumerate(caseload(TODAY, PLANS, seed=number))
        yield _lines(
            d | {"ref": f"LL-{number}-{n}", "child": _numbered(d["child"], next(serial))}
            for n, d in documents
        )


def _numbered(child: dict[str, Any], serial: int) -> dict[str, Any]:
    own = {"upn": people.upn(serial // 1000, serial % 1000), "nhs_number": people.nhs_number(serial)}
    return child | {name: number for name, number in own.items() if name in child}


def _lines(documents: Iterator[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


# -- how -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _adapter(running: Running) -> AsyncIterator[httpx2.AsyncClient]:
    app = running.app(frozenset({Part.SERVE}))
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app),
        base_url="http://hub.test",
        auth=Bearer("adapter", "liquid-logic", ()),
        timeout=600,
    ) as client:
        yield client


async def _post(client: httpx2.AsyncClient, path: str, expected: str, body: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    answer = await client.post(path, content=chunks(), headers={"Content-Type": "application/x-ndjson"})
    if answer.text.count(f'"status":"{expected}"') != body.count(b"\n"):
        raise RuntimeError(f"{answer.status_code}, not all {expected}: {answer.text[:500]}")
