"""The calendars of councils and schools: read, replaced, taken away, and watched for their end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import structlog
from sqlalchemy import select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from review_scheduler.domain.calendars import Calendar, falling_back, running_out
from review_scheduler.tables import CalendarRow
from send_statute import Closure, Term
from service_kit import Ctx, Hub, Refusal, Tx

log = structlog.get_logger(__name__)
COUNCIL = ""
"""What stands for the school in the calendar of a council."""


@dataclass(frozen=True, slots=True)
class Found:
    """A calendar with its version (0: there is none) and whether it is the school's own."""

    calendar: Calendar
    version: int = 0
    own: bool = False


async def find(session: AsyncSession, la_code: str, urn: str | None) -> Found:
    """The calendar that holds for a school of a council, or for the council itself."""
    query = select(CalendarRow).where(
        col(CalendarRow.la_code) == la_code, col(CalendarRow.urn).in_((COUNCIL, urn or COUNCIL))
    )
    rows = {row.urn: row for row in (await session.execute(query)).scalars()}
    council, own = rows.get(COUNCIL), rows.get(urn) if urn else None
    calendar = falling_back(_calendar(own) if own else None, _calendar(council))
    mine = own if urn else council
    return Found(calendar, mine.version if mine else 0, own is not None)


async def read(ctx: Ctx, la_code: str, urn: str | None) -> Found:
    """The calendar of one of the caller's councils, or of a school as that council knows it. Raises `Refusal`
    not-found for another's."""
    own_council(ctx, la_code)
    async with ctx.read() as session:
        return await find(session, la_code, urn)


async def replace(ctx: Ctx, tx: Tx, la_code: str, urn: str | None, calendar: Calendar) -> Found:
    """Put a calendar in the place of the one there is. Raises `Refusal` not-found, stale-version."""
    row = await _take(ctx, tx, la_code, urn)
    if row is None:
        row = CalendarRow(la_code=la_code, urn=urn or COUNCIL, version=0, who="", updated_at=ctx.clock.now())
        tx.session.add(row)
    row.terms = [
        {"starts": t.starts.isoformat(), "ends": t.ends.isoformat(), "name": t.name} for t in calendar.terms
    ]
    row.closures = [{"first": c.first.isoformat(), "last": c.last.isoformat()} for c in calendar.closures]
    row.closed_days = [day.isoformat() for day in calendar.closed_days]
    row.version += 1
    row.who, row.updated_at = f"{ctx.caller.role}:{ctx.caller.subject}"[:200], ctx.clock.now()
    await tx.session.flush()
    return await find(tx.session, la_code, urn)


async def remove(ctx: Ctx, tx: Tx, la_code: str, urn: str) -> None:
    """A school goes by its council's calendar again. Raises `Refusal` not-found, stale-version."""
    row = await _take(ctx, tx, la_code, urn)
    if row is None:
        raise Refusal("not-found")
    await tx.session.delete(row)


async def _take(ctx: Ctx, tx: Tx, la_code: str, urn: str | None) -> CalendarRow | None:
    own_council(ctx, la_code)
    query = select(CalendarRow).where(
        col(CalendarRow.la_code) == la_code, col(CalendarRow.urn) == (urn or COUNCIL)
    )
    row: CalendarRow | None = (await tx.session.execute(query.with_for_update())).scalar_one_or_none()
    ctx.match(row.version if row else 0)
    return row


def own_council(ctx: Ctx, la_code: str) -> None:
    """Raises `Refusal` not-found for a council that is not the caller's."""
    if la_code not in ctx.caller.las:
        raise Refusal("not-found")


def _calendar(row: CalendarRow | None) -> Calendar:
    if row is None:
        return Calendar()

    def day(iso: Any) -> date:
        return date.fromisoformat(iso)

    return Calendar(
        tuple(Term(day(t["starts"]), day(t["ends"]), t["name"]) for t in row.terms),
        tuple(Closure(day(c["first"]), day(c["last"])) for c in row.closures),
        tuple(day(iso) for iso in row.closed_days),
    )


async def watch(hub: Hub, today: date) -> None:
    """Warn, day after day, of calendars whose last term ends within 60 days."""
    async with hub.db.read() as session:
        rows = (await session.execute(select(CalendarRow))).scalars()
        known = [(f"{row.la_code} {row.urn}".strip(), _calendar(row)) for row in rows]
    if missing := running_out(known, today):
        log.warning("school terms on record run out", calendars=missing[:20], count=len(missing))
