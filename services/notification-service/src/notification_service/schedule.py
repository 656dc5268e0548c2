"""When a failed notice is tried again: the schedule of Standard Webhooks, about 75 hours, which spans a weekend."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

MINUTE, HOUR = 60, 3600
SCHEDULE = (0, 5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
JITTER = 0.2
SLOW_DOWN = 60  # at least this long after a timeout or a "too many requests"


def next_attempt(
    tries: int,
    now: datetime,
    dice: random.Random,
    *,
    slow_down: bool = False,
    retry_after: float | None = None,
) -> datetime | None:
    """The time of the next attempt after `tries` failed ones, or None when the schedule is spent.

    `retry_after` (seconds) is honoured between the scheduled delay and twice that, else ignored; without it the delay
    varies by a fifth, so that partners who failed together do not come back together.
    """
    if tries >= len(SCHEDULE):
        return None
    base = max(SCHEDULE[tries], SLOW_DOWN if slow_down else 0)
    if retry_after is not None and base <= retry_after <= 2 * base:
        return now + timedelta(seconds=retry_after)
    delay = base * dice.uniform(1 - JITTER, 1 + JITTER)
    return now + timedelta(seconds=max(delay, SLOW_DOWN) if slow_down else delay)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds from a Retry-After header (RFC 9110: seconds or a date); None for anything else."""
    if value is None or len(value) > 40:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now.timestamp()
