"""The dashboard: what a person reads on it, and that it is safe and readable without scripts."""

from __future__ import annotations

import asyncio
import os
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ehcp_contracts.events import Outcome, Phase, ReviewKind
from reporting_service.dashboard import words
from reporting_service.dashboard.charts import ChartFailed, DrawingBoard, months
from reporting_service.main import service
from reporting_service.measures import share
from service_kit.access import SESSION_COOKIE
from service_kit.settings import Environment
from service_kit.testing import Harness, running, token


class Page(HTMLParser):
    """The text, headings, links and ids of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


async def page(
    hub: Harness, path: str = "/dashboard", role: str = "officer", las: tuple[str, ...] = ("351",)
) -> Page:
    answer = await hub.as_(role, las=las).get(path)
    assert answer.status_code == 200, answer.text
    return Page(answer.text)


async def test_the_headlines_say_what_was_counted_by_hand(hub: Harness) -> None:
    text = (await page(hub)).text
    for line in (
        "Bury, academic year 2026/27",
        "Plans in force 6 5 own and 1 kept for other councils",
        "Overdue now 2 1 of them have never had a review",
        "Reviewed in the last 12 months 2 of 4 Plans a year old or more",
        "Due in November 1 None already completed",
        "Completed in 2026/27 2 of 4 Concluded or past their date",
        "In time in 2026/27 1 of 4 Concluded or past their date",
    ):
        assert line in text
    assert "1 September 2026 at 09:00" in text  # as of, in London


async def test_charts_have_their_numbers_as_words_and_as_tables(hub: Harness) -> None:
    found = await page(hub)
    labels = [attrs["aria-label"] or "" for attrs in found.all("div") if attrs.get("role") == "img"]
    assert len(labels) == 2
    assert "No next school stands in a final plan yet." in found.text  # what would be an empty chart
    assert (
        "Bar chart of 5 annual reviews by the month they are due: 1 in time, 1 late, 2 overdue, 1 not yet due."
        in labels[0]
    )
    assert len(found.all("svg")) == 2
    assert (
        "September 2026 0 0 1 0 1 October 2026 1 1 0 0 2 November 2026 0 0 1 0 1 June 2027 0 0 0 1 1"
        in found.text
    )


async def test_phase_transfers_are_drawn_once_a_next_school_is_named(tmp_path: Path, log: Any) -> None:
    """Of two children who move to secondary school one is named on 20 January 2027."""
    for named in (True, False):
        case = log.plan(
            last=date(2026, 9, 1), year_group=6, phase=Phase.PRIMARY_TO_SECONDARY, due=date(2027, 2, 14)
        )
        review = log.review(case, date(2027, 2, 14), ReviewKind.PHASE_TRANSFER)
        if named:
            met, sent = date(2026, 11, 2), date(2026, 11, 30)
            log.decided(case, review, Outcome.AMEND, met=met, on=sent, kind=ReviewKind.PHASE_TRANSFER)
            log.final(case, log.notice(case, review, sent), review, date(2027, 1, 20))
    async with running(service, tmp_path, today=date(2027, 1, 29)) as app:
        for received in log.received():
            await app.deliver_raw(type(received.event).topic, str(received.case), received.raw)
        await app.settle()
        found = await page(app)
    (label,) = [
        a["aria-label"] or "" for a in found.all("div") if "chart-transfers" in (a.get("class") or "")
    ]
    assert "Into school, junior, middle or secondary: 1 of 2 named, due by 15 February" in label
    assert "Into school, junior, middle or secondary before 15 February 2 1 0 0 1 0" in found.text


@pytest.mark.parametrize(
    ("met", "judged", "said"),
    [
        (0, 0, "–"),
        (0, 171, "0 of 171"),
        (18, 19, "18 of 19"),
        (19, 20, "95.0%"),
        (1140, 2850, "40.0%"),
    ],
)
def test_a_percentage_of_few_or_of_none_is_told_as_numbers(met: int, judged: int, said: str) -> None:
    assert words.rate(met, judged, share(met, judged)) == said


async def test_what_has_nothing_to_count_makes_no_rows_of_dashes(hub: Harness) -> None:
    text = (await page(hub, "/dashboard?academic_year=2027/28")).text
    assert "Nothing to count yet: Decision within four weeks , Amendment notice" in text
    assert "Health (ICB) 0 0 –" not in text


async def test_a_board_member_sees_the_numbers_and_no_link_to_cases(hub: Harness) -> None:
    found = await page(hub, role="board")
    assert "Plans in force 6" in found.text
    assert not [a for a in found.all("a") if "/measures/" in (a.get("href") or "")]


async def test_every_headline_links_to_its_definition(hub: Harness) -> None:
    found = await page(hub)
    ids = {attrs["id"] for _, attrs in found.tags if "id" in attrs}
    inner = {(a["href"] or "")[1:] for a in found.all("a") if (a["href"] or "").startswith("#")}
    assert {"about-plans", "about-K12", "about-K6b", "about-reviews-completed"} <= inner <= ids


async def test_the_page_is_built_for_everybody(hub: Harness) -> None:
    found = await page(hub)
    assert found.all("html")[0]["lang"] == "en-GB"
    assert found.tags.index(("a", {"class": "skip-link", "href": "#main"})) < found.tags.index(
        ("main", {"id": "main"})
    )
    assert len(found.all("h1")) == 1
    assert len(found.all("table")) == len(found.all("caption"))
    assert all("scope" in th for th in found.all("th"))
    assert {label["for"] for label in found.all("label")} == {
        s["id"] for s in found.all("select") + found.all("input")
    }
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert not found.all("script")
    assert not [
        attrs for _, attrs in found.tags if "style" in attrs or any(name.startswith("on") for name in attrs)
    ]


@pytest.mark.parametrize("path", ["/dashboard", "/dashboard?la=351", "/dashboard/measures/K12"])
@pytest.mark.parametrize("cookie", ["", f"{SESSION_COOKIE}=over"])
async def test_a_browser_without_a_session_is_told_how_to_sign_in_s01(
    hub: Harness, path: str, cookie: str
) -> None:
    accept = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"} | ({"Cookie": cookie} if cookie else {})
    answer = await hub.client.get(path, headers=accept)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    found = Page(answer.text)
    assert "Sign in to see this page" in found.text
    assert [a["href"] for a in found.all("link") if a["rel"] == "stylesheet"] == ["/dashboard/hub.css"]


async def test_the_embedded_hub_names_the_command_that_signs_in(hub: Harness) -> None:
    settings = hub.asgi.state.settings
    hub.asgi.state.settings = settings.model_copy(update={"environment": Environment.embedded})
    text = Page((await hub.client.get("/dashboard", headers={"Accept": "text/html"})).text).text
    assert "ehcp sign-in --as board" in text
    hub.asgi.state.settings = settings
    text = Page((await hub.client.get("/dashboard", headers={"Accept": "text/html"})).text).text
    assert "where your council signs you in" in text


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "application/json"},
        {"Accept": "*/*"},
        {"Accept": "text/html", "Authorization": "Bearer stale"},  # a program with a token that does not hold
    ],
)
async def test_a_program_without_a_token_gets_the_problem_s01(hub: Harness, headers: dict[str, str]) -> None:
    answer = await hub.client.get("/dashboard", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_school_in_a_browser_is_refused_with_a_page_not_sent_to_sign_in_s10(hub: Harness) -> None:
    cookie = f"{SESSION_COOKIE}={token('school', org='900123')}"
    answer = await hub.client.get("/dashboard", headers={"Accept": "text/html", "Cookie": cookie})
    assert answer.status_code == 403
    found = Page(answer.text)
    assert "Your role may not do this" in found.text
    assert "/docs" in [a.get("href") for a in found.all("a")]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/dashboard/measures/K99", 404, "There is nothing here, or nothing that you may see"),
        ("/dashboard?academic_year=spring", 400, "A query parameter or header is not acceptable"),
        ("/dashboard?weather=fine", 400, "A query parameter or header is not acceptable"),
    ],
)
async def test_a_person_with_a_wrong_address_gets_a_page(
    hub: Harness, path: str, status: int, said: str
) -> None:
    cookie = f"{SESSION_COOKIE}={token('officer')}"
    answer = await hub.client.get(path, headers={"Accept": "text/html", "Cookie": cookie})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    found = Page(answer.text)
    assert said in found.text
    assert "spring" not in answer.text
    assert "weather" not in answer.text


async def test_the_page_has_its_own_policy_and_is_never_kept(hub: Harness) -> None:
    answer = await hub.as_("officer").get("/dashboard")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
    assert answer.headers["cache-control"] == "no-store"
    style = await hub.client.get("/dashboard/hub.css")
    assert style.headers["content-type"] == "text/css; charset=utf-8"


async def test_an_empty_register_says_so(tmp_path: Path) -> None:
    async with running(service, tmp_path) as app:
        text = (await page(app)).text
    assert "No event has been counted yet." in text
    assert "Plans in force 0" in text
    assert "No annual review is due in this academic year." in text


async def test_other_years_days_councils_and_phases_can_be_asked_for(hub: Harness) -> None:
    assert (
        "Completed in 2027/28 – None to judge yet"
        in (await page(hub, "/dashboard?academic_year=2027/28")).text
    )
    assert "Overdue now 0 Nothing is overdue" in (await page(hub, "/dashboard?as_at=2026-09-01")).text
    assert "all academic years" in (await page(hub, "/dashboard?academic_year=all&phase=&as_at=")).text
    assert "Plans in force 1" in (await page(hub, "/dashboard?phase=primary_to_secondary")).text
    both = await page(hub, "/dashboard?la=355", las=("351", "355"))
    assert "Plans in force 1 All of them the council’s own" in both.text
    assert [o.get("value") for o in both.all("option")][:3] == ["", "351", "355"]


async def test_what_is_no_choice_is_refused_and_not_repeated(hub: Harness) -> None:
    answer = await hub.as_("officer").get("/dashboard", params={"la": "<script>"})
    assert answer.status_code in (400, 422)
    assert "<script>" not in answer.text


async def test_the_list_behind_a_number_shows_its_cases(hub: Harness, bury: Any) -> None:
    found = await page(hub, "/dashboard/measures/K12?academic_year=all")
    assert "Annual reviews overdue" in found.text
    assert "Bolton" in found.text
    assert "24 Nov 2026" in found.text
    assert found.text.count("Overdue ") == 2
    assert (
        "There are no such cases."
        in (await page(hub, "/dashboard/measures/K12?part=missed&academic_year=2030/31")).text
    )


async def test_the_reviews_due_in_a_month_have_a_list_of_their_own(hub: Harness) -> None:
    """October 2026: plan 1 (in time) and plan 2 (late); on the first of November, plan 2 was overdue."""
    links = [a["href"] or "" for a in (await page(hub)).all("a")]
    assert "/dashboard/measures/reviews-due?academic_year=2026%2F27&month=2026-11" in links
    (october,) = [link for link in links if "month=2026-10" in link]
    found = await page(hub, october)
    assert "Due in October 2026" in found.text
    assert "Figure 2 " in found.text
    assert [found.text.count(f"Oct 2026 {done} ") for done in ("1 Oct 2026", "10 Nov 2026")] == [1, 1]
    assert {"month=2026-10" in (a["href"] or "") for a in found.all("a") if "part=" in (a["href"] or "")} == {
        True
    }
    back = next(a["href"] for a in found.all("a") if a.get("class") == "back")
    assert "month" not in (back or "")
    before = await page(hub, f"{october}&as_at=2026-11-01")
    assert "15 Oct 2026 1 Oct 2026 In time" in before.text
    assert "31 Oct 2026 " in before.text
    assert "Overdue" in before.text
    assert (await hub.as_("officer").get(f"{october}1")).status_code in (400, 422)


async def test_the_list_of_plans_not_reviewed_in_12_months_says_so(hub: Harness) -> None:
    missed = await page(hub, "/dashboard/measures/reviewed-12m?part=missed")
    assert missed.text.count("Not reviewed ") == 2
    assert "24 Nov 2026" in missed.text
    young = await page(hub, "/dashboard/measures/reviewed-12m?part=not_yet_due")
    assert young.text.count("Not yet 12 months old ") == 2


async def test_a_long_list_has_a_next_page_that_keeps_the_choice(hub: Harness) -> None:
    first = await page(hub, "/dashboard/measures/plans?limit=4")
    (following,) = [a["href"] for a in first.all("a") if "cursor=" in (a["href"] or "")]
    second = await page(hub, f"/dashboard/measures/plans{following}")
    assert second.text.count("In force") == 2


async def test_drawing_does_not_hold_up_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first chart starts a child; meanwhile the loop goes on."""
    board, turns = DrawingBoard(), 0
    spec = months([{"month": "Sep 2026", "standing": "Late", "n": 3}])
    drawing = asyncio.create_task(board.svg(spec))
    while not drawing.done():
        await asyncio.sleep(0.005)
        turns += 1
    assert drawing.result().startswith('<svg aria-hidden="true"')
    assert turns > 5
    assert await board.svg(spec) is drawing.result()  # kept
    board.close()


async def test_a_child_that_dies_is_replaced_and_a_chart_that_fails_leaves_its_table() -> None:
    board = DrawingBoard()
    with pytest.raises(ChartFailed):
        await board.svg({"not": "a chart", "mark": 7})
    assert "<svg" in await board.svg(months([{"month": "Sep 2026", "standing": "Late", "n": 3}]))
    board.close()


async def test_ctrl_c_does_not_reach_the_child_which_ends_with_the_service() -> None:
    """It printed a traceback over the last words of `make run`."""
    board = DrawingBoard()
    await board.svg(months([{"month": "Sep 2026", "standing": "Late", "n": 3}]))
    child = board._child
    assert child is not None
    assert os.getpgid(child.pid) != os.getpgid(0)
    board.close()
    assert child.returncode == 0
