"""What the calendar does to cases: facts change on 1 September and on coming of age; notified plans come to their end.

Both cost what is due, not what is stored: each case knows the day of its next change. And the calendar itself is
watched, since times to appeal cannot be counted in a year whose bank holidays are not known.
"""

from __future__ import annotations

from datetime import date

import structlog
from sqlalchemy import ColumnElement

from case_service import bulk
from case_service.domain import ceasing, plan
from case_service.domain.case import CaseStatus
from case_service.store import CASES
from send_statute import BankHolidays
from service_kit.hub import Hub

log = structlog.get_logger(__name__)


async def refresh_facts(hub: Hub, today: date) -> None:
    """Compute the facts of every case whose facts may differ by today; events go out where they do."""
    await _each(hub, today, CASES.c.next_facts_change <= today, plan.refresh, who="job:facts")


async def end_plans(hub: Hub, today: date) -> None:
    """End every plan whose time to appeal is over."""
    due = (CASES.c.status == CaseStatus.CEASE_NOTIFIED.value) & (CASES.c.in_force_to < today)
    await _each(hub, today, due & ~CASES.c.appeal_open, ceasing.end_if_due, who="job:end-plans")


async def watch_calendar(_: Hub, today: date) -> None:
    """Warn, day after day, of a year that begins within 60 days and whose bank holidays are not loaded."""
    if years := BankHolidays.offline().missing_years(today):
        log.warning("the bank holidays of a coming year are not loaded", years=years)


async def _each(hub: Hub, today: date, due: ColumnElement[bool], decide: bulk.Decide, *, who: str) -> None:
    """A transaction for each chunk, so that a crash repeats little and commands get their turn."""
    async with hub.db.read() as session:
        ids = await bulk.ids_of(session, due)
    for start in range(0, len(ids), bulk.CHUNK):
        async with hub.db.write() as session:
            await bulk.decide_some(session, ids[start : start + bulk.CHUNK], due, today, decide, who=who)
