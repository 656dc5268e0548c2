"""What every bench uses: rows of the table, rounds taken in turn, and a small HTTP load.

Other work shares the machine, so floor and product are measured alternately and the medians compared: times differ from
one machine and hour to the next, ratios much less.
"""

from __future__ import annotations

import asyncio
import cProfile
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
Work = Callable[[], Awaitable[float]]


@dataclass(frozen=True)
class Row:
    """One line of the table. `better` says how `ratio` is held against `goal`: ">=" or "<="; a row without goal
    informs. `absolute` marks a figure of this machine, which has no floor."""

    name: str
    floor: str
    ours: str
    ratio: float | None = None
    goal: float | None = None
    better: str = ">="
    note: str = ""
    absolute: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None or self.ratio is None:
            return None
        return self.ratio >= self.goal if self.better == ">=" else self.ratio <= self.goal

    def cells(self) -> tuple[str, ...]:
        shown = "–" if self.ratio is None else f"{self.ratio:.2f}"
        goal = self.absolute or ("–" if self.goal is None else f"{self.better} {self.goal:g}")
        verdict = {True: "", False: " (missed)", None: ""}[self.met]
        return (
            self.name,
            self.floor,
            self.ours,
            "absolute" if self.absolute else shown,
            goal + verdict,
            self.note,
        )


async def in_turn(*works: Work, rounds: int = ROUNDS, warm: int = 1) -> list[float]:
    """Run the works one after the other, again and again; the median of what each returned. The first `warm` rounds
    do not count."""
    taken: list[list[float]] = [[] for _ in works]
    for number in range(warm + rounds):
        for work, results in zip(works, taken, strict=True):
            result = await work()
            if number >= warm:
                results.append(result)
    return [median(results) for results in taken]


def rate_row(name: str, unit: str, floor: float, ours: float, goal: float | None, note: str = "") -> Row:
    """A row of rates, more being better."""
    return Row(name, f"{floor:,.0f} {unit}", f"{ours:,.0f} {unit}", ours / floor, goal, note=note)


async def costed(costs: dict[str, list[float]], server: Any, work: Work, requests: int) -> float:
    """Do the work, and note the CPU seconds that each of its requests cost the server."""
    before = server.cpu()
    result = await work()
    costs.setdefault(str(server.port), []).append((server.cpu() - before) / requests)
    return result


def cpu(floor: float, ours: float) -> str:
    """What a request costs the server's process, and the ratio that follows from it alone."""
    return f"CPU {floor * 1000:.2f} / {ours * 1000:.2f} ms = {floor / ours:.2f}"


async def seconds(work: Awaitable[object]) -> float:
    """Wall-clock seconds that an awaitable takes."""
    start = time.perf_counter()
    await work
    return time.perf_counter() - start


@contextmanager
def profiled(name: str) -> Iterator[None]:
    """With `BENCH_PROFILE=folder`, leave a cProfile of this block there (read it with `python -m pstats`). The figures
    of such a run mean nothing."""
    folder = os.environ.get("BENCH_PROFILE")
    if not folder:
        yield
        return
    profile = cProfile.Profile()
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        profile.dump_stats(Path(folder) / f"{name}.prof")


# -- HTTP ----------------------------------------------------------------------------------------------------------


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of one HTTP/1.1 request on a connection that is kept."""
    named = {name.replace("_", "-"): value for name, value in headers.items() if value}
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", *(f"{k}: {v}" for k, v in named.items())]
    if body or method == "POST":
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def load(port: int, requests: Sequence[bytes], clients: int = 8) -> float:
    """Requests per second with so many clients at once, each on one connection. Raises on any answer but 2xx."""
    waiting = iter(requests)
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_client(port, waiting))
    return len(requests) / (time.perf_counter() - start)


async def _client(port: int, waiting: object) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for one in waiting:  # type: ignore[attr-defined]
        await ask(reader, writer, one)
    writer.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one: bytes) -> bytes:
    """Send a request, return the body of its answer."""
    writer.write(one)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
    body = await reader.readexactly(length)
    if not head.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(f"{head[:40]!r} {body[:300]!r}")
    return body


async def one_answer(port: int, one: bytes) -> bytes:
    """The body of the answer to one request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await ask(reader, writer, one)
    finally:
        writer.close()
