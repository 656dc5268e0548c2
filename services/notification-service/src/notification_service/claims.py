"""Who sends what next: deliveries are claimed by lease, one queue per endpoint, in the order of each case.

A claim is one transaction: it looks at what is due and may be told as far as is known, asks once more whether the partner
is still entitled, and leases what is left. A case's next notice for an endpoint is not claimed while an earlier one waits, so two are never in
flight, whichever process sends them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, exists, func, or_, select, update
from sqlalchemy.orm import aliased
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.events import PartnerKind
from notification_service.channels import Status, SubscriptionStatus
from notification_service.domain import Ended, Party, Route, Side, obstacle
from notification_service.knowledge import may_be_told
from notification_service.signing import Key
from notification_service.tables import CaseRoute, Delivery, Partner, PartnerCopy, Subscription, has_status
from service_kit.ids import uuid7
from service_kit.settings import Settings

LEASE = timedelta(seconds=60)  # longer than the 30 s a request may take
SLOTS = 16  # requests in flight to one endpoint
SLOTS_WHILE_FAILING = 1
# Requests in flight of one process, to endpoints that do well and to those that fail: the dead only wait for the dead.
MOST_IN_FLIGHT = {False: 256, True: 128}


class InFlight:
    """The requests of this process that are under way."""

    def __init__(self) -> None:
        self._by_endpoint: Counter[UUID] = Counter()
        self._by_health: Counter[bool] = Counter()

    def copy(self) -> InFlight:
        """The same counts, to plan with."""
        other = InFlight()
        other._by_endpoint, other._by_health = self._by_endpoint.copy(), self._by_health.copy()
        return other

    def has_room(self, endpoint: UUID, failing: bool) -> bool:
        most = SLOTS_WHILE_FAILING if failing else SLOTS
        return self._by_endpoint[endpoint] < most and self._by_health[failing] < MOST_IN_FLIGHT[failing]

    def start(self, endpoint: UUID, failing: bool) -> None:
        self._by_endpoint[endpoint] += 1
        self._by_health[failing] += 1

    def end(self, endpoint: UUID, failing: bool) -> None:
        self._by_endpoint[endpoint] -= 1
        self._by_health[failing] -= 1


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery to carry out now, with everything needed to do so."""

    id: UUID
    token: UUID
    event_id: UUID
    event_type: str
    case_id: UUID
    la_code: str
    partner_id: UUID
    partner_kind: PartnerKind
    subscription_id: UUID
    url: str
    keys: Sequence[Key]
    body: bytes
    tries: int
    attempts: int
    told_before: bool
    failing: bool


def _is_due(now: datetime) -> ColumnElement[bool]:
    return (
        has_status(Delivery, Status.PENDING)
        & (col(Delivery.next_attempt_at) <= now)
        & or_(col(Delivery.leased_until).is_(None), col(Delivery.leased_until) <= now)
    )


def _is_first_of_its_case() -> ColumnElement[bool]:
    earlier = aliased(Delivery)
    return ~exists().where(
        col(earlier.subscription_id) == col(Delivery.subscription_id),
        col(earlier.case_id) == col(Delivery.case_id),
        col(earlier.position) < col(Delivery.position),
        has_status(earlier, Status.PENDING),
    )


def _is_switched_on() -> ColumnElement[bool]:
    """Notices of a partner or subscription that is switched off stay as they are, until it is switched on again."""
    return col(Partner.active) & (col(Subscription.status) == SubscriptionStatus.ACTIVE)


