"""The relay: sends what the outbox holds, in order, and marks what the bus acknowledged.

It finds rows by "not yet published", never by "after the last position": positions become visible out of order, and a
cursor would skip rows for ever. One relay is active per database; others stand by. The active one also says, again and
again, up to which instant all that was written is on the bus (`vouch`), so that a reader can tell "nothing has happened"
from "nothing has arrived".
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Table, bindparam, func, select, update

from service_kit.bus.port import Bus, BusAway, Message
from service_kit.database import Database, Fetch, instant, none_of, one_of
from service_kit.failpoints import failpoint
from service_kit.prepared import Prepared, Rows

log = structlog.get_logger(__name__)
BATCH = 1000
SEND_DEADLINE = 30.0
VOUCH_EVERY = 1.0  # seconds


class Relay:
    """Moves outbox rows to the bus. `poll` (seconds) is the safety net; `wake()` is called after commits nearby."""

    def __init__(self, db: Database, bus: Bus, outbox: Table, *, poll: float = 0.2) -> None:
        self.db, self.bus, self.outbox, self.poll = db, bus, outbox, poll
        self._woken = asyncio.Event()
        columns, dialect = outbox.c, db.engine.dialect.name
        query = select(columns.position, columns.topic, columns.subject, columns.body)
        free = query.where(columns.published_at.is_(None), none_of(dialect, columns.subject, "held"))
        self._waiting = Prepared(free.order_by(columns.position).limit(BATCH))
        self._holding = Prepared(select(columns.subject).where(self._is_held()).distinct())
        self._held: set[str] | None = None  # the cases held back, once they have been looked up
        these = one_of(dialect, columns.position, "positions")
        self._sent = Prepared(update(outbox).where(these).values(published_at=bindparam("at")))
        self.leading = False
        db.on_publish.append(self.wake)

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Send for ever, as the only relay of this database. Raises when the bus does not answer within the deadline:
        an idempotent producer may never return, so the process must be ended and started anew."""
        async with self.db.leader("relay", self.wake) as fetch:
            self.leading, self._held = True, None
            try:
                while True:
                    self._woken.clear()
                    await self.drain(fetch)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._woken.wait(), self.poll)
            finally:
                self.leading = False

    async def drain(self, fetch: Fetch | None = None) -> int:
        """Send all that is unpublished and not held; returns how many rows were sent. A relay that runs reads with the
        `fetch` of its lead, so that one that has lost it sends nothing more."""
        sent, rows = 0, await self._unpublished(fetch)
        while rows:
            failpoint("relay.after_read")
            done, held = await self._send(rows)
            failpoint("relay.after_send_before_mark")
            await self._mark(done, held)
            failpoint("relay.after_mark")
            sent += len(done)
            # Fewer than asked for: that was all, and what has come since wakes the relay.
            rows = await self._unpublished(fetch) if len(rows) == BATCH else ()
        return sent

    async def republish(self, since: datetime) -> int:
        """Have everything sent again that was sent since an instant, because the bus has lost it; returns how many events
        that are. Who has received them knows them by their id; their order is kept if no relay has sent to the bus since
        the loss."""
        async with self.db.write() as tx:
            statement = update(self.outbox).where(self.outbox.c.published_at >= since)
            done: Any = await tx.execute(statement.values(published_at=None))
        return int(done.rowcount)

    async def keep_vouching(self) -> None:
        """Leave marks for ever, while this relay leads."""
        while True:
            if self.leading:
                with contextlib.suppress(BusAway):  # readers notice that no mark comes
                    await self.vouch()
            await asyncio.sleep(VOUCH_EVERY)

    async def vouch(self) -> None:
        """Wait until all that is committed now has been sent, and say so. What the bus refused is left out, with the
        later events of its case: an operator knows of it, and one case must not hold up all others."""
        columns = self.outbox.c
        async with self.db.read() as session:
            until = await instant(session, self.db.clock)
            # Of what was committed by then nothing has a higher position; what gets a lower one later only delays us.
            last = await session.scalar(select(func.max(columns.position)))
        while last is not None and await self._waits(last):
            await asyncio.sleep(self.poll)
        assert self.db.topic is not None
        await self.bus.vouch(self.db.topic, until)

    async def _waits(self, last: int) -> bool:
        query = select(self.outbox.c.position).where(self._is_waiting(), self.outbox.c.position <= last)
        async with self.db.read() as session:
            return (await session.execute(query.limit(1))).first() is not None

    async def backlog(self) -> int:
        """How many events wait to be sent."""
        async with self.db.read() as session:
            return int(
                await session.scalar(select(func.count()).where(self.outbox.c.published_at.is_(None))) or 0
            )

    async def held(self) -> int:
        """How many events the bus refused for good; each holds back its case until an operator has looked."""
        async with self.db.read() as session:
            return int(await session.scalar(select(func.count()).where(self._is_held())) or 0)

    def _is_held(self) -> ColumnElement[bool]:
        return self.outbox.c.published_at.is_(None) & self.outbox.c.held_reason.is_not(None)

    def _is_waiting(self) -> ColumnElement[bool]:
        stuck = select(self.outbox.c.subject).where(self._is_held())
        return self.outbox.c.published_at.is_(None) & self.outbox.c.subject.not_in(stuck)

    async def _unpublished(self, fetch: Fetch | None = None) -> Rows:
        """The oldest that wait. Which cases are held back is asked again only while any is: nobody but the relay holds
        one back, and within this query PostgreSQL would often read the whole outbox to find none."""
        fetch = fetch or self.db.fetch
        if self._held is None or self._held:
            self._held = {subject for (subject,) in await fetch(self._holding, {})}
        return await fetch(self._waiting, {"held": sorted(self._held)})

    async def _send(self, rows: Rows) -> tuple[list[int], dict[int, str]]:
        async with asyncio.timeout(SEND_DEADLINE):
            refusals = await self.bus.publish([Message(*message) for _, *message in rows])
        answers = [(position, refusal) for (position, *_), refusal in zip(rows, refusals, strict=True)]
        done = [position for position, refusal in answers if refusal is None]
        held = {position: refusal for position, refusal in answers if refusal}
        return done, held

    async def _mark(self, done: list[int], held: dict[int, str]) -> None:
        async with self.db.transaction() as tx:
            await tx.fetch(self._sent, {"positions": done, "at": self.db.clock.now()})
            if held:
                self._held = None
            for position, reason in held.items():
                log.error("outbox row held", position=position, reason=reason)
                this = update(self.outbox).where(self.outbox.c.position == position)
                await tx.session.execute(this.values(held_reason=reason[:100]))
