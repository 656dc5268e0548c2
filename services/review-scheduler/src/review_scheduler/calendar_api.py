"""HTTP: when schools are open."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Self

from fastapi import Response
from pydantic import Field, model_validator

from review_scheduler import calendars
from review_scheduler.calendars import Found
from review_scheduler.domain.calendars import Calendar, check_calendar
from send_statute import Closure, Term
from service_kit import Ctx, allow
from service_kit import api as kit
from service_kit.strict import Body, IsoDate, LaCode, Name, Urn, View, fault

router = kit.router(tags=["calendars"])


class TermIn(Body):
    """A term, first and last day included."""

    starts: IsoDate
    ends: IsoDate
    name: Name | None = None

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.ends < self.starts:
            raise fault("ends-before-start", "The last day is before the first.")
        return self


class ClosureIn(Body):
    """Days within the terms on which schools are shut, such as half-term; first and last day included."""

    first: IsoDate
    last: IsoDate

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.last < self.first:
            raise fault("ends-before-start", "The last day is before the first.")
        return self


class SchoolCalendarIn(Body):
    """The terms and closures of a school."""

    terms: tuple[TermIn, ...] = Field(default=(), max_length=60, strict=False)
    closures: tuple[ClosureIn, ...] = Field(default=(), max_length=200, strict=False)

    def calendar(self) -> Calendar:
        """As the rules know it. Raises `Refusal` validation for terms that overlap."""
        found = Calendar(
            tuple(Term(term.starts, term.ends, term.name or "") for term in self.terms),
            tuple(Closure(closure.first, closure.last) for closure in self.closures),
        )
        check_calendar(found)
        return found


class CouncilCalendarIn(SchoolCalendarIn):
    """Those of a council, for every school without its own; `closed_days`: bank holidays proclaimed since the published
    list."""

    closed_days: tuple[IsoDate, ...] = Field(default=(), max_length=60, strict=False)

    def calendar(self) -> Calendar:
        found = super().calendar()
        return Calendar(found.terms, found.closures, tuple(sorted(set(self.closed_days))))


class TermView(View):
    """A term, first and last day included."""

    starts: date
    ends: date
    name: str


class ClosureView(View):
    """Days on which schools are shut, first and last day included."""

    first: date
    last: date


class CalendarView(View):
    """The calendar that holds. `own`: a school's own, not its council's. `known_to` is the last day of the last term;
    `runs_out`: that is within 60 days, so the next list is needed."""

    la_code: str
    urn: str | None
    own: bool
    version: int
    terms: list[TermView]
    closures: list[ClosureView]
    closed_days: list[date]
    known_to: date | None
    runs_out: bool


def _view(ctx: Ctx, la_code: str, urn: str | None, found: Found) -> CalendarView:
    calendar = found.calendar
    return CalendarView(
        la_code=la_code,
        urn=urn,
        own=found.own,
        version=found.version,
        terms=[TermView(starts=t.starts, ends=t.ends, name=t.name) for t in sorted(calendar.terms)],
        closures=[ClosureView(first=c.first, last=c.last) for c in sorted(calendar.closures)],
        closed_days=list(calendar.closed_days),
        known_to=calendar.known_to,
        runs_out=calendar.runs_out(ctx.clock.today()),
    )


OneUrn = Annotated[Urn, Field(description="school")]


@router.get("/v1/calendars/{la}", response_model=CalendarView, dependencies=[allow("calendars.read")])
async def read_council_calendar(la: LaCode, ctx: Ctx) -> Response:
    """The terms, closures and closed days of your council; its version is the ETag."""
    found = await calendars.read(ctx, la, None)
    return ctx.answer(200, _view(ctx, la, None, found), etag=found.version)


@router.put("/v1/calendars/{la}", response_model=CalendarView, dependencies=[allow("calendars.change")])
async def replace_council_calendar(la: LaCode, body: CouncilCalendarIn, ctx: Ctx) -> Response:
    """Replace the calendar of your council. Needs `If-Match`."""
    calendar = body.calendar()
    async with ctx.write() as tx:
        found = await calendars.replace(ctx, tx, la, None, calendar)
        return tx.answer(200, _view(ctx, la, None, found), etag=found.version)


@router.get(
    "/v1/calendars/{la}/schools/{urn}", response_model=CalendarView, dependencies=[allow("calendars.read")]
)
async def read_school_calendar(la: LaCode, urn: OneUrn, ctx: Ctx) -> Response:
    """The calendar that holds for a school: its own, or your council's."""
    found = await calendars.read(ctx, la, urn)
    return ctx.answer(200, _view(ctx, la, urn, found), etag=found.version)


@router.put(
    "/v1/calendars/{la}/schools/{urn}", response_model=CalendarView, dependencies=[allow("calendars.change")]
)
async def replace_school_calendar(la: LaCode, urn: OneUrn, body: SchoolCalendarIn, ctx: Ctx) -> Response:
    """Give a school a calendar of its own, or replace it. Needs `If-Match`."""
    calendar = body.calendar()
    async with ctx.write() as tx:
        found = await calendars.replace(ctx, tx, la, urn, calendar)
        return tx.answer(200, _view(ctx, la, urn, found), etag=found.version)


@router.delete("/v1/calendars/{la}/schools/{urn}", status_code=204, dependencies=[allow("calendars.change")])
async def remove_school_calendar(la: LaCode, urn: OneUrn, ctx: Ctx) -> Response:
    """Let a school go by your council's calendar again."""
    async with ctx.write() as tx:
        await calendars.remove(ctx, tx, la, urn)
        return tx.answer(204, None)
