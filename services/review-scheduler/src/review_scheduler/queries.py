"""What callers may read: reviews, their dates, and the caseload of officers. The predicate of the caller's role is part
of every WHERE, so a foreign row looks like a missing one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from fastapi import Response
from sqlalchemy import ColumnElement, Select, and_, bindparam, case, exists, func, or_, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.events import ReviewKind
from review_scheduler import views
from review_scheduler.calendars import find
from review_scheduler.domain.calendars import Calendar
from review_scheduler.domain.policy import InForce, policy_from
from review_scheduler.domain.stages import ORDER, Stage, StageState
from review_scheduler.tables import CorrectionRow, CouncilPolicy, PlanRow, ReviewRow, StageRow
from service_kit.access import Caller, either_council
from service_kit.context import Ctx
from service_kit.lists import Listing
from service_kit.paging import PageRequest
from service_kit.policy import Predicate
from service_kit.problems import Fault, Refusal


def _of_councils(table: type[ReviewRow | PlanRow], las: Sequence[Any]) -> tuple[ColumnElement[bool], ...]:
    return either_council(col(table.responsible_la), col(table.administering_la), las)


def _own(table: type[ReviewRow | PlanRow], column: str) -> Any:
    # A caller without an organisation owns nothing; NULL must never match NULL.
    return lambda caller: getattr(table, column) == (caller.org_id or "")


def _own_team(table: type[ReviewRow | PlanRow]) -> Any:
    """A team is named within its council, and two councils may both have a `team-a`: a token that names councils is
    held to them."""

    def rows(caller: Caller) -> ColumnElement[bool]:
        mine: ColumnElement[bool] = _own(table, "social_care_team")(caller)
        return and_(mine, or_(*_of_councils(table, sorted(caller.las)))) if caller.las else mine

    return rows


def _scopes(table: type[ReviewRow | PlanRow]) -> dict[Predicate, Any]:
    return {
        Predicate.own_la: lambda caller: _of_councils(table, sorted(caller.las)),
        Predicate.own_school: _own(table, "urn"),
        Predicate.own_area: _own(table, "icb"),
        Predicate.own_team: _own_team(table),
    }


SCOPES = {ReviewRow: _scopes(ReviewRow), PlanRow: _scopes(PlanRow)}


class StatusFilter(StrEnum):
    """A status, or one of two shorthands: `open` (not concluded, not withdrawn) and `overdue` (open after its due
    date)."""

    DUE = "due"
    BOOKED = "booked"
    HELD = "held"
    REPORTED = "reported"
    DECIDED = "decided"
    CONCLUDED = "concluded"
    WITHDRAWN = "withdrawn"
    OPEN = "open"
    OVERDUE = "overdue"


@dataclass(frozen=True)
class Wanted:
    """The filters of a list of reviews; None means any. `due_before` excludes that day, `updated_since` includes that
    instant; `missed` is a stage recorded as missed before arrival."""

    urn: str | None = None
    la: str | None = None
    officer: str | None = None
    status: StatusFilter | None = None
    kind: ReviewKind | None = None
    due_before: date | None = None
    updated_since: datetime | None = None
    case: UUID | None = None
    missed: Stage | None = None


_FILTERS = {
    "urn": col(ReviewRow.urn) == bindparam("urn"),
    "la": or_(*_of_councils(ReviewRow, [bindparam("la")])),
    "officer": col(ReviewRow.officer) == bindparam("officer"),
    "status": col(ReviewRow.status) == bindparam("status"),
    "open": col(ReviewRow.closed_on).is_(None),
    "overdue": col(ReviewRow.due_on) < views.TODAY,
    "kind": col(ReviewRow.kind) == bindparam("kind"),
    "due_before": col(ReviewRow.due_on) < bindparam("due_before"),
    "updated_since": col(ReviewRow.updated_at) >= bindparam("updated_since"),
    "case": col(ReviewRow.case_id) == bindparam("case"),
    "missed": exists().where(
        col(StageRow.review_id) == col(ReviewRow.id),
        col(StageRow.stage) == bindparam("missed"),
        views.MISSED,
    ),
}


def _sorted_by(column: Any) -> Listing:
    return Listing(SCOPES, ReviewRow, views.review_json, (col(column), col(ReviewRow.id)), _FILTERS)


BY_DUE_DATE, BY_CHANGE = _sorted_by(ReviewRow.due_on), _sorted_by(ReviewRow.updated_at)


async def list_reviews(ctx: Ctx, wanted: Wanted, paging: PageRequest) -> Response:
    """A page in the order of due date, or of change with `updated_since`."""
    check_cursor(wanted, paging)
    check_filters(wanted, ctx.caller)
    listing = BY_CHANGE if wanted.updated_since else BY_DUE_DATE
    return await ctx.page(listing, paging, _asked(wanted), today=ctx.clock.today())


def _asked(wanted: Wanted) -> dict[str, Any]:
    asked, status = dict(vars(wanted)), wanted.status
    if status in (StatusFilter.OPEN, StatusFilter.OVERDUE):
        asked |= {"status": None, "open": True, "overdue": status is StatusFilter.OVERDUE or None}
    elif status not in (None, StatusFilter.CONCLUDED, StatusFilter.WITHDRAWN):
        asked["open"] = True  # as such a review is; by this the small index of open ones is found
    return asked


def check_cursor(wanted: Wanted, paging: PageRequest) -> None:
    """A cursor of the list by due date does not continue the list by change, nor the other way round."""
    if paging.cursor and isinstance(paging.cursor[0], datetime) != (wanted.updated_since is not None):
        raise Refusal(
            "bad-parameter",
            errors=[Fault("/cursor", "cursor", "This cursor belongs to another order of the list.")],
        )


def check_filters(wanted: Wanted, caller: Caller) -> None:
    """A filter must not tell what the answer leaves out."""
    if wanted.urn and "urn" in views.UNTOLD.get(caller.role, ()):
        message = "Reviews cannot be narrowed by school here."
        raise Refusal("bad-parameter", errors=[Fault("/urn", "not-offered", message)])


async def missed_stages(session: AsyncSession, reviews: Sequence[UUID]) -> dict[UUID, list[str]]:
    """The stages recorded as missed before arrival, per review."""
    query = select(col(StageRow.review_id), col(StageRow.stage)).where(
        col(StageRow.review_id).in_(reviews), col(StageRow.state) == StageState.MISSED.value
    )
    missed: dict[UUID, list[str]] = {}
    for review_id, stage in (await session.execute(query)).all():
        missed.setdefault(review_id, []).append(stage)
    return {review: sorted(stages, key=lambda name: ORDER[Stage(name)]) for review, stages in missed.items()}


async def read_review(ctx: Ctx, review_id: UUID) -> tuple[ReviewRow, list[str]]:
    """One review with its dates, and the stages it missed. Raises `Refusal` not-found."""
    async with ctx.read() as session:
        review = (await session.execute(one_review(ctx, review_id))).scalar_one_or_none()
        if review is None:
            raise Refusal("not-found")
        return review, (await missed_stages(session, [review_id])).get(review_id, [])


async def policy_in_force(session: AsyncSession, la_code: str) -> InForce:
    """The policy of a council, or the national defaults."""
    found = await session.get(CouncilPolicy, la_code)
    if found is None:
        return InForce()
    return InForce(policy_from(found.settings), found.version, found.effective_on)


@dataclass(frozen=True, slots=True)
class Explained:
    """A review with what its days hang on: its stages by day, and policy and calendar of the council that does the work,
    or the school's own calendar."""

    review: ReviewRow
    stages: list[StageRow]
    policy: InForce
    calendar: Calendar


