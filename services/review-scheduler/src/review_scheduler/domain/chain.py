"""The chain of a plan's twelve months, put right when something is recorded late or a recorded day was wrong.

Each full review that is concluded ends one period of twelve months and begins the next (CFA 2014 s.44(1)), and one
annual review answers for each period. A conclusion entered after a later one falls into a period that was thought whole:
that is cut in two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Period:
    """Twelve months for which a closed annual review answers: the day they start with, and the conclusion they ended
    with."""

    review_id: UUID
    begins: date
    ended_on: date


@dataclass(frozen=True, slots=True)
class Rebase:
    """The twelve months of this review started on another day."""

    review_id: UUID
    begins: date


@dataclass(frozen=True, slots=True)
class Fill:
    """No annual review answers for these twelve months: the review that was concluded on their last day does."""

    begins: date
    ended_on: date
    satisfied_by: UUID


def mend(
    base: date, conclusions: Mapping[date, UUID], periods: Iterable[Period], days: Collection[date]
) -> Iterator[Rebase | Fill]:
    """What must change so that the periods around `days` (conclusions that are new here or moved, old day and new)
    follow one another without gap from `base`, the day the first of them starts with."""
    answered = {period.ended_on: period for period in periods}
    begins = base
    for ended_on in sorted(day for day in conclusions if day > base):
        period = answered.get(ended_on)
        if not any(begins <= day <= ended_on for day in days):
            pass
        elif period is None:
            yield Fill(begins, ended_on, conclusions[ended_on])
        elif period.begins != begins:
            yield Rebase(period.review_id, begins)
        begins = ended_on
