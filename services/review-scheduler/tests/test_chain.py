"""The meeting chain: book, hold, report, decide, and what follows. The plan's review is due on 1 March 2027."""

from datetime import date
from uuid import UUID, uuid4

import pytest

from ehcp_contracts.events import (
    AmendmentDropped,
    AmendmentIssued,
    AmendmentNoticeSent,
    CorrectableDate,
    CorrectionReason,
    DateCorrected,
)


def codes(review):
    return [breach["code"] for breach in review["breaches"]]


def errors(problem):
    return [(fault["pointer"], fault["code"]) for fault in problem["errors"]]


async def send_notice(desk, case, review, sent_on, notice_id=None):
    notice_id = notice_id or uuid4()
    await desk.tell(
        case,
        AmendmentNoticeSent(
            notice_id=notice_id,
            review_id=UUID(review["id"]) if review else None,
            sent_on=sent_on,
            representations_close=sent_on,
            earliest_final=sent_on,
            final_due=sent_on,
        ),
    )
    return notice_id


# --- booking ------------------------------------------------------------------------------------------------------


async def test_booking_a_meeting_sets_the_dates_that_hang_on_it(desk):
    case = await desk.register()
    booked = await desk.post(await desk.review(case), "meeting", meeting_on="2026-11-05")
    assert (booked["status"], booked["notice_due"], booked["advice_due"]) == (
        "booked",
        "2026-10-22",
        "2026-10-22",
    )
    assert (booked["report_due"], booked["decision_due"], booked["final_longstop"]) == (
        "2026-11-19",
        "2026-12-03",
        "2027-01-28",
    )
    assert booked["breaches"] == []
    assert booked["next_step"] == {"what": "send-notice", "by": "2026-10-22", "who": "school"}
    assert (await desk.sent(case))[-1] == (
        "review-meeting-booked",
        {
            "review_id": booked["id"],
            "kind": "annual",
            "meeting_on": "2026-11-05",
            "notice_due": "2026-10-22",
            "advice_due": "2026-10-22",
        },
    )


async def test_moving_a_meeting_recomputes_its_dates_and_names_the_old_day(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "meeting", meeting_on="2026-09-10")
    moved = await desk.post(review, "meeting", meeting_on="2026-11-05")
    assert (moved["due_on"], moved["decision_due"]) == ("2027-03-01", "2026-12-03")
    assert moved["breaches"] == []  # the short notice was that of the other day
    name, data = (await desk.sent(case))[-1]
    assert (name, data["previous_meeting_on"], data["meeting_on"]) == (
        "review-meeting-booked",
        "2026-09-10",
        "2026-11-05",
    )


async def test_booking_the_same_day_again_tells_nobody_twice(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "meeting", meeting_on="2026-11-05")
    await desk.post(review, "meeting", meeting_on="2026-11-05")
    assert (await desk.names(case)).count("review-meeting-booked") == 1


async def test_too_short_a_notice_is_a_breach_on_record_not_a_refusal(desk):
    case = await desk.register()
    booked = await desk.post(await desk.review(case), "meeting", meeting_on="2026-09-14")
    assert booked["breaches"] == [
        {
            "code": "short-notice",
            "rule_id": "notice_2w",
            "force": "law",
            "due_on": "2026-08-31",
            "on": "2026-09-01",
            "days_late": 1,
        }
    ]


async def test_exactly_two_weeks_notice_is_no_breach(desk):
    case = await desk.register()
    booked = await desk.post(await desk.review(case), "meeting", meeting_on="2026-09-15")
    assert booked["breaches"] == []


async def test_a_meeting_before_today_is_flagged(desk):
    case = await desk.register()
    booked = await desk.post(await desk.review(case), "meeting", meeting_on="2026-08-20")
    assert codes(booked) == ["short-notice", "meeting-in-the-past"]


async def test_a_meeting_after_the_review_was_due_is_flagged_and_both_limbs_are_shown(desk):
    """R11."""
    case = await desk.register()
    booked = await desk.post(await desk.review(case), "meeting", meeting_on="2027-03-18")
    assert codes(booked) == ["meeting-after-due"]
    assert booked["decision_due"] == "2027-03-01"
    dates = (await desk.app.as_("officer").get(f"/v1/reviews/{booked['id']}/dates")).json()["dates"]
    assert next(day["on"] for day in dates if day["name"] == "meeting_limb_due") == "2027-04-15"


