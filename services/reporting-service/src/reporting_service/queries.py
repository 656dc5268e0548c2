"""Reading the figures: from the counters for the day itself, from the items for a day that has gone by.

Both ways give the same numbers where both apply. Each is one aggregate over an index range of the councils asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, literal, or_, select, true
from sqlalchemy.orm import aliased
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from reporting_service.items import ANY_YEAR, LATE, MET, NO_DAY, OPEN, UNKNOWN
from reporting_service.measures import OVERDUE, STANDINGS, WAITING, Measure
from reporting_service.tables import UNSTATED, Counter, Item, Progress
from service_kit.paging import PageRequest
from service_kit.policy import Predicate
from service_kit.tokens import Caller

Of: TypeAlias = type[Counter] | type[Item]
Standings = dict[str, dict[str, int]]  # series -> standing or reason -> how many


def _own_la(table: Of) -> Any:
    """Rows of the caller's councils: responsible, or doing the work for another."""

    def rows(caller: Caller) -> ColumnElement[bool]:
        las = sorted(caller.las)
        return or_(col(table.la).in_(las), col(table.administering_la).in_(las))

    return rows


SCOPES: dict[Any, dict[Predicate, Any]] = {
    table: {Predicate.own_la: _own_la(table)} for table in (Counter, Item)
}


class By(StrEnum):
    """What the figures may be broken down by."""

    YEAR_GROUP = "year_group"
    PHASE = "phase"
    ACADEMIC_YEAR = "academic_year"
    LA = "la"


@dataclass(frozen=True)
class Filters:
    """What the figures are asked for. `la` matches the responsible council and the one that does the work; `month` (its
    first day) is the month in which the last day lies, which only items know."""

    as_at: date
    la: str | None = None
    academic_year: str | None = None
    year_group: int | None = None
    phase: str | None = None
    month: date | None = None

    def where(self, table: Of) -> ColumnElement[bool]:
        """As SQL. What has no academic year (plans, deliveries) or no year group (deliveries) is not cut by it."""
        wanted: list[ColumnElement[bool]] = []
        if self.la is not None:
            wanted.append(or_(col(table.la) == self.la, col(table.administering_la) == self.la))
        if self.academic_year is not None:
            wanted.append(col(table.academic_year).in_([self.academic_year, ANY_YEAR]))
        if self.year_group is not None:
            wanted.append(col(table.year_group).in_([self.year_group, UNSTATED]))
        if self.phase is not None:
            wanted.append(or_(col(table.phase) == self.phase, col(table.year_group) == UNSTATED))
        if self.month is not None:
            wanted.append(col(Item.limit_on).between(self.month, _last_of(self.month)))
        return and_(true(), *wanted)


def _last_of(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1) - timedelta(days=1)


@dataclass(frozen=True)
class AsOf:
    """How far the figures go: the last event applied, and whether the counters answer for the day asked for."""

    last_event_at: datetime | None
    events: int
    horizon: date


async def as_of(session: AsyncSession) -> AsOf:
    """The time of the last event applied; None before the first."""
    row = (await session.exec(select(Progress.last_event_at, Progress.events, Progress.horizon))).first()  # type: ignore[call-overload]
    return AsOf(*row) if row else AsOf(None, 0, NO_DAY)