async def explain(ctx: Ctx, review_id: UUID) -> Explained:
    """One review with all that explains its days. Raises `Refusal` not-found."""
    async with ctx.read() as session:
        review = (await session.execute(one_review(ctx, review_id))).scalar_one_or_none()
        if review is None:
            raise Refusal("not-found")
        stages = (
            await session.execute(select(StageRow).where(col(StageRow.review_id) == review_id))
        ).scalars()
        by_day = sorted(stages, key=lambda row: (row.on, ORDER[Stage(row.stage)]))
        policy = await policy_in_force(session, review.administering_la)
        calendar = (await find(session, review.administering_la, review.urn)).calendar
        return Explained(review, by_day, policy, calendar)


def one_review(ctx: Ctx, review_id: UUID) -> Select[ReviewRow]:
    """The review of this id, if the caller may see it."""
    return select(ReviewRow).where(col(ReviewRow.id) == review_id, ctx.visible(ReviewRow))


def one_plan(ctx: Ctx, case_id: UUID) -> Select[PlanRow]:
    """The plan of this case, if the caller may see it."""
    return select(PlanRow).where(col(PlanRow.case_id) == case_id, ctx.visible(PlanRow))


async def corrections_of(ctx: Ctx, review_id: UUID, paging: PageRequest) -> list[Any]:
    """The corrections of a review, oldest first, one more than the page shows. Raises `Refusal` not-found."""
    await read_review(ctx, review_id)
    table = CorrectionRow.__table__.c  # type: ignore[attr-defined]
    query = select(CorrectionRow.__table__).where(table.review_id == review_id, paging.after(table.id))  # type: ignore[attr-defined]
    async with ctx.read() as session:
        return list((await session.execute(query.order_by(table.id).limit(paging.fetch))).all())


