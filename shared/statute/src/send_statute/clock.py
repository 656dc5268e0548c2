"""Instants and local days. Statutory days are days in England, whatever the clock of the server says."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")


def local_date(instant: datetime) -> date:
    """The day in England at an instant. The instant must carry its offset."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs its offset: a naive datetime has no day in England")
    return instant.astimezone(LONDON).date()


def end_of_day(due: date) -> datetime:
    """The UTC instant at which a due day is over, exclusive: the next local midnight.

    23:00Z in summer time, 00:00Z in winter; the two days on which the clocks change have 23 and 25 hours.
    """
    midnight = datetime.combine(due + timedelta(days=1), time(), tzinfo=LONDON)
    return midnight.astimezone(UTC)
