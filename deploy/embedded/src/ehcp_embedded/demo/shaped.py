"""The invented caseload: 2,850 children in the shape of the published figures, the same for the same seed and
day.

Each case is a snapshot as the Liquid Logic adapter would push it: names, dates and codes of an invented
child, the plan with its last review, the placement, and who looks after it. Nothing here is copied from a
record.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from ehcp_embedded.demo import people
from ehcp_embedded.demo.figures import (
    AGES,
    FOR_OTHER_COUNCILS,
    INSTITUTIONS,
    KINDS,
    NEEDS,
    NEVER_REVIEWED,
    OFFICERS,
    PLANS,
    REVIEWED_IN_12_MONTHS,
    REVIEWED_IN_TIME,
    SEXES,
    UNRECORDED,
    YEARS_IN_PLACE,
    scaled,
)
from ehcp_embedded.demo.register import BURY, NEIGHBOURS, open_to

SEED = 351
ICB = "QOP"
TEAMS = ("team-a", "team-b", "team-c")
SHARE_KNOWN_TO_SOCIAL_CARE = 0.25  # our assumption: no figure is published for Bury
SHARE_TAUGHT_OUT_OF_COHORT = 0.01  # our assumption, so that the rules for it are seen at work
OPEN_STEPS = 0.01  # plans with a meeting held and undecided, and as many with a notice sent and no final plan
YEAR = 365.25

Snapshot = dict[str, Any]


@dataclass(frozen=True)
class _Outline:
    """What the published tables say of one child: age at 31 August, kind of placement."""

    age: int
    kind: str


def caseload(today: date, plans: int = PLANS, seed: int = SEED) -> list[Snapshot]:
    """`plans` snapshots as of `today`, in the order of their references."""
    dice = random.Random(f"{seed}/{today.isoformat()}/{plans}")
    outlines = list(_outlines(plans))
    dice.shuffle(outlines)
    maker = _Maker(dice, today, len(outlines))
    others = set(dice.sample(range(plans), round(plans * FOR_OTHER_COUNCILS / PLANS)))
    years = _years(dice, outlines)
    return [maker.snapshot(n, outline, years[n], n in others) for n, outline in enumerate(outlines)]


def _outlines(plans: int) -> Iterator[_Outline]:
    cells = {f"{age}/{kind}": n for age, row in AGES.items() for kind, n in zip(KINDS, row, strict=True) if n}
    for cell, count in scaled(cells, plans).items():
        age, kind = cell.split("/")
        yield from [_Outline(int(age), kind)] * count


def _years(dice: random.Random, outlines: list[_Outline]) -> list[int]:
    """Years in place for each child. The youngest choose first, as they have the least choice; nobody had a
    plan before the age of one."""
    left = scaled({str(year): count for year, count in YEARS_IN_PLACE.items()}, len(outlines))
    result = [0] * len(outlines)
    for n in sorted(range(len(outlines)), key=lambda n: outlines[n].age):
        possible = [year for year in left if left[year] and int(year) <= outlines[n].age - 1]
        if not possible:
            possible = [min((year for year in left if left[year]), key=int)]
        chosen = dice.choices(possible, [left[year] for year in possible])[0]
        left[chosen] -= 1
        result[n] = int(chosen)
    return result


class _Maker:
    """Makes the snapshots one by one; keeps what must be unique among them."""

    def __init__(self, dice: random.Random, today: date, plans: int) -> None:
        self.dice, self.today = dice, today
        self.start = date(today.year if today >= date(today.year, 9, 1) else today.year - 1, 9, 1)
        self.sexes = self._drawn(scaled(SEXES, plans))
        self.needs = self._drawn(scaled(NEEDS, plans))
        self.serials = dice.sample(range(1_000_000), plans)
        self.pupils: dict[int, int] = {}

    def _drawn(self, counts: dict[str, int]) -> list[str]:
        values = [value for value, count in counts.items() for _ in range(count)]
        self.dice.shuffle(values)
        return values

    def snapshot(self, n: int, outline: _Outline, years: int, for_other: bool) -> Snapshot:
        born = self._birth_date(outline.age)
        made = self._first_made(born, years)
        snapshot: Snapshot = {
            "ref": f"LL-{n + 1:05d}",
            "version": 1,
            "child": self._child(n, born),
            "responsible_la": self.dice.choice(sorted(NEIGHBOURS)) if for_other else BURY,
            "administering_la": BURY,
            "plan": {"first_made": made, "status": "active"} | self._reviews(made, years),
            "placement": self._placement(outline, born, made),
            "primary_need": self.needs[n] or None,
            "icb": ICB,
            "social_care_team": self._team(),
            "officer": f"officer-{n % OFFICERS + 1}",
        }
        if 5 <= outline.age <= 14 and self.dice.random() < SHARE_TAUGHT_OUT_OF_COHORT:
            snapshot["taught_year_group"] = outline.age - 5  # a year below the cohort
        ready: Snapshot = _as_json(snapshot)
        return ready

    def _birth_date(self, age: int) -> date:
        """Of that age on 31 August before the school year of `today`."""
        august = self.start - timedelta(days=1)
        last = date(august.year - age, 8, 31)
        return last - timedelta(days=self.dice.randrange(365))

    def _child(self, n: int, born: date) -> Snapshot:
        surname, forename = people.name(self.dice, self.sexes[n])
        return {
            "surname": surname,
            "forename": forename,
            "birth_date": born,
            "sex": self.sexes[n],
            "upn": self._upn(born),
            "nhs_number": people.nhs_number(self.serials[n]),
            "postcode": people.postcode(self.dice),
        }

    def _upn(self, born: date) -> str | None:
        """Given in the year a child enters nursery or Reception; the youngest have none yet."""
        year = born.year + 4
        if year > self.start.year:
            return None
        self.pupils[year] = self.pupils.get(year, 0) + 1
        return people.upn(year, self.pupils[year])

    def _first_made(self, born: date, years: int) -> date:
        """Within the `years`-th year back from today, 0: within the last three weeks; not before the first
        birthday."""
        near, far = ((years - 1) * YEAR + 21, years * YEAR + 20) if years else (1, 20)
        made = self.today - timedelta(days=round(self.dice.uniform(near, far)))
        return max(made, born + timedelta(days=370))

    def _placement(self, outline: _Outline, born: date, made: date) -> Snapshot:
        if outline.kind == UNRECORDED:
            return {}
        if outline.kind not in INSTITUTIONS:
            return {"setting": outline.kind, "since": self._since(born, made)}
        choice = open_to(outline.kind, outline.age) or _nearest(outline)
        weights = [4 if institution.la_code == BURY else 1 for institution in choice]
        school = self.dice.choices(choice, weights)[0]
        entered = date(born.year + school.low_age + (born.month >= 9), 9, 1)
        since = max(entered, made - timedelta(days=200))
        return {"urn": school.urn, "since": min(since, self.today)}

    def _since(self, born: date, made: date) -> date:
        days = (self.today - max(made, born)).days
        return self.today - timedelta(days=self.dice.randint(0, max(days, 0)))

    def _reviews(self, made: date, years: int) -> Snapshot:
        """The last review and any open step. Two in five plans that could have been reviewed have had a
        review ended in the last twelve months, and about half of those by the anniversary."""
        if (self.today - made).days < 370:
            return {}
        luck = self.dice.random()
        if luck < REVIEWED_IN_12_MONTHS:
            return self._reviewed_lately(made, in_time=luck < REVIEWED_IN_TIME)
        return self._open_step(made) | self._reviewed_long_ago(made, years)

    def _reviewed_lately(self, made: date, *, in_time: bool) -> Snapshot:
        anniversary = _last_anniversary(made, self.today)
        if in_time:
            concluded = anniversary - timedelta(days=self.dice.randint(0, 30))
        else:
            concluded = anniversary + timedelta(days=self.dice.randint(14, 200))
        if concluded >= self.today or (self.today - concluded).days > 360:
            concluded = self.today - timedelta(days=self.dice.randint(1, 350))
        concluded = max(concluded, made)
        if self.dice.random() >= OPEN_STEPS:
            return {"last_concluded": concluded}
        sent = self.today - timedelta(days=self.dice.randint(3, 50))
        return {"last_concluded": min(sent, self.today), "notice_sent_on": sent}

    def _reviewed_long_ago(self, made: date, years: int) -> Snapshot:
        longest = (self.today - made).days
        if longest < 2 * YEAR or self.dice.random() < NEVER_REVIEWED.get(years, 0.0):
            return {}
        ago = self.dice.triangular(370, min(longest - 300, 4 * YEAR), 500) if longest > 700 else 370
        return {"last_concluded": max(self.today - timedelta(days=round(ago)), made)}

    def _open_step(self, made: date) -> Snapshot:
        """A meeting held within the last weeks and not yet decided."""
        if self.dice.random() >= OPEN_STEPS / (1 - REVIEWED_IN_12_MONTHS):
            return {}
        return {"meeting_held_on": self.today - timedelta(days=self.dice.randint(2, 60))}

    def _team(self) -> str | None:
        known = self.dice.random() < SHARE_KNOWN_TO_SOCIAL_CARE
        return self.dice.choice(TEAMS) if known else None


def _nearest(outline: _Outline) -> tuple[Any, ...]:
    """The few whom the tables place in a kind that has nothing for their age, such as at an early sixth
    form."""
    for distance in range(1, 25):
        for age in (outline.age - distance, outline.age + distance):
            if found := open_to(outline.kind, age):
                return found
    raise LookupError(outline.kind)


def _last_anniversary(made: date, today: date) -> date:
    day = min(made.day, 28)
    this_year = date(today.year, made.month, day)
    return this_year if this_year <= today else date(today.year - 1, made.month, day)


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_json(inner) for key, inner in value.items() if inner is not None}
    return value.isoformat() if isinstance(value, date) else value
