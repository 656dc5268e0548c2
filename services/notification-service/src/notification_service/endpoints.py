"""The troubles of an endpoint: what an officer must look at, and that somebody has seen to it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from notification_service.channels import AlertKind, Status
from notification_service.tables import Alert, Delivery, Subscription, table_of
from service_kit import upsert, uuid7

log = structlog.get_logger(__name__)


async def raise_alert(
    tx: AsyncSession,
    kind: AlertKind,
    now: datetime,
    *,
    partner: UUID,
    subscription: UUID,
    delivery: UUID | None = None,
) -> None:
    """Raise an alert unless the same one is open."""
    row = {
        "id": uuid7(),
        "partner_id": partner,
        "subscription_id": subscription,
        "delivery_id": delivery,
        "kind": kind,
        "raised_at": now,
    }
    statement = upsert(tx, table_of(Alert)).values(row).on_conflict_do_nothing()
    if (await tx.execute(statement.returning(col(Alert.id)))).first():
        log.warning(
            "partner needs attention", kind=kind, partner=str(partner), delivery=delivery and str(delivery)
        )


async def clear_alerts(
    tx: AsyncSession, subscriptions: Iterable[UUID], kinds: Iterable[AlertKind], now: datetime
) -> None:
    """What was said of these subscriptions is so no more."""
    await tx.execute(
        update(Alert)
        .where(
            col(Alert.subscription_id).in_(list(subscriptions)),
            col(Alert.kind).in_(list(kinds)),
            col(Alert.cleared_at).is_(None),
        )
        .values(cleared_at=now)
    )


async def mended(tx: AsyncSession, row: Subscription, now: datetime) -> None:
    """Somebody has seen to the endpoint: its troubles are over until shown otherwise, and what waits is tried now."""
    row.refusals, row.failing_since = 0, None
    await clear_alerts(tx, [row.id], (AlertKind.GONE, AlertKind.CREDENTIALS, AlertKind.REFUSED), now)
    await tx.execute(
        update(Delivery)
        .where(
            col(Delivery.subscription_id) == row.id,
            col(Delivery.status) == Status.PENDING,
            col(Delivery.lease_token).is_(None),
            col(Delivery.tries) > 0,
        )
        .values(tries=0, next_attempt_at=now, updated_at=now)
    )
