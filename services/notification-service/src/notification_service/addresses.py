"""The address of a webhook: proposed by one person, approved by a second one, confirmed by its echo (S73).

Whoever sets the address of a webhook gets all its notices. So a new one is used only when somebody of the council, who
did not propose it, has restated and approved it, and when it has echoed a challenge signed like a notice: then it is
reachable, speaks to us, and its owner has the secret at hand. Nothing is sent to an address that nobody approved. Until then
the old address stays in use, and what a new subscription is owed waits. Rows are kept: they say who answered for what.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import Response
from sqlalchemy import select, update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from notification_service import signing, vault
from notification_service.channels import (
    PROPOSALS,
    AddressState,
    AlertKind,
    Outcome,
    SubscriptionStatus,
    echoes,
    judge,
)
from notification_service.endpoints import clear_alerts, mended, raise_alert
from notification_service.queries import find_subscription, open_addresses, subscription_view
from notification_service.schedule import next_attempt
from notification_service.tables import Address, Subscription
from notification_service.targets import Answer, Outside, UrlNotAllowed, check_url
from service_kit import Context, Hub, Refusal, instant
from service_kit.sealing import SealBroken
from service_kit.strict import Body, Text

log = structlog.get_logger(__name__)
LOOK_EVERY = 1.0  # seconds
TRIES = 5  # of the challenge, by the schedule of notices: over two and a half hours
ADDRESS_ALERTS = (AlertKind.APPROVAL_NEEDED, AlertKind.ADDRESS_FAILED)


class Approval(Body):
    """The address as the second person knows it: restated, so that nobody approves another one by mistake."""

    url: Annotated[str, Text(8000)]


# --- proposing and approving -----------------------------------------------------------------------------------------


async def propose(tx: AsyncSession, row: Subscription, url: str, by: str, now: datetime) -> Address:
    """Propose an address for a subscription, in place of one proposed before."""
    await give_up(tx, row.id, now)
    proposed = Address(
        subscription_id=row.id,
        url=url,
        state=AddressState.PROPOSED,
        proposed_by=by,
        proposed_at=now,
        challenge=secrets.token_urlsafe(32),
    )
    tx.add(proposed)
    await tx.flush()
    await raise_alert(tx, AlertKind.APPROVAL_NEEDED, now, partner=row.partner_id, subscription=row.id)
    return proposed


async def give_up(tx: AsyncSession, subscription: UUID, now: datetime) -> None:
    """What was proposed and is not in use yet is proposed no more."""
    await tx.execute(
        update(Address)
        .where(col(Address.subscription_id) == subscription, col(Address.state).in_(PROPOSALS))
        .values(state=AddressState.SUPERSEDED, next_try_at=None)
    )
    await clear_alerts(tx, [subscription], ADDRESS_ALERTS, now)


async def approve(ctx: Context, subscription_id: UUID, body: Approval) -> Response:
    """Approve the proposed address; the challenge goes out at once. Again after it has failed."""
    async with ctx.write() as tx:
        row = await find_subscription(tx.session, ctx, subscription_id, lock=True)
        proposed = await open_address(tx.session, row.id)
        if proposed is None or proposed.url != as_called(body.url):
            raise Refusal(
                "conflict", "This address is not, or no longer, proposed. Read the subscription again."
            )
        if proposed.proposed_by == ctx.caller.subject:
            raise Refusal("conflict", "Somebody else than who proposed the address has to approve it.")
        now = await instant(tx.session, ctx.clock)
        if proposed.state != AddressState.APPROVED:
            proposed.state, proposed.approved_by, proposed.approved_at = (
                AddressState.APPROVED,
                ctx.caller.subject,
                now,
            )
            proposed.tries, proposed.next_try_at, proposed.failure = 0, now, None
            row.version += 1
            await clear_alerts(tx.session, [row.id], ADDRESS_ALERTS, now)
            await tx.session.flush()
        return tx.answer(200, subscription_view(row, proposed), etag=row.version)


def as_called(url: str) -> str | None:
    """An address in the form in which it is kept; none for one that nobody may call anyway."""
    with contextlib.suppress(UrlNotAllowed):
        return check_url(url, loopback=True)
    return None


async def open_address(session: AsyncSession, subscription: UUID) -> Address | None:
    """The address that is proposed for a subscription and not in use yet."""
    return (await open_addresses(session, [subscription])).get(subscription)


# --- the challenge ---------------------------------------------------------------------------------------------------


async def run(hub: Hub, outside: Outside) -> None:
    """The job: challenge what was approved, for ever."""
    dice = random.Random()
    while True:
        await challenge_due(hub, outside, dice)
        await asyncio.sleep(LOOK_EVERY)


async def challenge_due(hub: Hub, outside: Outside, dice: random.Random) -> int:
    """Challenge every approved address whose time has come; returns how many. Two workers may both challenge one:
    it answers both alike."""
    async with hub.db.read() as session:
        now = await instant(session, hub.clock)
        query = (
            select(Address, col(Subscription.keys))
            .join(Subscription, col(Subscription.id) == col(Address.subscription_id))
            .where(col(Address.state) == AddressState.APPROVED, col(Address.next_try_at) <= now)
            .order_by(col(Address.id))
        )
        due = (await session.execute(query)).all()
    answers = await asyncio.gather(*(_challenge(hub, outside, one, keys, now) for one, keys in due))
    for (one, _), answer in zip(due, answers, strict=True):
        await _conclude(hub, one, answer, dice)
    return len(due)


async def _challenge(
    hub: Hub, outside: Outside, one: Address, keys: Iterable[signing.Key], now: datetime
) -> Answer:
    body = json.dumps({"type": "ehcp.challenge", "challenge": one.challenge}).encode()
    try:
        readable = vault.opened(hub.settings, signing.in_use(keys, now), one.subscription_id)
    except SealBroken:
        return Answer(failure=Outcome.NO_KEY)
    headers = signing.headers(readable, one.id, now, body) | {"content-type": "application/json"}
    return await outside.post(one.url, body, headers)


async def _conclude(hub: Hub, tried: Address, answer: Answer, dice: random.Random) -> None:
    async with hub.db.write() as tx:
        row = await tx.get_one(Subscription, tried.subscription_id, with_for_update={"key_share": True})
        one = await open_address(tx, row.id)
        if one is None or one.id != tried.id or one.state != AddressState.APPROVED:
            return  # another one was proposed meanwhile, or another worker was first
        now = await instant(tx, hub.clock)
        if echoes(answer, one.challenge):
            await _take_into_use(tx, row, one, now)
            return
        outcome = judge(answer)
        one.tries += 1
        one.failure = Outcome.NO_ECHO if outcome is Outcome.DELIVERED else outcome
        one.next_try_at = next_attempt(one.tries, now, dice) if one.tries < TRIES else None
        if one.next_try_at is None:
            one.state = AddressState.FAILED
            await raise_alert(tx, AlertKind.ADDRESS_FAILED, now, partner=row.partner_id, subscription=row.id)
        log.info("address not confirmed", subscription=str(row.id), outcome=one.failure, tries=one.tries)


async def _take_into_use(tx: AsyncSession, row: Subscription, one: Address, now: datetime) -> None:
    one.state, one.confirmed_at, one.next_try_at, one.failure = AddressState.CONFIRMED, now, None, None
    row.url = one.url
    if row.disabled_reason != "paused":
        row.status, row.disabled_reason = SubscriptionStatus.ACTIVE, None
    row.version += 1
    row.updated_at = now
    await mended(tx, row, now)
