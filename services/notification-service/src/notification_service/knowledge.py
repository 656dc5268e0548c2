"""How far this service knows what case-service has decided; notices wait where that is not far enough.

A notice is right only as long as its pupil has not moved, and a move may still be on its way: not published, because
case-service's relay or the broker is away, or not consumed, because we are. So a notice goes out only when all that
case-service had committed up to `stale_after` seconds ago is known here, and, to whoever is outside the council, all up
to the moment in which the notice was made: then it cannot have overtaken a move. Waiting costs nothing but time: what
waits is sent when the news has come. See docs/decisions/notifications-wrong-school.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, String, cast, exists, func, or_, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.events import CASES, PartnerKind
from notification_service.channels import Status
from notification_service.tables import Delivery, Knowledge, Partner, has_status, metadata, table_of
from service_kit import Clock, Hub, Settings, in_chunks, instant, upsert
from service_kit.bus import BusAway, Horizon
from service_kit.inbox import State

log = structlog.get_logger(__name__)
LOOK_EVERY = 0.5  # seconds


# --- keeping it ------------------------------------------------------------------------------------------------------


async def keep(hub: Hub) -> None:
    """The job: look again and again how far the events of case-service have been consumed, and note it."""
    horizon = Horizon(hub.bus, hub.name, CASES)
    holding = False
    while True:
        await look(hub, horizon)
        held = await age(hub) > hub.settings.stale_after
        if held and not holding:
            log.error("notices are held: what case-service has decided is not known up to now")
        if holding and not held:
            log.warning("notices flow again")
        holding = held
        await asyncio.sleep(LOOK_EVERY)


async def look(hub: Hub, horizon: Horizon) -> None:
    """Note how far the horizon reaches, if further than before. With the bus away nothing is noted, and time goes on."""
    with contextlib.suppress(BusAway):
        until = await horizon.look()
        if until is not None:
            await _note(hub, until)


async def _note(hub: Hub, until: datetime) -> None:
    """Of several workers the one that saw the furthest is right. What a sender's fast clock says of our future is not
    taken on trust."""
    async with hub.db.write() as tx:
        seen = min(until, await instant(tx, hub.clock))
        statement = upsert(tx, table_of(Knowledge)).values(topic=CASES, known_until=seen)
        later = statement.on_conflict_do_update(
            index_elements=["topic"], set_={"known_until": seen}, where=col(Knowledge.known_until) < seen
        )
        await tx.execute(later)


# --- what may be told ------------------------------------------------------------------------------------------------


def may_be_told(now: datetime, settings: Settings) -> ColumnElement[bool]:
    """Whether a delivery may go out at `now`, as far as what is known goes (joined with its partner)."""
    old = now - timedelta(seconds=settings.stale_after)
    here = exists().where(
        col(Knowledge.topic) == CASES,
        col(Knowledge.known_until) >= old,
        or_(
            col(Partner.kind) == PartnerKind.CASE_SYSTEM,
            col(Knowledge.known_until) >= col(Delivery.created_at),
        ),
    )
    return here & ~_is_parked(col(Delivery.case_id))


def was_right() -> ColumnElement[bool]:
    """Whether all moves before the making of a delivery are known, so that it would have been withdrawn if its partner
    had lost the case by then."""
    return exists().where(
        col(Knowledge.topic) == CASES, col(Knowledge.known_until) >= col(Delivery.created_at)
    )


def _is_parked(case: Any) -> ColumnElement[bool]:
    """Whether an event of case-service about the case cannot be applied: the case may have moved by it."""
    parked = metadata.tables["parked"].c
    # SQLite keeps an id without hyphens, and a parked subject may be any text.
    same = func.replace(parked.subject, "-", "") == func.replace(cast(case, String), "-", "")
    return exists().where(same, *_holds_back())


def _holds_back() -> tuple[ColumnElement[bool], ...]:
    parked = metadata.tables["parked"].c
    return parked.topic == CASES, parked.state != State.QUARANTINED


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known at a moment: all of case-service `until` (none: nothing yet), which is enough if not before `old`;
    and which cases of those asked about cannot be told of."""

    until: datetime | None
    old: datetime
    parked: frozenset[str] = frozenset()

    @property
    def is_enough(self) -> bool:
        return self.until is not None and self.until >= self.old

    def covers(self, made_at: datetime) -> bool:
        return self.until is not None and self.until >= made_at

    def holds(self, case: UUID, made_at: datetime) -> bool:
        """Whether a notice of a case waits for news of it."""
        return not (self.is_enough and self.covers(made_at)) or str(case) in self.parked


async def standing(
    session: AsyncSession, clock: Clock, settings: Settings, cases: Iterable[UUID] = ()
) -> Standing:
    """How things stand now, for these cases."""
    now = await instant(session, clock)
    query = select(col(Knowledge.known_until)).where(col(Knowledge.topic) == CASES)
    until = (await session.execute(query)).scalar_one_or_none()
    parked: set[str] = set()
    subject = metadata.tables["parked"].c.subject
    for some in in_chunks(sorted({str(case) for case in cases})):
        parked.update(
            (await session.execute(select(subject).where(subject.in_(some), *_holds_back()))).scalars()
        )
    return Standing(until, now - timedelta(seconds=settings.stale_after), frozenset(parked))


# --- for those who look after it -------------------------------------------------------------------------------------


async def age(hub: Hub) -> float:
    """Seconds since the instant up to which case-service is known; infinite before the first time."""
    async with hub.db.read() as session:
        now = await instant(session, hub.clock)
        at = await session.scalar(select(col(Knowledge.known_until)).where(col(Knowledge.topic) == CASES))
    return (now - at).total_seconds() if at else math.inf


async def held(hub: Hub) -> float:
    """How many notices are due and wait for news of their cases."""
    async with hub.db.read() as session:
        now = await instant(session, hub.clock)
        waiting = (
            select(func.count())
            .select_from(Delivery)
            .join(Partner, col(Partner.id) == col(Delivery.partner_id))
            .where(
                has_status(Delivery, Status.PENDING),
                col(Delivery.next_attempt_at) <= now,
                ~may_be_told(now, hub.settings),
            )
        )
        return float(await session.scalar(waiting) or 0)
