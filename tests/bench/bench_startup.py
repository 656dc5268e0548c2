"""The embedded hub as a person starts it: filled with 2,850 plans at the first start, then started again.

Absolute figures of this machine: seconds from the command to the address that answers, and the process's memory.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from deploy.up.ports import free_port
from tests.bench.machine import Machine
from tests.bench.measure import Row, request

PLANS, STARTS = 2_850, 3
DEADLINE = 400.0


async def bench(machine: Machine) -> list[Row]:
    folder = machine.folder("hub")
    with _hub(folder) as (process, port):
        filled = await _answers(port)
        while not _is_filled(process, folder):
            await asyncio.sleep(0.5)
            if time.monotonic() - filled > DEADLINE:
                raise TimeoutError
    starts, memory = [], []
    for _ in range(STARTS):
        began = time.monotonic()
        with _hub(folder) as (process, port):
            starts.append(await _answers(port) - began)
            await asyncio.sleep(3)  # background parts have begun by then
            memory.append(_megabytes(process.pid))
    ready, size = median(starts), median(memory)
    return [
        Row(
            "embedded: ready, warm",
            "–",
            f"{ready:.1f} s",
            ready,
            3,
            "<=",
            f"{PLANS:,} plans",
            absolute="<= 3 s",
        ),
        Row("embedded: memory", "–", f"{size:.0f} MB", size, 150, "<=", "resident", absolute="<= 150 MB"),
    ]


@contextmanager
def _hub(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "ehcp_embedded",
        "run",
        "--port",
        str(port),
        "--data",
        str(folder / "data"),
    ]
    with (folder / "said").open("w", encoding="utf-8") as said:
        process = subprocess.Popen(
            [*command, "--plans", str(PLANS), "--today", "2026-09-14"],
            cwd=folder,
            env=os.environ | {"TERM": "dumb", "PYTHONDONTWRITEBYTECODE": ""},  # the first start compiles
            stdout=said,
            stderr=said,
            text=True,
        )
    try:
        yield process, port
    finally:
        process.terminate()
        process.wait(60)


async def _answers(port: int) -> float:
    """The moment at which `/ready` answers."""
    asked = request("GET", "/ready")
    async with asyncio.timeout(60):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.write(asked)
            head = await reader.readline()
            writer.close()
            if b" 200 " in head:
                return time.monotonic()


def _is_filled(process: subprocess.Popen[str], folder: Path) -> bool:
    """Whether the first start has said where to look, which it does when the fill has ended."""
    said = (folder / "said").read_text(encoding="utf-8")
    if process.poll() is not None:
        raise RuntimeError(said[-500:])
    return "/dashboard" in said


def _megabytes(pid: int) -> float:
    """Resident memory of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
    return own + sum(map(_megabytes, map(int, children)))
