"""HTTP: reviews, their dates and meeting chain, and the caseload of officers."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response
from pydantic import Field

from ehcp_contracts.events import CorrectionReason, Outcome, ReviewKind
from review_scheduler import commands, queries, views
from review_scheduler.domain.calendars import plan_meeting_by
from review_scheduler.domain.policy import InForce, setting_behind
from review_scheduler.domain.stages import ABOUT_THE_MEETING, Stage, why
from review_scheduler.domain.steps import OverrideReason, Recorded
from review_scheduler.queries import StatusFilter, Wanted
from review_scheduler.tables import Review
from service_kit import Ctx, allow
from service_kit import api as kit
from service_kit.paging import Page, Paging
from service_kit.strict import Body, Id, Instant, IsoDate, LaCode, StrictEnum, Text, Urn

router = kit.router(tags=["reviews"])


# --- what is asked ------------------------------------------------------------------------------------------------


class BookMeeting(Body):
    """`covers`: other open reviews of the child that the same meeting serves; each keeps its own due date.
    `notice_given_on`: the day everybody was given notice of it, where that is entered later; today if left out."""

    meeting_on: IsoDate
    notice_given_on: IsoDate | None = None
    covers: tuple[StrictEnum[ReviewKind], ...] = Field(default=(), max_length=3, strict=False)


class HoldMeeting(Body):
    """The day on which the meeting took place; `covers` as for booking."""

    held_on: IsoDate
    covers: tuple[StrictEnum[ReviewKind], ...] = Field(default=(), max_length=3, strict=False)


class ReceiveReport(Body):
    """The day on which the report of the meeting reached the council."""

    received_on: IsoDate


class Decide(Body):
    """The decision and the day on which it was notified (sent). `override_reason` is needed without a meeting and leaves
    a breach on record. `full_process`: an under-five interim that was run as a full review."""

    outcome: StrictEnum[Outcome]
    notified_on: IsoDate
    override_reason: StrictEnum[OverrideReason] | None = None
    full_process: bool | None = None


class EnterReview(Body):
    """A review of earlier twelve months that the register does not have, by the day of its meeting."""

    case_id: Id
    held_on: IsoDate


class CorrectDay(Body):
    """A recorded day that was wrong. The note stays here; only the coded reason goes out. Pointers of a refusal name
    the day itself (`/held_on`, `/received_on`, `/notified_on`)."""

    field: StrictEnum[Recorded]
    new: IsoDate
    reason: StrictEnum[CorrectionReason]
    note: Annotated[str, Text(1000, lines=True)]


# --- routes -------------------------------------------------------------------------------------------------------


@router.get("/v1/reviews", response_model=Page[views.ReviewView], dependencies=[allow("reviews.list")])
async def list_reviews(
    ctx: Ctx,
    paging: Paging,
    urn: Annotated[Urn | None, Query(description="school")] = None,
    la: Annotated[LaCode | None, Query(description="responsible or administering council")] = None,
    officer: Annotated[str | None, Text(100), Query(description="officer's reference")] = None,
    status: Annotated[StatusFilter | None, Query()] = None,
    kind: Annotated[ReviewKind | None, Query()] = None,
    due_before: Annotated[IsoDate | None, Query(description="due earlier than this day")] = None,
    case: Annotated[UUID | None, Query(description="the reviews of one child's plan")] = None,
    missed: Annotated[
        Stage | None, Query(description="of which this stage was past on arrival, so that nobody was told")
    ] = None,
    updated_since: Annotated[
        Instant | None, Query(description="changed at or after this instant; sorts by it")
    ] = None,
) -> Response:
    """Reviews, by due date; with `updated_since`, by the time of their last change."""
    wanted = Wanted(urn, la, officer, status, kind, due_before, updated_since, case, missed)
    return await queries.list_reviews(ctx, wanted, paging)


@router.get("/v1/reviews/{review_id}", response_model=views.ReviewView, dependencies=[allow("reviews.read")])
async def read_review(review_id: UUID, ctx: Ctx) -> Response:
    """One review; its version is the ETag."""
    review, missed = await queries.read_review(ctx, review_id)
    view = views.review_view(review, missed, ctx.clock.today(), role=ctx.caller.role)
    return ctx.answer(200, view, etag=review.version)


@router.get(
    "/v1/reviews/{review_id}/dates", response_model=views.ReviewDates, dependencies=[allow("reviews.explain")]
)
async def explain_dates(review_id: UUID, ctx: Ctx) -> Response:
    """Why each date of a review is that date."""
    found = await queries.explain(ctx, review_id)
    review = found.review
    plan = plan_meeting_by(review.latest_meeting_on, found.calendar, at_school=review.urn is not None)
    reckoned = {day["name"]: day for day in review.dates} | ({plan.name: plan.to_json()} if plan else {})
    dates = [
        views.ReckonedDate.model_validate(
            day | {"policy": _applied(found.policy, setting_behind(review.kind, day["name"]))}
        )
        for day in sorted(reckoned.values(), key=lambda day: (day["on"], day["name"]))
    ]
    told = [
        views.StageView(
            stage=row.stage,
            on=row.on,
            state=row.state,
            sent_on=row.sent_on,
            text=why(Stage(row.stage), review.due_on, review.latest_meeting_on),
            policy=_applied(
                found.policy, f"lead_{row.stage}_days" if row.stage in ABOUT_THE_MEETING else None
            ),
        )
        for row in found.stages
    ]
    view = views.ReviewDates(review_id=review.id, kind=ReviewKind(review.kind), dates=dates, stages=told)
    return ctx.answer(200, view, etag=review.version)


def _applied(found: InForce, setting: str | None) -> views.AppliedPolicy | None:
    if setting is None:
        return None
    value = getattr(found.policy, setting)
    return views.AppliedPolicy(
        setting=setting, value=value, version=found.version, effective_on=found.effective_on
    )


@router.post(
    "/v1/reviews/{review_id}/meeting", response_model=views.ReviewView, dependencies=[allow("reviews.book")]
)
async def book_meeting(review_id: UUID, body: BookMeeting, ctx: Ctx) -> Response:
    """Book the meeting, or move it. Too short a notice is recorded as a breach, not refused."""
    async with ctx.write() as tx:
        changed = await commands.book(ctx, tx, review_id, body.meeting_on, body.covers, body.notice_given_on)
        return _changed(ctx, tx, changed)


@router.post(
    "/v1/reviews/{review_id}/held", response_model=views.ReviewView, dependencies=[allow("reviews.hold")]
)
async def hold_meeting(review_id: UUID, body: HoldMeeting, ctx: Ctx) -> Response:
    """Record that the meeting was held."""
    async with ctx.write() as tx:
        return _changed(ctx, tx, await commands.hold(ctx, tx, review_id, body.held_on, body.covers))


@router.post(
    "/v1/reviews/{review_id}/report", response_model=views.ReviewView, dependencies=[allow("reviews.report")]
)
async def receive_report(review_id: UUID, body: ReceiveReport, ctx: Ctx) -> Response:
    """Record the report of the meeting."""
    async with ctx.write() as tx:
        return _changed(ctx, tx, await commands.report(ctx, tx, review_id, body.received_on))


@router.post(
    "/v1/reviews/{review_id}/decision",
    response_model=views.ReviewView,
    dependencies=[allow("reviews.decide")],
)
async def decide(review_id: UUID, body: Decide, ctx: Ctx) -> Response:
    """Record the decision that was notified."""
    async with ctx.write() as tx:
        changed = await commands.decide(
            ctx,
            tx,
            review_id,
            body.outcome,
            body.notified_on,
            override=body.override_reason,
            full_process=body.full_process,
        )
        return _changed(ctx, tx, changed)


@router.post(
    "/v1/reviews", status_code=201, response_model=views.ReviewView, dependencies=[allow("reviews.enter")]
)
async def enter_review(body: EnterReview, ctx: Ctx) -> Response:
    """Enter a review of earlier twelve months that nobody recorded, by its meeting; then its report and decision as for
    any other. The reviews after it are reckoned anew."""
    async with ctx.write() as tx:
        changed = await commands.enter(ctx, tx, body.case_id, body.held_on)
        return _changed(ctx, tx, changed, status=201)


@router.post(
    "/v1/reviews/{review_id}/corrections",
    status_code=201,
    response_model=views.ReviewView,
    dependencies=[allow("reviews.correct-date")],
)
async def correct_day(review_id: UUID, body: CorrectDay, ctx: Ctx) -> Response:
    """Correct a recorded day with a reason. The old day stays on record."""
    async with ctx.write() as tx:
        changed = await commands.correct(ctx, tx, review_id, body.field, body.new, body.reason, body.note)
        return _changed(ctx, tx, changed, status=201)


@router.get(
    "/v1/reviews/{review_id}/corrections",
    response_model=Page[views.CorrectionView],
    dependencies=[allow("reviews.correct-date")],
)
async def list_corrections(review_id: UUID, ctx: Ctx, paging: Paging) -> Response:
    """The corrections of a review with the days they replaced."""
    rows = await queries.corrections_of(ctx, review_id, paging)
    page = paging.page(
        rows,
        key=lambda row: (row.id,),
        view=lambda row: views.CorrectionView(
            **{name: getattr(row, name) for name in views.CorrectionView.model_fields}
        ),
    )
    return ctx.answer(200, page)


@router.get("/v1/officers", response_model=Page[views.OfficerView], dependencies=[allow("officers.list")])
async def list_officers(ctx: Ctx, paging: Paging) -> Response:
    """The caseload per officer: running plans, open reviews, overdue ones, and those due in 30 days."""
    rows = await queries.caseloads(ctx, paging)
    page = paging.page(
        rows, key=lambda row: (row.responsible_la, row.name), view=views.OfficerView.model_validate
    )
    return ctx.answer(200, page)


def _changed(ctx: Ctx, tx: Any, changed: commands.Changed, *, status: int = 200) -> Response:
    review: Review = changed.review
    view = views.review_view(review, changed.missed, ctx.clock.today(), role=ctx.caller.role)
    location = f"/v1/reviews/{review.id}" if status == 201 else None
    answer: Response = tx.answer(status, view, etag=review.version, location=location)
    return answer
