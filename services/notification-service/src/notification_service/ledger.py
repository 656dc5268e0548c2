"""The proof of notification: what became of each attempt, and what follows from it.

Every write here filters on the lease token: the mark of a sender that was frozen and lost its lease changes nothing,
only its request is on record (F19, B10).
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, or_, select, update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.events import NotificationDelivered, NotificationFailed
from notification_service.channels import (
    REFUSALS,
    REFUSALS_BEFORE_ALERT,
    SLOW_DOWN,
    AlertKind,
    Channel,
    Outcome,
    Status,
    SubscriptionStatus,
    judge,
)
from notification_service.claims import Claim
from notification_service.domain import Ended
from notification_service.endpoints import clear_alerts, raise_alert
from notification_service.schedule import next_attempt, parse_retry_after
from notification_service.tables import Attempt, Delivery, Subscription, table_of
from notification_service.targets import Answer
from service_kit.database import in_chunks, upsert
from service_kit.ids import uuid7
from service_kit.outbox import Outgoing, publish_all

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """One attempt that was made."""

    claim: Claim
    answer: Answer
    started_at: datetime
    traceparent: str | None = None

    @property
    def outcome(self) -> Outcome:
        return judge(self.answer)


@dataclass(frozen=True, slots=True)
class _Fate:
    """What becomes of a delivery after an attempt."""

    status: Status
    next_attempt_at: datetime | None = None


def _fate(result: Result, now: datetime, dice: random.Random) -> _Fate:
    if result.outcome is Outcome.DELIVERED:
        return _Fate(Status.DELIVERED)
    if result.outcome is Outcome.GONE:
        return _Fate(Status.QUARANTINED)
    pause = parse_retry_after(result.answer.retry_after, now)
    slow = result.outcome in SLOW_DOWN
    again = next_attempt(result.claim.tries + 1, now, dice, slow_down=slow, retry_after=pause)
    return _Fate(Status.PENDING, again) if again else _Fate(Status.QUARANTINED)


async def record(tx: AsyncSession, results: Sequence[Result], now: datetime, dice: random.Random) -> None:
    """Mark deliveries, keep attempts, mind the endpoints' health, and publish what was delivered or given up."""
    if not results:
        return
    fates = {result.claim.id: _fate(result, now, dice) for result in results}
    marked = await _mark_delivered(
        tx, [r for r in results if fates[r.claim.id].status is Status.DELIVERED], now
    )
    for result in results:
        if fates[result.claim.id].status is not Status.DELIVERED:
            marked |= await _mark_failed(tx, result, fates[result.claim.id], now)
    await _keep_attempts(tx, results, marked)
    counted = [result for result in results if result.claim.id in marked]
    await _mind_endpoints(tx, counted, now)
    await _raise_alerts(tx, counted, fates, now)
    await _admit_late_notices(tx, [r for r in results if r.claim.id not in marked], now)
    await publish_all(tx, [event for result in counted if (event := _event(result, fates[result.claim.id]))])


async def _mark_delivered(tx: AsyncSession, results: Sequence[Result], now: datetime) -> set[UUID]:
    by_token: dict[UUID, list[UUID]] = defaultdict(list)
    for result in results:
        by_token[result.claim.token].append(result.claim.id)
    marked: set[UUID] = set()
    for token, ids in by_token.items():
        statement = (
            update(Delivery)
            .where(col(Delivery.id).in_(ids), col(Delivery.lease_token) == token)
            .values(
                status=Status.DELIVERED,
                reason=None,
                attempts=Delivery.attempts + 1,
                tries=Delivery.tries + 1,
                next_attempt_at=None,
                lease_token=None,
                leased_until=None,
                delivered_at=func.coalesce(Delivery.delivered_at, now),
                updated_at=now,
            )
            .returning(col(Delivery.id))
        )
        marked |= set((await tx.execute(statement)).scalars())
    return marked


async def _mark_failed(tx: AsyncSession, result: Result, fate: _Fate, now: datetime) -> set[UUID]:
    statement = (
        update(Delivery)
        .where(col(Delivery.id) == result.claim.id, col(Delivery.lease_token) == result.claim.token)
        .values(
            status=fate.status,
            reason=result.outcome,
            attempts=Delivery.attempts + 1,
            tries=Delivery.tries + 1,
            next_attempt_at=fate.next_attempt_at,
            lease_token=None,
            leased_until=None,
            updated_at=now,
        )
        .returning(col(Delivery.id))
    )
    return set((await tx.execute(statement)).scalars())


async def _keep_attempts(tx: AsyncSession, results: Iterable[Result], marked: set[UUID]) -> None:
    rows = [
        {
            "id": uuid7(),
            "delivery_id": result.claim.id,
            "started_at": result.started_at,
            "duration_ms": round(result.answer.seconds * 1000),
            "outcome": result.outcome,
            "status_code": result.answer.status,
            "note": result.answer.note,
            "late": result.claim.id not in marked,
        }
        for result in results
    ]
    for chunk in in_chunks(rows):
        await tx.execute(upsert(tx, table_of(Attempt)), list(chunk))


