"""How values are written: in plain English for people, in ISO for machines."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]  # not strftime: its names follow the locale of the server
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def month_in_words(day: date) -> str:
    """The month of a day: November 2024."""
    return f"{MONTHS[day.month - 1]} {day.year}"


def day_in_words(day: date) -> str:
    """A day as gov.uk writes it: 25 November 2024."""
    return f"{day.day} {month_in_words(day)}"


def in_words(value: Any) -> str:
    """Any fact or result in words."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        utc = value.astimezone(UTC)
        return f"{utc:%H:%M} UTC on {day_in_words(utc.date())}"
    if isinstance(value, date):
        return day_in_words(value)
    if isinstance(value, list | tuple):
        return joined([in_words(item) for item in value]) or "none"
    if isinstance(value, dict):
        return joined([f"{key} {in_words(item)}" for key, item in value.items()])
    return str(value).replace("_", " ").replace("post16", "post-16")


def joined(parts: list[str], last: str = "and") -> str:
    """a, b and c."""
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}" if len(parts) > 1 else "".join(parts)


def spelled_out(citation: str) -> str:
    """A citation without its abbreviations, for people who do not know them."""
    return citation.replace("CoP ", "SEND Code of Practice ").replace("SEND Regs", "SEND Regulations")


def counted(number: int, unit: str) -> str:
    """1 week, 2 weeks."""
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def to_iso(value: Any) -> Any:
    """The JSON form: dates as YYYY-MM-DD, instants in UTC with a Z, lists item by item."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [to_iso(item) for item in value]
    if isinstance(value, dict):
        return {key: to_iso(item) for key, item in value.items()}
    return value
