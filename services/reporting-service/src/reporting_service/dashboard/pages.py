"""The dashboard: two pages rendered on the server, readable without JavaScript, at a glance and by a screen reader."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import jinja2
from fastapi import Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from jinja2 import PackageLoader, StrictUndefined, select_autoescape

from reporting_service.api import CaseView, measure_of, visible
from reporting_service.dashboard import board, words
from reporting_service.dashboard.board import ALL_YEARS
from reporting_service.dashboard.charts import ChartFailed, DrawingBoard, Spec
from reporting_service.measures import MEASURES, figures
from reporting_service.queries import By, Figures, Filters, Part, as_of, cases
from reporting_service.story import academic_year as year_of
from reporting_service.tables import Item
from service_kit.access import allow, public
from service_kit.api import StrictRoute
from service_kit.api import router as strict_router
from service_kit.context import Context, Ctx
from service_kit.paging import Paging
from service_kit.policy import POLICY
from service_kit.problems import Refusal, from_validation
from service_kit.settings import Environment
from service_kit.strict import IsoDate, StrictEnum


class PageRoute(StrictRoute):
    """A route that refuses a person in a browser with a page, where a program gets the problem."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await inner(request)
            except Refusal as refusal:
                if not _in_a_browser(request):
                    raise
                return _refused(request, refusal)
            except RequestValidationError as error:
                if not _in_a_browser(request):
                    raise
                return _refused(request, from_validation(error.errors()))

        return handle


def _in_a_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "") and "authorization" not in request.headers


def _refused(request: Request, refusal: Refusal) -> Response:
    embedded = request.app.state.settings.environment is Environment.embedded
    name = "sign_in.html" if refusal.slug == "unauthenticated" else "refused.html"
    html = _pages.get_template(name).render(embedded=embedded, refusal=refusal)
    return HTMLResponse(html, refusal.status, {**_HEADERS, **refusal.headers, "Vary": "Accept"})


router = strict_router(include_in_schema=False)
router.route_class = PageRoute
drawing = DrawingBoard()

POLICY_OF_PAGES = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_HEADERS = {"Content-Security-Policy": POLICY_OF_PAGES}

