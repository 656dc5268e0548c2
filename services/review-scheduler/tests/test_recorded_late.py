"""Work is entered weeks later: what was done belongs to the review that was owed on that day, and all comes out as if it
had been entered at once."""

from datetime import date
from itertools import permutations
from uuid import UUID, uuid4

import pytest

from ehcp_contracts.events import (
    AmendmentNoticeSent,
    CeaseNotified,
    CeaseReason,
    CorrectableDate,
    CorrectionReason,
    DateCorrected,
    PlanCeased,
    PlanContinued,
)
from review_scheduler.domain.chain import Fill, Period, Rebase, mend

NO_PHASE = {"academic_year": "2027/28", "year_group": 7}


def codes(review):
    return [breach["code"] for breach in review["breaches"]]


def errors(problem):
    return [(fault["pointer"], fault["code"]) for fault in problem["errors"]]


async def last(desk, case, count):
    """The last events of a case: name and the days that tell."""
    found = []
    for name, data in (await desk.sent(case))[-count:]:
        day = data.get("concluded_on") or data.get("held_on") or data.get("notified_on") or data.get("due_on")
        found.append((name, data["kind"], day or data.get("reason")))
    return found


async def year_6_until_september(desk):
    """Annual review due 1 March 2027, phase review due 14 February 2027; in September the child is in Year 7."""
    case = await desk.register(facts=desk.year_6())
    phase = await desk.review(case, "phase_transfer")
    await desk.day(date(2027, 9, 1))
    await desk.change_facts(case, desk.facts(**NO_PHASE))
    assert (await desk.review(case, "phase_transfer", "withdrawn"))["withdrawn_because"] == "lapsed"
    await desk.day(date(2027, 10, 4))
    return case, phase


# --- a review that fell away --------------------------------------------------------------------------------------


async def test_a_meeting_of_august_entered_in_october_takes_up_the_phase_review_that_lapsed_in_september(
    desk,
):
    case, phase = await year_6_until_september(desk)
    told = len(await desk.sent(case))
    held = await desk.post(phase, "held", held_on="2027-08-10")
    assert (held["status"], held["withdrawn_because"], held["closed_on"]) == ("held", None, None)
    assert (held["due_on"], held["report_due"], held["decision_due"]) == (
        "2027-02-14",
        "2027-08-24",
        "2027-02-14",  # the review itself was due long ago
    )
    assert codes(held) == ["meeting-after-due"]  # it was held: no longer "missed"
    done = await desk.post(phase, "decision", outcome="maintain", notified_on="2027-09-06")
    assert (done["status"], done["concluded_on"], done["days_late"]) == ("concluded", "2027-09-06", 204)
    assert {b["code"]: b["days_late"] for b in done["breaches"]} == {
        "meeting-after-due": 177,
        "review-late": 204,
    }
    # What was sent stays true; the first of the new events takes the lapse back, the others follow in order.
    assert [name for name, _ in (await desk.sent(case))[told:]] == [
        "review-corrected",
        "review-meeting-held",
        "review-decided",
        "review-concluded",
        "review-withdrawn",  # the annual review of March 2027, which nobody held, is satisfied: 189 days late
        "review-scheduled",
    ]
    corrected = (await desk.sent(case))[told][1]
    assert (corrected["reason"], "withdrawn" in corrected) == ("recorded_late", False)
    annual = await desk.review(case, status="withdrawn")
    assert (annual["withdrawn_because"], annual["days_late"]) == ("satisfied", 189)
    assert (await desk.review(case))[
        "due_on"
    ] == "2028-09-05"  # the next twelve months start with 6 September 2027


async def test_what_was_done_after_a_review_lapsed_belongs_to_the_review_open_then(desk):
    case, phase = await year_6_until_september(desk)
    problem = await desk.post(phase, "held", expect=409, held_on="2027-09-02")
    assert errors(problem) == [("/held_on", "CFA 2014 s.44(1)")]
    await desk.post(await desk.review(case), "held", held_on="2027-09-02")


