"""The pull feed: a partner's own copies in order, the same bytes as pushed, by long poll.

A reader says by `lastEventId` where it stands, and that alone decides what it gets: any number of readers may read the
same feed, each from any place, as often as it likes. Reading past an event acknowledges it in the ledger: whoever asks for
what comes after event X has X. Waiting holds no database connection. Of what is not certain to be still the partner's nothing is shown (`knowledge`): a reader who is waiting for
that is told to come again, not that there is nothing new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any
from uuid import UUID

from fastapi import Response
from sqlalchemy import select, update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.events import NotificationDelivered, PartnerKind
from notification_service.channels import Channel, Status
from notification_service.domain import Ended, Party, Route, Side, obstacle
from notification_service.knowledge import Standing, standing
from notification_service.tables import CaseRoute, Delivery, Partner, PartnerCopy, has_status
from service_kit import Context, Fault, Outgoing, Refusal, in_chunks, instant, publish_all

MEDIA_TYPE = "application/cloudevents-batch+json"
LOOK_AGAIN = 0.5  # seconds between looks while a reader waits
MOST_WAITING = asyncio.Semaphore(
    200
)  # readers of this process that may wait; further ones are answered at once
SCAN = 500
COME_AGAIN = 5  # seconds, for a reader whose events are held


@dataclass(frozen=True, slots=True)
class _Reader:
    """A partner at a place in its feed."""

    id: UUID
    party: Party
    acknowledged: int
    position: int


@dataclass(frozen=True, slots=True)
class _Found:
    """Copies to give now; `held`: there may be more, of which too little is known."""

    bodies: list[bytes]
    held: bool = False


async def read(
    ctx: Context, *, partner: UUID | None, after: UUID | None, timeout: int, limit: int
) -> Response:
    """Up to `limit` events behind `after`, waiting up to `timeout` seconds for the first."""
    async with ctx.read() as session:
        reader = await _reader(session, ctx, partner, after)
    if reader.position > reader.acknowledged:
        await _acknowledge(ctx, reader)
    found = await _next(ctx, reader, limit)
    if not found.bodies and timeout and not MOST_WAITING.locked():
        async with MOST_WAITING:
            found = await _wait(ctx, reader, timeout, limit)
    if found.held and not found.bodies:
        text = "News of your cases is overdue here, so that we cannot say whether they are still yours. Nothing is lost."
        raise Refusal("unavailable", text, headers={"Retry-After": str(COME_AGAIN)})
    return Response(b"[" + b",".join(found.bodies) + b"]", media_type=MEDIA_TYPE)


async def _reader(session: AsyncSession, ctx: Context, partner: UUID | None, after: UUID | None) -> _Reader:
    chosen = [col(Partner.id) == partner] if partner else []
    found = (
        await session.execute(
            select(Partner)
            .where(ctx.visible(Partner), col(Partner.active), *chosen)
            .order_by(col(Partner.la_code))
        )
    ).scalars()
    rows = list(found)
    if not rows:
        raise Refusal("not-found")
    if len(rows) > 1:
        mine = ", ".join(f"{row.id} (council {row.la_code})" for row in rows)
        text = f"Each council that tells you has a feed of its own. Say which: {mine}."
        raise Refusal("bad-parameter", errors=[Fault("/partner", "required", text)])
    row = rows[0]
    position = await _position(session, row, after) if after else 0
    party = Party(PartnerKind(row.kind), row.ref, row.la_code)
    return _Reader(row.id, party, row.acknowledged, position)


async def _position(session: AsyncSession, partner: Partner, event: UUID) -> int:
    """The place of an event in the partner's feed, the same for ever and for every reader."""
    query = select(col(PartnerCopy.position)).where(
        col(PartnerCopy.event_id) == event, col(PartnerCopy.partner_id) == partner.id
    )
    place = (await session.execute(query)).scalar_one_or_none()
    if place is None:
        text = "This is not the id of an event of your feed. Leave it out to read from the start."
        raise Refusal("bad-parameter", errors=[Fault("/lastEventId", "unknown-event", text)])
    return int(place)


async def _wait(ctx: Context, reader: _Reader, timeout: int, limit: int) -> _Found:
    loop = asyncio.get_running_loop()
    end, found = loop.time() + timeout, _Found([])
    while (left := end - loop.time()) > 0 and not found.bodies:
        await _pause(min(LOOK_AGAIN, left))
        found = await _next(ctx, reader, limit)
    return found


