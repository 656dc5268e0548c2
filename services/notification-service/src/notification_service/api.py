"""The HTTP surface: partners, subscriptions, deliveries, and the pull feed."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from ehcp_contracts.events import PartnerKind
from notification_service import addresses, commands, feed, queries
from notification_service.addresses import Approval
from notification_service.channels import Status
from notification_service.commands import NewPartner, NewSubscription, PartnerChange, SubscriptionChange
from notification_service.queries import (
    DeliveryDetail,
    DeliveryView,
    PartnerView,
    Replayed,
    SecretView,
    SubscriptionView,
)
from service_kit import Ctx, allow
from service_kit.api import router as strict_router
from service_kit.paging import Page, Paging
from service_kit.strict import Id, Instant, QueryInt, StrictEnum

router = strict_router(tags=["notifications"])


@router.post(
    "/v1/partners", status_code=201, response_model=PartnerView, dependencies=[allow("partners.create")]
)
async def create_partner(body: NewPartner, ctx: Ctx) -> Response:
    """Register a school, an ICB, a social care team or a case system."""
    return await commands.create_partner(ctx, body)


@router.get("/v1/partners", response_model=Page[PartnerView], dependencies=[allow("partners.list")])
async def list_partners(
    ctx: Ctx,
    page: Paging,
    kind: Annotated[StrictEnum[PartnerKind] | None, Query()] = None,
    ref: Annotated[str | None, Query(max_length=60)] = None,
) -> Response:
    """The partners that your council keeps, with what needs attention."""
    return await queries.list_partners(ctx, page, kind, ref)


@router.get("/v1/partners/{partner_id}", response_model=PartnerView, dependencies=[allow("partners.read")])
async def read_partner(partner_id: UUID, ctx: Ctx) -> Response:
    return await queries.read_partner(ctx, partner_id)


@router.patch(
    "/v1/partners/{partner_id}", response_model=PartnerView, dependencies=[allow("partners.change")]
)
async def change_partner(partner_id: UUID, body: PartnerChange, ctx: Ctx) -> Response:
    """Rename a partner, or stop and resume telling it anything."""
    return await commands.change_partner(ctx, partner_id, body)


@router.post(
    "/v1/partners/{partner_id}/replay",
    status_code=202,
    response_model=Replayed,
    dependencies=[allow("deliveries.replay")],
)
async def replay_partner(partner_id: UUID, ctx: Ctx) -> Response:
    """Send every notice that was given up again, each once."""
    return await commands.replay_partner(ctx, partner_id)


@router.post(
    "/v1/subscriptions",
    status_code=201,
    response_model=SecretView,
    dependencies=[allow("subscriptions.create")],
)
async def create_subscription(body: NewSubscription, ctx: Ctx) -> Response:
    """Subscribe a partner. The signing secret of a webhook is shown here and never again; its address has to be approved
    by a second person."""
    return await commands.create_subscription(ctx, body)


@router.get(
    "/v1/subscriptions", response_model=Page[SubscriptionView], dependencies=[allow("subscriptions.list")]
)
async def list_subscriptions(
    ctx: Ctx, page: Paging, partner: Annotated[Id | None, Query()] = None
) -> Response:
    return await queries.list_subscriptions(ctx, page, partner)


@router.get(
    "/v1/subscriptions/{subscription_id}",
    response_model=SubscriptionView,
    dependencies=[allow("subscriptions.read")],
)
async def read_subscription(subscription_id: UUID, ctx: Ctx) -> Response:
    return await queries.read_subscription(ctx, subscription_id)


@router.post(
    "/v1/subscriptions/{subscription_id}/approval",
    response_model=SubscriptionView,
    dependencies=[allow("subscriptions.approve")],
)
async def approve_address(subscription_id: UUID, body: Approval, ctx: Ctx) -> Response:
    """Approve an address that somebody else has proposed; it is taken into use when it has echoed a challenge."""
    return await addresses.approve(ctx, subscription_id, body)


@router.patch(
    "/v1/subscriptions/{subscription_id}",
    response_model=SubscriptionView,
    dependencies=[allow("subscriptions.change")],
)
async def change_subscription(subscription_id: UUID, body: SubscriptionChange, ctx: Ctx) -> Response:
    """Propose another address, change the event types, pause, or set going again (also after the address was gone)."""
    return await commands.change_subscription(ctx, subscription_id, body)


@router.delete(
    "/v1/subscriptions/{subscription_id}", status_code=204, dependencies=[allow("subscriptions.delete")]
)
async def delete_subscription(subscription_id: UUID, ctx: Ctx) -> Response:
    """End a subscription; what still waits for it is not sent. The feed stays."""
    return await commands.delete_subscription(ctx, subscription_id)


@router.post(
    "/v1/subscriptions/{subscription_id}/rotate-secret",
    response_model=SecretView,
    dependencies=[allow("subscriptions.rotate-secret")],
)
async def rotate_secret(subscription_id: UUID, ctx: Ctx) -> Response:
    """A new signing secret; the old one signs as well for 24 hours."""
    return await commands.rotate_secret(ctx, subscription_id)


@router.get("/v1/deliveries", response_model=Page[DeliveryView], dependencies=[allow("deliveries.list")])
async def list_deliveries(
    ctx: Ctx,
    page: Paging,
    partner: Annotated[Id | None, Query()] = None,
    case: Annotated[Id | None, Query()] = None,
    status: Annotated[StrictEnum[Status] | None, Query()] = None,
    updated_since: Annotated[Instant | None, Query()] = None,
) -> Response:
    """Who was told what, on which channel, with which result."""
    return await queries.list_deliveries(
        ctx, page, partner=partner, case=case, status=status, updated_since=updated_since
    )


@router.get(
    "/v1/deliveries/{delivery_id}", response_model=DeliveryDetail, dependencies=[allow("deliveries.read")]
)
async def read_delivery(delivery_id: UUID, ctx: Ctx) -> Response:
    """One delivery with every attempt."""
    return await queries.read_delivery(ctx, delivery_id)


@router.post(
    "/v1/deliveries/{delivery_id}/replay",
    status_code=202,
    response_model=DeliveryView,
    dependencies=[allow("deliveries.replay")],
)
async def replay_delivery(delivery_id: UUID, ctx: Ctx) -> Response:
    """Send one notice again, with the same id and bytes."""
    return await commands.replay_delivery(ctx, delivery_id)


@router.get(
    "/v1/events",
    dependencies=[allow("events.feed")],
    response_class=Response,
    responses={
        200: {"content": {feed.MEDIA_TYPE: {"schema": {"type": "array", "items": {"type": "object"}}}}}
    },
)
async def read_feed(
    ctx: Ctx,
    last_event_id: Annotated[
        Id | None,
        Query(alias="lastEventId", description="id of the last event you have; from the start if not given"),
    ] = None,
    timeout: Annotated[int, QueryInt(0, 30), Query(description="seconds to wait for the first event")] = 0,
    limit: Annotated[int, QueryInt(1, 200), Query()] = 100,
    partner: Annotated[Id | None, Query(description="which partner, if you speak for several")] = None,
) -> Response:
    """Your events in order, as a CloudEvents batch. Asking for what comes after an event acknowledges it."""
    return await feed.read(ctx, partner=partner, after=last_event_id, timeout=timeout, limit=limit)
