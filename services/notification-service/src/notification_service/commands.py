"""Changes asked for over HTTP: partners, subscriptions, secrets, replays."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Response
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.events import PartnerKind
from notification_service import addresses, signing, vault
from notification_service.channels import (
    ALL_TYPES,
    AlertKind,
    Channel,
    Status,
    SubscriptionStatus,
    overlap,
    wants,
)
from notification_service.domain import Ended, entitled_types
from notification_service.endpoints import mended
from notification_service.knowledge import standing
from notification_service.queries import (
    Replayed,
    SecretView,
    delivery_view,
    find_delivery,
    find_partner,
    find_subscription,
    partner_views,
    subscription_fields,
    subscription_view,
)
from notification_service.tables import Address, Alert, Delivery, Partner, Subscription
from notification_service.targets import UrlNotAllowed, check_url
from service_kit import Context, Fault, Refusal, Tx, in_chunks, instant
from service_kit.settings import Environment
from service_kit.strict import Body, Id, LaCode, Name, StrictEnum, Text

_REF_FORM = {
    PartnerKind.SCHOOL: r"[1-9][0-9]{5}",
    PartnerKind.ICB: r"[A-Z0-9]{3,6}",
    PartnerKind.SOCIAL_CARE: r"[A-Za-z0-9][A-Za-z0-9-]{0,39}",
    PartnerKind.CASE_SYSTEM: r"[A-Za-z0-9][A-Za-z0-9-]{0,39}",
}
EventTypes = Literal["all entitled"] | list[Annotated[str, Text(80)]]


class NewPartner(Body):
    """`ref`: URN, ODS code, team or system name. `la_code`: the council whose cases the partner is told of, one of
    the caller's own."""

    kind: StrictEnum[PartnerKind]
    ref: Annotated[str, Text(60)]
    name: Name
    la_code: LaCode


class PartnerChange(Body):
    name: Name | None = None
    active: bool | None = None


class NewSubscription(Body):
    partner_id: Id
    channel: StrictEnum[Channel]
    event_types: EventTypes = "all entitled"
    url: Annotated[str, Text(8000)] | None = None


class SubscriptionChange(Body):
    """A new address, other event types, or on and off."""

    event_types: EventTypes | None = None
    url: Annotated[str, Text(8000)] | None = None
    status: Literal["active", "disabled"] | None = None


def _invalid(pointer: str, code: str, message: str) -> Refusal:
    return Refusal("validation", errors=[Fault(pointer, code, message)])


# --- partners --------------------------------------------------------------------------------------------------------


async def create_partner(ctx: Context, body: NewPartner) -> Response:
    if body.la_code not in ctx.caller.las:
        raise _invalid("/la_code", "not-your-council", "This is not a council that you act for.")
    if not re.fullmatch(_REF_FORM[body.kind], body.ref):
        raise _invalid("/ref", "ref-format", "This is not a reference of this kind of partner.")
    async with ctx.write() as tx:
        same = [
            col(Partner.kind) == body.kind,
            col(Partner.ref) == body.ref,
            col(Partner.la_code) == body.la_code,
        ]
        if (await tx.session.execute(select(col(Partner.id)).where(*same))).first():
            raise Refusal("conflict", "This partner is already registered.")
        now = ctx.clock.now()
        row = Partner(
            kind=body.kind, ref=body.ref, name=body.name, la_code=body.la_code, created_at=now, updated_at=now
        )
        tx.session.add(row)
        try:
            await tx.session.flush()
        except IntegrityError:  # registered by somebody else since we looked
            raise Refusal("conflict", "This partner is already registered.") from None
        (view,) = await partner_views(tx.session, [row])
        return tx.answer(201, view, etag=row.version, location=f"/v1/partners/{row.id}")


async def change_partner(ctx: Context, partner_id: UUID, body: PartnerChange) -> Response:
    async with ctx.write() as tx:
        row = await find_partner(tx.session, ctx, partner_id, lock=True)
        ctx.match(row.version)
        row.name = row.name if body.name is None else body.name
        row.active = row.active if body.active is None else body.active
        row.version += 1
        row.updated_at = ctx.clock.now()
        await tx.session.flush()
        (view,) = await partner_views(tx.session, [row])
    return ctx.answer(200, view, etag=row.version)


# --- subscriptions ---------------------------------------------------------------------------------------------------


