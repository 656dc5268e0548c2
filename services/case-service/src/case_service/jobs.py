"""What the calendar does to cases: facts change on 1 September and on coming of age; notified plans come to their end.

Both cost what is due, not what is stored: each case knows the day of its next change.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlmodel.ext.asyncio.session import AsyncSession

from case_service.domain import ceasing, plan
from case_service.domain.case import Case, CaseStatus, Circumstances, Decision
from case_service.store import CASES, circumstances, load, save
from service_kit.hub import Hub

CHUNK = 500
Decide = Callable[[Case, Circumstances], Decision | None]


async def refresh_facts(hub: Hub, today: date) -> None:
    """Compute the facts of every case whose facts may differ by today; events go out where they do."""
    due = CASES.c.next_facts_change <= today
    await _each(hub, today, due, plan.refresh, who="job:facts")


async def end_plans(hub: Hub, today: date) -> None:
    """End every plan whose time to appeal is over."""
    due = (CASES.c.status == CaseStatus.CEASE_NOTIFIED.value) & (CASES.c.in_force_to < today)
    await _each(hub, today, due & ~CASES.c.appeal_open, ceasing.end_if_due, who="job:end-plans")


async def refresh_placed_at(session: AsyncSession, urns: list[str], today: date, *, who: str) -> None:
    """Compute the facts of the cases at some institutions anew, whose ages were corrected, in this transaction."""
    placed = CASES.c.urn.in_(urns) & CASES.c.next_facts_change.is_not(None)
    await _decide(session, await _ids(session, placed), today, plan.refresh, who)


async def _each(hub: Hub, today: date, due: ColumnElement[bool], decide: Decide, *, who: str) -> None:
    """Some hundred cases a transaction, so that a crash repeats little and commands get their turn."""
    async with hub.db.read() as session:
        ids = await _ids(session, due)
    for start in range(0, len(ids), CHUNK):
        async with hub.db.write() as session:
            await _decide(session, ids[start : start + CHUNK], today, decide, who, due)


async def _ids(session: AsyncSession, where: ColumnElement[bool]) -> list[UUID]:
    return list((await session.execute(select(CASES.c.id).where(where).order_by(CASES.c.id))).scalars())


async def _decide(
    session: AsyncSession,
    ids: list[UUID],
    today: date,
    decide: Decide,
    who: str,
    still: ColumnElement[bool] | None = None,
) -> None:
    """`still` is asked again under the lock: a command may have been quicker."""
    for start in range(0, len(ids), CHUNK):
        wanted = CASES.c.id.in_(ids[start : start + CHUNK])
        cases = await load(session, wanted if still is None else wanted & still)
        where = await circumstances(session, today, [case.urn for case in cases])
        decisions = [decision for case in cases if (decision := decide(case, where)) is not None]
        await save(session, decisions, who=who, today=today)
