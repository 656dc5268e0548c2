"""The routes of case-service."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query, Response

from case_service import bodies, commands, imports, pushes, queries, views
from case_service.domain.case import CaseStatus
from case_service.sources import LIQUID_LOGIC, PushedCase
from ehcp_contracts.events import Phase
from service_kit.access import allow
from service_kit.api import NDJSON, bulk, router
from service_kit.context import Ctx
from service_kit.paging import Page, Paging
from service_kit.strict import Instant, LaCode, QueryInt, Urn

cases = router(tags=["cases"])
sources = router(tags=["sources"])
institutions = router(tags=["institutions"])
routers = [cases, sources, institutions]

_STREAMED = {200: {"content": {NDJSON: {}}, "description": "One result for each line, in order."}}


# -- cases -------------------------------------------------------------------------------------------------------


@cases.post(
    "/v1/cases", status_code=201, response_model=views.CaseView, dependencies=[allow("cases.register")]
)
async def register_case(body: bodies.RegisterCase, ctx: Ctx) -> Response:
    """Register a child's case, before any plan."""
    return await commands.register(ctx, body)


@cases.get("/v1/cases", response_model=Page[views.CaseView], dependencies=[allow("cases.list")])
async def list_cases(
    ctx: Ctx,
    paging: Paging,
    la: Annotated[LaCode | None, Query(description="responsible council")] = None,
    urn: Annotated[Urn | None, Query(description="present institution")] = None,
    officer: Annotated[bodies.Ref | None, Query(description="officer's reference")] = None,
    status: Annotated[CaseStatus | None, Query()] = None,
    phase: Annotated[Phase | None, Query(description="phase transfer this academic year")] = None,
    updated_since: Annotated[Instant | None, Query(description="changed at or after this instant")] = None,
) -> Response:
    """The cases you may see, the one changed longest ago first; `next` continues where a page ended."""
    asked = {"la": la, "urn": urn, "officer": officer, "status": status, "phase": phase}
    return await ctx.page(queries.LIST, paging, {**asked, "updated_since": updated_since})


@cases.get("/v1/cases/{case_id}", response_model=views.CaseView, dependencies=[allow("cases.read")])
async def read_case(case_id: UUID, ctx: Ctx) -> Response:
    """One case. The ETag is its version."""
    return await queries.read_case(ctx, case_id)


@cases.get(
    "/v1/cases/{case_id}/history",
    response_model=Page[views.HistoryEntry],
    dependencies=[allow("cases.read")],
)
async def read_history(case_id: UUID, ctx: Ctx, paging: Paging) -> Response:
    """Every change of a case: what, when, by whom, and which event told of it."""
    return await queries.read_history(ctx, case_id, paging)


@cases.post(
    "/v1/cases/{case_id}/plan",
    status_code=201,
    response_model=views.CaseView,
    dependencies=[allow("cases.issue-plan")],
)
async def issue_plan(case_id: UUID, body: bodies.IssuePlan, ctx: Ctx) -> Response:
    """Issue the first plan. Its day starts the 12 months of the first review."""
    return await commands.issue_plan(ctx, case_id, body)


@cases.get(
    "/v1/cases/{case_id}/amendment-notices",
    response_model=Page[views.NoticeView],
    dependencies=[allow("cases.read")],
)
async def list_notices(case_id: UUID, ctx: Ctx, paging: Paging) -> Response:
    """The amendments of a case: decided and waiting for their notice, open, issued or dropped."""
    return await queries.list_amendments(ctx, case_id, paging)


@cases.post(
    "/v1/cases/{case_id}/amendment-notices",
    status_code=201,
    response_model=views.NoticeView,
    dependencies=[allow("cases.send-amendment-notice")],
)
async def send_notice(case_id: UUID, body: bodies.SendNotice, ctx: Ctx) -> Response:
    """Send an amendment notice. The answer has its days, each with rule and citation."""
    return await commands.send_notice(ctx, case_id, body)


@cases.post(
    "/v1/cases/{case_id}/amendment-notices/{notice_id}/final",
    response_model=views.NoticeView,
    dependencies=[allow("cases.issue-amended-plan")],
)
async def issue_final(case_id: UUID, notice_id: UUID, body: bodies.IssueFinal, ctx: Ctx) -> Response:
    """Issue the final amended plan, not before the family's 15 days are over."""
    return await commands.issue_final(ctx, case_id, notice_id, body)


@cases.post(
    "/v1/cases/{case_id}/amendment-notices/{notice_id}/drop",
    response_model=views.NoticeView,
    dependencies=[allow("cases.drop-amendment")],
)
async def drop_amendment(case_id: UUID, notice_id: UUID, body: bodies.DropAmendment, ctx: Ctx) -> Response:
    """Decide not to amend after all. The reasons stay with the council."""
    return await commands.drop_amendment(ctx, case_id, notice_id, body)