async def create_subscription(ctx: Context, body: NewSubscription) -> Response:
    async with ctx.write() as tx:
        partner = await find_partner(tx.session, ctx, body.partner_id, lock=True)
        types = _event_types(body.event_types, PartnerKind(partner.kind))
        url = _address(ctx, body.channel, body.url)
        await _no_overlap(tx.session, partner.id, body.channel, types, None)
        now = ctx.clock.now()
        secret = signing.new_secret() if body.channel is Channel.WEBHOOK else None
        row = Subscription(
            partner_id=partner.id,
            channel=body.channel,
            status=SubscriptionStatus.PROPOSED if url else SubscriptionStatus.ACTIVE,
            event_types=types,
            keys=[],
            created_at=now,
            updated_at=now,
        )
        if secret:
            row.keys = [{"secret": vault.seal(ctx.settings, secret, row.id), "until": None}]
        tx.session.add(row)
        await tx.session.flush()
        proposed = await addresses.propose(tx.session, row, url, ctx.caller.subject, now) if url else None
        place = f"/v1/subscriptions/{row.id}"
        shown, kept = _shown_once(row, proposed, secret)
        return tx.answer(201, shown, etag=row.version, location=place, stored=kept)


def _shown_once(
    row: Subscription, proposed: Address | None, secret: str | None
) -> tuple[SecretView, SecretView]:
    """The answer with the secret, and the one that is kept for a repeat of the request: without it."""
    view = SecretView.model_validate(subscription_fields(row, proposed))
    return view.model_copy(update={"secret": secret}), view


def _event_types(wanted: list[str] | str, kind: PartnerKind) -> list[str]:
    if isinstance(wanted, str):
        return [ALL_TYPES]
    if not wanted:
        raise _invalid("/event_types", "too-few", "Name at least one event type, or say all entitled.")
    allowed = entitled_types(kind)
    strange = [
        Fault(f"/event_types/{index}", "not-entitled", "This kind of partner is not told of this event type.")
        for index, name in enumerate(wanted)
        if name not in allowed
    ]
    if strange:
        raise Refusal("validation", errors=strange)
    return sorted(set(wanted))


def _address(ctx: Context, channel: Channel, url: str | None) -> str | None:
    if channel is Channel.FEED:
        if url is not None:
            raise _invalid("/url", "not-for-feed", "A feed is read by the partner: it has no address.")
        return None
    if url is None:
        raise _invalid("/url", "required", "A webhook needs an address.")
    try:
        return check_url(url, loopback=ctx.settings.environment is not Environment.production)
    except UrlNotAllowed:
        text = "Give a public https address of your own, port 443 or 8443, without user name or fragment."
        raise _invalid("/url", "url-not-allowed", text) from None


async def _no_overlap(
    session: AsyncSession, partner: UUID, channel: str, types: Iterable[str], but: UUID | None
) -> None:
    """A partner hears an event at one address only: UNIQUE(event, partner, channel)."""
    others = await _live(session, partner)
    if any(one.id != but and one.channel == channel and overlap(one.event_types, types) for one in others):
        raise Refusal(
            "conflict", "Another subscription of this partner already covers some of these event types."
        )


async def _live(session: AsyncSession, partner: UUID) -> Sequence[Subscription]:
    query = (
        select(Subscription)
        .where(
            col(Subscription.partner_id) == partner, col(Subscription.status) != SubscriptionStatus.DELETED
        )
        .order_by(col(Subscription.id))
    )
    return (await session.execute(query)).scalars().all()


async def change_subscription(ctx: Context, subscription_id: UUID, body: SubscriptionChange) -> Response:
    async with ctx.write() as tx:
        row = await find_subscription(tx.session, ctx, subscription_id, lock=True)
        ctx.match(row.version)
        if body.event_types is not None:
            await _retype(tx.session, row, body.event_types)
        now = await instant(tx.session, ctx.clock)
        url = row.url if body.url is None else _address(ctx, Channel(row.channel), body.url)
        other = url is not None and url != row.url
        if other:
            await addresses.propose(tx.session, row, url or "", ctx.caller.subject, now)
        if body.status is not None:
            _switch(row, body.status, at_other_address=other)
        if row.status == SubscriptionStatus.ACTIVE and (body.status or body.url) and not other:
            await mended(tx.session, row, now)
        row.version += 1
        row.updated_at = now
        await tx.session.flush()
        proposed = await addresses.open_address(tx.session, row.id)
    return ctx.answer(200, subscription_view(row, proposed), etag=row.version)


def _switch(row: Subscription, status: str, *, at_other_address: bool) -> None:
    """On or off; on at another address when that has been confirmed."""
    if row.status == SubscriptionStatus.PROPOSED:
        raise Refusal("conflict", "Its first address has to be approved and confirmed before.")
    if status == SubscriptionStatus.ACTIVE and at_other_address:
        row.disabled_reason = row.disabled_reason and "address"
        return
    row.status = status
    row.disabled_reason = None if status == SubscriptionStatus.ACTIVE else "paused"


async def _retype(session: AsyncSession, row: Subscription, wanted: list[str] | str) -> None:
    partner = await session.get_one(Partner, row.partner_id)
    types = _event_types(wanted, PartnerKind(partner.kind))
    await _no_overlap(session, row.partner_id, row.channel, types, row.id)
    row.event_types = types


