"""Calendars, school terms, policies, packs, what-if and the reference page."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from statute_cases import golden

from send_statute import (
    DEFAULT_POLICY,
    BankHolidays,
    Closure,
    MissingHolidayYear,
    MissingTerms,
    NotInForce,
    Pack,
    PackError,
    Policy,
    PolicyOutsideLaw,
    SchoolTerms,
    Term,
    UnknownRule,
    diff,
    evaluate,
    explain,
    load_pack,
    planning_day,
    reference_page,
    rules,
)

# -- bank holidays ----------------------------------------------------------------------------------------------


def test_a_proclaimed_day_can_be_added_and_moves_working_days_only() -> None:
    calendar = BankHolidays.offline().with_days([date(2026, 4, 8)])
    assert evaluate("detained_copy_5wd", {"aware": "2026-03-31"}, holidays=calendar) == {"due": "2026-04-10"}
    assert evaluate("decision_4w", {"meeting": "2026-03-11"}, holidays=calendar) == {"due": "2026-04-08"}


def test_a_missing_year_is_reported_sixty_days_ahead() -> None:
    calendar = BankHolidays([date(2026, 12, 25)], years=[2026])
    assert calendar.missing_years(date(2026, 11, 1)) == ()
    assert calendar.missing_years(date(2026, 11, 2)) == (2027,)
    assert calendar.with_year(2027, [date(2027, 1, 1)]).missing_years(date(2026, 11, 2)) == ()


def test_a_missing_year_is_never_guessed() -> None:
    with pytest.raises(MissingHolidayYear, match="2027"):
        evaluate(
            "working_day", {"date": "2027-01-04"}, holidays=BankHolidays([date(2026, 12, 25)], years=[2026])
        )


def test_adding_one_day_does_not_make_its_year_known() -> None:
    calendar = BankHolidays([], years=[2026]).with_days([date(2027, 5, 3)])
    with pytest.raises(MissingHolidayYear):
        calendar.of_year(2027)


def test_a_statutory_date_stands_without_the_bank_holidays_of_its_year() -> None:
    told = explain("review_annual", {"anchor": "2026-06-15"}, holidays=BankHolidays([], years=[2026]))
    assert told.results["strict_due"] == date(2027, 6, 14)
    assert told.results["latest_meeting_working_day"] is None
    assert any("2027 are not loaded" in point for point in told.open_points)


# -- school terms -----------------------------------------------------------------------------------------------

AUTUMN, SPRING = (
    Term(date(2026, 9, 2), date(2026, 12, 18), "autumn"),
    Term(date(2027, 1, 4), date(2027, 3, 25)),
)
TERMS = SchoolTerms(
    council_terms=(SPRING, AUTUMN),
    council_closures=(Closure(date(2026, 10, 26), date(2026, 10, 30)),),
    terms={"900123": (Term(date(2026, 9, 7), date(2026, 12, 11)),)},
    closures={"900123": (Closure(date(2026, 10, 19), date(2026, 10, 30)),)},
)


def test_a_school_without_terms_of_its_own_has_the_councils() -> None:
    assert TERMS.next_term(date(2026, 7, 1)) == AUTUMN
    assert TERMS.next_term(date(2026, 7, 1), "900999") == AUTUMN
    assert TERMS.next_term(date(2026, 7, 1), "900123").starts == date(2026, 9, 7)
    assert TERMS.term_on(date(2026, 10, 1)) == AUTUMN
    assert TERMS.term_on(date(2026, 12, 25)) is None


def test_terms_that_run_out_are_reported_and_not_invented() -> None:
    with pytest.raises(MissingTerms, match="900123"):
        TERMS.next_term(date(2026, 9, 7), "900123")
    assert TERMS.is_missing(date(2026, 10, 13), "900123")
    assert not TERMS.is_missing(date(2026, 10, 12), "900123")


def test_the_planning_day_is_a_school_day_of_that_school() -> None:
    calendar = BankHolidays.offline()
    assert planning_day(date(2026, 10, 30), TERMS.closures_of(), calendar) == date(2026, 10, 23)
    assert planning_day(date(2026, 10, 30), TERMS.closures_of("900123"), calendar) == date(2026, 10, 16)


def test_a_closure_or_term_cannot_end_before_it_begins() -> None:
    with pytest.raises(ValueError, match="cannot end"):
        Closure(date(2026, 10, 30), date(2026, 10, 26))
    with pytest.raises(ValueError, match="cannot end"):
        Term(date(2026, 10, 30), date(2026, 10, 26))


# -- policy -----------------------------------------------------------------------------------------------------


def test_a_council_overlays_its_policy_from_toml() -> None:
    policy = Policy.from_toml(
        '[policy]\nunder5_interval_months = 4\nbasis = "anniversary"\nlead_plan_days = 90\n'
    )
    assert (policy.under5_interval_months, policy.basis, policy.leads["plan"]) == (4, "anniversary", 90)
    assert DEFAULT_POLICY.leads == {"plan": 84, "invite": 56, "last_call": 14}


@pytest.mark.parametrize(
    "text",
    [
        "under5_interval_months = 12",
        "under5_interval_months = 2",
        "under5_interval_months = -1",
        "under5_interval_months = 6.0",
        "notice_clear_days = -1",
        "notice_clear_days = 29",
        "advice_request_days = 14",
        "advice_request_days = 366",
        'basis = "whenever"',
        "lead_invite_days = 85",
        "lead_invite_days = 14",
        "lead_last_call_days = 57",
        "lead_last_call_days = -1",
        "lead_plan_days = 366",
        "icb_counts_awareness_day = 1",
        "decision_weeks = 6",
        "policy = 6",
        "file = ",
    ],
)
def test_a_setting_outside_the_law_is_refused_by_name(text: str) -> None:
    with pytest.raises(PolicyOutsideLaw, match=text.split(" ")[0]):
        Policy.from_toml(text)


def test_the_limits_of_policy_are_themselves_allowed() -> None:
    for text in ("under5_interval_months = 3", "under5_interval_months = 11", "under5_interval_months = 0"):
        Policy.from_toml(text)
    Policy(notice_clear_days=0, advice_request_days=15, lead_plan_days=365, lead_last_call_days=0)
    Policy(notice_clear_days=28, advice_request_days=365, lead_plan_days=56, lead_last_call_days=56)


# -- packs and what-if ------------------------------------------------------------------------------------------

SIX_WEEKS = """
[[rule]]
id = "decision_4w"
title = "Decision within six weeks of the meeting"
citation = "Some Regulations 2026 reg 3"
valid_from = 2026-09-01
step = [{ set = "due", op = "within_n_weeks_of", event = "meeting", weeks = 6, label = "Decision notified by" }]
"""


def test_a_rule_applies_by_the_day_that_starts_its_clock() -> None:
    pack = load_pack().amend(SIX_WEEKS, version="2026.2")
    assert evaluate("decision_4w", {"meeting": "2026-08-31"}, pack=pack) == {"due": "2026-09-28"}
    assert evaluate("decision_4w", {"meeting": "2026-09-01"}, pack=pack) == {"due": "2026-10-13"}
    told = explain("decision_4w", {"meeting": "2026-09-01"}, pack=pack)
    assert (told.citation, told.pack_version) == ("Some Regulations 2026 reg 3", "england 2026.2")


def test_what_if_names_every_date_that_moves_and_the_clause_that_moved_it() -> None:
    moved = diff(
        load_pack(),
        load_pack().amend(SIX_WEEKS),
        [
            ("before", "review_meeting", {"meeting": "2026-08-31"}),
            ("after", "review_meeting", {"meeting": "2026-10-01"}),
            {
                "id": "both limbs",
                "rule": "review_decision_due",
                "input": {"anchor": "2026-01-05", "meeting": "2026-10-01"},
            },
        ],
    )
    assert [(m.case, m.result, m.days) for m in moved] == [
        ("after", "decision_due", 14),
        ("both limbs", "meeting_limb_due", 14),
        ("both limbs", "decision_due", 14),
    ]
    assert {clause.citation for m in moved for clause in m.clauses} == {"Some Regulations 2026 reg 3"}
    assert moved[0].to_dict()["after"] == "2026-11-12"


def test_what_if_between_two_policies_names_the_setting() -> None:
    moved = diff(
        load_pack(),
        load_pack(),
        [("review_under5", {"date_of_birth": "2023-01-31", "anchor": "2025-10-31"})],
        policy_b=Policy(under5_interval_months=4),
    )
    assert [(m.result, m.clauses[0].rule_id) for m in moved] == [
        ("interims", "policy.under5_interval_months")
    ]


def test_nothing_moves_between_a_pack_and_itself() -> None:
    cases = [(case.rule, case.given) for case in golden() if not case.refused]
    assert diff(load_pack(), load_pack(), cases) == []


def test_a_new_rule_of_a_known_shape_needs_no_code() -> None:
    pack = load_pack().amend(
        """
        [[rule]]
        id = "complaint_20wd"
        title = "Answer to a complaint"
        section = "7"
        citation = "local complaints policy"
        evidence = "D"
        force = "policy"
        inputs.received = { type = "date", meaning = "the complaint was received" }
        step = [{ set = "due", op = "within_n_working_days_of", event = "received", days = 20 }]
        """
    )
    assert evaluate("complaint_20wd", {"received": "2026-04-01"}, pack=pack) == {"due": "2026-05-01"}


A_PACK_OF_ITS_OWN = """
[pack]
id = "library"
version = "3"
title = "Rules of a library, invented"

