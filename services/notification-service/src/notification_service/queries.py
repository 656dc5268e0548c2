"""What may be read, by whom, and how it looks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from fastapi import Response
from sqlalchemy import ColumnElement, false, select, true
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.events import PartnerKind
from notification_service.channels import PROPOSALS, Status, SubscriptionStatus
from notification_service.domain import Party, Route, Side, obstacle
from notification_service.knowledge import Standing, standing, was_right
from notification_service.tables import (
    Address,
    Alert,
    Attempt,
    CaseRoute,
    Delivery,
    Partner,
    PartnerCopy,
    Subscription,
)
from service_kit import Caller, Context, Predicate, Refusal
from service_kit.access import Scopes
from service_kit.paging import Page, PageRequest
from service_kit.strict import View

T = TypeVar("T")
KIND_OF_ROLE = {
    "school": PartnerKind.SCHOOL,
    "icb": PartnerKind.ICB,
    "social-care": PartnerKind.SOCIAL_CARE,
    "adapter": PartnerKind.CASE_SYSTEM,
}


def _is_self(caller: Caller) -> ColumnElement[bool]:
    """The caller's own entries: a school or ICB has one in each council that tells it of cases. A council's team or
    system is named within its council, so a token that names councils is held to them."""
    kind = KIND_OF_ROLE.get(caller.role)
    if kind is None or not caller.org_id:
        return false()
    local = kind in (PartnerKind.SOCIAL_CARE, PartnerKind.CASE_SYSTEM) and caller.las
    where = col(Partner.la_code).in_(sorted(caller.las)) if local else true()
    return (col(Partner.kind) == kind) & (col(Partner.ref) == caller.org_id) & where


def _keeps(caller: Caller) -> ColumnElement[bool]:
    return col(Partner.la_code).in_(sorted(caller.las))


def _of(partners: ColumnElement[bool], column: Any) -> ColumnElement[bool]:
    return col(column).in_(select(col(Partner.id)).where(partners))


def _own_deliveries(caller: Caller) -> ColumnElement[bool]:
    """Without those withdrawn, or that may yet have to be: a notice made after the pupil had left would tell its
    former school by its type and time alone that something happened."""
    right = (col(Delivery.status) != Status.CANCELLED) & was_right()
    return _of(_is_self(caller), Delivery.partner_id) & right


SCOPES: Scopes = {
    Partner: {Predicate.own_la: _keeps, Predicate.own_partner: _is_self},
    Subscription: {
        Predicate.own_la: lambda caller: _of(_keeps(caller), Subscription.partner_id),
        Predicate.own_partner: lambda caller: _of(_is_self(caller), Subscription.partner_id),
    },
    Delivery: {
        Predicate.own_la: lambda caller: _of(_keeps(caller), Delivery.partner_id),
        Predicate.own_partner: _own_deliveries,
    },
}


# --- views -----------------------------------------------------------------------------------------------------------


class AlertView(View):
    """Something an officer must look at."""

    kind: str
    subscription_id: UUID | None
    delivery_id: UUID | None
    raised_at: datetime


class PartnerView(View):
    id: UUID
    kind: PartnerKind
    ref: str
    la_code: str
    name: str
    active: bool
    alerts: tuple[AlertView, ...] = ()
    created_at: datetime
    updated_at: datetime


class SubscriptionView(View):
    """`event_types` is a list, or "all entitled". `url` is in use; `proposed_url` is not yet: `proposal` says whether it
    waits for a second person (`proposed`), is being challenged (`approved`) or did not echo (`failed`, and why)."""

    id: UUID
    partner_id: UUID
    channel: str
    url: str | None
    proposed_url: str | None
    proposal: str | None
    proposal_failure: str | None
    event_types: list[str] | str
    status: str
    disabled_reason: str | None
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime


class SecretView(SubscriptionView):
    """A subscription with its signing secret, which is shown this once: null for a feed, and when the request that made
    it is repeated with its Idempotency-Key."""

    secret: str | None = None


class DeliveryView(View):
    """`held`: it waits until this service knows enough of its case (docs/decisions/notifications-wrong-school.md)."""

    id: UUID
    event_id: UUID
    event_type: str
    case_id: UUID
    partner_id: UUID
    channel: str
    status: Status
    reason: str | None
    held: bool
    attempts: int
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    created_at: datetime
    updated_at: datetime


class AttemptView(View):
    """One request: `late` when the delivery had been given to another sender by then."""

    started_at: datetime
    duration_ms: int
    outcome: str
    status_code: int | None
    note: str | None
    late: bool


class DeliveryDetail(DeliveryView):
    """`event` is the partner's own copy; null for operators, and for a partner that is no longer entitled, or may be so
    for all that is known."""

    attempt_log: tuple[AttemptView, ...] = ()
    event: dict[str, Any] | None = None


class Replayed(View):
    replayed: int


ALL_ENTITLED = "all entitled"


def delivery_view(row: Delivery, now: Standing) -> DeliveryView:
    return DeliveryView.model_validate(_delivery_fields(row, now))


def _delivery_fields(row: Delivery, now: Standing) -> dict[str, Any]:
    waits = row.status in (Status.PENDING, Status.AVAILABLE)
    return row.model_dump() | {"held": waits and now.holds(row.case_id, row.created_at)}


def subscription_view(row: Subscription, proposed: Address | None) -> SubscriptionView:
    return SubscriptionView.model_validate(subscription_fields(row, proposed))


def subscription_fields(row: Subscription, proposed: Address | None) -> dict[str, Any]:
    return row.model_dump(exclude={"keys"}) | {
        "event_types": ALL_ENTITLED if "*" in row.event_types else row.event_types,
        "proposed_url": proposed and proposed.url,
        "proposal": proposed and proposed.state,
        "proposal_failure": proposed and proposed.failure,
    }


async def open_addresses(session: AsyncSession, subscriptions: Sequence[UUID]) -> dict[UUID, Address]:
    """The addresses that are proposed for these subscriptions and not in use yet."""
    query = select(Address).where(
        col(Address.subscription_id).in_(subscriptions), col(Address.state).in_(PROPOSALS)
    )
    return {one.subscription_id: one for one in (await session.execute(query)).scalars()}


async def partner_views(session: AsyncSession, rows: Sequence[Partner]) -> list[PartnerView]:
    """Partners with their open alerts."""
    query = (
        select(Alert)
        .where(col(Alert.partner_id).in_([row.id for row in rows]), col(Alert.cleared_at).is_(None))
        .order_by(col(Alert.id))
    )
    alerts: dict[UUID, list[AlertView]] = {row.id: [] for row in rows}
    for alert in (await session.execute(query)).scalars():
        alerts[alert.partner_id].append(AlertView.model_validate(alert))
    return [PartnerView.model_validate({**row.model_dump(), "alerts": alerts[row.id]}) for row in rows]


# --- one of them -----------------------------------------------------------------------------------------------------


async def find_partner(
    session: AsyncSession, ctx: Context, partner_id: UUID, *, lock: bool = False
) -> Partner:
    """A partner this caller may touch; `lock` holds it, for a change, but not its key, to which the notices of a whole
    batch may be about to refer. Raises `Refusal` not-found."""
    query = select(Partner).where(col(Partner.id) == partner_id, ctx.visible(Partner))
    row: Partner | None = (
        await session.execute(query.with_for_update(key_share=True) if lock else query)
    ).scalar_one_or_none()
    return _found(row)


async def find_subscription(
    session: AsyncSession, ctx: Context, subscription_id: UUID, *, lock: bool = False
) -> Subscription:
    """As `find_partner`: without the lock two changes at once would both build on the same row, and of two new
    secrets one would be shown and never sign."""
    query = select(Subscription).where(
        col(Subscription.id) == subscription_id,
        col(Subscription.status) != SubscriptionStatus.DELETED,
        ctx.visible(Subscription),
    )
    row: Subscription | None = (
        await session.execute(query.with_for_update(key_share=True) if lock else query)
    ).scalar_one_or_none()
    return _found(row)


async def find_delivery(session: AsyncSession, ctx: Context, delivery_id: UUID) -> Delivery:
    query = select(Delivery).where(col(Delivery.id) == delivery_id, ctx.visible(Delivery))
    row: Delivery | None = (await session.execute(query)).scalar_one_or_none()
    return _found(row)


def _found(row: T | None) -> T:
    if row is None:
        raise Refusal("not-found")
    return row


# --- reading ---------------------------------------------------------------------------------------------------------


async def read_partner(ctx: Context, partner_id: UUID) -> Response:
    async with ctx.read() as session:
        row = await find_partner(session, ctx, partner_id)
        (view,) = await partner_views(session, [row])
    return ctx.answer(200, view, etag=row.version)


async def list_partners(
    ctx: Context, page: PageRequest, kind: PartnerKind | None, ref: str | None
) -> Response:
    wanted = [col(Partner.kind) == kind] if kind else []
    wanted += [col(Partner.ref) == ref] if ref else []
    query = (
        select(Partner)
        .where(ctx.visible(Partner), page.after(Partner.id), *wanted)
        .order_by(col(Partner.id))
        .limit(page.fetch)
    )
    async with ctx.read() as session:
        rows = (await session.execute(query)).scalars().all()
        views = {view.id: view for view in await partner_views(session, rows)}
    return ctx.answer(200, page.page(rows, lambda row: (row.id,), lambda row: views[row.id]))


async def read_subscription(ctx: Context, subscription_id: UUID) -> Response:
    async with ctx.read() as session:
        row = await find_subscription(session, ctx, subscription_id)
        proposed = await open_addresses(session, [row.id])
    return ctx.answer(200, subscription_view(row, proposed.get(row.id)), etag=row.version)


async def list_subscriptions(ctx: Context, page: PageRequest, partner: UUID | None) -> Response:
    wanted = [col(Subscription.partner_id) == partner] if partner else []
    query = (
        select(Subscription)
        .where(
            ctx.visible(Subscription),
            col(Subscription.status) != SubscriptionStatus.DELETED,
            page.after(Subscription.id),
            *wanted,
        )
        .order_by(col(Subscription.id))
        .limit(page.fetch)
    )
    async with ctx.read() as session:
        rows = (await session.execute(query)).scalars().all()
        proposed = await open_addresses(session, [row.id for row in rows])
    shown = page.page(rows, lambda row: (row.id,), lambda row: subscription_view(row, proposed.get(row.id)))
    return ctx.answer(200, shown)


async def list_deliveries(
    ctx: Context,
    page: PageRequest,
    *,
    partner: UUID | None,
    case: UUID | None,
    status: Status | None,
    updated_since: datetime | None,
) -> Response:
    """Deliveries, those changed longest ago first, so that `updated_since` and the cursor miss none."""
    wanted = [
        condition
        for value, condition in (
            (partner, col(Delivery.partner_id) == partner),
            (case, col(Delivery.case_id) == case),
            (status, col(Delivery.status) == status),
            (updated_since, col(Delivery.updated_at) >= updated_since if updated_since else true()),
        )
        if value is not None
    ]
    query = (
        select(Delivery)
        .where(ctx.visible(Delivery), page.after(Delivery.updated_at, Delivery.id), *wanted)
        .order_by(col(Delivery.updated_at), col(Delivery.id))
        .limit(page.fetch)
    )
    async with ctx.read() as session:
        rows = (await session.execute(query)).scalars().all()
        now = await standing(session, ctx.clock, ctx.settings, (row.case_id for row in rows))
    shown: Page[DeliveryView] = page.page(
        rows,
        lambda row: (row.updated_at, row.id),
        lambda row: delivery_view(row, now),
    )
    return ctx.answer(200, shown)


async def read_delivery(ctx: Context, delivery_id: UUID) -> Response:
    async with ctx.read() as session:
        row = await find_delivery(session, ctx, delivery_id)
        attempts = await session.execute(
            select(Attempt).where(col(Attempt.delivery_id) == row.id).order_by(col(Attempt.id))
        )
        log = [AttemptView.model_validate(attempt) for attempt in attempts.scalars()]
        now = await standing(session, ctx.clock, ctx.settings, [row.case_id])
        event = await _payload(session, ctx, row, now)
    fields = _delivery_fields(row, now) | {"attempt_log": log, "event": event}
    return ctx.answer(200, DeliveryDetail.model_validate(fields))


async def _payload(
    session: AsyncSession, ctx: Context, delivery: Delivery, now: Standing
) -> dict[str, Any] | None:
    if ctx.caller.role in ("operator", "auditor"):
        return None
    if ctx.caller.role in KIND_OF_ROLE and now.holds(delivery.case_id, delivery.created_at):
        return None
    query = (
        select(PartnerCopy, Partner, CaseRoute)
        .join(Partner, col(Partner.id) == col(PartnerCopy.partner_id))
        .join(CaseRoute, col(CaseRoute.case_id) == col(PartnerCopy.case_id))
        .where(col(PartnerCopy.id) == delivery.copy_id)
    )
    copy, partner, route = (await session.execute(query)).one()
    if ctx.caller.role in KIND_OF_ROLE and not still_concerns(partner, route, copy):
        return None
    document: dict[str, Any] = json.loads(copy.body)
    return document


def still_concerns(partner: Partner, route: CaseRoute, copy: PartnerCopy) -> bool:
    """Whether a partner may be shown its copy now."""
    party = Party(PartnerKind(partner.kind), partner.ref, partner.la_code)
    where = Route(route.la_code, route.administering_la, route.urn, route.icb, route.team)
    ended = obstacle(party, where, copy.event_type, Side(copy.side), plan_ended=False)
    return partner.active and ended is None
