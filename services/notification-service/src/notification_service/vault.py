"""Where signing secrets are kept: in the database, sealed under keys that are not in it, each for its subscription."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlmodel import col

from notification_service.signing import PREFIX, Key
from notification_service.tables import Subscription
from service_kit import Hub, Settings
from service_kit.sealing import SealBroken, Sealer, sealer

log = structlog.get_logger(__name__)


def seal(settings: Settings, secret: str, subscription: UUID) -> str:
    """A secret as it is kept."""
    return sealer(settings).seal(secret, _place(subscription))


def opened(settings: Settings, keys: Iterable[Key], subscription: UUID) -> list[Key]:
    """Kept keys with their secrets readable, to sign with now. Raises `SealBroken`."""
    box, place = sealer(settings), _place(subscription)
    return [Key(secret=box.open(key["secret"], place), until=key["until"]) for key in keys]


async def seal_anew(hub: Hub) -> None:
    """The job: what an older key has sealed is sealed with the newest, so that the older one can be taken from the ring;
    likewise what was kept before there were keys."""
    box = sealer(hub.settings)
    async with hub.db.read() as session:
        rows = (await session.execute(select(col(Subscription.id), col(Subscription.keys)))).all()
    for row in rows:
        if not all(box.is_newest(key["secret"]) for key in row.keys):
            await _seal_one_anew(hub, box, row.id)


async def _seal_one_anew(hub: Hub, box: Sealer, subscription: UUID) -> None:
    async with hub.db.write() as tx:
        row = await tx.get_one(Subscription, subscription, with_for_update={"key_share": True})
        try:
            row.keys = [key | {"secret": _anew(box, key["secret"], _place(subscription))} for key in row.keys]
        except SealBroken:
            log.error("no key opens the secret of a subscription", subscription=str(subscription))


def _anew(box: Sealer, kept: str, place: str) -> str:
    return box.seal(kept if kept.startswith(PREFIX) else box.open(kept, place), place)


def _place(subscription: UUID) -> str:
    return f"subscription {subscription}"
