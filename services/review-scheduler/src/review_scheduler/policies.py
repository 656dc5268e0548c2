"""A council's policy: read it, change it, and reckon its open reviews anew.

A change holds from its business date on. The open reviews follow some hundred at a time, each portion one
transaction, so that a large council costs no long lock and a crash repeats little.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.envelope import council_subject
from ehcp_contracts.events import CouncilPolicyChanged
from review_scheduler.calendars import own_council
from review_scheduler.docket import Docket
from review_scheduler.domain.policy import InForce, Policy, of_council, own_settings
from review_scheduler.queries import policy_in_force
from review_scheduler.tables import CouncilPolicy, PlanRow, PolicyVersion
from service_kit import Ctx, Hub, Tx
from service_kit.paging import PageRequest

log = structlog.get_logger(__name__)
AT_ONCE = 500
START = UUID(int=0)


async def read(ctx: Ctx, la_code: str) -> InForce:
    """The policy of one of the caller's councils. Raises `Refusal` not-found for another's."""
    own_council(ctx, la_code)
    async with ctx.read() as session:
        return await policy_in_force(session, la_code)


async def versions(ctx: Ctx, la_code: str, paging: PageRequest) -> list[Any]:
    """Every policy a council has had, oldest first, one more than the page shows."""
    own_council(ctx, la_code)
    table = PolicyVersion.__table__.c  # type: ignore[attr-defined]
    query = select(PolicyVersion.__table__).where(table.la_code == la_code, paging.after(table.version))  # type: ignore[attr-defined]
    async with ctx.read() as session:
        return list((await session.execute(query.order_by(table.version).limit(paging.fetch))).all())


async def change(ctx: Ctx, tx: Tx, la_code: str, policy: Policy) -> InForce:
    """Settle a council's policy from today on. What was announced stays announced. Raises `Refusal` not-found,
    stale-version. The same policy again changes nothing."""
    own_council(ctx, la_code)
    query = select(CouncilPolicy).where(col(CouncilPolicy.la_code) == la_code).with_for_update()
    row = (await tx.session.execute(query)).scalar_one_or_none()
    ctx.match(row.version if row else 0)
    today, settings = ctx.clock.today(), own_settings(policy)
    if (row.settings if row else {}) == settings:
        return await policy_in_force(tx.session, la_code)
    if row is None:
        row = CouncilPolicy(la_code=la_code, version=0, effective_on=today)
        tx.session.add(row)
    row.settings, row.version, row.effective_on = settings, row.version + 1, today
    row.replan_from = START
    tx.session.add(
        PolicyVersion(
            la_code=la_code,
            version=row.version,
            settings=settings,
            effective_on=today,
            who=f"{ctx.caller.role}:{ctx.caller.subject}"[:200],
            at=ctx.clock.now(),
        )
    )
    event = CouncilPolicyChanged(policy_version=row.version, effective_on=today, **of_council(policy))
    await tx.publish(event, case=council_subject(la_code), la=la_code, dataref=f"/v1/policies/{la_code}")
    return InForce(policy, row.version, today)


# --- the open reviews follow --------------------------------------------------------------------------------------


async def replan(hub: Hub) -> None:
    """Reckon the open reviews of every council whose policy changed anew, until none is left."""
    while True:
        async with hub.db.write() as tx:
            if not await _replan_some(tx, hub):
                return


async def _replan_some(tx: AsyncSession, hub: Hub) -> bool:
    waiting = select(CouncilPolicy).where(col(CouncilPolicy.replan_from).is_not(None))
    council = (await tx.execute(waiting.limit(1).with_for_update(skip_locked=True))).scalar_one_or_none()
    if council is None:
        return False
    cases = list((await tx.execute(_plans_of(council))).scalars())
    docket = await Docket.load(tx, cases, today=hub.clock.today(), now=hub.clock.now())
    for case in cases:
        docket.replan(docket.plans[case])
    await docket.save()
    council.replan_from = cases[-1] if len(cases) == AT_ONCE else None
    log.info("reviews follow the policy", la=council.la_code, version=council.version, count=len(cases))
    return True


def _plans_of(council: CouncilPolicy) -> Any:
    """The next running plans that a council administers, whoever is responsible for them."""
    return (
        select(col(PlanRow.case_id))
        .where(
            col(PlanRow.administering_la) == council.la_code,
            col(PlanRow.ceased_on).is_(None),
            col(PlanRow.case_id) > council.replan_from,
        )
        .order_by(col(PlanRow.case_id))
        .limit(AT_ONCE)
    )
