"""What the reviews do to the case. An event for a case not known yet waits; everything else is applied or recorded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from case_service import bulk
from case_service.domain import plan, reviews
from case_service.domain.case import Case, CaseStatus, Circumstances, Decision
from case_service.store import CASES, amendments_of, circumstances, load, save, settle_interval
from ehcp_contracts.events import (
    CouncilPolicyChanged,
    ReviewConcluded,
    ReviewCorrected,
    ReviewDecided,
    ReviewMeetingHeld,
)
from service_kit.hub import Hub
from service_kit.ids import uuid7
from service_kit.inbox import Defer, Received


async def on_review_decided(tx: AsyncSession, received: Received[ReviewDecided], hub: Hub) -> None:
    """Open the amendment or the cease procedure."""
    case, where = await _case(tx, received, hub)
    known = (await amendments_of(tx, [case.id]))[case.id]
    decision = reviews.decided(case, known, where, received.event, amendment_id=uuid7())
    await _save(tx, decision, received, hub)


async def on_review_concluded(tx: AsyncSession, received: Received[ReviewConcluded], hub: Hub) -> None:
    """Move the anchor of the 12 months, and the facts that hang on it."""
    case, where = await _case(tx, received, hub)
    await _save(tx, reviews.concluded(case, where, received.event), received, hub)


async def on_review_corrected(tx: AsyncSession, received: Received[ReviewCorrected], hub: Hub) -> None:
    """Take what is told of a review now for what was told before."""
    case, where = await _case(tx, received, hub)
    known = (await amendments_of(tx, [case.id]))[case.id]
    await _save(tx, reviews.corrected(case, known, where, received.event), received, hub)


async def on_review_meeting_held(tx: AsyncSession, received: Received[ReviewMeetingHeld], hub: Hub) -> None:
    """Remember the meeting: the twelve weeks to the final plan run from it."""
    case, where = await _case(tx, received, hub)
    await _save(tx, reviews.meeting_held(case, where, received.event), received, hub)


async def on_council_policy_changed(
    tx: AsyncSession, received: Received[CouncilPolicyChanged], hub: Hub
) -> None:
    """A council reviews children under five at other intervals from a day on: their interims follow."""
    event, today = received.event, hub.clock.today()
    await settle_interval(
        tx,
        received.la,
        version=event.policy_version,
        effective_on=event.effective_on,
        months=event.under5_interval_months,
    )
    # A day too many does no harm: who is five is sorted out by the rule.
    born_since = today - timedelta(days=5 * 366)
    young = (CASES.c.administering_la == received.la) & (CASES.c.birth_date > born_since)
    running = young & CASES.c.announced & (CASES.c.status != CaseStatus.CEASED.value)
    await bulk.decide_all(tx, running, today, plan.refresh, who=f"event:{received.source}")


async def _case(tx: AsyncSession, received: Received[Any], hub: Hub) -> tuple[Case, Circumstances]:
    found = await load(tx, CASES.c.id == received.case)
    if not found:
        raise Defer
    return found[0], await circumstances(tx, hub.clock.today(), [found[0].urn])


async def _save(tx: AsyncSession, decision: Decision | None, received: Received[Any], hub: Hub) -> None:
    if decision is not None:
        await save(tx, [decision], who=f"event:{received.source}"[:200], today=hub.clock.today())
