"""What callers may read: reviews, their dates, and the caseload of officers. The predicate of the caller's role is part
of every WHERE, so a foreign row looks like a missing one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.events import ReviewKind
from review_scheduler.calendars import find
from review_scheduler.domain.calendars import Calendar
from review_scheduler.domain.policy import InForce, policy_from
from review_scheduler.domain.stages import ORDER, Stage, StageState
from review_scheduler.tables import CorrectionRow, CouncilPolicy, PlanRow, ReviewRow, StageRow
from service_kit.access import Caller
from service_kit.context import Ctx
from service_kit.paging import PageRequest
from service_kit.policy import Predicate
from service_kit.problems import Fault, Refusal


def _own_la(table: type[ReviewRow | PlanRow]) -> Any:
    def rows(caller: Caller) -> ColumnElement[bool]:
        return _of_council(table, sorted(caller.las))

    return rows


def _of_council(table: type[ReviewRow | PlanRow], las: Sequence[str]) -> ColumnElement[bool]:
    """Rows that one of these councils is responsible for or administers, as each is indexed."""
    responsible, administering = col(table.responsible_la), col(table.administering_la)
    return or_(responsible.in_(las), and_(administering.in_(las), administering != responsible))


def _own(table: type[ReviewRow | PlanRow], column: str) -> Any:
    # A caller without an organisation owns nothing; NULL must never match NULL.
    return lambda caller: getattr(table, column) == (caller.org_id or "")


def _own_team(table: type[ReviewRow | PlanRow]) -> Any:
    """A team is named within its council, and two councils may both have a `team-a`: a token that names councils is
    held to them."""

    def rows(caller: Caller) -> ColumnElement[bool]:
        mine: ColumnElement[bool] = _own(table, "social_care_team")(caller)
        return and_(mine, _of_council(table, sorted(caller.las))) if caller.las else mine

    return rows


def _scopes(table: type[ReviewRow | PlanRow]) -> dict[Predicate, Any]:
    return {
        Predicate.own_la: _own_la(table),
        Predicate.own_school: _own(table, "urn"),
        Predicate.own_area: _own(table, "icb"),
        Predicate.own_team: _own_team(table),
    }


SCOPES = {ReviewRow: _scopes(ReviewRow), PlanRow: _scopes(PlanRow)}


UNTOLD = {
    "school": ("icb", "social_care_team"),
    "icb": ("urn", "setting", "social_care_team"),
    "social-care": ("urn", "setting", "icb"),
}
"""What a role is not told of its own reviews: where a child goes to school is neither in a notice nor in a list of
health or social care (security.md, section 1), and a school does not learn who else works with the family."""


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


@dataclass(frozen=True, slots=True)
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


async def list_reviews(
    ctx: Ctx, wanted: Wanted, paging: PageRequest
) -> tuple[list[Any], dict[UUID, list[str]]]:
    """One page and a row more, in the order of due date, or of change with `updated_since`; and the stages that each
    missed before it arrived here."""
    order = sort_columns(wanted)
    check_cursor(wanted, paging)
    check_filters(wanted, ctx.caller)
    query = select(*SHOWN).where(
        ctx.visible(ReviewRow), *_conditions(wanted, ctx.clock.today()), paging.after(*order)
    )
    async with ctx.read() as session:
        rows = list((await session.execute(query.order_by(*order).limit(paging.fetch))).all())
        return rows, await missed_stages(session, [row.id for row in rows])


def sort_columns(wanted: Wanted) -> tuple[Any, Any]:
    """The columns a list is sorted and paged by."""
    return (col(ReviewRow.updated_at) if wanted.updated_since else col(ReviewRow.due_on)), col(ReviewRow.id)


def check_cursor(wanted: Wanted, paging: PageRequest) -> None:
    """A cursor of the list by due date does not continue the list by change, nor the other way round."""
    if paging.cursor and isinstance(paging.cursor[0], datetime) != (wanted.updated_since is not None):
        raise Refusal(
            "bad-parameter",
            errors=[Fault("/cursor", "cursor", "This cursor belongs to another order of the list.")],
        )


def check_filters(wanted: Wanted, caller: Caller) -> None:
    """A filter must not tell what the answer leaves out."""
    if wanted.urn and "urn" in UNTOLD.get(caller.role, ()):
        message = "Reviews cannot be narrowed by school here."
        raise Refusal("bad-parameter", errors=[Fault("/urn", "not-offered", message)])


def _conditions(wanted: Wanted, today: date) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.urn:
        found.append(col(ReviewRow.urn) == wanted.urn)
    if wanted.la:
        found.append(_of_council(ReviewRow, [wanted.la]))
    if wanted.officer:
        found.append(col(ReviewRow.officer) == wanted.officer)
    if wanted.kind:
        found.append(col(ReviewRow.kind) == wanted.kind.value)
    if wanted.due_before:
        found.append(col(ReviewRow.due_on) < wanted.due_before)
    if wanted.updated_since:
        found.append(col(ReviewRow.updated_at) >= wanted.updated_since)
    if wanted.case:
        found.append(col(ReviewRow.case_id) == wanted.case)
    if wanted.missed:
        missed = (col(StageRow.stage) == wanted.missed.value, col(StageRow.state) == StageState.MISSED.value)
        found.append(exists().where(col(StageRow.review_id) == col(ReviewRow.id), *missed))
    return found + _of_status(wanted.status, today)


def _of_status(status: StatusFilter | None, today: date) -> list[ColumnElement[bool]]:
    match status:
        case None:
            return []
        case StatusFilter.OPEN:
            return [col(ReviewRow.closed_on).is_(None)]
        case StatusFilter.OVERDUE:
            return [col(ReviewRow.closed_on).is_(None), col(ReviewRow.due_on) < today]
        case StatusFilter.CONCLUDED | StatusFilter.WITHDRAWN:
            return [col(ReviewRow.status) == status.value]
        case _:
            return [col(ReviewRow.closed_on).is_(None), col(ReviewRow.status) == status.value]


_HIDDEN_IN_LISTS = ("dates",)
SHOWN = tuple(column for column in ReviewRow.__table__.c if column.name not in _HIDDEN_IN_LISTS)  # type: ignore[attr-defined]


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
