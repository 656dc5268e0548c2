"""The daily tick: announces the stages whose day has come, each once per review and stage.

A stage is taken, marked sent and announced in one transaction, so a second tick, or a second process, finds nothing left.
Thousands of stages cost a few statements for every thousand; what is not due costs nothing.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Select, literal_column, select, tuple_, update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from review_scheduler import announcements
from review_scheduler.domain.stages import ORDER, Stage, StageState
from review_scheduler.tables import PENDING, ReviewRow, StageRow
from service_kit import Hub, Outgoing, in_chunks, publish_all
from service_kit.failpoints import failpoint

log = structlog.get_logger(__name__)
AT_ONCE = 1000


async def tick(hub: Hub, today: date) -> None:
    """Announce every pending stage up to `today`, in the order of its day. Each portion is one transaction, so a tick
    that is cut off goes on where it stopped."""
    announced = 0
    while True:
        async with hub.db.write() as tx:
            portion = await announce_due(tx, today, AT_ONCE)
            failpoint("sched.after_tick_before_commit")
        announced += portion
        if portion < AT_ONCE:
            break
    log.info("tick", day=today.isoformat(), count=announced)


async def announce_due(tx: AsyncSession, today: date, at_once: int) -> int:
    """Announce up to `at_once` pending stages; returns how many."""
    taken = await _take(tx, today, at_once)
    reviews = await _reviews(tx, {row.review_id for row in taken})
    outgoing = []
    for row in sorted(taken, key=lambda row: (row.on, ORDER[Stage(row.stage)], row.review_id)):
        review = reviews[row.review_id]
        event = announcements.stage_reached(review, Stage(row.stage))
        outgoing.append(Outgoing(event, review.case_id, review.responsible_la, f"/v1/reviews/{review.id}"))
    await publish_all(tx, outgoing)
    return len(outgoing)


async def _take(tx: AsyncSession, today: date, at_once: int) -> list[Any]:
    """Mark the next pending stages as sent and say which they were. They are locked in the order of their keys, as a
    docket does: a stage that somebody is moving is waited for and then looked at again."""
    table = StageRow.__table__  # type: ignore[attr-defined]
    key = tuple_(table.c.review_id, table.c.stage)
    ours = (
        select(table.c.review_id, table.c.stage, table.c.on)
        .where(_PENDING, key.in_(due_stages(today, at_once)))
        .order_by(table.c.review_id, table.c.stage)
        .with_for_update()
    )
    taken = list((await tx.execute(ours)).all())
    for some in in_chunks(taken):
        mark = update(table).where(key.in_([(row.review_id, row.stage) for row in some]))
        await tx.execute(mark.values(state=StageState.SENT.value, sent_on=today))
    return taken


# As text, not as a parameter: only then is the partial index on pending stages used.
_PENDING: ColumnElement[bool] = literal_column(PENDING)


def due_stages(today: date, at_once: int) -> Select[Any, Any]:
    """The keys of the next pending stages up to `today`, oldest first; read from the partial index alone."""
    table = StageRow.__table__  # type: ignore[attr-defined]
    return (
        select(table.c.review_id, table.c.stage)
        .where(_PENDING, table.c.on <= today)
        .order_by(table.c.on, table.c.review_id)
        .limit(at_once)
    )


async def _reviews(tx: AsyncSession, ids: set[Any]) -> dict[Any, ReviewRow]:
    columns = [
        col(getattr(ReviewRow, name))
        for name in ("id", "case_id", "kind", "due_on", "latest_meeting_on", "responsible_la")
    ]
    found = await tx.execute(select(*columns).where(col(ReviewRow.id).in_(sorted(ids))))
    return {row.id: row for row in found.all()}  # type: ignore[misc]