[[rule]]
id = "loan"
title = "Return of a book"
section = "0"
citation = "library rules 4"
evidence = "D"
force = "policy"
valid_from = 2020-01-01
valid_to = 2024-12-31
trigger_fact = "lent"
inputs.lent = { type = "date", meaning = "the book was lent" }
step = [{ set = "due", op = "within_n_weeks_of", event = "lent", weeks = 3, label = "Bring it back by" }]

[[rule]]
id = "loan"
title = "Return of a book"
section = "0"
citation = "library rules 4, as amended"
evidence = "D"
force = "policy"
valid_from = 2025-01-01
trigger_fact = "lent"
inputs.lent = { type = "date", meaning = "the book was lent" }
inputs.large_print = { type = "bool", meaning = "it is in large print", default = false }
step = [
  { set = "due", op = "within_n_months_of", event = "lent", months = 1, when = { large_print = false }, label = "Bring it back by" },
  { set = "due", op = "within_n_months_of", event = "lent", months = 2, when = { large_print = true }, label = "Bring it back by" },
]
results = ["due"]
says = [
  "Bring it back by {due}: {due.how}, when {lent.meaning} ({citation}).",
  { say = "Large print may be kept longer.", when = { large_print = true } },
]
moved_by = ["a loan prolonged by the desk"]
not_moved_by = ["the days on which the library is shut"]
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """A pack made up for this test, in a folder of its own."""
    folder = tmp_path_factory.mktemp("packs")
    (folder / "library-rules.toml").write_text(A_PACK_OF_ITS_OWN, encoding="utf-8")
    return load_pack("library", folder=folder)


