"""One rule over many cases: some hundred to a transaction, each decision stored only where something differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, select
from sqlmodel.ext.asyncio.session import AsyncSession

from case_service.domain.case import Case, Circumstances, Decision
from case_service.store import CASES, circumstances, load, save

log = structlog.get_logger(__name__)
CHUNK = 500
Decide = Callable[[Case, Circumstances], Decision | None]


async def ids_of(session: AsyncSession, where: ColumnElement[bool]) -> list[UUID]:
    """The ids of the cases that meet a condition, in order."""
    return list((await session.execute(select(CASES.c.id).where(where).order_by(CASES.c.id))).scalars())


async def decide_all(
    session: AsyncSession, where: ColumnElement[bool], today: date, decide: Decide, *, who: str
) -> None:
    """Apply a rule to the cases that meet a condition, in this transaction."""
    ids = await ids_of(session, where)
    for start in range(0, len(ids), CHUNK):
        await decide_some(session, ids[start : start + CHUNK], where, today, decide, who=who)


async def decide_some(
    session: AsyncSession,
    ids: Sequence[UUID],
    where: ColumnElement[bool],
    today: date,
    decide: Decide,
    *,
    who: str,
) -> None:
    """Apply a rule to up to `CHUNK` cases. The condition is asked again under the lock: a command may have been
    quicker."""
    cases = await load(session, CASES.c.id.in_(ids) & where)
    about = await circumstances(session, today, [case.urn for case in cases])
    decisions = [decision for case in cases if (decision := _decided(case, about, decide)) is not None]
    await save(session, decisions, who=who, today=today)


def _decided(case: Case, about: Circumstances, decide: Decide) -> Decision | None:
    """A case that a rule fails on waits for the next run, and harms no other."""
    try:
        return decide(case, about)
    except Exception as error:
        log.error("a case could not be decided", case=str(case.id), error=type(error).__name__)
        return None