async def test_a_meeting_that_served_a_lapsed_review_as_well_is_entered_for_both_at_once(desk):
    case, phase = await year_6_until_september(desk)
    annual = await desk.review(case)
    await desk.post(annual, "held", expect=422, held_on="2027-09-02", covers=["phase_transfer"])
    await desk.post(annual, "held", held_on="2027-01-11", covers=["phase_transfer"])
    await desk.post(annual, "decision", outcome="maintain", notified_on="2027-01-25")
    concluded = await desk.reviews(case, status="concluded")
    assert [(r["kind"], r["due_on"], r["concluded_on"], r["days_late"]) for r in concluded] == [
        ("phase_transfer", "2027-02-14", "2027-01-25", 0),
        ("annual", "2027-03-01", "2027-01-25", 0),
    ]
    assert concluded[0]["id"] == phase["id"]


async def test_a_lapsed_review_may_be_decided_without_a_meeting_too(desk):
    _, phase = await year_6_until_september(desk)
    body = {"outcome": "maintain", "notified_on": "2027-08-20"}
    await desk.post(phase, "decision", expect=409, **body)  # still needs its reason
    done = await desk.post(phase, "decision", override_reason="family_declined", **body)
    assert (done["status"], done["concluded_on"]) == ("concluded", "2027-08-20")


async def test_a_lapsed_review_is_not_booked_any_more(desk):
    _, phase = await year_6_until_september(desk)
    await desk.post(phase, "meeting", expect=409, meeting_on="2027-08-10")


async def test_an_interim_that_the_annual_review_satisfied_takes_its_own_meeting_afterwards(desk):
    case = await desk.register(facts=desk.facts(under5_interims=(date(2026, 9, 2),)))
    interim, annual = await desk.review(case, "under5_interim"), await desk.review(case)
    await desk.day(date(2026, 11, 2))
    await desk.post(annual, "held", held_on="2026-10-12")
    await desk.post(annual, "decision", outcome="maintain", notified_on="2026-10-26")
    assert (await desk.review(case, "under5_interim", "withdrawn"))["days_late"] == 54
    await desk.post(
        interim, "held", expect=409, held_on="2026-10-27"
    )  # after the annual review was concluded
    await desk.post(interim, "held", held_on="2026-08-28")
    done = await desk.post(interim, "decision", outcome="maintain", notified_on="2026-09-01")
    assert (done["status"], done["days_late"], done["satisfied_by"], done["breaches"]) == (
        "concluded",
        0,
        None,
        [],
    )
    assert (await desk.review(case))["due_on"] == "2027-10-25"  # a light interim moves no clock