def test_a_pack_of_other_rules_needs_no_code(library: Pack) -> None:
    assert evaluate("loan", {"lent": "2024-12-31"}, pack=library) == {"due": "2025-01-21"}
    assert evaluate("loan", {"lent": "2025-01-31"}, pack=library) == {"due": "2025-02-28"}
    assert evaluate("loan", {"lent": "2025-01-31", "large_print": True}, pack=library) == {
        "due": "2025-03-31"
    }
    with pytest.raises(
        NotInForce, match=r"2019-12-31.*in force 2020-01-01 to 2024-12-31; in force from 2025-01-01"
    ):
        evaluate("loan", {"lent": "2019-12-31"}, pack=library)
    with pytest.raises(UnknownRule):
        evaluate("review_annual", {"anchor": "2025-01-31"}, pack=library)


def test_a_pack_of_other_rules_explains_itself(library: Pack) -> None:
    told = explain("loan", {"lent": "2025-12-31", "large_print": True}, pack=library)
    assert told.text == (
        "Bring it back by 28 February 2026: 2 months after 31 December 2025 (there is no 31 February 2026), when the "
        "book was lent (library rules 4, as amended). Large print may be kept longer."
    )
    assert told.pack_version == "library 3"
    assert told.moved_by == ("a loan prolonged by the desk",)
    assert told.not_moved_by == ("the days on which the library is shut",)
    assert told.inputs == {"lent": date(2025, 12, 31), "large_print": True}
    assert explain("loan", {"lent": "2024-06-03"}, pack=library).text == (
        "Bring it back by 24 June 2024: 3 weeks after 3 June 2024, not counting that day (library rules 4)."
    )
    assert explain("loan", {"lent": "2024-06-03"}, pack=library).moved_by == (
        "another day on which the book was lent (here 3 June 2024)",
    )


