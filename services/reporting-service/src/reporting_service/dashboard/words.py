"""How the dashboard says things: numbers, days, councils, year groups, phases and standings in plain English."""

from __future__ import annotations

import csv
from datetime import date, datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

_LONDON = ZoneInfo("Europe/London")

PHASES = {
    "early_years_to_school": "Early years to school",
    "infant_to_junior": "Infant to junior",
    "primary_to_middle": "Primary to middle",
    "primary_to_secondary": "Primary to secondary",
    "middle_to_secondary": "Middle to secondary",
    "secondary_to_post16": "Secondary to post-16",
    "none": "No transfer this year",
}

STANDINGS = {
    "met": "In time",
    "late": "Late",
    "ended": "Missed, plan ended",
    "overdue": "Overdue",
    "waiting": "Not yet due",
    "no_start_date": "Unknown: no start date",
    "no_end_date_but_closed": "Unknown: closed without a date",
    "dates_contradict": "Unknown: dates contradict",
    "cohort_unknown": "Unknown: cohort not known",
    "not_migrated": "Unknown: before the register began",
}

STANDINGS_OF = {
    ("plans", "waiting"): "In force",
    ("reviewed-12m", "waiting"): "Reviewed",
    ("reviewed-12m", "overdue"): "Not reviewed",
    ("reviewed-12m-young", "waiting"): "Not yet 12 months old",
}

STANDING_TAGS = {"met": "blue", "late": "orange", "ended": "red", "overdue": "red", "waiting": "grey"}

FEW = 20
"""Fewer than these make no percentage: one child more or less would move it by five points or more."""

PARTS = {
    "numerator": "Counted",
    "missed": "Missed",
    "not_yet_due": "Not yet due",
    "unknown": "Unknown",
    "denominator": "All judged",
}


@cache
def _councils() -> dict[str, str]:
    """Names by DfE code: the 153 local authorities of "Education, health and care plans", reporting year 2025
    (Department for Education, Open Government Licence v3.0)."""
    with (Path(__file__).parent / "councils.csv").open(newline="", encoding="utf-8") as file:
        return {row["code"]: row["name"] for row in csv.DictReader(file)}


def council(code: str) -> str:
    return _councils().get(code, f"Council {code}")


def number(value: int) -> str:
    return f"{value:,}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}%"


def rate(met: int, judged: int, percentage: float | None) -> str:
    """A percentage where there is something to say one of; else the numbers themselves."""
    if percentage is None:
        return "–"
    return f"{number(met)} of {number(judged)}" if met == 0 or judged < FEW else percent(percentage)


def day(value: date | None) -> str:
    return "–" if value is None else f"{value.day} {value:%B %Y}"


def short_day(value: date | None) -> str:
    return "–" if value is None else f"{value.day} {value:%b %Y}"


def moment(value: datetime) -> str:
    local = value.astimezone(_LONDON)
    return f"{local.day} {local:%B %Y} at {local:%H:%M}"


def month(value: date) -> str:
    return f"{value:%b %Y}"


def year_group(value: int | None) -> str:
    if value is None:
        return "Not stated"
    if value > 0:
        return f"Year {value}"
    return {0: "Reception", -1: "Nursery 2", -2: "Nursery 1"}.get(value, "Before nursery")


def phase(value: str) -> str:
    return PHASES.get(value, value)


def standing(value: str, series: str = "") -> str:
    return STANDINGS_OF.get((series, value)) or STANDINGS.get(value, value)
