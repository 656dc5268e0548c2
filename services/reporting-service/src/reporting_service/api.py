"""The figures over HTTP: measures with everything needed to judge them, and the cases behind each number."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Path, Query, Response
from sqlalchemy import ColumnElement

from reporting_service.items import ANY_YEAR
from reporting_service.measures import BY_ID, Figure, Measure, figures
from reporting_service.queries import AsOf, By, Figures, Filters, Of, Part, as_of, cases
from reporting_service.tables import UNSTATED, Counter, Item
from service_kit.access import allow
from service_kit.api import router as strict_router
from service_kit.context import Context, Ctx
from service_kit.paging import Page, Paging
from service_kit.problems import Refusal
from service_kit.strict import IsoDate, LaCode, QueryInt, StrictEnum, View

router = strict_router(tags=["measures"])

AcademicYear = Annotated[str, Query(pattern=r"^20[0-9]{2}/[0-9]{2}$", examples=["2026/27"])]


def filters(
    ctx: Ctx,
    la: Annotated[LaCode | None, Query(description="council: responsible, or doing the work")] = None,
    academic_year: AcademicYear | None = None,
    year_group: Annotated[
        Annotated[int, QueryInt(-5, 22)] | None, Query(description="national curriculum year; Reception 0")
    ] = None,
    phase: Annotated[
        Literal[
            "early_years_to_school",
            "infant_to_junior",
            "primary_to_middle",
            "primary_to_secondary",
            "middle_to_secondary",
            "secondary_to_post16",
            "none",
        ]
        | None,
        Query(description="phase transfer at the end of the academic year"),
    ] = None,
    as_at: Annotated[IsoDate | None, Query(description="the day asked about; today if not given")] = None,
) -> Filters:
    """The question in the query parameters."""
    return Filters(as_at or ctx.clock.today(), la, academic_year, year_group, phase)


Asked = Annotated[Filters, Depends(filters)]


class FigureView(View):
    """A measure with its numbers; `percentage` is met of met and missed, `bounds` what the unknown leave open."""

    id: str
    title: str
    definition: str
    kind: str
    numerator: int
    denominator: int
    unknown: int
    unknown_reasons: dict[str, int]
    not_yet_due: int
    percentage: float | None
    bounds: tuple[float, float] | None
    basis: str

    @classmethod
    def of(cls, figure: Figure) -> FigureView:
        measure = figure.measure
        return cls(
            id=measure.id,
            title=measure.title,
            definition=measure.definition,
            kind=measure.kind.value,
            numerator=figure.numerator,
            denominator=figure.denominator,
            unknown=figure.unknown,
            unknown_reasons=dict(figure.reasons),
            not_yet_due=figure.not_yet_due,
            percentage=figure.percentage,
            bounds=figure.bounds,
            basis=measure.basis,
        )


class GroupView(View):
    """The measures of one value of what the figures are broken down by; null: what has no such value."""

    value: str | int | None
    measures: list[FigureView]


class MeasuresView(View):
    """The answer of `/v1/measures`. `as_at` is the day asked about, `as_of` the time of the last event counted."""

    as_at: date
    as_of: datetime | None
    by: By | None
    measures: list[FigureView]
    groups: list[GroupView] | None


class CaseView(View):
    """One member of a measure: which case, what (the id of a review, notice or delivery, or case and year), and how it
    stands."""

    case_id: UUID
    id: str
    series: str
    standing: str
    due_on: date | None
    done_on: date | None
    reason: str | None
    la: str
    administering_la: str
    academic_year: str | None
    year_group: int | None
    phase: str

    @classmethod
    def of(cls, row: Any) -> CaseView:
        return cls(
            case_id=row.case_id,
            id=row.key,
            series=row.measure,
            standing=row.standing,
            due_on=row.limit_on,
            done_on=row.done_on,
            reason=row.reason,
            la=row.la,
            administering_la=row.administering_la,
            academic_year=None if row.academic_year == ANY_YEAR else row.academic_year,
            year_group=None if row.year_group == UNSTATED else row.year_group,
            phase=row.phase,
        )


def visible(ctx: Context) -> dict[Of, ColumnElement[bool]]:
    """What the caller may see of both sources of figures."""
    return {Counter: ctx.visible(Counter), Item: ctx.visible(Item)}


def measure_of(measure_id: str) -> Measure:
    """A measure by its id. Raises `Refusal` not-found."""
    if measure_id not in BY_ID:
        raise Refusal("not-found")
    return BY_ID[measure_id]


@router.get("/v1/measures", response_model=MeasuresView, dependencies=[allow("measures.read")])
async def measures(
    ctx: Ctx, asked: Asked, by: Annotated[StrictEnum[By] | None, Query(description="break down by")] = None
) -> Response:
    """All measures of the councils the caller may see, with definition, numerator, denominator and unknown."""
    async with ctx.read() as session:
        reach = await as_of(session)
        found = Figures(session, asked, reach, visible(ctx))
        total = figures(await found.standings())
        groups = await found.standings_by(by) if by else None
    return ctx.answer(200, _answer(asked, reach, by, total, groups))


def _answer(asked: Filters, reach: AsOf, by: By | None, total: list[Figure], groups: Any) -> MeasuresView:
    ordered = sorted((groups or {}).items(), key=lambda group: (group[0] is None, group[0] or 0))
    return MeasuresView(
        as_at=asked.as_at,
        as_of=reach.last_event_at,
        by=by,
        measures=[FigureView.of(figure) for figure in total],
        groups=[GroupView(value=v, measures=[FigureView.of(f) for f in figures(s)]) for v, s in ordered]
        if by
        else None,
    )


@router.get(
    "/v1/measures/{measure_id}/cases", response_model=Page[CaseView], dependencies=[allow("measures.cases")]
)
async def measure_cases(
    ctx: Ctx,
    asked: Asked,
    paging: Paging,
    measure_id: Annotated[str, Path(max_length=30)],
    part: StrictEnum[Part] = Part.NUMERATOR,
) -> Response:
    """The cases behind a number, in pages."""
    measure = measure_of(measure_id)
    async with ctx.read() as session:
        rows = await cases(session, measure, part, asked, ctx.visible(Item), paging)
    return ctx.answer(200, paging.page(rows, lambda row: (row.measure, row.key), CaseView.of))