@pytest.mark.parametrize(("day", "code"), [("2020-05-03", "before-plan"), ("2027-09-03", "too-far-ahead")])
async def test_a_meeting_day_that_cannot_be_is_refused(desk, day, code):
    case = await desk.register()
    problem = await desk.post(await desk.review(case), "meeting", expect=422, meeting_on=day)
    assert errors(problem) == [("/meeting_on", code)]
    assert day not in str(problem)


# --- holding and reporting ----------------------------------------------------------------------------------------


async def test_a_held_meeting_starts_the_two_and_the_four_weeks(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "meeting", meeting_on="2026-09-20")
    await desk.day(date(2026, 9, 22))
    held = await desk.post(review, "held", held_on="2026-09-21")
    assert (held["status"], held["meeting_on"], held["held_on"]) == ("held", "2026-09-21", "2026-09-21")
    assert (await desk.sent(case))[-1] == (
        "review-meeting-held",
        {
            "review_id": held["id"],
            "kind": "annual",
            "held_on": "2026-09-21",
            "report_due": "2026-10-05",
            "decision_due": "2026-10-19",
        },
    )
    assert held["next_step"] == {"what": "send-report", "by": "2026-10-05", "who": "school"}


async def test_a_meeting_held_without_booking_is_accepted(desk):
    case = await desk.register()
    held = await desk.post(await desk.review(case), "held", held_on="2026-08-28")
    assert held["status"] == "held"


@pytest.mark.parametrize(
    ("day", "code"),
    [("2026-09-02", "in-the-future"), ("2020-05-03", "before-plan"), ("2026-03-01", "before-anchor")],
)
async def test_a_day_on_which_the_meeting_cannot_have_been_is_refused(desk, day, code):
    case = await desk.register()
    problem = await desk.post(await desk.review(case), "held", expect=422, held_on=day)
    assert errors(problem) == [("/held_on", code)]


@pytest.mark.parametrize("step", ["held", "report", "decision"])
async def test_a_day_before_the_law_was_in_force_is_refused(desk, step):
    case = await desk.register()
    review = await desk.review(case)
    if step == "report":
        review = await desk.post(review, "held", held_on="2026-08-28")
    body = {
        "held": {"held_on": "2000-01-01"},
        "report": {"received_on": "2000-01-01"},
        "decision": {"outcome": "maintain", "notified_on": "2000-01-01", "override": "tribunal"},
    }
    problem = await desk.post(review, step, expect=422, **body[step])
    assert problem["title"] == "Some values are not acceptable"


async def test_a_phase_review_is_not_held_before_its_window_opens(desk):
    case = await desk.register(facts=desk.year_6())
    phase = await desk.review(case, "phase_transfer")
    problem = await desk.post(phase, "held", expect=422, held_on="2026-08-31")
    assert errors(problem) == [("/held_on", "phase_window")]
    await desk.post(phase, "held", held_on="2026-09-01")


async def test_a_report_in_time_and_a_late_one(desk):
    for received, expected in (("2026-09-11", []), ("2026-09-12", ["report-late"])):
        desk.app.clock.set(date(2026, 9, 1))
        case = await desk.register()
        review = await desk.review(case)
        await desk.post(review, "held", held_on="2026-08-28")
        desk.app.clock.set(date(2026, 9, 20))
        report = await desk.post(review, "report", received_on=received)
        assert (report["status"], codes(report)) == ("reported", expected)
        assert (await desk.sent(case))[-1] == (
            "review-report-received",
            {"review_id": report["id"], "kind": "annual", "received_on": received},
        )