async def delete_subscription(ctx: Context, subscription_id: UUID) -> Response:
    async with ctx.write() as tx:
        row = await find_subscription(tx.session, ctx, subscription_id, lock=True)
        ctx.match(row.version)
        now = await instant(tx.session, ctx.clock)
        row.status, row.keys, row.version, row.updated_at = (
            SubscriptionStatus.DELETED,
            [],
            row.version + 1,
            now,
        )
        await addresses.give_up(tx.session, row.id, now)
        await tx.session.execute(
            update(Delivery)
            .where(col(Delivery.subscription_id) == row.id, col(Delivery.status) == Status.PENDING)
            .values(
                status=Status.CANCELLED,
                reason=Ended.UNSUBSCRIBED,
                lease_token=None,
                leased_until=None,
                updated_at=now,
            )
        )
    return ctx.answer(204, None)


async def rotate_secret(ctx: Context, subscription_id: UUID) -> Response:
    """A new secret; the old one signs as well for 24 hours."""
    async with ctx.write() as tx:
        row = await find_subscription(tx.session, ctx, subscription_id, lock=True)
        if row.channel != Channel.WEBHOOK:
            raise Refusal("conflict", "A feed is not signed: it is read with the partner's own token.")
        now = await instant(tx.session, ctx.clock)
        secret = signing.new_secret()
        old = [signing.Key(secret=key["secret"], until=key["until"]) for key in row.keys]
        row.keys = [dict(key) for key in signing.rotate(old, vault.seal(ctx.settings, secret, row.id), now)]
        row.version += 1
        row.updated_at = now
        shown, kept = _shown_once(row, await addresses.open_address(tx.session, row.id), secret)
        return tx.answer(200, shown, etag=row.version, stored=kept)


# --- replays ---------------------------------------------------------------------------------------------------------


async def replay_delivery(ctx: Context, delivery_id: UUID) -> Response:
    """Send one notice again, or at once if it waits. Repeating this adds nothing."""
    async with ctx.write() as tx:
        row = await find_delivery(tx.session, ctx, delivery_id)
        if row.channel == Channel.FEED:
            raise Refusal("conflict", "A feed is read again with an earlier lastEventId.")
        if row.status == Status.CANCELLED:
            raise Refusal("conflict", "This notice was withdrawn and is not sent any more.")
        target = _target(await _live(tx.session, row.partner_id), row)
        if target is None:
            raise Refusal("conflict", "The partner has no webhook for this event type any more.")
        if row.lease_token is None:
            await _send_again(tx, [row.id], target.id, await instant(tx.session, ctx.clock))
            await tx.session.refresh(row)
        now = await standing(tx.session, ctx.clock, ctx.settings, [row.case_id])
        return tx.answer(202, delivery_view(row, now))


async def replay_partner(ctx: Context, partner_id: UUID) -> Response:
    """Send every notice that was given up again, each once."""
    async with ctx.write() as tx:
        partner = await find_partner(tx.session, ctx, partner_id)
        given_up = select(Delivery).where(
            col(Delivery.partner_id) == partner.id, col(Delivery.status) == Status.QUARANTINED
        )
        wishes = await _live(tx.session, partner.id)
        by_target: dict[UUID, list[UUID]] = defaultdict(list)
        for row in (await tx.session.execute(given_up)).scalars():
            if (target := _target(wishes, row)) is not None:
                by_target[target.id].append(row.id)
        now = await instant(tx.session, ctx.clock)
        for target_id, ids in by_target.items():
            await _send_again(tx, ids, target_id, now)
        await _clear_quarantine(tx.session, partner.id, now)
        return tx.answer(202, Replayed(replayed=sum(map(len, by_target.values()))))


def _target(wishes: Sequence[Subscription], row: Delivery) -> Subscription | None:
    """The subscription a notice belongs to now: its own if that still exists, else the one that took its place."""
    hooks = [wish for wish in wishes if wish.channel == Channel.WEBHOOK]
    own = [wish for wish in hooks if wish.id == row.subscription_id]
    return next((wish for wish in own or hooks if own or wants(wish, row.event_type)), None)


async def _send_again(tx: Tx, ids: Sequence[UUID], target: UUID, now: datetime) -> None:
    values: dict[str, Any] = {
        "status": Status.PENDING,
        "reason": None,
        "tries": 0,
        "next_attempt_at": now,
        "subscription_id": target,
        "updated_at": now,
    }
    for some in in_chunks(ids):
        await tx.session.execute(update(Delivery).where(col(Delivery.id).in_(some)).values(values))


async def _clear_quarantine(session: AsyncSession, partner: UUID, now: datetime) -> None:
    await session.execute(
        update(Alert)
        .where(
            col(Alert.partner_id) == partner,
            col(Alert.kind) == AlertKind.QUARANTINED,
            col(Alert.cleared_at).is_(None),
        )
        .values(cleared_at=now)
    )
