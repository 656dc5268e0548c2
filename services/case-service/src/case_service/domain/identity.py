"""Whose case it is: within what one council administers, a UPN or an NHS number stands for one open case.

Another council's cases are never asked: a child that two councils keep is for those to settle who may see both, and
neither is told of the other or held up by it. A case that has ended holds no number: a later plan is a new case.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from case_service.domain.case import Case, CaseStatus
from service_kit.problems import Fault, Refusal

NUMBERS = ("upn", "nhs_number")
DUPLICATE = "duplicate-child"
SAME_NUMBER = "Another open case that this council administers has the same number."


class Number(NamedTuple):
    """A number of a child in the cases that `la` administers; `kind` is one of `NUMBERS`."""

    la: str
    kind: str
    value: str


def numbers(case: Case | None) -> list[Number]:
    """The numbers that a case holds."""
    if case is None or case.status is CaseStatus.CEASED:
        return []
    found = ((kind, getattr(case, kind)) for kind in NUMBERS)
    return [Number(case.administering_la, kind, value) for kind, value in found if value]


class Holders:
    """Which open case holds which number, kept up to date while a batch is decided line by line."""

    def __init__(self, held: Iterable[tuple[Number, UUID]]) -> None:
        self._held = dict(held)

    def claim(self, before: Case | None, after: Case) -> None:
        """Note what a case holds now and no longer holds. Raises Refusal("conflict") if another has a number of it:
        one child entered twice, or two mixed up, is for a person to settle."""
        mine = numbers(after)
        for number in mine:
            if self._held.get(number, after.id) != after.id:
                fault = Fault(f"/child/{number.kind}", DUPLICATE, SAME_NUMBER)
                raise Refusal("conflict", errors=[fault])
        for number in numbers(before):
            self._held.pop(number, None)
        self._held |= dict.fromkeys(mine, after.id)