_pages = jinja2.Environment(
    loader=PackageLoader("reporting_service.dashboard"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.filters |= {
    "number": words.number,
    "percent": words.percent,
    "rate": words.rate,
    "day": words.day,
    "short_day": words.short_day,
    "moment": words.moment,
    "month": words.month,
    "council": words.council,
    "phase": words.phase,
    "standing": words.standing,
    "year_group": words.year_group,
}


@dataclass(frozen=True)
class Choices:
    """What the form offers, and what was chosen. Empty fields of the form arrive as empty text."""

    la: str
    academic_year: str
    phase: str
    as_at: date
    today: date
    councils: list[str]
    years: list[str]
    month: date | None = None

    @property
    def filters(self) -> Filters:
        year = None if self.academic_year == ALL_YEARS else self.academic_year
        return Filters(self.as_at, self.la or None, year, None, self.phase or None, self.month)

    def query(self, **more: Any) -> str:
        """The same choice as a query string, with further parameters."""
        chosen: dict[str, Any] = {"la": self.la, "academic_year": self.academic_year, "phase": self.phase}
        if self.as_at != self.today:
            chosen["as_at"] = self.as_at.isoformat()
        if self.month:
            chosen["month"] = f"{self.month:%Y-%m}"
        return urlencode({name: value for name, value in (chosen | more).items() if value not in ("", None)})


La = Annotated[str, Query(pattern=r"^([0-9]{3})?$")]
YearChoice = Annotated[str, Query(pattern=r"^(all|20[0-9]{2}/[0-9]{2})?$")]
PhaseChoice = Annotated[str, Query(pattern=rf"^({'|'.join(words.PHASES)})?$")]
MonthChoice = Annotated[str, Query(pattern=r"^(20[0-9]{2}-(0[1-9]|1[0-2]))?$")]
DayChoice = Annotated[Literal[""] | IsoDate, Query()]


@router.get("/dashboard", dependencies=[allow("dashboard.view")])
async def dashboard(
    ctx: Ctx, la: La = "", academic_year: YearChoice = "", phase: PhaseChoice = "", as_at: DayChoice = ""
) -> Response:
    """The figures of a council on one page."""
    async with ctx.read() as session:
        reach = await as_of(session)
        chosen = _choices(ctx, la, academic_year, phase, as_at)
        found = Figures(session, chosen.filters, reach, visible(ctx))
        chosen.years.extend(_years(await found.choices(By.ACADEMIC_YEAR), chosen))
        content = await _content(found, chosen, ctx.caller.las)
    pictures = {name: await _drawn(spec) for name, spec in content.pop("specs").items()}
    return _page("dashboard.html", ctx, chosen=chosen, reach=reach, charts=pictures, **content)


def _choices(ctx: Context, la: str, academic_year: str, phase: str, as_at: date | Literal[""]) -> Choices:
    today = ctx.clock.today()
    day = as_at or today
    councils = sorted(ctx.caller.las, key=words.council)
    return Choices(la, academic_year or year_of(day), phase, day, today, councils, [])


def _years(known: list[str], chosen: Choices) -> list[str]:
    shown = {*known, year_of(chosen.as_at), chosen.academic_year} - {ALL_YEARS}
    return sorted(shown, reverse=True)


async def _content(found: Figures, chosen: Choices, las: frozenset[str]) -> dict[str, Any]:
    """Everything the page shows, and the specifications of its charts (`specs`)."""
    standings = await found.standings()
    now = board.by_id(figures(standings))
    months = await found.months()
    backlog = board.backlog(await found.backlog(), chosen.as_at)
    month_rows = board.month_rows(months)
    own = frozenset([chosen.la]) if chosen.la else las
    tiles = board.headlines(
        now,
        await found.standings_by(By.LA),
        own,
        "all years" if chosen.academic_year == ALL_YEARS else chosen.academic_year,
        await _this_month(found, chosen, months),
        backlog.total,
        backlog.never,
        chosen.as_at,
    )
    transfers = []
    if chosen.academic_year != ALL_YEARS:
        transfers = board.cohorts(await found.transfers(), chosen.academic_year, chosen.as_at)
    specs: dict[str, Spec] = {}
    if any(row.due for row in month_rows):
        specs["months"] = board.month_chart(month_rows)
    if backlog.total:
        specs["backlog"] = board.backlog_chart(backlog)
    if any(cohort.met or cohort.late for cohort in transfers):
        specs["transfers"] = board.transfer_chart(transfers)
    return {
        "now": now,
        "tiles": tiles,
        "month_rows": month_rows,
        "month_words": board.month_words(month_rows),
        "backlog": backlog,
        "transfers": transfers,
        "transfer_words": board.transfer_words(transfers),
        "steps": [now[step] for step in board.STEPS if now[step].everybody],
        "no_steps": [now[step] for step in board.STEPS if not now[step].everybody],
        "told": [now[step] for step in board.TOLD if now[step].everybody],
        "groups": board.group_rows(await found.standings_by(By.YEAR_GROUP), words.year_group),
        "specs": specs,
    }


async def _this_month(found: Figures, chosen: Choices, months: board.MonthRows) -> Mapping[str, int]:
    """This month's reviews, also when another academic year is shown."""
    this = chosen.as_at.replace(day=1)
    if chosen.academic_year in (ALL_YEARS, year_of(this)):
        return months.get(this, {})
    return (await found.months(year_of(this))).get(this, {})


async def _drawn(spec: Spec) -> str:
    """A chart, or nothing: its table says the same."""
    try:
        return await drawing.svg(spec)
    except ChartFailed:
        return ""


@router.get("/dashboard/measures/{measure_id}", dependencies=[allow("measures.cases")])
async def measure_page(
    ctx: Ctx,
    paging: Paging,
    measure_id: Annotated[str, Path(max_length=30)],
    la: La = "",
    academic_year: YearChoice = "",
    phase: PhaseChoice = "",
    as_at: DayChoice = "",
    month: MonthChoice = "",
    part: StrictEnum[Part] = Part.NUMERATOR,
) -> Response:
    """The cases behind a number, for those entitled; of one month in which they fall due, if asked."""
    measure = measure_of(measure_id)
    chosen = _choices(ctx, la, academic_year, phase, as_at)
    chosen = replace(chosen, month=date.fromisoformat(f"{month}-01") if month else None)
    async with ctx.read() as session:
        reach = await as_of(session)
        found = Figures(session, chosen.filters, reach, visible(ctx))
        (figure,) = figures(await found.standings(), [measure])
        rows = await cases(session, measure, part, chosen.filters, ctx.visible(Item), paging)
    page = paging.page(rows, lambda row: (row.measure, row.key), CaseView.of)
    parts = [(name, label, _size(figure, name)) for name, label in words.PARTS.items()]
    return _page(
        "cases.html", ctx, chosen=chosen, reach=reach, figure=figure, page=page, part=part, parts=parts
    )


def _size(figure: Any, part: str) -> int:
    return int(getattr(figure, part))


@router.get("/dashboard/hub.css", dependencies=[public()])
async def stylesheet() -> Response:
    """The style sheet of the pages."""
    return Response(
        _CSS, media_type="text/css; charset=utf-8", headers={"Cache-Control": "public, max-age=3600"}
    )


@router.get("/dashboard/icon.svg", dependencies=[public()])
async def icon() -> Response:
    """The icon of the pages."""
    return Response(_ICON, media_type="image/svg+xml", headers={"Cache-Control": "public, max-age=3600"})


_HERE = FilePath(__file__).parent
_CSS, _ICON = (_HERE / "hub.css").read_bytes(), (_HERE / "icon.svg").read_bytes()


def _page(template: str, ctx: Context, **content: Any) -> Response:
    may_open = ctx.caller.role in POLICY["measures.cases"]
    html = _pages.get_template(template).render(
        measures=MEASURES,
        may_open=may_open,
        tags=words.STANDING_TAGS,
        phases=words.PHASES,
        all_years=ALL_YEARS,
        **content,
    )
    return HTMLResponse(html, headers=_HEADERS)
