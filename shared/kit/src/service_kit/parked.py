"""Parked events as an operator sees them: what, why and since when, never the payload."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from service_kit.inbox import State
from service_kit.service import Running


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """One parked event. `case` is the opaque case id."""

    service: str
    position: int
    topic: str
    case: str
    state: str
    reason: str
    detail: str | None
    attempts: int
    parked_at: datetime

    def as_text(self) -> str:
        return (
            f"{self.service}  #{self.position}  {self.topic}  case {self.case}  {self.state}: {self.reason}"
            f"{f' ({self.detail})' if self.detail else ''}  tries {self.attempts}  since {self.parked_at:%Y-%m-%d %H:%M}Z"
        )


async def list_parked(running: Running) -> list[ParkedEvent]:
    """All parked events of a service, oldest first."""
    table = running.hub.db.tables["parked"]
    columns = [
        table.c[n]
        for n in ("position", "topic", "subject", "state", "reason", "detail", "attempts", "parked_at")
    ]
    async with running.hub.db.read() as session:
        rows = (await session.execute(select(*columns).order_by(table.c.position))).all()
    return [ParkedEvent(running.service.name, *row) for row in rows]


async def replay_parked(running: Running, case: str) -> int:
    """Try the parked events of a case, or of "all", again in the order they came; returns how many were applied."""
    if running.inbox is None:
        return 0
    cases = {event.case for event in await list_parked(running)} if case == "all" else {case}
    applied = 0
    for one in sorted(cases):
        applied += await running.inbox.release(one, poison=True)
    return applied


async def discard_parked(running: Running, position: int, why: str) -> bool:
    """Set one unreadable record aside for good, with an operator's reason, so that it no longer holds back its case.

    Only for what can never be applied: a record without an envelope has no place in any sequence. Everything else is
    replayed after a fix, because what comes after it in its case counts on it. False if there is no such record.
    """
    table = running.hub.db.tables["parked"]
    hopeless = (table.c.position == position) & table.c.sequence.is_(None)
    async with running.hub.db.write() as tx:
        done: Any = await tx.execute(
            update(table).where(hopeless).values(state=State.QUARANTINED, detail=f"discarded: {why}"[:200])
        )
        return int(done.rowcount) == 1
