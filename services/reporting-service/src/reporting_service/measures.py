"""The measures: what each one says, counts and leaves out. Definitions as data; rules of sen2.md section 8.1. Pure.

Everybody in a denominator is met, missed, not yet due or unknown. The percentage is met / (met + missed); the bounds are
what it would be if all the unknown were missed, and if all were met.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

Standing = Mapping[str, int]
"""Items of one series by standing; see `STANDINGS`. Other keys are reasons of the unknown."""

MET, LATE, ENDED, OVERDUE, WAITING = "met", "late", "ended", "overdue", "waiting"
STANDINGS = (MET, LATE, ENDED, OVERDUE, WAITING)
"""met: done by the limit · late: done after it · ended: never done, the plan has ended · overdue: open, the limit has
passed · waiting: open, the limit has not passed."""

PARTNER_KINDS = ("school", "icb", "social-care", "case-system")


class Kind(StrEnum):
    """A rate has a percentage; a count is a number."""

    RATE = "rate"
    COUNT = "count"


@dataclass(frozen=True)
class Measure:
    """One measure over one or more series of items. `basis` says what stands behind it and which period it covers.
    `young`: a series of those who are not judged yet. While an item of it waits, so does the case's other item, and the
    case is not yet due."""

    id: str
    title: str
    definition: str
    basis: str
    series: tuple[str, ...]
    kind: Kind = Kind.RATE
    met: tuple[str, ...] = (MET,)
    missed: tuple[str, ...] = (LATE, ENDED, OVERDUE)
    not_yet: tuple[str, ...] = (WAITING,)
    young: str | None = None


@dataclass(frozen=True)
class Figure:
    """A measure with its numbers."""

    measure: Measure
    met: int
    missed: int
    not_yet_due: int
    unknown: int
    reasons: Mapping[str, int]

    @property
    def numerator(self) -> int:
        return self.met

    @property
    def denominator(self) -> int:
        """All that are judged: met and missed. For a count, everybody it is taken from."""
        if self.measure.kind is Kind.COUNT:
            return self.met + self.missed + self.not_yet_due
        return self.met + self.missed

    @property
    def everybody(self) -> int:
        """All that are counted, whatever is known of them."""
        return self.met + self.missed + self.not_yet_due + self.unknown

    @property
    def percentage(self) -> float | None:
        if self.measure.kind is Kind.COUNT:
            return None
        return share(self.met, self.met + self.missed)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Lowest and highest percentage that the unknown allow."""
        everyone = self.met + self.missed + self.unknown
        if self.measure.kind is Kind.COUNT or not everyone:
            return None
        low, high = share(self.met, everyone), share(self.met + self.unknown, everyone)
        assert low is not None
        assert high is not None
        return low, high


def share(part: int, whole: int) -> float | None:
    """A percentage to one decimal; None of nothing."""
    return round(100 * part / whole, 1) if whole else None


def figures(standings: Mapping[str, Standing], measures: Iterable[Measure] | None = None) -> list[Figure]:
    """Each measure's numbers from the items of its series by standing."""
    return [_figure(measure, standings) for measure in (MEASURES if measures is None else measures)]


def _figure(measure: Measure, standings: Mapping[str, Standing]) -> Figure:
    everyone: dict[str, int] = {}
    for series in measure.series:
        for standing, n in standings.get(series, {}).items():
            everyone[standing] = everyone.get(standing, 0) + n
    reasons = {reason: n for reason, n in sorted(everyone.items()) if reason not in STANDINGS}

    def total(wanted: tuple[str, ...]) -> int:
        return sum(everyone.get(standing, 0) for standing in wanted)

    young = standings.get(measure.young, {}).get(WAITING, 0) if measure.young else 0
    return Figure(
        measure,
        total(measure.met) - young,
        total(measure.missed),
        total(measure.not_yet) + young,
        sum(reasons.values()),
        reasons,
    )


