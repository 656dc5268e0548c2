"""What the dashboard shows, put together from the figures: tiles, rows of tables, and the data of the charts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import accumulate
from typing import Any

from reporting_service.dashboard import charts, words
from reporting_service.measures import BY_ID, ENDED, LATE, MET, OVERDUE, WAITING, Figure, figures, share
from reporting_service.queries import Standings, bands
from reporting_service.story import academic_year

MonthRows = Mapping[date, Mapping[str, int]]
ALL_YEARS = "all"
POST_16 = "secondary_to_post16"
STEPS = ("K7", "K8", "K9", "K9a", "K9b", "K10a", "K6c")
TOLD = ("told-school", "told-icb", "told-social-care", "told-case-system")


@dataclass(frozen=True)
class Tile:
    """One headline: a number, what it is, a line that puts it in proportion, the measure behind it, its mood, and what
    its list of cases is asked for beyond what was chosen on the page."""

    label: str
    value: str
    note: str
    measure: str
    mood: str = "plain"
    cases: Mapping[str, str] = field(default_factory=dict)


def by_id(found: Sequence[Figure]) -> dict[str, Figure]:
    return {figure.measure.id: figure for figure in found}


def headlines(
    now: Mapping[str, Figure],
    plans_by_la: Mapping[Any, Standings],
    own: frozenset[str],
    year: str,
    this_month: Mapping[str, int],
    overdue: int,
    never: int,
    as_at: date,
) -> list[Tile]:
    """The numbers at the top: three of the day, three of the calendar."""
    plans = {la: found.get("plans", {}).get(WAITING, 0) for la, found in plans_by_la.items()}
    for_others = sum(n for la, n in plans.items() if la not in own)
    due = sum(this_month.values())
    done = this_month.get(MET, 0) + this_month.get(LATE, 0)
    completed, in_time, reviewed = now["reviews-completed"], now["K6b"], now["reviewed-12m"]
    return [
        Tile(
            "Plans in force",
            words.number(now["plans"].numerator),
            _kept(now["plans"].numerator, for_others),
            "plans",
        ),
        Tile(
            "Overdue now",
            words.number(overdue),
            f"{words.number(never)} of them have never had a review" if overdue else "Nothing is overdue",
            "K12",
            "bad" if overdue else "good",
            {"academic_year": ALL_YEARS},
        ),
        Tile(
            "Reviewed in the last 12 months",
            _rate(reviewed),
            _of(reviewed, "plans a year old or more"),
            "reviewed-12m",
        ),
        Tile(
            f"Due in {as_at:%B}",
            words.number(due),
            f"{words.number(done) if done else 'None'} already completed",
            "reviews-due",
            cases={"academic_year": academic_year(as_at), "month": f"{as_at:%Y-%m}"},
        ),
        Tile(
            f"Completed in {year}",
            _rate(completed),
            _of(completed, "concluded or past their date"),
            completed.measure.id,
        ),
        Tile(f"In time in {year}", _rate(in_time), _of(in_time, "concluded or past their date"), "K6b"),
    ]


def _kept(all_plans: int, for_others: int) -> str:
    if not for_others:
        return "All of them the council’s own"
    return (
        f"{words.number(all_plans - for_others)} own and {words.number(for_others)} kept for other councils"
    )


def _rate(figure: Figure) -> str:
    return words.rate(figure.numerator, figure.denominator, figure.percentage)


def _of(figure: Figure, what: str) -> str:
    if not figure.denominator:
        return "None to judge yet"
    if _rate(figure) != words.percent(figure.percentage):
        return what[0].upper() + what[1:]
    return f"{words.number(figure.numerator)} of {words.number(figure.denominator)} {what}"


# --- reviews by month ---------------------------------------------------------------------------------------------

_COLUMNS = ((MET, "In time"), (LATE, "Late"), (OVERDUE, "Overdue"), (WAITING, "Not yet due"))


@dataclass(frozen=True)
class MonthRow:
    """Reviews due in one month by standing."""

    month: date
    met: int
    late: int
    overdue: int
    waiting: int

    @property
    def due(self) -> int:
        return self.met + self.late + self.overdue + self.waiting


def month_rows(found: MonthRows) -> list[MonthRow]:
    """One row a month. Reviews that were missed and then fell away with their plan stand with the overdue."""
    return [
        MonthRow(
            month,
            standing.get(MET, 0),
            standing.get(LATE, 0),
            standing.get(OVERDUE, 0) + standing.get(ENDED, 0),
            standing.get(WAITING, 0),
        )
        for month, standing in found.items()
    ]


def month_chart(rows: Iterable[MonthRow]) -> charts.Spec:
    return charts.months(
        [
            {"month": words.month(row.month), "standing": name, "n": n}
            for row in rows
            for name, n in zip(
                charts.STANDING_COLOURS, (row.met, row.late, row.overdue, row.waiting), strict=True
            )
        ]
    )


def month_words(rows: Sequence[MonthRow]) -> str:
    """The chart in one sentence, for those who cannot see it."""
    if not rows:
        return "No annual review is due in this academic year."
    peak = max(rows, key=lambda row: row.due)
    total, met, late, overdue, waiting = (
        sum(getattr(row, name) for row in rows) for name in ("due", "met", "late", "overdue", "waiting")
    )
    return (
        f"Bar chart of {words.number(total)} annual reviews by the month they are due: {words.number(met)} in time, "
        f"{words.number(late)} late, {words.number(overdue)} overdue, {words.number(waiting)} not yet due. "
        f"Most are due in {peak.month:%B %Y}: {words.number(peak.due)}."
    )


# --- backlog ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Backlog:
    """Overdue reviews: how many, by how long; those of plans never reviewed are a band of their own."""

    total: int
    never: int
    bands: list[tuple[str, int]]


def backlog(found: Mapping[str, Mapping[date, int]], as_at: date) -> Backlog:
    first = found["K12-first"]
    reviewed = ((day, n - first.get(day, 0)) for day, n in found["K6b"].items())
    never = sum(first.values())
    return Backlog(
        sum(found["K6b"].values()),
        never,
        [*bands(reviewed, as_at), ("never reviewed", never)],
    )


def backlog_chart(found: Backlog) -> charts.Spec:
    return charts.backlog([{"band": name[0].upper() + name[1:], "n": n} for name, n in found.bands])


# --- phase transfers ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cohort:
    """One date of SEND Regs 2014 reg 18: how many children, how many named in time, late, open, and by week."""

    name: str
    limit: date
    label: str
    size: int
    met: int
    late: int
    missed: int
    waiting: int
    unknown: int
    weekly: list[tuple[date, int]]

    @property
    def share(self) -> float | None:
        return share(self.met + self.late, self.size)


def cohorts(rows: Sequence[tuple[str, str, date | None, int]], of_year: str, as_at: date) -> list[Cohort]:
    """The two cohorts of an academic year; empty ones are left out."""
    year = int(of_year[:4]) + 1
    younger = [row for row in rows if row[0] != POST_16]
    older = [row for row in rows if row[0] == POST_16]
    found = [
        _cohort("Into school, junior, middle or secondary", date(year, 2, 15), "15 February", younger, as_at),
        _cohort("From secondary to post-16", date(year, 3, 31), "31 March", older, as_at),
    ]
    return [cohort for cohort in found if cohort.size or cohort.unknown]


def _cohort(
    name: str, limit: date, label: str, rows: Sequence[tuple[str, str, date | None, int]], as_at: date
) -> Cohort:
    def total(*wanted: str) -> int:
        return sum(n for _, how, _, n in rows if how in wanted)

    met, late, missed, waiting = total(MET), total(LATE), total(OVERDUE, ENDED), total(WAITING)
    size = met + late + missed + waiting
    unknown = sum(n for _, _, _, n in rows) - size
    weekly = _added_up([(week, n) for _, _, week, n in rows if week], date(limit.year - 1, 9, 1), as_at)
    return Cohort(name, limit, label, size, met, late, missed, waiting, unknown, weekly)


def _added_up(done: Iterable[tuple[date, int]], start: date, end: date) -> list[tuple[date, int]]:
    weeks: dict[date, int] = {start: 0}
    for week, n in done:
        weeks[max(week, start)] = weeks.get(max(week, start), 0) + n
    ordered = sorted(weeks)
    points = list(zip(ordered, accumulate(weeks[week] for week in ordered), strict=True))
    return [*points, (end, points[-1][1])] if end > points[-1][0] else points


def transfer_chart(found: Sequence[Cohort]) -> charts.Spec:
    start = date(found[0].limit.year - 1, 9, 1)
    end = max(found[-1].limit, *(cohort.weekly[-1][0] for cohort in found)) + timedelta(days=14)
    lines = [
        {"cohort": _legend(cohort), "week": week.isoformat(), "share": n / cohort.size}
        for cohort in found
        if cohort.size
        for week, n in cohort.weekly
    ]
    dates = [
        {"cohort": _legend(c), "limit": c.limit.isoformat(), "label": f"before {c.label}"} for c in found
    ]
    return charts.trajectory(lines, dates, start, end)


def _legend(cohort: Cohort) -> str:
    return f"{cohort.name}: {words.number(cohort.met + cohort.late)} of {words.number(cohort.size)}"


def transfer_words(found: Sequence[Cohort]) -> str:
    parts = [
        f"{cohort.name}: {words.number(cohort.met + cohort.late)} of {words.number(cohort.size)} named, due by {cohort.label}"
        for cohort in found
    ]
    return "Line chart of final plans for phase transfers, added up by week. " + "; ".join(parts) + "."


# --- tables -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GroupRow:
    """One line of the table by year group (or council, phase): the annual reviews of that group."""

    label: str
    plans: int
    due: int
    completed: int
    overdue: int
    in_time: Figure


def group_rows(groups: Mapping[Any, Standings], label: Any) -> list[GroupRow]:
    rows = []
    for value in sorted((v for v in groups if v is not None), key=lambda v: (isinstance(v, str), v)):
        found = by_id(
            figures(
                groups[value], [BY_ID[i] for i in ("plans", "reviews-due", "reviews-completed", "K12", "K6b")]
            )
        )
        plans, due = found["plans"].numerator, found["reviews-due"].numerator
        if plans or due:
            completed, overdue = found["reviews-completed"].numerator, found["K12"].numerator
            rows.append(GroupRow(label(value), plans, due, completed, overdue, found["K6b"]))
    return rows
