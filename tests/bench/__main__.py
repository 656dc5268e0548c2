"""`python -m tests.bench [--only NAME ...]`: one table, floors measured in the same run."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback

import uvloop
from rich.console import Console
from tests.bench.machine import Machine
from tests.bench.measure import Row
from tests.rig.run import OpenRun

from service_kit.logs import configure

BENCHES = (
    "statute", "write", "pages", "embedded", "batch", "relay", "consume", "tick", "rebuild", "dashboard", "startup",
)  # fmt: skip
HEAD = ("name", "floor", "ours", "ratio", "goal", "note")
said = Console(stderr=True, highlight=False)


async def measured(machine: Machine, names: list[str]) -> list[Row]:
    """The rows of these benches; one that cannot run says so in its place."""
    rows: list[Row] = []
    for name in names:
        start = time.perf_counter()
        try:
            rows += await importlib.import_module(f"tests.bench.bench_{name}").bench(machine)
        except Exception as error:
            traceback.print_exc()
            rows.append(Row(name, "–", "–", note=f"not measured: {type(error).__name__}"))
        said.print(f"{name}: {time.perf_counter() - start:.0f} s", style="dim")
    return rows


def table(rows: list[Row]) -> str:
    """Aligned, with bars between the columns."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEAD))]
    return "\n".join(
        " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def main() -> int:
    """Measure and print, on the event loop on which services are served. The exit code says only whether everything could be measured: nothing here is a test."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=BENCHES, default=list(BENCHES), metavar="NAME", help=", ".join(BENCHES)
    )
    names = parser.parse_args().only
    configure("bench", level="CRITICAL")
    run = OpenRun()
    try:
        rows = uvloop.run(measured(Machine(run), names))
        used = run.all_used()
    finally:
        run.close()
    print(table(rows))
    for what, which in used.items():
        print(f"{what}: {which}")
    return int(any(row.note.startswith("not measured") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
