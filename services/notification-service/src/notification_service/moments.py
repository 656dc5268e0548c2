"""The instant that leases and retry times are held against: the database's clock, which all replicas share."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from service_kit.clock import Clock


async def instant(session: AsyncSession, clock: Clock) -> datetime:
    """Now, by the database (an SQLite database shares this machine's clock). A clock that a test holds still wins."""
    if type(clock) is not Clock or session.get_bind().dialect.name == "sqlite":
        return clock.now()
    at: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return at.astimezone(UTC)
