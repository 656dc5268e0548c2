"""When schools are open: the council's terms, a school's own, and the day a meeting is planned for. Bury, invented for 2026/27."""

from datetime import date

import pytest
from structlog.testing import capture_logs

from review_scheduler import calendars
from review_scheduler.domain.calendars import Calendar, falling_back, plan_meeting_by
from send_statute import Closure, Term

AUTUMN = Term(date(2026, 9, 1), date(2026, 12, 18), "Autumn")
SPRING = Term(date(2027, 1, 4), date(2027, 3, 25), "Spring")
HALF_TERM = Closure(date(2026, 10, 26), date(2026, 10, 30))
COUNCIL = Calendar((AUTUMN, SPRING), (HALF_TERM,), (date(2026, 11, 20),))
TERMS = {
    "terms": [
        {"starts": "2026-09-01", "ends": "2026-12-18", "name": "Autumn"},
        {"starts": "2027-01-04", "ends": "2027-03-25", "name": "Spring"},
    ],
    "closures": [{"first": "2026-10-26", "last": "2026-10-30"}],
    "closed_days": ["2026-11-20"],
}


# --- the day to plan for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latest", "on"),
    [
        (date(2026, 10, 29), date(2026, 10, 23)),  # half-term: the Friday before
        (date(2027, 1, 3), date(2026, 12, 18)),  # between the terms: the last day of the autumn term
        (date(2026, 11, 20), date(2026, 11, 19)),  # a day closed to everybody
        (date(2026, 11, 22), date(2026, 11, 19)),  # the Sunday after it
        (date(2026, 11, 18), date(2026, 11, 18)),
    ],
)
def test_a_meeting_that_a_school_arranges_is_planned_for_a_day_on_which_it_is_open(latest, on):
    planned = plan_meeting_by(latest, COUNCIL, at_school=True)
    assert planned is not None
    assert (planned.on, planned.force, planned.open_points) == (on, "policy", ())
    assert "on which the school is open" in planned.text


def test_without_a_school_only_working_days_count():
    planned = plan_meeting_by(date(2026, 10, 29), COUNCIL, at_school=False)
    assert planned is not None
    assert planned.on == date(2026, 10, 29)


def test_terms_that_are_not_on_record_are_never_guessed():
    """1 July 2027: no summer term is known, and the answer says so."""
    planned = plan_meeting_by(date(2027, 7, 1), COUNCIL, at_school=True)
    assert planned is not None
    assert planned.on == date(2027, 7, 1)
    assert "not on record" in planned.open_points[0]


def test_a_year_without_bank_holidays_gives_no_day_at_all():
    assert plan_meeting_by(date(2040, 7, 1), COUNCIL, at_school=True) is None


def test_a_school_has_its_own_terms_and_the_closed_days_of_everybody():
    own = Calendar((Term(date(2026, 9, 7), date(2026, 12, 11)),))
    assert falling_back(own, COUNCIL) == Calendar(own.terms, (), COUNCIL.closed_days)
    assert falling_back(None, COUNCIL) == COUNCIL


# --- routes -------------------------------------------------------------------------------------------------------


async def put(desk, path, body, version=0, expect=200):
    answer = await desk.app.as_("officer").put(path, json=body, headers={"If-Match": f'"{version}"'})
    assert answer.status_code == expect, answer.text
    return answer.json()


async def planned_for(desk, review):
    answer = (await desk.app.as_("officer").get(f"/v1/reviews/{review['id']}/dates")).json()
    return next(day["on"] for day in answer["dates"] if day["name"] == "plan_meeting_by")


async def test_a_council_loads_its_terms_and_the_days_to_plan_for_follow(desk):
    case = await desk.register(last=date(2025, 11, 26))  # due 25 November 2026, last safe meeting 28 October
    review = await desk.review(case)
    assert (review["latest_meeting_on"], await planned_for(desk, review)) == ("2026-10-28", "2026-10-28")
    loaded = await put(desk, "/v1/calendars/351", TERMS)
    assert (loaded["version"], loaded["known_to"], loaded["runs_out"]) == (1, "2027-03-25", False)
    assert await planned_for(desk, review) == "2026-10-23"
    assert await desk.review(case) == review  # no statutory day moved


async def test_a_school_with_its_own_calendar_goes_by_it_until_it_is_taken_away(desk):
    review = await desk.review(await desk.register(last=date(2025, 11, 26)))
    await put(desk, "/v1/calendars/351", TERMS)
    officer = desk.app.as_("officer")
    path = "/v1/calendars/351/schools/900001"
    assert (await officer.get(path)).json()["own"] is False
    own = {"terms": TERMS["terms"], "closures": [{"first": "2026-10-19", "last": "2026-10-23"}]}
    mine = await put(desk, path, own)
    assert (mine["own"], mine["version"], mine["closed_days"]) == (True, 1, ["2026-11-20"])
    assert await planned_for(desk, review) == "2026-10-28"
    assert (await officer.delete(path)).status_code == 204
    assert await planned_for(desk, review) == "2026-10-23"
    assert (await officer.delete(path)).status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"terms": [{"starts": "2026-09-01", "ends": "2026-08-31"}]}, "/terms/0", "ends-before-start"),
        ({"closures": [{"first": "2026-10-30", "last": "2026-10-26"}]}, "/closures/0", "ends-before-start"),
        (
            {"terms": [TERMS["terms"][0], {"starts": "2026-12-18", "ends": "2027-03-25"}]},
            "/terms",
            "terms-overlap",
        ),
    ],
)
async def test_a_calendar_that_cannot_be_is_refused(desk, body, pointer, code):
    problem = await put(desk, "/v1/calendars/351", body, expect=422)
    assert [(e["pointer"], e["code"]) for e in problem["errors"]] == [(pointer, code)]


async def test_a_calendar_is_changed_by_the_council_s_own_staff_and_only_as_it_was_read(desk):
    await put(desk, "/v1/calendars/351", TERMS)
    await put(desk, "/v1/calendars/351", TERMS, version=0, expect=412)
    await put(desk, "/v1/calendars/352", TERMS, expect=404)
    school = desk.app.as_("school", org="900001")
    assert (await school.get("/v1/calendars/351/schools/900001")).status_code == 403


async def test_terms_that_run_out_are_reported_sixty_days_ahead(desk):
    await put(desk, "/v1/calendars/351", TERMS)
    for day, warned in ((date(2027, 1, 24), 0), (date(2027, 1, 25), 1)):
        with capture_logs() as logs:
            await calendars.watch(desk.app.hub, day)
        assert [log["event"] for log in logs].count("school terms on record run out") == warned
    desk.app.clock.set(date(2027, 1, 25))
    assert (await desk.app.as_("officer").get("/v1/calendars/351")).json()["runs_out"] is True
