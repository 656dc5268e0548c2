"""The next dates of 640,000 plans in one call, against polars computing a single rule in the same run.

Run: `.venv/bin/python tests/bench/bench_statute.py`. The floor is polars' vectorised s.44(1) reckoning alone (12 months
starting with the anchor, month ends clipped as the rule says); ours is every date of every plan. Before anything is
timed both are held against each other, and a sample of rows against the one-by-one path.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING

import polars as pl

from send_statute import batch, evaluate, next_dates

if TYPE_CHECKING:
    from tests.bench.machine import Machine
    from tests.bench.measure import Row

PLANS = 640_000
ROUNDS = 5
GOAL = 4.0
ON = date(2026, 11, 23)

# Plans by age at 31 August, Bury, SEN2 January 2025 (DfE, Open Government Licence): the shape of a caseload.
AGES = {3: 31, 4: 115, 5: 147, 6: 147, 7: 163, 8: 179, 9: 144, 10: 179, 11: 151, 12: 220, 13: 189}
AGES |= {14: 202, 15: 239, 16: 212, 17: 166, 18: 118, 19: 81, 20: 68, 21: 32, 22: 13, 23: 5, 24: 3}
SCHOOLS = [(4, 11), (4, 7), (7, 11), (11, 16), (11, 18), (4, 16), (None, None), (9, 13), (3, 19)]


class Register:
    """Invented plans in columns, drawn with a fixed seed."""

    def __init__(self, size: int) -> None:
        draw = random.Random(4)
        ages = draw.choices(list(AGES), list(AGES.values()), k=size)
        schools = draw.choices(SCHOOLS, k=size)
        self.anchors: list[date | None] = [ON - timedelta(days=draw.randrange(800)) for _ in range(size)]
        self.births: list[date | None] = [
            date(ON.year - age, 8, 31) - timedelta(days=draw.randrange(365)) for age in ages
        ]
        self.taught = [draw.randrange(-1, 15) if draw.random() < 0.03 else None for _ in range(size)]
        self.low = [low for low, _ in schools]
        self.high = [high for _, high in schools]

    def next_dates(self) -> batch.NextDates:
        """All dates of all plans."""
        return next_dates(
            self.anchors,
            self.births,
            on=ON,
            taught_ncys=self.taught,
            school_low_ages=self.low,
            school_high_ages=self.high,
        )


def polars_single_rule(frame: pl.DataFrame) -> pl.Series:
    """The last day of 12 months starting with the anchor; nothing taken off where the day does not exist."""
    anchor = pl.col("anchor")
    corresponding = anchor.dt.offset_by("12mo")
    exists = corresponding.dt.day() == anchor.dt.day()
    due = pl.when(exists).then(corresponding.dt.offset_by("-1d")).otherwise(corresponding)
    return frame.select(due.alias("due"))["due"]


def seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median wall-clock seconds."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def from_scratch(register: Register) -> None:
    """A call with no tables left from the calls before."""
    batch.forget()
    register.next_dates()


def check(register: Register, frame: pl.DataFrame) -> None:
    """Both sides agree on every row, and a sample agrees with the rules one by one."""
    answer = register.next_dates()
    assert polars_single_rule(frame).to_list() == answer.annual_due
    for row in random.Random(5).sample(range(len(register.anchors)), 500):
        one = evaluate("review_annual", {"anchor": register.anchors[row]})
        due, meeting = answer.annual_due[row], answer.latest_meeting[row]
        assert due is not None
        assert meeting is not None
        assert (one["strict_due"], one["latest_meeting"]) == (due.isoformat(), meeting.isoformat())


async def bench(_: Machine) -> list[Row]:
    """The same as rows of `make bench`."""
    from tests.bench.measure import Row

    register = Register(PLANS)
    frame = pl.DataFrame({"anchor": register.anchors})
    check(register, frame)
    floor, first = seconds(lambda: polars_single_rule(frame)), seconds(lambda: from_scratch(register))
    again = seconds(register.next_dates)
    return [
        Row(f"statute: all dates of {PLANS:,} plans, {name}", f"{floor * 1000:.0f} ms", f"{ours * 1000:.0f} ms", ours / floor, GOAL, "<=")
        for name, ours in (("first call", first), ("again", again))
    ]  # fmt: skip


def main(plans: int = PLANS) -> int:
    """Print the table; the exit code says whether the goal is met."""
    register = Register(plans)
    frame = pl.DataFrame({"anchor": register.anchors})
    check(register, frame)
    floor = seconds(lambda: polars_single_rule(frame))
    first = seconds(lambda: from_scratch(register))
    again = seconds(register.next_dates)
    for name, ours in (("statute batch, first call", first), ("statute batch, again", again)):
        print(f"{name} | {floor * 1000:.0f} ms | {ours * 1000:.0f} ms | {ours / floor:.2f} | <= {GOAL:.0f}")
    return 0 if first <= GOAL * floor else 1


if __name__ == "__main__":
    sys.exit(main())