async def test_what_was_done_before_a_plan_ended_is_recorded_though_the_plan_has_ended(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.day(date(2026, 11, 30))
    await desk.tell(case, PlanCeased(ceased_on=date(2026, 11, 20), reason=CeaseReason.OTHER_AUTHORITY))
    await desk.post(review, "held", expect=409, held_on="2026-11-20")
    held = await desk.post(review, "held", held_on="2026-10-19")
    assert (held["status"], held["withdrawn_because"], held["held_on"]) == (
        "withdrawn",
        "plan_ended",
        "2026-10-19",
    )
    assert (await desk.names(case))[-3:] == ["review-corrected", "review-meeting-held", "review-withdrawn"]
    await desk.post(review, "report", received_on="2026-11-02")
    done = await desk.post(review, "decision", outcome="maintain", notified_on="2026-11-17")
    assert (done["status"], done["concluded_on"], codes(done)) == (
        "concluded",
        "2026-11-17",
        ["decision-late"],
    )
    assert await desk.reviews(case, status="open") == []


async def test_a_review_taken_up_again_is_reminded_of_like_any_other(desk):
    """Year 6 turns out not to be taught: the review falls away before it was due; then its meeting is entered."""
    case = await desk.register(facts=desk.year_6())
    phase = await desk.review(case, "phase_transfer")
    await desk.day(date(2026, 12, 1))
    await desk.change_facts(case, desk.facts(year_group=5))
    assert (await desk.review(case, "phase_transfer", "withdrawn"))["withdrawn_because"] == "facts_changed"
    before = len(await desk.sent(case))
    await desk.post(phase, "held", held_on="2026-11-16")
    await desk.day(date(2027, 2, 15))
    about_it = [name for name, data in (await desk.sent(case))[before:] if data["kind"] == "phase_transfer"]
    assert about_it[-2:] == ["review-due", "review-overdue"]  # nobody has entered the decision
    assert about_it.count("review-due") == 1  # "due" alone: nobody is asked to plan what was held


async def test_a_meeting_booked_weeks_ago_and_entered_now_is_judged_by_the_day_everybody_was_told(desk):
    case = await desk.register()
    review = await desk.review(case)
    booked = await desk.post(review, "meeting", meeting_on="2026-08-27", notice_given_on="2026-08-13")
    assert booked["breaches"] == []
    booked = await desk.post(review, "meeting", meeting_on="2026-08-27", notice_given_on="2026-08-14")
    assert [(b["code"], b["on"], b["days_late"]) for b in booked["breaches"]] == [
        ("short-notice", "2026-08-14", 1)
    ]
    for day, code in (("2026-09-02", "in-the-future"), ("2026-08-28", "after-meeting")):
        problem = await desk.post(review, "meeting", expect=422, meeting_on="2026-08-27", notice_given_on=day)
        assert errors(problem)[0] == ("/notice_given_on", code)


# --- the meeting after the decision -------------------------------------------------------------------------------


async def test_a_meeting_entered_after_its_decision_takes_the_breach_away_and_is_judged_itself(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.day(date(2026, 10, 30))
    done = await desk.post(
        review,
        "decision",
        outcome="maintain",
        notified_on="2026-10-29",
        override_reason="meeting_not_recorded",
    )
    assert codes(done) == ["decision-without-meeting"]
    problem = await desk.post(review, "held", expect=422, held_on="2026-10-30")
    assert errors(problem) == [("/held_on", "after-what-followed")]
    late = await desk.post(review, "held", held_on="2026-09-30")
    assert (late["status"], late["held_on"], late["override_reason"]) == ("concluded", "2026-09-30", None)
    assert [(b["code"], b["days_late"]) for b in late["breaches"]] == [("decision-late", 1)]
    held, corrected = (await desk.sent(case))[-2:]
    assert (held[0], held[1]["held_on"]) == ("review-meeting-held", "2026-09-30")
    assert (corrected[0], corrected[1]["decision_due"]) == ("review-corrected", "2026-10-28")
    await desk.post(review, "held", expect=409, held_on="2026-09-30")  # once is enough


# --- the chain of twelve months -----------------------------------------------------------------------------------

A, B, C, D = date(2026, 3, 2), date(2026, 10, 20), date(2027, 1, 25), date(2027, 6, 21)


def test_a_conclusion_between_two_others_cuts_the_twelve_months_in_two():
    phase, annual = uuid4(), uuid4()
    found = list(mend(A, {B: phase, D: annual}, [Period(annual, A, D)], {B}))
    assert found == [Fill(A, B, phase), Rebase(annual, B)]


def test_the_chain_is_left_alone_where_nothing_was_recorded():
    """An annual review with a meeting of its own may stay open beside a concluded phase review, and answer late."""
    phase, annual, other = uuid4(), uuid4(), uuid4()
    periods = [Period(annual, A, C), Period(other, C, D)]
    assert list(mend(A, {B: phase, C: annual, D: other}, periods, {D})) == []


def test_a_first_day_that_was_wrong_moves_the_first_twelve_months_only():
    first, second = uuid4(), uuid4()
    periods = [Period(first, A, B), Period(second, B, C)]
    assert list(mend(date(2026, 3, 9), {B: first, C: second}, periods, {A, date(2026, 3, 9)})) == [
        Rebase(first, date(2026, 3, 9))
    ]


MEETINGS = {
    "October": ("annual", "2026-10-05", "2026-10-20"),
    "January": ("phase_transfer", "2027-01-11", "2027-01-25"),
    "June": ("annual", "2027-06-07", "2027-06-21"),
}
AS_IT_WAS = [
    ("annual", "concluded", "2027-03-01", "2026-10-05", "2026-10-20", 0, None, []),
    ("annual", "withdrawn", "2027-10-19", None, None, 0, "satisfied", []),
    ("annual", "concluded", "2028-01-24", "2027-06-07", "2027-06-21", 0, None, []),
    ("annual", "due", "2028-06-20", None, None, None, None, []),
    ("phase_transfer", "concluded", "2027-02-14", "2027-01-11", "2027-01-25", 0, None, []),
]


async def picture(desk, case):
    """What the register says in the end, but for what it said in between."""
    shown = ("kind", "status", "due_on", "held_on", "concluded_on", "days_late", "withdrawn_because")
    return sorted(
        (*(r[name] for name in shown), codes(r)) for r in await desk.reviews(case)
    )  # fmt: skip


async def enter(desk, case, kind, held_on, notified_on):
    """What an officer does: find the review that takes the meeting, or enter it by itself."""
    body = {"outcome": "maintain", "notified_on": notified_on}
    officer = desk.app.as_("officer")
    for review in [r for r in await desk.reviews(case) if r["kind"] == kind and r["held_on"] is None]:
        answer = await officer.post(f"/v1/reviews/{review['id']}/held", json={"held_on": held_on})
        if answer.status_code == 200:
            break
    else:
        answer = await officer.post("/v1/reviews", json={"case_id": str(case), "held_on": held_on})
        assert answer.status_code == 201, answer.text
    await desk.post(answer.json(), "decision", **body)


async def test_entered_at_once_three_reviews_of_one_year_follow_one_another(desk):
    case = await desk.register(facts=desk.year_6())
    for kind, held_on, notified_on in MEETINGS.values():
        await desk.day(date.fromisoformat(notified_on))
        await enter(desk, case, kind, held_on, notified_on)
    await desk.day(date(2027, 9, 1))
    await desk.change_facts(case, desk.facts(**NO_PHASE))
    assert await picture(desk, case) == sorted(AS_IT_WAS)


@pytest.mark.parametrize("order", list(permutations(MEETINGS)), ids="-".join)
async def test_entered_in_october_in_whatever_order_they_come_out_the_same(desk, order):
    case, _ = await year_6_until_september(desk)
    for month in order:
        await enter(desk, case, *MEETINGS[month])
    assert await picture(desk, case) == sorted(AS_IT_WAS)


async def test_a_review_that_changes_because_another_came_late_is_told_as_corrected(desk):
    case, phase = await year_6_until_september(desk)
    annual = await desk.review(case)
    await enter(desk, case, *MEETINGS["June"])
    assert (await desk.review(case, status="concluded"))["days_late"] == 112
    await enter(desk, case, *MEETINGS["January"])
    told = [
        (d["review_id"], d["due_on"], d.get("withdrawn"))
        for n, d in await desk.sent(case)
        if n == "review-corrected"
    ]
    assert told[0] == (phase["id"], "2027-02-14", None)
    (_, first_due, first), (second_id, second_due, _) = told[1:]
    assert (first_due, first) == ("2027-03-01", "satisfied")
    assert (second_id, second_due) == (annual["id"], "2028-01-24")


async def test_a_forgotten_review_is_entered_by_its_meeting_and_decided_like_any_other(desk):
    case = await desk.register()
    await desk.day(date(2027, 10, 4))
    await enter(desk, case, "annual", "2027-09-06", "2027-09-20")  # the newer one first: 203 days late
    current = await desk.review(case)
    problem = await desk.post(current, "held", expect=422, held_on="2027-02-08")
    assert errors(problem) == [("/held_on", "before-anchor")]
    officer = desk.app.as_("officer")
    for day, status, code in (
        ("2027-09-20", 409, "review-is-here"),
        ("2026-03-01", 422, "before-the-register"),
        ("2026-03-02", 201, None),
    ):
        answer = await officer.post("/v1/reviews", json={"case_id": str(case), "held_on": day})
        assert answer.status_code == status, answer.text
        if code:
            assert errors(answer.json()) == [("/held_on", code)]
    entered = answer.json()
    assert (entered["status"], entered["due_on"]) == ("held", "2027-03-01")
    assert answer.headers["location"] == f"/v1/reviews/{entered['id']}"
    missing = await officer.post("/v1/reviews", json={"case_id": str(uuid4()), "held_on": "2027-02-08"})
    assert missing.status_code == 404
    foreign = desk.app.as_("officer", las=("352",))
    answer = await foreign.post("/v1/reviews", json={"case_id": str(case), "held_on": "2027-02-08"})
    assert answer.status_code == 404


async def test_a_forgotten_amendment_waits_for_its_notice_beside_the_review_that_is_owed_now(desk):
    case = await desk.register()
    await desk.day(date(2027, 10, 4))
    await enter(desk, case, "annual", "2027-09-06", "2027-09-20")
    answer = await desk.app.as_("officer").post(
        "/v1/reviews", json={"case_id": str(case), "held_on": "2027-02-08"}
    )
    waiting = await desk.post(answer.json(), "decision", outcome="amend", notified_on="2027-02-22")
    assert waiting["status"] == "decided"
    await desk.change_facts(case, desk.facts(year_group=4))  # whatever happens meanwhile, both stay
    assert [r["due_on"] for r in await desk.reviews(case, status="open")] == ["2027-03-01", "2028-09-19"]
    sent_on = date(2027, 2, 23)
    await desk.tell(
        case,
        AmendmentNoticeSent(
            notice_id=uuid4(),
            review_id=UUID(waiting["id"]),
            sent_on=sent_on,
            representations_close=date(2027, 3, 9),
            earliest_final=date(2027, 3, 10),
            final_due=date(2027, 4, 20),
        ),
    )
    assert [(r["due_on"], r["concluded_on"], r["days_late"]) for r in await desk.reviews(case)] == [
        ("2027-03-01", "2027-02-23", 0),
        ("2028-02-22", "2027-09-20", 0),
        ("2028-09-19", None, None),
    ]


# --- corrections --------------------------------------------------------------------------------------------------


def keyed_wrong(field, new, note="Read the letter again"):
    return {"field": field, "new": new, "reason": "keying_error", "note": note}


async def concluded(desk):
    """Meeting 5 October, report 12 October, decision 2 November 2026; the next review is due on 1 November 2027."""
    case = await desk.register()
    await desk.day(date(2026, 12, 1))
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-10-05")
    await desk.post(review, "report", received_on="2026-10-12")
    return case, await desk.post(review, "decision", outcome="maintain", notified_on="2026-11-02")


async def test_a_meeting_day_keyed_wrong_is_corrected_and_what_hangs_on_it_judged_anew(desk):
    case, review = await concluded(desk)
    right = await desk.post(review, "corrections", expect=201, **keyed_wrong("held_on", "2026-10-04"))
    assert (right["held_on"], right["meeting_on"], right["report_due"]) == (
        "2026-10-04",
        "2026-10-04",
        "2026-10-18",
    )
    assert [(b["code"], b["days_late"]) for b in right["breaches"]] == [("decision-late", 1)]
    assert await last(desk, case, 1) == [("review-corrected", "annual", "2026-11-02")]
    assert (await desk.sent(case))[-1][1]["held_on"] == "2026-10-04"
    kept = (await desk.app.as_("officer").get(f"/v1/reviews/{review['id']}/corrections")).json()["items"]
    assert [(c["field"], c["old"], c["new"], c["reason"], c["note"]) for c in kept] == [
        ("held_on", "2026-10-05", "2026-10-04", "keying_error", "Read the letter again")
    ]
    assert "letter" not in str(await desk.sent(case))


async def test_a_decision_day_keyed_wrong_moves_the_next_review_with_it(desk):
    case, review = await concluded(desk)
    right = await desk.post(review, "corrections", expect=201, **keyed_wrong("notified_on", "2026-10-26"))
    assert (right["concluded_on"], right["notified_on"]) == ("2026-10-26", "2026-10-26")
    assert (await desk.review(case))["due_on"] == "2027-10-25"
    assert [name for name, *_ in await last(desk, case, 2)] == ["review-corrected", "review-scheduled"]


async def test_a_decision_day_corrected_moves_a_later_review_that_is_concluded_too(desk):
    case, review = await concluded(desk)
    await desk.day(date(2027, 11, 20))
    await enter(desk, case, "annual", "2027-11-01", "2027-11-15")  # 14 days late by 1 November
    await desk.post(review, "corrections", expect=201, **keyed_wrong("notified_on", "2026-10-26"))
    (later,) = [r for r in await desk.reviews(case, status="concluded") if r["id"] != review["id"]]
    assert (later["due_on"], later["days_late"]) == ("2027-10-25", 21)
    assert (await desk.review(case))["due_on"] == "2028-11-14"


async def test_one_meeting_of_two_reviews_is_corrected_for_both(desk):
    case = await desk.register(facts=desk.year_6())
    await desk.day(date(2026, 12, 1))
    annual = await desk.review(case)
    await desk.post(annual, "held", held_on="2026-11-06", covers=["phase_transfer"])
    await desk.post(annual, "decision", outcome="maintain", notified_on="2026-11-30")
    await desk.post(annual, "corrections", expect=201, **keyed_wrong("notified_on", "2026-11-23"))
    assert [r["concluded_on"] for r in await desk.reviews(case, status="concluded")] == ["2026-11-23"] * 2
    (then,) = await desk.reviews(case, status="open")
    assert then["due_on"] == "2027-11-22"
    assert len(await desk.reviews(case)) == 3


@pytest.mark.parametrize(
    ("field", "new", "status", "expected"),
    [
        ("held_on", "2026-10-05", 422, ("/new", "same-value")),
        ("held_on", "2026-10-13", 422, ("/held_on", "after-what-followed")),
        ("held_on", "2026-03-01", 422, ("/held_on", "before-anchor")),
        ("report_received_on", "2026-10-04", 422, ("/received_on", "before-meeting")),
        ("notified_on", "2026-12-02", 422, ("/notified_on", "in-the-future")),
    ],
)
async def test_a_correction_that_cannot_be_is_refused(desk, field, new, status, expected):
    _, review = await concluded(desk)
    problem = await desk.post(review, "corrections", expect=status, **keyed_wrong(field, new))
    assert errors(problem) == [expected]


async def test_what_was_never_recorded_is_not_corrected(desk):
    case = await desk.register()
    problem = await desk.post(
        await desk.review(case), "corrections", expect=409, **keyed_wrong("held_on", "2026-08-28")
    )
    assert errors(problem) == [("/field", "nothing-recorded")]


async def test_a_school_cannot_correct(desk):
    case = await desk.register()
    review = await desk.review(case)
    school = desk.app.as_("school", org="900001")
    for path in (f"/v1/reviews/{review['id']}/corrections", "/v1/reviews"):
        assert (await school.post(path, json={})).status_code == 403


async def test_a_first_plan_corrected_moves_the_first_review_though_it_is_concluded(desk):
    case = await desk.issue(date(2026, 9, 1))
    await desk.day(date(2027, 9, 6))
    await enter(desk, case, "annual", "2027-08-16", "2027-09-03")  # due 31 August: 3 days late
    await desk.tell(
        case,
        DateCorrected(
            field=CorrectableDate.PLAN_FIRST_MADE,
            old=date(2026, 9, 1),
            new=date(2026, 9, 4),
            reason=CorrectionReason.KEYING_ERROR,
        ),
    )
    done = await desk.review(case, status="concluded")
    assert (done["due_on"], done["days_late"], codes(done)) == ("2027-09-03", 0, [])
    assert (await desk.review(case))["due_on"] == "2028-09-02"


async def test_a_plan_cannot_have_met_before_it_was_made_and_says_what_to_do(desk):
    case = await desk.issue(date(2026, 9, 1))
    problem = await desk.post(await desk.review(case), "held", expect=422, held_on="2026-08-31")
    assert errors(problem) == [("/held_on", "before-plan")]
    assert "correct" in problem["errors"][0]["message"]


# --- told by the source, or taken back ----------------------------------------------------------------------------


def later_review(old, new):
    reason = CorrectionReason.EVIDENCE_FOUND
    field = CorrectableDate.LAST_CONCLUDED
    return DateCorrected(field=field, old=old, new=new, reason=reason, later_review=True)


async def test_a_review_concluded_in_the_source_stands_for_the_one_owed_here(desk):
    """Due 1 March 2027, concluded in Liquid Logic on 15 March: 14 days late, and the next twelve months run from it."""
    case = await desk.register(facts=desk.facts(under5_interims=(date(2027, 3, 10),)))
    await desk.day(date(2027, 4, 1))
    await desk.tell(case, later_review(date(2026, 3, 2), date(2027, 3, 15)))
    annual, interim = await desk.reviews(case, status="withdrawn")
    assert (annual["withdrawn_because"], annual["concluded_on"], annual["outcome"], annual["days_late"]) == (
        "satisfied",
        "2027-03-15",
        None,
        14,
    )
    assert (interim["satisfied_by"], interim["satisfied_on"], interim["days_late"]) == (
        annual["id"],
        "2027-03-15",
        5,
    )
    assert (await desk.review(case))["due_on"] == "2028-03-14"
    name, data = (await desk.sent(case))[-3]
    assert (name, data["reason"], data["concluded_on"]) == (
        "review-corrected",
        "evidence_found",
        "2027-03-15",
    )
    await desk.tell(case, later_review(date(2026, 3, 2), date(2027, 3, 15)))  # told again: it is known
    assert len(await desk.reviews(case)) == 3


async def test_what_the_source_only_dated_can_be_entered_in_full_afterwards(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.day(date(2027, 4, 1))
    await desk.tell(case, later_review(date(2026, 3, 2), date(2027, 2, 22)))
    await desk.post(review, "held", held_on="2027-02-01")
    done = await desk.post(review, "decision", outcome="maintain", notified_on="2027-02-22")
    assert (done["status"], done["concluded_on"], done["days_late"]) == ("concluded", "2027-02-22", 0)
    assert [(r["status"], r["due_on"]) for r in await desk.reviews(case)] == [
        ("concluded", "2027-03-01"),
        ("due", "2028-02-21"),
    ]


async def test_the_source_does_not_end_a_review_that_waits_for_its_amendment_notice_here(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.day(date(2026, 11, 20))
    await desk.post(review, "held", held_on="2026-10-19")
    await desk.post(review, "decision", outcome="amend", notified_on="2026-11-09")
    await desk.tell(case, later_review(date(2026, 3, 2), date(2026, 11, 9)))
    assert (await desk.review(case))["status"] == "decided"


async def test_a_plan_that_goes_on_after_all_owes_its_reviews_as_before(desk):
    """An appeal lodged in time was entered only after the plan had ended (CFA 2014 s.45(4))."""
    case = await desk.register(last=date(2026, 1, 5))  # due 4 January 2027, last safe meeting 7 December 2026
    review = await desk.review(case)
    await desk.post(review, "meeting", meeting_on="2026-12-03")
    await desk.day(date(2026, 11, 3))
    await desk.tell(case, PlanCeased(ceased_on=date(2026, 11, 3), reason=CeaseReason.NEEDS_MET))
    assert await desk.reviews(case, status="open") == []
    await desk.day(date(2027, 1, 5))
    told = len(await desk.sent(case))
    await desk.tell(case, PlanContinued(reason="appeal_lodged"))
    again = await desk.review(case)
    assert (again["id"], again["status"], again["meeting_on"]) == (review["id"], "booked", "2026-12-03")
    # What came to pass meanwhile is told now, once.
    assert [n for n, _ in (await desk.sent(case))[told:]] == [
        "review-corrected",
        "review-due",
        "review-due",
        "review-overdue",
    ]


async def test_what_one_batch_moves_ends_and_continues_is_told_once(desk):
    """As when a worker catches up. The last safe meeting day moves from 7 to 1 December 2026, so that the day to plan, 84
    days before, was 8 September; the plan then ends and goes on after all."""
    case = await desk.register(last=date(2026, 1, 5))
    await desk.day(date(2026, 9, 10))
    moved = DateCorrected(
        field=CorrectableDate.LAST_CONCLUDED,
        old=date(2026, 1, 5),
        new=date(2025, 12, 30),
        reason=CorrectionReason.KEYING_ERROR,
    )
    ended = PlanCeased(ceased_on=date(2026, 9, 10), reason=CeaseReason.NEEDS_MET)
    for event in (moved, ended, PlanContinued(reason="appeal_lodged")):
        await desk.app.deliver(event, case=case)
    await desk.app.settle()
    assert (await desk.review(case))["latest_meeting_on"] == "2026-12-01"
    assert await desk.stages(case) == ["plan"]


async def test_a_withdrawn_decision_to_cease_leaves_the_reviews_alone(desk):
    case = await desk.register()
    before = await desk.review(case)
    notified = CeaseNotified(
        notified_on=date(2026, 9, 1), in_force_to=date(2026, 11, 2), reason=CeaseReason.NEEDS_MET
    )
    await desk.tell(case, notified)
    await desk.tell(case, PlanContinued(reason="cease_withdrawn"))
    assert await desk.review(case) == before