async def _mind_endpoints(tx: AsyncSession, results: Iterable[Result], now: datetime) -> None:
    """Failures first, then successes: an endpoint that answered at all in this batch counts as well."""
    well = {r.claim.subscription_id for r in results if r.outcome is Outcome.DELIVERED}
    failures = Counter(r.claim.subscription_id for r in results if r.outcome is not Outcome.DELIVERED)
    refusals = Counter(r.claim.subscription_id for r in results if r.outcome in REFUSALS)
    gone = {r.claim.subscription_id for r in results if r.outcome is Outcome.GONE}
    for subscription in sorted(failures):
        values: dict[str, Any] = {
            "failing_since": func.coalesce(Subscription.failing_since, now),
            "refusals": Subscription.refusals + refusals[subscription],
        }
        if subscription in gone:
            values |= {
                "status": SubscriptionStatus.DISABLED,
                "disabled_reason": Outcome.GONE,
                "version": Subscription.version + 1,
                "updated_at": now,
            }
        await tx.execute(update(Subscription).where(col(Subscription.id) == subscription).values(values))
    if well:
        await _all_well(tx, sorted(well - gone), now)


async def _all_well(tx: AsyncSession, subscriptions: Sequence[UUID], now: datetime) -> None:
    troubled = or_(col(Subscription.refusals) > 0, col(Subscription.failing_since).is_not(None))
    statement = (
        update(Subscription)
        .where(col(Subscription.id).in_(subscriptions), troubled)
        .values(refusals=0, failing_since=None)
        .returning(col(Subscription.id))
    )
    mended = (await tx.execute(statement)).scalars().all()
    if mended:
        await clear_alerts(tx, mended, (AlertKind.CREDENTIALS, AlertKind.REFUSED), now)


async def _raise_alerts(
    tx: AsyncSession, results: Iterable[Result], fates: dict[UUID, _Fate], now: datetime
) -> None:
    refused = {
        r.claim.subscription_id: r for r in results if r.outcome in REFUSALS
    }  # the last of each endpoint speaks for it
    for subscription in await _refused_too_often(tx, sorted(refused)):
        result = refused[subscription]
        kind = AlertKind.CREDENTIALS if result.outcome is Outcome.CREDENTIALS else AlertKind.REFUSED
        await _alert(tx, result.claim, kind, now)
    for result in results:
        if result.outcome is Outcome.GONE:
            await _alert(tx, result.claim, AlertKind.GONE, now)
        elif fates[result.claim.id].status is Status.QUARANTINED:
            await _alert(tx, result.claim, AlertKind.QUARANTINED, now)


async def _refused_too_often(tx: AsyncSession, subscriptions: Sequence[UUID]) -> Sequence[UUID]:
    if not subscriptions:
        return []
    query = select(col(Subscription.id)).where(
        col(Subscription.id).in_(subscriptions), col(Subscription.refusals) >= REFUSALS_BEFORE_ALERT
    )
    return list((await tx.execute(query)).scalars())


async def _alert(tx: AsyncSession, claim: Claim, kind: AlertKind, now: datetime) -> None:
    await raise_alert(
        tx, kind, now, partner=claim.partner_id, subscription=claim.subscription_id, delivery=claim.id
    )


async def _admit_late_notices(tx: AsyncSession, results: Sequence[Result], now: datetime) -> None:
    """A request was under way when its case changed hands, and the partner took it: it is on record and is said."""
    taken = {r.claim.id: r.claim for r in results if r.outcome is Outcome.DELIVERED}
    if not taken:
        return
    withdrawn = select(col(Delivery.id)).where(
        col(Delivery.id).in_(sorted(taken)),
        col(Delivery.status) == Status.CANCELLED,
        col(Delivery.reason) == Ended.NOT_ENTITLED,
    )
    for delivery in (await tx.execute(withdrawn)).scalars().all():
        await _alert(tx, taken[delivery], AlertKind.TOLD_AFTER_MOVE, now)


def _event(result: Result, fate: _Fate) -> Outgoing | None:
    claim = result.claim
    about: dict[str, Any] = {
        "delivery_id": claim.id,
        "event_id": claim.event_id,
        "event_type": claim.event_type,
        "partner_id": claim.partner_id,
        "partner_kind": claim.partner_kind,
        "channel": Channel.WEBHOOK.value,
        "attempts": claim.attempts + 1,
    }
    if fate.status is Status.DELIVERED and not claim.told_before:
        event: NotificationDelivered | NotificationFailed = NotificationDelivered(**about)
    elif fate.status is Status.QUARANTINED:
        event = NotificationFailed(**about, failure=result.outcome)
    else:
        return None
    return Outgoing(event, claim.case_id, claim.la_code, traceparent=result.traceparent)