def test_a_folder_without_the_pack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="no rule pack 'wales'"):
        load_pack("wales", folder=tmp_path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ('step = [{ set = "due", op = "wait_a_bit", event = "meeting" }]', "wait_a_bit"),
        ('step = [{ set = "due", op = "within_n_weeks_of", event = "party", weeks = 4 }]', "party"),
        ('step = [{ set = "due", op = "within_n_weeks_of", event = "meeting", days = 4 }]', "missing.*weeks"),
        ('step = [{ set = "due", op = "within_n_weeks_of", rule = "notice_2w" }]', "either an op or a rule"),
        ('step = [{ set = "due", rule = "notice_3w" }]', "no rule 'notice_3w'"),
        ('step = [{ set = "due", rule = "notice_2w", party = "meeting" }]', "takes no 'party'"),
        ('step = [{ set = "due", rule = "notice_2w", take = "cake" }]', "has no 'cake'"),
        ('force = "custom"', "force 'custom' is none of guidance, law, policy"),
        ('says = "Decide by {party}."', "nothing sets 'party'"),
        ('open_points = ["what of {party}"]', "nothing sets 'party'"),
        ('valid_from = "long_ago"', "no instrument 'long_ago'"),
        ("step = [", "not TOML"),
        ('results = ["nothing"]', "nothing"),
        ('colour = "red"', "colour"),
        ("valid_from = 2013-01-01", "cannot follow"),
        ('inputs.meeting = { type = "moon", meaning = "x" }', "moon"),
    ],
)
def test_a_broken_pack_is_refused_and_the_fault_named(change: str, problem: str) -> None:
    with pytest.raises(PackError, match=problem):
        load_pack().amend(f'[[rule]]\nid = "decision_4w"\n{change}\n')


def test_a_rule_out_of_force_says_when_it_was_in_force() -> None:
    with pytest.raises(NotInForce, match="2020-05-01 to 2020-09-25"):
        evaluate("review_covid_18A", {"on": "2020-09-26"})


def test_rules_lists_every_rule_once() -> None:
    ids = [rule.id for rule in rules()]
    assert len(ids) == len(set(ids)) > 140


# -- the reference page -----------------------------------------------------------------------------------------


def test_the_reference_page_in_the_repository_is_fresh() -> None:
    kept = Path(__file__).parents[1] / "REFERENCE.md"
    assert kept.read_text(encoding="utf-8") == reference_page(), "renew it: python -m send_statute"


def test_the_reference_page_has_every_rule_with_its_citation() -> None:
    page = reference_page()
    for rule in rules():
        assert f"`{rule.id}` {rule.title}" in page
        assert rule.citation in page
