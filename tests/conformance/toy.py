"""A toy service for the conformance suites: it remembers what it was told, in order, and tells on."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, MetaData, String, Table, insert, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.events import CASES, PlanCeased, ReviewDue
from service_kit.bus import open_bus
from service_kit.clock import Clock
from service_kit.database import Database
from service_kit.hub import Hub
from service_kit.inbox import Defer, Received
from service_kit.settings import Settings
from service_kit.tables import big_serial, service_metadata


def toy_metadata() -> MetaData:
    """The kit's tables and one of the toy's own."""
    metadata = service_metadata()
    Table(
        "heard",
        metadata,
        Column("position", big_serial(), primary_key=True, autoincrement=True),
        Column("subject", String(64), nullable=False),
        Column("sequence", BigInteger, nullable=False),
        Column("event_id", String(64), nullable=False),
    )
    return metadata


class Toy:
    """Effects of the toy service; `fail` and `wait` name sequences at which it breaks or defers, by case."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self.hub = Hub("toy", db, clock, Settings(environment="test"), open_bus("sqlite:///asked-by-no-toy"))
        self.fail: set[tuple[UUID, int]] = set()
        self.wait: set[tuple[UUID, int]] = set()
        self.calls = 0
        self.hang = False

    @property
    def reactions(self) -> dict[Any, Any]:
        return {PlanCeased: self.hear, ReviewDue: self.hear}

    async def hear(self, tx: AsyncSession, received: Received[Any], hub: Hub) -> None:
        self.calls += 1
        if self.hang:
            await asyncio.Event().wait()
        here = (received.case, received.sequence)
        if here in self.wait:
            raise Defer("not yet")
        row = {"subject": str(received.case), "sequence": received.sequence, "event_id": str(received.id)}
        await tx.execute(insert(hub.db.tables["heard"]).values(row))
        if here in self.fail:
            raise RuntimeError("cannot take this one")

    async def heard(self, case: UUID | None = None) -> list[int]:
        """The sequences heard, in the order in which they were applied."""
        table = self.hub.db.tables["heard"]
        query = select(table.c.sequence).order_by(table.c.position)
        if case is not None:
            query = query.where(table.c.subject == str(case))
        async with self.hub.db.read() as session:
            return list((await session.execute(query)).scalars())


TOPIC = CASES