async def _pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def _next(ctx: Context, reader: _Reader, limit: int) -> _Found:
    """Copies behind the reader's place. Hidden ones are skipped; one that is held ends the batch, so that none is passed
    over."""
    bodies: list[bytes] = []
    position = reader.position
    async with ctx.read() as session:
        while len(bodies) < limit:
            query = _copies(reader.id).where(col(Delivery.position) > position)
            rows = (await session.execute(query.order_by(col(Delivery.position)).limit(SCAN))).all()
            now = await standing(session, ctx.clock, ctx.settings, (row.case_id for row in rows))
            if rows and not now.is_enough:
                return _Found([], held=True)
            ready = list(takewhile(lambda row: not _is_held(row, reader.party, now), rows))  # noqa: B023
            bodies += [row.body for row in ready if _obstacle(row, reader.party) is None]
            if len(ready) < SCAN:
                blocked = len(ready) < len(rows) and str(rows[len(ready)].case_id) in now.parked
                return _Found(bodies[:limit], held=blocked)
            position = ready[-1].position
    return _Found(bodies[:limit])


def _is_held(row: Any, party: Party, now: Standing) -> bool:
    if party.kind is PartnerKind.CASE_SYSTEM:
        return str(row.case_id) in now.parked
    return now.holds(row.case_id, row.created_at)


def _copies(partner: UUID) -> Any:
    return (
        select(
            col(Delivery.id),
            col(Delivery.event_id),
            col(Delivery.event_type),
            col(Delivery.case_id),
            col(Delivery.la_code).label("delivery_la"),
            col(Delivery.position),
            col(Delivery.side),
            col(PartnerCopy.body),
            col(Delivery.created_at),
            col(CaseRoute.la_code),
            col(CaseRoute.administering_la),
            col(CaseRoute.urn),
            col(CaseRoute.icb),
            col(CaseRoute.team),
            col(CaseRoute.ended_on),
        )
        .join(PartnerCopy, col(PartnerCopy.id) == col(Delivery.copy_id))
        .join(CaseRoute, col(CaseRoute.case_id) == col(Delivery.case_id))
        .where(
            col(Delivery.partner_id) == partner,
            col(Delivery.channel) == Channel.FEED,
            col(Delivery.status) != Status.CANCELLED,
        )
    )


def _obstacle(row: Any, party: Party) -> Ended | None:
    """Asked at each reading, also of what was read before: access ends when the pupil has left (S14)."""
    route = Route(row.la_code, row.administering_la, row.urn, row.icb, row.team)
    return obstacle(party, route, row.event_type, Side(row.side), plan_ended=row.ended_on is not None)


async def _acknowledge(ctx: Context, reader: _Reader) -> None:
    """Everything up to the reader's place has been read: say so, each once."""
    async with ctx.db.write() as tx:
        forward = (
            update(Partner)
            .where(col(Partner.id) == reader.id, col(Partner.acknowledged) < reader.position)
            .values(acknowledged=reader.position)
            .returning(col(Partner.id))
        )
        if (await tx.execute(forward)).first() is None:
            return
        unread = _copies(reader.id).where(
            col(Delivery.position) <= reader.position, has_status(Delivery, Status.AVAILABLE)
        )
        rows = (await tx.execute(unread.order_by(col(Delivery.position)))).all()
        read_now = [row for row in rows if _obstacle(row, reader.party) is None]
        now = await instant(tx, ctx.clock)
        delivered = {"status": Status.DELIVERED, "attempts": 1, "delivered_at": now, "updated_at": now}
        await _mark(tx, [row.id for row in read_now], delivered)
        hidden = {"status": Status.CANCELLED, "reason": Ended.NOT_ENTITLED, "updated_at": now}
        await _mark(tx, [row.id for row in rows if row not in read_now], hidden)
        await publish_all(tx, [_delivered(row, reader) for row in read_now])


async def _mark(tx: AsyncSession, ids: Sequence[UUID], values: dict[str, Any]) -> None:
    for some in in_chunks(ids):
        await tx.execute(update(Delivery).where(col(Delivery.id).in_(some)).values(values))


def _delivered(row: Any, reader: _Reader) -> Outgoing:
    event = NotificationDelivered(
        delivery_id=row.id,
        event_id=row.event_id,
        event_type=row.event_type,
        partner_id=reader.id,
        partner_kind=reader.party.kind,
        channel="feed",
        attempts=1,
    )
    return Outgoing(event, row.case_id, row.delivery_la)
