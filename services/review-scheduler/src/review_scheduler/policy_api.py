"""HTTP: what a council has settled for itself."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Response
from pydantic import Field

from review_scheduler import policies
from review_scheduler.domain.policy import NATIONAL, SETTINGS, InForce, check_policy, of_council, policy_from
from service_kit import Ctx, allow
from service_kit import api as kit
from service_kit.paging import Page, Paging
from service_kit.strict import Body, BoundedInt, LaCode, StrictEnum, View

router = kit.router(tags=["policies"])


class Basis(StrEnum):
    """By which reading of the law reviews are planned: the last day of the 12 months, or their anniversary (CoP 9.169)."""

    STRICT = "strict"
    ANNIVERSARY = "anniversary"


Days = Annotated[int, BoundedInt(0, 365)]


def _setting(name: str) -> Any:
    return Field(default=getattr(NATIONAL, name), description=SETTINGS[name])


class PolicySettings(Body):
    """What a council settles for itself; a setting left out is the national one. Days are calendar days."""

    basis: StrictEnum[Basis] = Field(default=Basis.STRICT, description=SETTINGS["basis"])
    under5_interval_months: Annotated[int, BoundedInt(0, 12)] = _setting("under5_interval_months")
    notice_clear_days: Days = _setting("notice_clear_days")
    advice_request_days: Days = _setting("advice_request_days")
    lead_plan_days: Days = _setting("lead_plan_days")
    lead_invite_days: Days = _setting("lead_invite_days")
    lead_last_call_days: Days = _setting("lead_last_call_days")


class PolicyView(View):
    """A council's policy in force. `version` 0 without `effective_on`: the national defaults, as nothing was settled."""

    la_code: str
    version: int
    effective_on: date | None
    basis: str
    under5_interval_months: int
    notice_clear_days: int
    advice_request_days: int
    lead_plan_days: int
    lead_invite_days: int
    lead_last_call_days: int


class PolicyVersionView(PolicyView):
    """A policy that a council has or had, and who settled it when."""

    who: str
    at: datetime


def view(la_code: str, found: InForce) -> PolicyView:
    """A policy as it is shown."""
    settings = of_council(found.policy)
    return PolicyView(la_code=la_code, version=found.version, effective_on=found.effective_on, **settings)


@router.get("/v1/policies/{la}", response_model=PolicyView, dependencies=[allow("policies.read")])
async def read_policy(la: LaCode, ctx: Ctx) -> Response:
    """The policy of your council; its version is the ETag."""
    found = await policies.read(ctx, la)
    return ctx.answer(200, view(la, found), etag=found.version)


@router.put("/v1/policies/{la}", response_model=PolicyView, dependencies=[allow("policies.change")])
async def change_policy(la: LaCode, body: PolicySettings, ctx: Ctx) -> Response:
    """Settle the policy of your council from today on. Planning days of open reviews follow; what was announced stays
    announced, and no statutory date moves. Needs `If-Match`."""
    policy = check_policy(body.model_dump(mode="json"))
    async with ctx.write() as tx:
        found = await policies.change(ctx, tx, la, policy)
        return tx.answer(200, view(la, found), etag=found.version)


@router.get(
    "/v1/policies/{la}/history", response_model=Page[PolicyVersionView], dependencies=[allow("policies.read")]
)
async def list_policies(la: LaCode, ctx: Ctx, paging: Paging) -> Response:
    """Every policy your council has had, oldest first."""
    rows = await policies.versions(ctx, la, paging)

    def shown(row: Any) -> PolicyVersionView:
        found = InForce(policy_from(row.settings), row.version, row.effective_on)
        return PolicyVersionView(**view(la, found).model_dump(), who=row.who, at=row.at)

    return ctx.answer(200, paging.page(rows, key=lambda row: (row.version,), view=shown))
