"""Time, injected: instants are real and aware (UTC); the business date is today in Europe/London unless set."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")


def _system_now() -> datetime:
    return datetime.now(UTC)


class Clock:
    """`now()` is the instant (aware, UTC); `today()` the business date, the day statutory rules are held against.

    The embedded process may set and move the business date so that a person can watch a year of reviews fall due;
    instants stay real. Tests pass their own `now`.
    """

    def __init__(self, today: date | None = None, now: Callable[[], datetime] = _system_now) -> None:
        self._today = today
        self._now = now

    def now(self) -> datetime:
        return self._now()

    def today(self) -> date:
        return self._today or self._now().astimezone(LONDON).date()

    def set(self, today: date) -> None:
        """Move the business date (embedded mode and tests only)."""
        self._today = today