@dataclass(frozen=True, slots=True)
class Caseload:
    """What an officer has in hand; `officer` is None for what nobody has."""

    officer: str | None
    responsible_la: str
    plans: int
    open_reviews: int
    overdue: int
    due_in_30_days: int


SOON = timedelta(days=30)


async def caseloads(ctx: Ctx, paging: PageRequest) -> list[Any]:
    """The caseload per council and officer, counted by the database, in the order of council and officer."""
    today = ctx.clock.today()
    plans, reviews = _plans_per_officer(ctx), _reviews_per_officer(ctx, today)
    name = func.coalesce(plans.c.officer, "")
    query = (
        select(
            plans.c.responsible_la,
            name.label("name"),
            plans.c.officer,
            plans.c.plans,
            func.coalesce(reviews.c.open_reviews, 0).label("open_reviews"),
            func.coalesce(reviews.c.overdue, 0).label("overdue"),
            func.coalesce(reviews.c.due_in_30_days, 0).label("due_in_30_days"),
        )
        .outerjoin(
            reviews,
            and_(
                reviews.c.responsible_la == plans.c.responsible_la,
                func.coalesce(reviews.c.officer, "") == func.coalesce(plans.c.officer, ""),
            ),
        )
        .where(paging.after(plans.c.responsible_la, name))
        .order_by(plans.c.responsible_la, name)
        .limit(paging.fetch)
    )
    async with ctx.read() as session:
        return list((await session.execute(query)).all())


def _plans_per_officer(ctx: Ctx) -> Any:
    columns = (col(PlanRow.responsible_la), col(PlanRow.officer))
    running = (ctx.visible(PlanRow), col(PlanRow.ceased_on).is_(None))
    return select(*columns, func.count().label("plans")).where(*running).group_by(*columns).subquery("plans")


def _reviews_per_officer(ctx: Ctx, today: date) -> Any:
    columns = (col(ReviewRow.responsible_la), col(ReviewRow.officer))
    due = col(ReviewRow.due_on)
    return (
        select(
            *columns,
            func.count().label("open_reviews"),
            func.sum(case((due < today, 1), else_=0)).label("overdue"),
            func.sum(case((due.between(today, today + SOON), 1), else_=0)).label("due_in_30_days"),
        )
        .where(ctx.visible(ReviewRow), col(ReviewRow.closed_on).is_(None))
        .group_by(*columns)
        .subquery("reviews")
    )
