"""Jobs that every service has: parked events are tried again, and what nobody can ask for any more is removed.

Removing inbox rows forgets nothing that matters: `last_received` is kept for ever and still recognises a replay.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete

from service_kit.hub import Hub
from service_kit.inbox import Inbox
from service_kit.jobs import Job, every

KEEP_PUBLISHED = timedelta(days=14)  # `republish --since` can rebuild that much of a lost log
KEEP_RECEIVED = timedelta(days=30)
KEEP_ANSWERS = timedelta(days=400)


def housekeeping(inbox: Inbox | None) -> list[Job]:
    """The kit's own jobs of a service."""
    jobs = [every(3600.0, "prune", prune)]
    if inbox is not None:
        held = inbox

        async def sweep(_: Hub) -> None:
            await held.sweep()

        jobs.append(every(5.0, "sweep", sweep))
    return jobs


async def prune(hub: Hub) -> None:
    """Remove published outbox rows after 14 days, inbox rows after 30, stored answers after 400."""
    tables, now = hub.db.tables, hub.clock.now()
    async with hub.db.write() as tx:
        for column, age in (
            (tables["outbox"].c.published_at, KEEP_PUBLISHED),
            (tables["inbox"].c.received_at, KEEP_RECEIVED),
            (tables["idempotency"].c.answered_at, KEEP_ANSWERS),
        ):
            await tx.execute(delete(column.table).where(column < now - age))