async def anything_due(session: AsyncSession, now: datetime, settings: Settings) -> bool:
    """Whether a claim might find something (a look without the write lock, for the idle sender)."""
    query = (
        select(col(Delivery.id))
        .join(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
        .join(Partner, col(Partner.id) == col(Delivery.partner_id))
        .where(_is_due(now), _is_first_of_its_case(), _is_switched_on(), may_be_told(now, settings))
        .limit(1)
    )
    return (await session.execute(query)).first() is not None


async def claim(tx: AsyncSession, now: datetime, in_flight: InFlight, settings: Settings) -> list[Claim]:
    """Lease what is due, as far as there is room in flight; cancel what must not be sent any more."""
    rows = await _candidates(tx, now, settings)
    while any(_obstacle(row) for row in rows):
        await _cancel(tx, [row for row in rows if _obstacle(row)], now)
        rows = await _candidates(tx, now, settings)  # what waited behind the cancelled ones
    return await _lease(tx, list(_with_room(rows, in_flight)), now)


def _with_room(rows: Iterable[Any], in_flight: InFlight) -> Iterator[Any]:
    planned = in_flight.copy()
    for row in rows:
        if planned.has_room(row.subscription_id, row.failing):
            planned.start(row.subscription_id, row.failing)
            yield row


async def _candidates(tx: AsyncSession, now: datetime, settings: Settings) -> Sequence[Any]:
    place = func.row_number().over(
        partition_by=col(Delivery.subscription_id), order_by=(col(Delivery.position), col(Delivery.id))
    )
    failing = col(Subscription.failing_since).is_not(None).label("failing")
    slots = case((failing, SLOTS_WHILE_FAILING), else_=SLOTS)
    due = (
        select(col(Delivery.id), place.label("place"), slots.label("slots"), failing)
        .join(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
        .join(Partner, col(Partner.id) == col(Delivery.partner_id))
        .where(_is_due(now), _is_first_of_its_case(), _is_switched_on(), may_be_told(now, settings))
        .subquery()
    )
    query = (
        select(
            col(Delivery.id),
            col(Delivery.event_id),
            col(Delivery.event_type),
            col(Delivery.case_id),
            col(Delivery.la_code),
            col(Delivery.partner_id),
            col(Delivery.subscription_id),
            col(Delivery.side),
            col(Delivery.tries),
            col(Delivery.attempts),
            col(Delivery.delivered_at),
            col(Subscription.url),
            col(Subscription.keys),
            due.c.failing,
            col(PartnerCopy.body),
            col(Partner.kind),
            col(Partner.ref),
            col(Partner.la_code).label("partner_la"),
            col(CaseRoute.la_code).label("route_la"),
            col(CaseRoute.administering_la),
            col(CaseRoute.urn),
            col(CaseRoute.icb),
            col(CaseRoute.team),
            col(CaseRoute.ended_on),
        )
        .join(due, due.c.id == col(Delivery.id))
        .join(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
        .join(Partner, col(Partner.id) == col(Delivery.partner_id))
        .join(PartnerCopy, col(PartnerCopy.id) == col(Delivery.copy_id))
        .join(CaseRoute, col(CaseRoute.case_id) == col(Delivery.case_id))
        .where(due.c.place <= due.c.slots)
        .order_by(col(Delivery.position), col(Delivery.id))
    )
    return (await tx.execute(query)).all()


def _obstacle(row: Any) -> Ended | None:
    party = Party(PartnerKind(row.kind), row.ref, row.partner_la)
    route = Route(row.route_la, row.administering_la, row.urn, row.icb, row.team)
    ended = row.ended_on is not None
    return obstacle(party, route, row.event_type, Side(row.side), plan_ended=ended)


async def _cancel(tx: AsyncSession, rows: Sequence[Any], now: datetime) -> None:
    for row in rows:
        await tx.execute(
            update(Delivery)
            .where(col(Delivery.id) == row.id, col(Delivery.status) == Status.PENDING)
            .values(
                status=Status.CANCELLED,
                reason=_obstacle(row),
                lease_token=None,
                leased_until=None,
                updated_at=now,
            )
        )


async def _lease(tx: AsyncSession, rows: Sequence[Any], now: datetime) -> list[Claim]:
    if not rows:
        return []
    token = uuid7()
    # The condition is asked again under the row lock: of two replicas that chose the same row, one gets it.
    statement = (
        update(Delivery)
        .where(col(Delivery.id).in_([row.id for row in rows]), _is_due(now))
        .values(lease_token=token, leased_until=now + LEASE)
        .returning(col(Delivery.id))
    )
    leased = set((await tx.execute(statement)).scalars())
    return [_claim(row, token) for row in rows if row.id in leased]


def _claim(row: Any, token: UUID) -> Claim:
    return Claim(
        id=row.id,
        token=token,
        event_id=row.event_id,
        event_type=row.event_type,
        case_id=row.case_id,
        la_code=row.la_code,
        partner_id=row.partner_id,
        partner_kind=PartnerKind(row.kind),
        subscription_id=row.subscription_id,
        url=row.url or "",
        keys=row.keys,
        body=row.body,
        tries=row.tries,
        attempts=row.attempts,
        told_before=row.delivered_at is not None,
        failing=bool(row.failing),
    )