async def test_a_report_before_its_meeting_is_refused(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-28")
    problem = await desk.post(review, "report", expect=422, received_on="2026-08-27")
    assert errors(problem) == [("/received_on", "before-meeting")]


async def test_a_report_without_a_meeting_is_a_conflict_that_names_the_clause(desk):
    case = await desk.register()
    problem = await desk.post(await desk.review(case), "report", expect=409, received_on="2026-09-01")
    assert problem["errors"][0]["code"] == "SEND Regs 2014 reg 20(7)-(9), 21(7)"


async def test_a_report_may_come_after_the_decision(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-28")
    await desk.post(review, "decision", outcome="maintain", notified_on="2026-09-01")
    desk.app.clock.set(date(2026, 9, 10))
    report = await desk.post(review, "report", received_on="2026-09-09")
    assert (report["status"], report["report_received_on"]) == ("concluded", "2026-09-09")


async def test_a_meeting_held_after_the_review_was_due_still_has_four_weeks_for_its_decision(desk):
    """R11: s.44 is broken and stays so; reg 20(10) gives the day that can still be kept, and partners are told that."""
    case = await desk.register(last=date(2025, 4, 15))  # due 14 April 2026
    held = await desk.post(await desk.review(case), "held", held_on="2026-08-24")
    assert (held["decision_due"], held["meeting_limb_due"]) == ("2026-04-14", "2026-09-21")
    assert (await desk.sent(case))[-1][1]["decision_due"] == "2026-09-21"
    reported = await desk.post(held, "report", received_on="2026-08-31")
    assert reported["next_step"] == {"what": "decide", "by": "2026-09-21", "who": "council"}


# --- deciding -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["maintain", "cease"])
async def test_maintain_and_cease_conclude_on_the_day_the_decision_was_notified(desk, outcome):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-17")
    done = await desk.post(review, "decision", outcome=outcome, notified_on="2026-08-31")
    assert (done["status"], done["concluded_on"], done["days_late"]) == ("concluded", "2026-08-31", 0)
    after = (await desk.sent(case))[-3:]
    assert after[0] == (
        "review-decided",
        {
            "review_id": review["id"],
            "kind": "annual",
            "outcome": outcome,
            "notified_on": "2026-08-31",
            "meeting_on": "2026-08-17",
            "decision_due": "2026-09-14",
        },
    )
    assert after[1] == (
        "review-concluded",
        {
            "review_id": review["id"],
            "kind": "annual",
            "outcome": outcome,
            "concluded_on": "2026-08-31",
            "due_on": "2027-03-01",
            "meeting_on": "2026-08-17",
            "decision_due": "2026-09-14",
            "counts_as_statutory": True,
        },
    )
    assert (after[2][0], after[2][1]["due_on"]) == ("review-scheduled", "2027-08-30")
    assert (await desk.review(case))["due_on"] == "2027-08-30"


async def test_amend_waits_for_its_notice_and_concludes_with_the_later_of_the_two(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-17")
    waiting = await desk.post(review, "decision", outcome="amend", notified_on="2026-08-28")
    assert waiting["status"] == "decided"
    assert waiting["next_step"] == {"what": "send-amendment-notice", "by": "2026-09-14", "who": "council"}
    assert (await desk.names(case))[-1] == "review-decided"
    await send_notice(desk, case, review, date(2026, 9, 1))
    done = await desk.review(case, status="concluded")
    assert (done["concluded_on"], done["notice_sent_on"]) == ("2026-09-01", "2026-09-01")
    assert (await desk.review(case))["due_on"] == "2027-08-31"


async def test_a_notice_before_the_decision_waits_for_it(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-17")
    await send_notice(desk, case, review, date(2026, 8, 27))
    assert (await desk.review(case))["status"] == "held"
    done = await desk.post(review, "decision", outcome="amend", notified_on="2026-08-31")
    assert (done["status"], done["concluded_on"]) == ("concluded", "2026-08-31")


async def test_a_notice_that_no_amendment_followed_does_not_delay_the_conclusion(desk):
    desk.app.clock.set(date(2026, 11, 10))
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-11-02")
    await send_notice(desk, case, review, date(2026, 11, 9))
    concluded = await desk.post(review, "decision", outcome="maintain", notified_on="2026-11-05")
    assert concluded["concluded_on"] == "2026-11-05"
    assert (await desk.review(case))["due_on"] == "2027-11-04"


async def test_a_notice_concludes_its_review_though_another_of_the_same_day_is_still_undecided(desk):
    """The school says only after the decision that the meeting served the phase review as well."""
    desk.app.clock.set(date(2026, 11, 10))
    case = await desk.register(facts=desk.year_6())
    annual, phase = await desk.review(case), await desk.review(case, "phase_transfer")
    await desk.post(annual, "held", held_on="2026-11-02")
    await desk.post(annual, "decision", outcome="amend", notified_on="2026-11-05")
    await desk.post(phase, "held", held_on="2026-11-02")
    await send_notice(desk, case, annual, date(2026, 11, 6))
    assert (await desk.review(case, "annual", "concluded"))["concluded_on"] == "2026-11-06"
    assert (await desk.review(case, "phase_transfer"))["status"] == "held"
    concluded = await desk.post(phase, "decision", outcome="amend", notified_on="2026-11-09")
    assert (concluded["status"], concluded["concluded_on"]) == ("concluded", "2026-11-09")


async def test_a_notice_later_than_four_weeks_is_a_breach(desk):
    """N3: Devon."""
    case = await desk.register(last=date(2025, 12, 1))
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-01")
    await desk.post(review, "decision", outcome="amend", notified_on="2026-08-29")
    await send_notice(desk, case, review, date(2026, 9, 1))
    done = await desk.review(case, status="concluded")
    assert [(b["code"], b["days_late"]) for b in done["breaches"]] == [("notice-late", 3)]


async def test_an_amendment_without_review_does_not_touch_the_clock(desk):
    """review_not_reset_by: SEND Regs 2014 reg 28."""
    case = await desk.register()
    before = await desk.review(case)
    await send_notice(desk, case, None, date(2026, 9, 1))
    assert await desk.review(case) == before


async def test_the_final_plan_however_late_does_not_move_the_clock(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-17")
    await desk.post(review, "decision", outcome="amend", notified_on="2026-08-28")
    notice = await send_notice(desk, case, review, date(2026, 8, 28))
    await desk.tell(
        case,
        AmendmentIssued(
            notice_id=notice, review_id=UUID(review["id"]), issued_on=date(2026, 12, 20), plan_version=2
        ),
    )
    assert (await desk.review(case))["due_on"] == "2027-08-27"
    assert (await desk.review(case, status="concluded"))["amended_plan_issued_on"] == "2026-12-20"


async def test_a_dropped_amendment_leaves_the_review_concluded(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-17")
    await desk.post(review, "decision", outcome="amend", notified_on="2026-08-28")
    notice = await send_notice(desk, case, review, date(2026, 8, 28))
    await desk.tell(
        case, AmendmentDropped(notice_id=notice, review_id=UUID(review["id"]), decided_on=date(2026, 9, 1))
    )
    done = await desk.review(case, status="concluded")
    assert (done["amendment_dropped_on"], done["concluded_on"]) == ("2026-09-01", "2026-08-28")


async def test_a_decision_without_a_meeting_is_refused(desk):
    case = await desk.register()
    problem = await desk.post(
        await desk.review(case), "decision", expect=409, outcome="maintain", notified_on="2026-09-01"
    )
    assert problem["errors"][0]["code"] == "SEND Regs 2014 reg 20(1), 21(1)"
    assert "recorded reason" in problem["errors"][0]["message"]


@pytest.mark.parametrize("outcome", ["maintain", "amend", "cease"])
async def test_with_a_coded_reason_it_stands_and_the_breach_is_on_record(desk, outcome):
    case = await desk.register()
    done = await desk.post(
        await desk.review(case),
        "decision",
        outcome=outcome,
        notified_on="2026-09-01",
        override_reason="family_declined",
    )
    assert done["status"] == ("decided" if outcome == "amend" else "concluded")
    assert (done["override_reason"], codes(done)) == ("family_declined", ["decision-without-meeting"])


async def test_a_decision_to_amend_is_not_taken_back_by_another(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-17")
    await desk.post(review, "decision", outcome="amend", notified_on="2026-08-28")
    for outcome in ("maintain", "amend", "cease"):
        problem = await desk.post(review, "decision", expect=409, outcome=outcome, notified_on="2026-08-29")
        assert problem["type"].endswith("/conflict")


async def test_a_concluded_review_is_not_decided_again(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-17")
    await desk.post(review, "decision", outcome="maintain", notified_on="2026-08-28")
    await desk.post(review, "decision", expect=409, outcome="cease", notified_on="2026-08-29")
    await desk.post(review, "meeting", expect=409, meeting_on="2026-10-29")


@pytest.mark.parametrize(("day", "code"), [("2026-09-02", "in-the-future"), ("2026-08-16", "before-meeting")])
async def test_a_day_on_which_the_decision_cannot_have_been_is_refused(desk, day, code):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-17")
    problem = await desk.post(review, "decision", expect=422, outcome="maintain", notified_on=day)
    assert errors(problem) == [("/notified_on", code)]


async def test_a_late_decision_and_a_late_review_stay_on_record_with_their_days(desk):
    """R14: anchor 15 April 2024 moved to 2025: due 14 April 2026; meeting 1 May, decision 12 June."""
    case = await desk.register(last=date(2025, 4, 15))
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-05-01")
    done = await desk.post(review, "decision", outcome="maintain", notified_on="2026-06-12")
    assert {b["code"]: b["days_late"] for b in done["breaches"]} == {
        "meeting-after-due": 17,
        "decision-late": 14,  # four weeks from 1 May end on 29 May
        "review-late": 59,
    }
    assert done["days_late"] == 59
    assert (await desk.review(case))["due_on"] == "2027-06-11"  # review_late: from the actual conclusion


# --- several reviews, one child -----------------------------------------------------------------------------------


async def test_a_concluded_phase_review_satisfies_the_annual_one_and_restarts_its_clock(desk):
    """P9, phase_resets_annual."""
    case = await desk.register(facts=desk.year_6())
    phase = await desk.review(case, "phase_transfer")
    annual = await desk.review(case)
    await desk.day(date(2026, 11, 1))
    await desk.post(phase, "held", held_on="2026-11-01")
    await desk.day(date(2026, 11, 25))
    await desk.post(phase, "decision", outcome="maintain", notified_on="2026-11-25")
    satisfied = await desk.review(case, status="withdrawn")
    assert (satisfied["id"], satisfied["withdrawn_because"], satisfied["satisfied_by"]) == (
        annual["id"],
        "satisfied",
        phase["id"],
    )
    assert [(r["kind"], r["due_on"]) for r in await desk.reviews(case, status="open")] == [
        ("annual", "2027-11-24")
    ]
    assert (await desk.names(case))[-4:] == [
        "review-decided",
        "review-concluded",
        "review-withdrawn",
        "review-scheduled",
    ]


async def test_an_annual_review_that_was_due_before_the_phase_review_stays_on_record_as_late(desk):
    case = await desk.register(last=date(2025, 10, 2), facts=desk.year_6())  # annual due 1 October 2026
    phase = await desk.review(case, "phase_transfer")
    desk.app.clock.set(date(2026, 11, 25))
    await desk.post(phase, "held", held_on="2026-11-01")
    await desk.post(phase, "decision", outcome="maintain", notified_on="2026-11-25")
    annual = await desk.review(case, status="withdrawn")
    assert (annual["days_late"], codes(annual)) == (55, ["review-late"])


async def test_an_annual_review_does_not_do_for_the_phase_transfer(desk):
    case = await desk.register(facts=desk.year_6())
    annual = await desk.review(case)
    await desk.post(annual, "held", held_on="2026-08-28")
    await desk.post(annual, "decision", outcome="maintain", notified_on="2026-09-01")
    assert {r["kind"]: r["due_on"] for r in await desk.reviews(case, status="open")} == {
        "phase_transfer": "2027-02-14",
        "annual": "2027-08-31",
    }


async def test_one_meeting_may_serve_both_and_each_keeps_its_own_due_date(desk):
    case = await desk.register(facts=desk.year_6())
    annual = await desk.review(case)
    await desk.post(annual, "meeting", meeting_on="2026-11-05", covers=["phase_transfer"])
    booked = {r["kind"]: (r["status"], r["due_on"]) for r in await desk.reviews(case, status="open")}
    assert booked == {"annual": ("booked", "2027-03-01"), "phase_transfer": ("booked", "2027-02-14")}
    await desk.post(annual, "meeting", meeting_on="2026-11-06")  # one meeting: both move
    assert [r["meeting_on"] for r in await desk.reviews(case, status="open")] == ["2026-11-06"] * 2
    await desk.day(date(2026, 11, 30))
    await desk.post(annual, "held", held_on="2026-11-06")
    await desk.post(annual, "report", received_on="2026-11-20")
    await desk.post(annual, "decision", outcome="maintain", notified_on="2026-11-30")
    concluded = await desk.reviews(case, status="concluded")
    assert [(r["kind"], r["due_on"], r["concluded_on"]) for r in concluded] == [
        ("phase_transfer", "2027-02-14", "2026-11-30"),
        ("annual", "2027-03-01", "2026-11-30"),
    ]
    names = await desk.names(case)
    assert (names.count("review-decided"), names.count("review-concluded")) == (1, 2)
    assert [(r["kind"], r["due_on"]) for r in await desk.reviews(case, status="open")] == [
        ("annual", "2027-11-29")
    ]


async def test_a_phase_deadline_that_nobody_could_keep_is_listed_but_is_no_breach(desk):
    """phase_late_plan: the first plan came after 14 February of the transfer year."""
    desk.app.clock.set(date(2027, 3, 1))
    facts = desk.year_6().model_copy(update={"phase_deadline_impossible": True})
    case = await desk.issue(date(2027, 3, 1), facts=facts)
    phase = await desk.review(case, "phase_transfer")
    assert (phase["deadline_impossible"], phase["overdue_since"]) == (True, "2027-02-15")
    assert await desk.stages(case) == []
    await desk.post(phase, "held", held_on="2027-03-01")
    done = await desk.post(phase, "decision", outcome="maintain", notified_on="2027-03-01")
    assert (done["breaches"], done["days_late"]) == ([], 15)


async def test_a_meeting_cannot_serve_a_review_that_is_not_there(desk):
    case = await desk.register()
    problem = await desk.post(
        await desk.review(case), "meeting", expect=422, meeting_on="2026-11-05", covers=["phase_transfer"]
    )
    assert errors(problem) == [("/covers", "no-such-review")]


async def test_a_light_interim_leaves_the_annual_clock_and_opens_the_next_interim(desk):
    facts = desk.facts(under5_interims=(date(2026, 9, 2), date(2026, 12, 2)))
    case = await desk.register(facts=facts)
    interim = await desk.review(case, "under5_interim")
    await desk.post(interim, "held", held_on="2026-08-25")
    done = await desk.post(interim, "decision", outcome="maintain", notified_on="2026-09-01")
    assert (done["status"], done["counts_as_statutory"]) == ("concluded", False)
    assert {r["kind"]: r["due_on"] for r in await desk.reviews(case, status="open")} == {
        "under5_interim": "2026-12-02",
        "annual": "2027-03-01",
    }


async def test_an_interim_run_as_a_full_review_restarts_the_annual_clock(desk):
    case = await desk.register(facts=desk.facts(under5_interims=(date(2026, 9, 2),)))
    interim = await desk.review(case, "under5_interim")
    await desk.post(interim, "held", held_on="2026-08-25")
    await desk.post(interim, "decision", outcome="maintain", notified_on="2026-09-01", full_process=True)
    assert (await desk.review(case))["due_on"] == "2027-08-31"
    assert (await desk.sent(case))[-3][1]["counts_as_statutory"] is True


async def test_an_annual_review_is_never_light(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-25")
    problem = await desk.post(
        review, "decision", expect=422, outcome="maintain", notified_on="2026-09-01", full_process=False
    )
    assert errors(problem) == [("/full_process", "full-process-required")]


async def test_an_annual_review_satisfies_the_interim_nobody_has_convened(desk):
    case = await desk.register(facts=desk.facts(under5_interims=(date(2026, 9, 20),)))
    annual = await desk.review(case)
    await desk.post(annual, "held", held_on="2026-08-25")
    await desk.post(annual, "decision", outcome="maintain", notified_on="2026-09-01")
    assert (await desk.review(case, "under5_interim", status="withdrawn"))["withdrawn_because"] == "satisfied"
    await desk.change_facts(case, desk.facts(under5_interims=(date(2027, 3, 1),)))  # from the new anchor
    assert (await desk.review(case, "under5_interim"))["due_on"] == "2027-03-01"


# --- corrections --------------------------------------------------------------------------------------------------


def corrected(field, old, new, notice_id=None):
    return DateCorrected(
        field=field, old=old, new=new, reason=CorrectionReason.KEYING_ERROR, notice_id=notice_id
    )


async def test_a_corrected_conclusion_moves_the_next_review(desk):
    case = await desk.register()
    await desk.tell(case, corrected(CorrectableDate.LAST_CONCLUDED, date(2026, 3, 2), date(2026, 4, 2)))
    assert (await desk.review(case))["due_on"] == "2027-04-01"
    assert (await desk.sent(case))[-1][1]["due_on"] == "2027-04-01"


async def test_a_corrected_first_plan_moves_nothing_once_a_review_was_concluded(desk):
    case = await desk.register()
    before = await desk.review(case)
    await desk.tell(case, corrected(CorrectableDate.PLAN_FIRST_MADE, date(2020, 5, 4), date(2020, 5, 14)))
    assert await desk.review(case) == before


async def test_a_corrected_first_plan_moves_the_first_review(desk):
    case = await desk.issue(date(2026, 9, 1))
    await desk.tell(case, corrected(CorrectableDate.PLAN_FIRST_MADE, date(2026, 9, 1), date(2026, 8, 1)))
    assert (await desk.review(case))["due_on"] == "2027-07-31"


async def test_a_correction_moves_the_due_date_under_a_meeting_that_was_held(desk):
    case = await desk.register(last=date(2025, 9, 20))  # due 19 September 2026
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-31")
    await desk.tell(case, corrected(CorrectableDate.LAST_CONCLUDED, date(2025, 9, 20), date(2025, 9, 10)))
    after = await desk.review(case)
    assert (after["status"], after["due_on"], after["decision_due"]) == ("held", "2026-09-09", "2026-09-09")


async def test_a_due_date_corrected_into_the_past_is_announced_if_the_review_was_known_then(desk):
    case = await desk.register(last=date(2025, 12, 1))  # due 30 November 2026
    await desk.day(date(2026, 10, 1))
    assert await desk.stages(case) == ["invite"]
    await desk.tell(case, corrected(CorrectableDate.LAST_CONCLUDED, date(2025, 12, 1), date(2025, 9, 16)))
    # due 15 September, known since 1 September; the last call would have been on 4 August
    assert await desk.stages(case) == ["invite", "due", "overdue"]
    assert (await desk.review(case))["missed_before_arrival"] == ["plan", "last_call"]


async def test_a_correction_of_a_conclusion_recorded_here_judges_it_anew(desk):
    case = await desk.register(last=date(2025, 9, 2))  # due 1 September 2026
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-17")
    desk.app.clock.set(date(2026, 9, 10))
    done = await desk.post(review, "decision", outcome="maintain", notified_on="2026-09-03")
    assert (done["days_late"], codes(done)) == (2, ["review-late"])
    await desk.tell(case, corrected(CorrectableDate.LAST_CONCLUDED, date(2026, 9, 3), date(2026, 8, 31)))
    done = await desk.review(case, status="concluded")
    assert (done["concluded_on"], done["notified_on"], done["days_late"], codes(done)) == (
        "2026-08-31",
        "2026-08-31",
        0,
        [],
    )
    assert (await desk.review(case))["due_on"] == "2027-08-30"


async def test_a_corrected_notice_moves_the_conclusion_that_hung_on_it_and_says_so(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-08-17")
    await desk.post(review, "decision", outcome="amend", notified_on="2026-08-24")
    notice = await send_notice(desk, case, review, date(2026, 9, 1))
    await desk.tell(case, corrected(CorrectableDate.NOTICE_SENT, date(2026, 9, 1), date(2026, 8, 27), notice))
    assert (await desk.review(case, status="concluded"))["concluded_on"] == "2026-08-27"
    assert (await desk.review(case))["due_on"] == "2027-08-26"
    assert [
        (n, d["concluded_on"])
        for n, d in await desk.sent(case)
        if n in ("review-concluded", "review-corrected")
    ] == [("review-concluded", "2026-09-01"), ("review-corrected", "2026-08-27")]