class Figures:
    """The figures that one caller may see for one question."""

    def __init__(
        self, session: AsyncSession, filters: Filters, reach: AsOf, visible: dict[Of, ColumnElement[bool]]
    ) -> None:
        self.session, self.filters, self.visible = session, filters, visible
        self.table: Of = Counter if filters.as_at >= reach.horizon and not filters.month else Item

    def _n(self) -> ColumnElement[int]:
        return func.sum(Counter.n) if self.table is Counter else func.count()

    def _standing(self) -> ColumnElement[str]:
        return standing(self.table, self.filters.as_at)

    def _from(self, *columns: Any, filters: Filters | None = None) -> Select[Any]:
        """How many items are alike in `columns`."""
        where = [self.visible[self.table], (filters or self.filters).where(self.table)]
        if self.table is Item:
            where.append(known_by(self.filters.as_at))
        return select(*columns, self._n().label("n")).where(*where).group_by(*columns)

    async def standings(self) -> Standings:
        """All series by standing."""
        return (await self.standings_by(None))[None]

    async def standings_by(self, by: By | None) -> dict[Any, Standings]:
        """The same for each value of a dimension; what has no value of it stands under None."""
        dimension = getattr(self.table, by.value) if by else literal(None)
        query = self._from(col(self.table.measure), self._standing(), dimension)
        groups: dict[Any, Standings] = defaultdict(lambda: defaultdict(dict))
        for series, how, value, n in await self.session.execute(query):
            groups[None if value in (ANY_YEAR, UNSTATED) else value][series][how] = n
        if not by:
            groups[None]  # also when there is nothing yet
        return dict(groups)

    async def months(self, academic_year: str | None = None) -> dict[date, dict[str, int]]:
        """Annual reviews by the month they fall due in (its first day) and standing, oldest first; of the academic year
        asked for, or of this one."""
        asked = replace(self.filters, academic_year=academic_year) if academic_year else None
        day = Counter.falls if self.table is Counter else Item.limit_on
        query = self._from(col(day), self._standing(), filters=asked).where(
            col(self.table.measure) == "K6b", col(day) > NO_DAY
        )
        months: dict[date, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for falls, how, n in await self.session.execute(query):
            months[falls.replace(day=1)][how] += n
        return dict(sorted(months.items()))

    async def backlog(self) -> dict[str, dict[date, int]]:
        """Open overdue annual reviews of all academic years by due date: all of them, and (`K12-first`) those of plans
        that were never reviewed."""
        day = Counter.falls if self.table is Counter else Item.limit_on
        query = self._from(
            col(self.table.measure), col(day), filters=replace(self.filters, academic_year=None)
        )
        query = query.where(col(self.table.measure).in_(["K6b", "K12-first"]), self._standing() == OVERDUE)
        found: dict[str, dict[date, int]] = {"K6b": {}, "K12-first": {}}
        for series, falls, n in await self.session.execute(query):
            found[series][falls] = n
        return found

    async def transfers(self) -> list[tuple[str, str, date | None, int]]:
        """Phase transfers: (phase, standing, Monday of the week in which it was done or None, how many)."""
        day = Counter.falls if self.table is Counter else Item.done_on
        query = self._from(col(self.table.phase), self._standing(), col(day)).where(
            col(self.table.measure) == "K11"
        )
        rows = (await self.session.execute(query)).all()
        return [(phase, how, _monday(how, done), n) for phase, how, done, n in rows]

    async def choices(self, dimension: By) -> list[str]:
        """The values of a dimension that the caller has figures for."""
        column = getattr(Counter, dimension.value)
        query = select(column).where(self.visible[Counter]).distinct().order_by(column)
        return [value for value in (await self.session.execute(query)).scalars() if value != ANY_YEAR]


def _monday(how: str, done: date | None) -> date | None:
    if how not in (MET, LATE) or done is None or done == NO_DAY:
        return None
    return done - timedelta(days=done.weekday())


# --- standing, in SQL ---------------------------------------------------------------------------------------------


def standing(table: Of, as_at: date) -> ColumnElement[str]:
    """How an item stands on a day (`measures.STANDINGS`), or the reason why that is unknown."""
    if table is Counter:
        overdue = and_(col(Counter.falls) < as_at, col(Counter.falls) > NO_DAY)
        return case((col(Counter.state) != OPEN, col(Counter.state)), (overdue, OVERDUE), else_=WAITING)
    unclear = col(Item.reason).is_not(None)
    not_then = or_(col(Item.state) == OPEN, and_(col(Item.state) != UNKNOWN, col(Item.done_on) > as_at))
    return case(
        (or_(col(Item.state) == UNKNOWN, and_(not_then, unclear)), func.coalesce(Item.reason, UNKNOWN)),
        (and_(not_then, col(Item.limit_on) < as_at), OVERDUE),
        (not_then, WAITING),
        else_=col(Item.state),
    )


def known_by(as_at: date) -> ColumnElement[bool]:
    """Items that had come into being on a day."""
    return or_(col(Item.opened_on).is_(None), col(Item.opened_on) <= as_at)


# --- the cases behind a number ------------------------------------------------------------------------------------


class Part(StrEnum):
    """Which of the cases behind a number."""

    NUMERATOR = "numerator"
    DENOMINATOR = "denominator"
    MISSED = "missed"
    NOT_YET_DUE = "not_yet_due"
    UNKNOWN = "unknown"


def _standings_of(measure: Measure, part: Part) -> Sequence[str] | None:
    match part:
        case Part.NUMERATOR:
            return measure.met
        case Part.MISSED:
            return measure.missed
        case Part.NOT_YET_DUE:
            return measure.not_yet
        case Part.DENOMINATOR:
            return measure.met + measure.missed + (measure.not_yet if measure.kind == "count" else ())
        case Part.UNKNOWN:
            return None


async def cases(
    session: AsyncSession,
    measure: Measure,
    part: Part,
    filters: Filters,
    visible: ColumnElement[bool],
    page: PageRequest,
) -> Sequence[Any]:
    """Items behind a number with their `standing`, by measure and key: one more than a page, to tell if more follow."""
    how = standing(Item, filters.as_at)
    query = (
        select(*Item.__table__.columns, how.label("standing"))  # type: ignore[attr-defined]
        .where(visible, filters.where(Item), known_by(filters.as_at), _members(measure, part, filters.as_at))
        .where(page.after(Item.measure, Item.key))
        .order_by(col(Item.measure), col(Item.key))
        .limit(page.fetch)
    )
    return (await session.execute(query)).all()


def _members(measure: Measure, part: Part, as_at: date) -> ColumnElement[bool]:
    """The items of a measure that make up a part of it."""
    how, wanted = standing(Item, as_at), _standings_of(measure, part)
    of_series = col(Item.measure).in_(measure.series)
    if wanted is None:
        return and_(of_series, how.not_in(STANDINGS))
    found = and_(of_series, how.in_(wanted))
    if not measure.young:
        return found
    if part is Part.NOT_YET_DUE:
        return or_(found, and_(col(Item.measure) == measure.young, how == WAITING))
    young = aliased(Item)
    return and_(
        found,
        ~exists().where(
            col(young.case_id) == col(Item.case_id),
            col(young.measure) == measure.young,
            col(young.limit_on) >= as_at,
        ),
    )


def bands(due: Iterable[tuple[date, int]], as_at: date) -> list[tuple[str, int]]:
    """The backlog by how long ago it fell due (sen2.md K12)."""
    counts = [0] * len(BANDS)
    for day, n in due:
        months = (as_at.year - day.year) * 12 + as_at.month - day.month - (as_at.day <= day.day)
        counts[next(i for i, (_, below) in enumerate(BANDS) if below is None or months < below)] += n
    return [(name, n) for (name, _), n in zip(BANDS, counts, strict=True)]


BANDS: tuple[tuple[str, int | None], ...] = (
    ("up to 3 months", 3),
    ("3 to 6 months", 6),
    ("6 to 12 months", 12),
    ("12 to 24 months", 24),
    ("over 24 months", None),
)