@cases.post("/v1/cases/{case_id}/cease", response_model=views.CaseView, dependencies=[allow("cases.cease")])
async def cease(case_id: UUID, body: bodies.Cease, ctx: Ctx) -> Response:
    """One step towards the end of a plan: consult, notify, certificate, appeal, withdraw."""
    return await commands.cease(ctx, case_id, body)


@cases.post(
    "/v1/cases/{case_id}/corrections",
    status_code=201,
    response_model=views.CaseView,
    dependencies=[allow("cases.correct-date")],
)
async def correct_date(case_id: UUID, body: bodies.CorrectDate, ctx: Ctx) -> Response:
    """Correct a recorded date with a reason. The old value stays on record."""
    return await commands.correct_date(ctx, case_id, body)


@cases.get(
    "/v1/cases/{case_id}/corrections",
    response_model=Page[views.CorrectionView],
    dependencies=[allow("cases.correct-date")],
)
async def list_corrections(case_id: UUID, ctx: Ctx, paging: Paging) -> Response:
    """The corrections of a case with the values they replaced."""
    return await queries.list_corrections(ctx, case_id, paging)


@cases.post(
    "/v1/cases/{case_id}/placement",
    response_model=views.CaseView,
    dependencies=[allow("cases.change-placement")],
)
async def change_placement(case_id: UUID, body: bodies.ChangePlacement, ctx: Ctx) -> Response:
    """Change the placement, the ICB, the social care team or the officer."""
    return await commands.change_placement(ctx, case_id, body)


# -- sources -----------------------------------------------------------------------------------------------------

_Ref = Annotated[str, Path(pattern=f"^{bodies.REF.pattern}$", description="the source's reference")]


@sources.put(
    "/v1/sources/liquid-logic/cases/{ref}",
    response_model=views.PushResult,
    responses={201: {"model": views.PushResult}, 202: {"model": views.PushResult}},
    dependencies=[allow("cases.push")],
)
async def push_case(ref: _Ref, body: PushedCase, ctx: Ctx) -> Response:
    """Take a snapshot of a case. Its version decides what is newer, so no If-Match is asked for."""
    return await pushes.push(ctx, LIQUID_LOGIC, ref, body)


@sources.delete(
    "/v1/sources/liquid-logic/cases/{ref}",
    response_model=views.PushResult,
    responses={202: {"model": views.PushResult}},
    dependencies=[allow("cases.push")],
)
async def delete_case(
    ref: _Ref,
    ctx: Ctx,
    la: Annotated[LaCode, Query(description="council that administers the case")],
    version: Annotated[
        int, QueryInt(1, 2**53 - 1), Query(description="the source's version of the deletion")
    ],
) -> Response:
    """The source has deleted a record. Nothing is deleted here: an open case waits for a person (202)."""
    return await pushes.delete(ctx, LIQUID_LOGIC, ref, la=la, version=version)


@sources.post(
    "/v1/sources/liquid-logic/batches",
    responses=_STREAMED,  # type: ignore[arg-type]
    response_class=Response,
    dependencies=[allow("cases.push-batch", idempotency=False), bulk(NDJSON)],
)
async def push_batch(ctx: Ctx) -> Response:
    """Take many snapshots, one JSON document a line; each line is answered, and none harms another. A record deleted in
    the source is a line with its `ref`, `version`, `responsible_la` and `"deleted": true`."""
    return pushes.push_batch(ctx, LIQUID_LOGIC)


@sources.get(
    "/v1/sources/liquid-logic/quarantine",
    response_model=Page[views.QuarantineView],
    dependencies=[allow("sources.quarantine")],
)
async def list_quarantine(ctx: Ctx, paging: Paging) -> Response:
    """What the source said and the register could not take: which record, why, and where in it."""
    return await queries.list_quarantine(ctx, LIQUID_LOGIC, paging)


# -- institutions ------------------------------------------------------------------------------------------------


@institutions.post(
    "/v1/imports/institutions",
    responses=_STREAMED,  # type: ignore[arg-type]
    response_class=Response,
    dependencies=[allow("institutions.load", idempotency=False), bulk(NDJSON)],
)
async def load_institutions(ctx: Ctx) -> Response:
    """Load the register of institutions, one a line; what is there already is updated."""
    return imports.load_institutions(ctx)


@institutions.get(
    "/v1/imports/institutions/{urn}",
    response_model=views.InstitutionView,
    dependencies=[allow("institutions.read")],
)
async def read_institution(urn: Annotated[str, Path(pattern=r"^[1-9][0-9]{5}$")], ctx: Ctx) -> Response:
    """One institution of the register."""
    return await queries.read_institution(ctx, urn)
