"""`make chaos`: `python -m tests.chaos [--short] [--acts NAME:SECONDS,...] [--planted]`, with ROUNDS=, SEED= and PLANTED= from
the environment."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from tests.rig.run import OpenRun

from . import planted
from .nemesis import ACTS
from .run import LONG, SHORT, Act, Plan, Report, run
from .stage import NoKafka


def main() -> int:
    """Run, print, and return 1 if any promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").strip())
    parser.add_argument("--short", action="store_true", help="the two minutes that are part of `make test`")
    parser.add_argument("--acts", help=f"only these, such as kill:20,loss:10; there are {', '.join(ACTS)}")
    parser.add_argument("--planted", action="store_true", help="show that planted bugs are caught")
    parser.add_argument("--keep", type=Path, help="where journals and logs are kept")
    arguments = parser.parse_args()
    if arguments.planted:
        return planted.main()
    seed = int(os.environ.get("SEED") or secrets.randbelow(1_000_000))
    plan = SHORT if arguments.short else replace(LONG, rounds=int(os.environ.get("ROUNDS") or 1))
    if arguments.acts:
        plan = replace(plan, acts=_acts(arguments.acts))
    where = OpenRun()
    directory = arguments.keep or Path(tempfile.mkdtemp(prefix="ehcp-chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    try:
        report = _with_progress(where, directory, plan, seed)
    except NoKafka as missing:
        print(f"chaos: {missing}")
        return 2
    finally:
        where.close()
    print("\n".join(report.lines()))
    if report.violations:
        print(f"journals and logs: {directory}")
    return 1 if report.violations else 0


def _acts(text: str) -> tuple[Act, ...]:
    pairs = (item.partition(":") for item in text.split(","))
    return tuple((name, float(seconds or 0)) for name, _, seconds in pairs)


def _with_progress(where: OpenRun, directory: Path, plan: Plan, seed: int) -> Report:
    columns = (BarColumn(30), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(f"seed {seed}", total=1.0)
        return asyncio.run(
            run(
                where,
                directory,
                plan,
                seed,
                lambda part, what: progress.update(task, completed=part, description=what),
            )
        )


if __name__ == "__main__":
    sys.exit(main())