_BY_DUE_DATE = "Annual reviews (CFA 2014 s.44(1)) whose due date lies in the academic year, held or not"
_BY_LIMIT = "those whose last day lies in the academic year, open ones included"
_TOLD = "All deliveries since the register began; not divided by academic year, year group or phase"

MEASURES: tuple[Measure, ...] = (
    Measure(
        "plans",
        "Plans in force",
        "Education, health and care plans in force on the day: made, and not ended. Includes plans the council keeps for "
        "other councils.",
        "The day asked for, whatever the academic year",
        ("plans",),
        Kind.COUNT,
        met=(WAITING,),
        missed=(),
        not_yet=(),
    ),
    Measure(
        "reviews-due",
        "Annual reviews due",
        "Annual reviews whose due date lies in the academic year. A review is due within the 12 months that start with "
        "the day the plan was first made, then with the day the last review was concluded.",
        f"{_BY_DUE_DATE}; the strict date, the day before the anniversary",
        ("K6b",),
        Kind.COUNT,
        met=(MET, LATE, ENDED, OVERDUE, WAITING),
        missed=(),
        not_yet=(),
    ),
    Measure(
        "reviews-completed",
        "Annual reviews completed",
        "Annual reviews concluded, on time or late, of those concluded or past their due date. A review is concluded "
        "when the decision letter is sent; if the decision is to amend, when the amendment notice is sent as well. A "
        "full phase transfer review concludes the year's annual review. Reviews concluded before the hub are not in it, for "
        "their due dates are not known: in the hub’s first year the rate is too low.",
        f"{_BY_DUE_DATE}; concluded ones and those past their date",
        ("K6b",),
        met=(MET, LATE),
        missed=(ENDED, OVERDUE),
    ),
    Measure(
        "reviewed-12m",
        "Reviewed in the last 12 months",
        "Plans in force whose last review decision was sent within the 12 months that end with the day, of all plans in "
        "force that are at least 12 months old. The last review before the hub counts; under-five interims do not. Plans "
        "in their first 12 months are not yet due. Unknown where dates contradict, and on days before a plan’s last "
        "review before the hub.",
        "The day asked for, whatever the academic year",
        ("reviewed-12m",),
        met=(WAITING,),
        missed=(OVERDUE,),
        not_yet=(),
        young="reviewed-12m-young",
    ),
    Measure(
        "K12",
        "Annual reviews overdue",
        "Annual reviews not concluded although their due date has passed, of plans still in force. The headline and the "
        "chart count those of all academic years.",
        _BY_DUE_DATE,
        ("K6b",),
        Kind.COUNT,
        met=(OVERDUE,),
        missed=(MET, LATE, ENDED),
    ),
    Measure(
        "K6b",
        "Annual reviews in time",
        "Annual reviews concluded on or before their due date, of all that were concluded or fell due. Late ones, open "
        "overdue ones and those of plans that ended overdue count against it. Reviews concluded before the hub are not in "
        "it: in the hub’s first year the rate is too low.",
        f"{_BY_DUE_DATE}; strict basis: by the day before the anniversary",
        ("K6b",),
    ),
    Measure(
        "K6b-anniversary",
        "Annual reviews in time, by the anniversary",
        "The same by the common reading of the Code of Practice (9.169): concluded on or before the anniversary.",
        "Annual reviews whose anniversary lies in the academic year, held or not",
        ("K6b-anniversary",),
    ),
    Measure(
        "in-time-of-completed",
        "In time, of those completed",
        "Of the annual reviews concluded, those concluded by their due date. Always better looking than K6b, because "
        "reviews not held are left out; shown because reports often quote it.",
        f"{_BY_DUE_DATE}; only those concluded",
        ("K6b",),
        missed=(LATE,),
        not_yet=(),
    ),
    Measure(
        "K6c",
        "Under-five interim reviews in time",
        "Interim review meetings of children under five held by their date, of those whose date has come. Council policy "
        "(every six months), not law; never mixed into K6b.",
        f"Under-five interim reviews: {_BY_LIMIT}",
        ("K6c",),
    ),
    Measure(
        "K7",
        "Decision within four weeks",
        "Decision sent within four weeks (28 days) of the review meeting (SEND Regs 2014 reg 20(10)). Open ones count "
        "against it from day 29.",
        f"Review meetings held: {_BY_LIMIT}",
        ("K7",),
    ),
    Measure(
        "K8",
        "Amendment notice with the decision",
        "Where the decision is to amend: notice of the proposed amendments sent within four weeks of the meeting "
        "(R (L, M and P) v Devon [2022] EWHC 493 (Admin)).",
        f"Decisions to amend: {_BY_LIMIT}",
        ("K8",),
    ),
    Measure(
        "K9",
        "Final amended plan in time",
        "Final amended plan issued within eight weeks of the notice and within twelve weeks of the meeting. Amendments "
        "dropped with reasons are left out here and counted under K9a.",
        f"Decisions to amend: {_BY_LIMIT}",
        ("K9",),
    ),
    Measure(
        "K9a",
        "Final plan within eight weeks of the notice",
        "Final amended plan, or the decision not to amend, sent within eight weeks (56 days) of the notice (SEND Regs "
        "2014 reg 22(3) and (4)). Includes amendments without a review.",
        f"Amendment notices: {_BY_LIMIT}",
        ("K9a",),
    ),
    Measure(
        "K9b",
        "Final plan within twelve weeks of the meeting",
        "Final amended plan issued within twelve weeks (84 days) of the review meeting (Devon).",
        f"Decisions to amend: {_BY_LIMIT}",
        ("K9b",),
    ),
    Measure(
        "K10a",
        "School report within two weeks",
        "Report of the review meeting received within two weeks (14 days) of it (SEND Regs 2014 reg 20(7)). Unknown where "
        "a decision was made and no receipt is on record.",
        f"Review meetings held: {_BY_LIMIT}",
        ("K10a",),
    ),
    Measure(
        "K11",
        "Phase transfers named in time",
        "Plans reviewed and amended before 15 February of the year of transfer (before 31 March for secondary to "
        "post-16), SEND Regs 2014 reg 18; the final plan counts, or the decision to leave it as it is. Strict basis: "
        "by 14 February and 30 March. Plans first made after the date are left out and counted under K11-late-plan.",
        "Everybody in the cohort whose date lies in the academic year",
        ("K11",),
    ),
    Measure(
        "K11-by",
        "Phase transfers named by the day itself",
        "The same by the common reading: by 15 February and 31 March.",
        "Everybody in the cohort whose date lies in the academic year",
        ("K11-by",),
    ),
    Measure(
        "K11-late-plan",
        "Phase transfers that could not be in time",
        "Children in the cohort whose plan was first made after the date.",
        "Listed apart; in no percentage",
        ("K11-late-plan",),
        Kind.COUNT,
        met=(MET, LATE, ENDED, OVERDUE, WAITING),
        missed=(),
        not_yet=(),
    ),
    Measure(
        "told",
        "Partners told",
        "Notices that reached the partner (accepted by its system or fetched by it), of those delivered or given up.",
        _TOLD,
        tuple(f"told-{kind}" for kind in PARTNER_KINDS),
    ),
    Measure(
        "told-school",
        "Schools and colleges told",
        "The same, for schools and colleges.",
        _TOLD,
        ("told-school",),
    ),
    Measure("told-icb", "Health (ICB) told", "The same, for integrated care boards.", _TOLD, ("told-icb",)),
    Measure(
        "told-social-care",
        "Social care told",
        "The same, for social care teams.",
        _TOLD,
        ("told-social-care",),
    ),
    Measure(
        "told-case-system",
        "Case system told",
        "The same, for the council's case management system.",
        _TOLD,
        ("told-case-system",),
    ),
)

BY_ID = {measure.id: measure for measure in MEASURES}
