"""The figures of a year at Bury against a count made by hand (fixture `bury`), on the day and on days gone by."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from reporting_service.main import service
from reporting_service.measures import MEASURES, figures
from reporting_service.queries import bands
from service_kit.testing import Harness, running

# id: numerator, denominator, unknown, not yet due; Bury on 30 November 2026, academic year 2026/27
BY_HAND = {
    "plans": (6, 6, 0, 0),
    "reviews-due": (5, 5, 1, 0),
    "reviews-completed": (2, 4, 1, 1),
    "reviewed-12m": (2, 4, 0, 2),
    "K12": (2, 5, 1, 1),
    "K6b": (1, 4, 1, 1),
    "K6b-anniversary": (1, 4, 0, 1),
    "in-time-of-completed": (1, 2, 1, 0),
    "K6c": (0, 0, 0, 1),
    "K7": (1, 2, 0, 0),
    "K8": (0, 1, 0, 0),
    "K9": (1, 1, 0, 0),
    "K9a": (1, 1, 0, 0),
    "K9b": (1, 1, 0, 0),
    "K10a": (1, 1, 1, 0),
    "K11": (0, 0, 0, 1),
    "K11-by": (0, 0, 0, 1),
    "K11-late-plan": (0, 0, 0, 0),
    "told": (2, 3, 0, 0),
    "told-school": (2, 2, 0, 0),
    "told-icb": (0, 0, 0, 0),
    "told-social-care": (0, 1, 0, 0),
    "told-case-system": (0, 0, 0, 0),
}


async def ask(hub: Harness, role: str = "officer", las: tuple[str, ...] = ("351",), **question: Any) -> Any:
    answer = await hub.as_(role, las=las).get("/v1/measures", params=question)
    assert answer.status_code == 200, answer.text
    return answer.json()


def counts(measures: list[Any]) -> dict[str, tuple[int, int, int, int]]:
    return {m["id"]: (m["numerator"], m["denominator"], m["unknown"], m["not_yet_due"]) for m in measures}


async def test_every_measure_agrees_with_the_hand_count(hub: Harness) -> None:
    assert counts((await ask(hub, academic_year="2026/27"))["measures"]) == BY_HAND


async def test_percentage_is_met_of_met_and_missed_with_the_bounds_of_the_unknown(hub: Harness) -> None:
    found = {m["id"]: m for m in (await ask(hub, academic_year="2026/27"))["measures"]}
    assert (found["K6b"]["percentage"], found["K6b"]["bounds"]) == (25.0, [20.0, 40.0])
    assert found["K6b"]["unknown_reasons"] == {"no_start_date": 1}
    assert found["K10a"]["unknown_reasons"] == {"no_end_date_but_closed": 1}
    assert (found["K11"]["percentage"], found["K11"]["bounds"]) == (None, None)
    assert found["plans"]["percentage"] is None


@pytest.mark.parametrize(
    ("as_at", "completed", "overdue", "in_time", "not_yet_due"),
    [
        ("2026-09-01", 0, 0, 0, 5),
        ("2026-09-09", 0, 0, 0, 5),  # the due day itself is not overdue
        ("2026-09-10", 0, 1, 0, 4),
        ("2026-09-30", 0, 1, 0, 4),
        ("2026-10-01", 1, 1, 1, 3),
        ("2026-11-01", 1, 2, 1, 2),  # plan 2 is overdue from the day after its due date
        ("2026-11-10", 2, 1, 1, 2),  # and late when it is concluded
        ("2026-11-25", 2, 2, 1, 1),
        ("2027-06-30", 2, 2, 1, 1),  # a day to come: only the calendar moves
        ("2027-07-01", 2, 3, 1, 0),
    ],
)
async def test_the_calendar_alone_makes_reviews_overdue_on_any_day_asked_about(
    hub: Harness, as_at: str, completed: int, overdue: int, in_time: int, not_yet_due: int
) -> None:
    found = {m["id"]: m for m in (await ask(hub, academic_year="2026/27", as_at=as_at))["measures"]}
    assert found["reviews-completed"]["numerator"] == completed
    assert found["K12"]["numerator"] == overdue
    assert found["K6b"]["numerator"] == in_time
    assert found["K6b"]["not_yet_due"] == not_yet_due


async def test_plans_are_counted_on_the_day_asked_about(hub: Harness) -> None:
    async def plans(day: str) -> int:
        return counts((await ask(hub, as_at=day))["measures"])["plans"][0]

    assert [await plans(day) for day in ("2024-04-14", "2024-04-15", "2026-06-30", "2026-07-01")] == [
        0,
        3,
        4,
        5,
    ]


@pytest.mark.parametrize(
    ("as_at", "reviewed", "not_reviewed", "unknown", "not_yet_due"),
    [
        ("2025-04-14", 0, 0, 0, 3),  # plans 1 to 3, made on 2024-04-15, are not yet 12 months old
        (
            "2025-10-15",
            0,
            0,
            3,
            1,
        ),  # their reviews before the hub are not known but for the last; plan 4 is young
        ("2025-10-16", 1, 0, 2, 1),  # the last one of plan 1 counts from its day
        ("2026-09-09", 3, 0, 0, 3),  # plan 4 has its last day of 12 months; 5 and 6 are made
        ("2026-09-10", 3, 1, 0, 2),  # 12 months old and never reviewed
        ("2026-10-31", 3, 1, 0, 2),  # last day of plan 2
        ("2026-11-01", 2, 2, 0, 2),
        ("2026-11-10", 3, 1, 0, 2),  # plan 2 decided
        ("2026-11-24", 3, 1, 0, 2),  # last day of plan 3
        ("2026-11-25", 2, 2, 0, 2),
        ("2026-11-30", 2, 2, 0, 2),
        ("2027-06-30", 2, 2, 0, 2),  # a day to come, if nothing is decided until then
        ("2027-07-01", 2, 3, 0, 1),  # plan 5 is 12 months old
        ("2027-10-01", 1, 5, 0, 0),  # plan 1 was decided 12 months ago; plan 6 is old enough
    ],
)
async def test_reviewed_in_the_last_12_months_on_any_day_asked_about(
    hub: Harness, as_at: str, reviewed: int, not_reviewed: int, unknown: int, not_yet_due: int
) -> None:
    for year in ({}, {"academic_year": "2026/27"}):  # it belongs to no academic year
        (found,) = [m for m in (await ask(hub, as_at=as_at, **year))["measures"] if m["id"] == "reviewed-12m"]
        assert (found["numerator"], found["denominator"]) == (reviewed, reviewed + not_reviewed)
        assert (found["unknown"], found["not_yet_due"]) == (unknown, not_yet_due)
    for part, size in {
        "numerator": reviewed,
        "missed": not_reviewed,
        "unknown": unknown,
        "not_yet_due": not_yet_due,
        "denominator": reviewed + not_reviewed,
    }.items():
        page = await hub.as_("officer").get(f"/v1/measures/reviewed-12m/cases?as_at={as_at}&part={part}")
        assert len({item["case_id"] for item in page.json()["items"]}) == size, part


@pytest.mark.parametrize(
    ("as_at", "wanted"),
    [
        ("2026-05-31", "not_yet_due"),
        ("2026-06-01", "not_yet_due"),  # decided, and still younger than 12 months
        ("2027-01-14", "not_yet_due"),
        ("2027-01-15", "numerator"),
        ("2027-05-31", "numerator"),
        ("2027-06-01", "missed"),
    ],
)
@pytest.mark.parametrize("later", [None, date(2027, 6, 1)])
async def test_a_plan_reviewed_in_its_first_year_counts_once_it_is_12_months_old(
    tmp_path: Path, log: Any, as_at: str, wanted: str, later: date | None
) -> None:
    """From counters, and (with another plan decided on 1 June 2027, beyond the days asked about) from items."""
    early = log.plan(made=date(2026, 1, 15))
    log.maintained(early, log.id(), met=date(2026, 5, 11), on=date(2026, 6, 1), due=date(2027, 1, 14))
    if later:
        other = log.plan(made=date(2020, 1, 1), last=date(2027, 1, 1), la="355")
        log.maintained(other, log.id(), met=date(2027, 5, 11), on=later, due=date(2027, 12, 31))
    async with running(service, tmp_path, today=date(2026, 11, 30)) as app:
        for received in log.received():
            await app.deliver_raw(type(received.event).topic, str(received.case), received.raw)
        await app.settle()
        (found,) = [m for m in (await ask(app, as_at=as_at))["measures"] if m["id"] == "reviewed-12m"]
        sizes = {"numerator": found["numerator"], "not_yet_due": found["not_yet_due"]}
        sizes["missed"] = found["denominator"] - found["numerator"]
        assert sizes == {part: int(part == wanted) for part in sizes}
        for part, size in sizes.items():
            page = await app.as_("officer").get(f"/v1/measures/reviewed-12m/cases?as_at={as_at}&part={part}")
            assert len(page.json()["items"]) == size, part


async def test_counters_and_items_give_the_same_figures_for_the_same_day(hub: Harness) -> None:
    """The horizon is 27 November 2026 (plan 2's final plan): from there on counters answer, before it items."""
    from_items = await ask(hub, academic_year="2026/27", as_at="2026-11-26")
    from_counters = await ask(hub, academic_year="2026/27", as_at="2026-11-27")
    changed = {"K9", "K9a", "K9b"}  # what was done that day
    assert {k: v for k, v in counts(from_items["measures"]).items() if k not in changed} == {
        k: v for k, v in counts(from_counters["measures"]).items() if k not in changed
    }


async def test_figures_by_year_group_and_council_add_up_to_the_whole(hub: Harness) -> None:
    by_year_group = (await ask(hub, academic_year="2026/27", by="year_group"))["groups"]
    k6b = {g["value"]: counts(g["measures"])["K6b"] for g in by_year_group}
    assert k6b[4] == (1, 2, 1, 0)
    assert k6b[6] == (0, 1, 0, 0)
    assert k6b[-1] == (0, 0, 0, 1)
    by_la = {g["value"]: counts(g["measures"])["plans"][0] for g in (await ask(hub, by="la"))["groups"]}
    assert by_la == {"350": 1, "351": 5}
    by_phase = {g["value"]: counts(g["measures"])["K6b"] for g in (await ask(hub, by="phase"))["groups"]}
    assert by_phase["primary_to_secondary"] == (0, 1, 0, 0)
    by_year = {
        g["value"]: counts(g["measures"])["reviews-due"][0]
        for g in (await ask(hub, by="academic_year"))["groups"]
    }
    assert by_year == {None: 0, "2026/27": 5, "2027/28": 2}


async def test_filters_by_year_group_and_phase(hub: Harness) -> None:
    assert counts((await ask(hub, year_group=6))["measures"])["plans"][0] == 1
    found = counts((await ask(hub, phase="primary_to_secondary", academic_year="2026/27"))["measures"])
    assert found["K11"] == (0, 0, 0, 1)
    assert found["K6b"] == (0, 1, 0, 0)
    assert found["told"] == (2, 3, 0, 0)  # deliveries are not cut by phase


async def test_the_answer_says_how_far_it_goes(hub: Harness, bury: Any) -> None:
    answer = await ask(hub)
    assert answer["as_at"] == "2026-11-30"
    assert answer["as_of"] == bury.received()[-1].time.isoformat().replace("+00:00", "Z")
    assert {m["id"] for m in answer["measures"]} == {measure.id for measure in MEASURES}
    assert all(m["definition"] and m["basis"] for m in answer["measures"])


async def test_the_cases_behind_each_number_are_as_many_as_the_number(hub: Harness) -> None:
    officer = hub.as_("officer")
    question = {"academic_year": "2026/27", "limit": "2"}
    for measure, (numerator, denominator, unknown, not_yet) in BY_HAND.items():
        parts = {
            "numerator": numerator,
            "denominator": denominator,
            "unknown": unknown,
            "not_yet_due": not_yet,
        }
        for part, size in parts.items():
            found, cursor = [], None
            while True:
                more = {"cursor": cursor} if cursor else {}
                page = (
                    await officer.get(
                        f"/v1/measures/{measure}/cases", params=question | more | {"part": part}
                    )
                ).json()
                found += page["items"]
                cursor = page["next"]
                if not cursor:
                    break
            assert len(found) == len({(i["series"], i["id"]) for i in found}) == size, (measure, part)


async def test_an_overdue_case_is_named_with_its_day(hub: Harness, bury: Any) -> None:
    page = (await hub.as_("officer").get("/v1/measures/K12/cases?academic_year=2026/27")).json()
    assert {(i["due_on"], i["standing"], i["la"]) for i in page["items"]} == {
        ("2026-11-24", "overdue", "351"),
        ("2026-09-09", "overdue", "350"),
    }


def test_the_backlog_falls_into_bands_by_whole_months() -> None:
    as_at = date(2026, 11, 30)
    due = [
        (date(2026, 11, 29), 1),
        (date(2026, 8, 30), 2),
        (date(2026, 8, 29), 4),
        (date(2025, 11, 30), 8),
        (date(2024, 11, 29), 16),
    ]
    assert [n for _, n in bands(due, as_at)] == [3, 4, 8, 0, 16]


def test_every_measure_of_nothing_is_nought_not_an_error() -> None:
    for figure in figures({}):
        assert (figure.numerator, figure.denominator, figure.percentage, figure.bounds) == (0, 0, None, None)


# --- access -------------------------------------------------------------------------------------------------------


async def test_a_board_sees_its_own_council_only(hub: Harness) -> None:
    assert counts((await ask(hub, "board", ("355",)))["measures"])["plans"][0] == 1
    assert (
        counts((await ask(hub, "board", ("350",)))["measures"])["plans"][0] == 1
    )  # the one Bury keeps for it
    assert counts((await ask(hub, "board", ("351",), la="355"))["measures"])["plans"][0] == 0
    assert counts((await ask(hub, "reporting", ("351", "355")))["measures"])["plans"][0] == 7


@pytest.mark.parametrize("role", ["school", "icb", "social-care", "adapter", "operator"])
async def test_roles_without_figures_are_refused_s10(hub: Harness, role: str) -> None:
    client = hub.as_(role, org="900123")
    for path in ("/v1/measures", "/v1/measures/K6b/cases", "/dashboard", "/dashboard/measures/K6b"):
        assert (await client.get(path)).status_code == 403, path


@pytest.mark.parametrize("role", ["board", "reporting"])
async def test_board_and_reporting_see_numbers_but_no_cases(hub: Harness, role: str) -> None:
    assert (await hub.as_(role).get("/v1/measures")).status_code == 200
    assert (await hub.as_(role).get("/v1/measures/K6b/cases")).status_code == 403


async def test_without_a_token_there_is_nothing_to_see_s01(hub: Harness) -> None:
    for path in ("/v1/measures", "/dashboard"):
        assert (await hub.client.get(path)).status_code == 401


async def test_foreign_cases_are_not_in_the_lists_s12(hub: Harness, bury: Any) -> None:
    foreign = str(bury.said[-1][0])
    answer = await hub.as_("officer").get("/v1/measures/plans/cases?part=denominator&limit=200")
    assert foreign not in answer.text
    assert len(answer.json()["items"]) == 6


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("academic_year=2026", 422),
        ("as_at=30/11/2026", 422),
        ("year_group=four", 422),
        ("by=need", 422),
        ("phase=big", 422),
        ("la=bury", 422),
        ("surname=x", 400),
        ("la=351&la=355", 400),
    ],
)
async def test_a_question_that_is_not_one_is_refused_without_echo_5_1(
    hub: Harness, query: str, status: int
) -> None:
    answer = await hub.as_("officer").get(f"/v1/measures?{query}")
    assert answer.status_code in (status, 400)
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert query.partition("=")[2] not in answer.text


async def test_an_unknown_measure_is_not_found(hub: Harness) -> None:
    assert (await hub.as_("officer").get("/v1/measures/K99/cases")).status_code == 404
