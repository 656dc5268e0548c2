"""The points that statute.md section 11 leaves to a lawyer: whatever the default, the explanation says that it is open."""

from __future__ import annotations

from typing import Any

import pytest

from send_statute import explain

OPEN = [
    ("1", "review_annual", {"anchor": "2024-11-25"}, "strict reading; the anniversary would give 25 November 2025"),
    ("1", "review_anchor", {"plan_first_made": "2024-11-25"}, "the anniversary would give 25 November 2025"),
    ("1", "review_decision_due", {"anchor": "2024-11-25", "meeting": "2025-11-10"}, "the anniversary would give 25 November 2025"),
    ("2", "review_is_concluded", {}, "the final plan is the alternative, not used"),
    ("2", "review_concluded", {"anchor": "2025-01-20", "meeting": "2025-06-09", "decision_notified": "2025-06-30"}, "the final plan is the alternative"),
    ("3", "review_after_reassessment", {}, "whether a plan replaced after re-assessment restarts the 12 months"),
    ("3", "review_anchor", {"plan_first_made": "2024-11-25"}, "whether a plan replaced after re-assessment restarts the 12 months"),
    ("4", "notice_2w", {"meeting": "2025-10-15"}, "may mean clear days: plan for 30 September 2025, a breach only after 1 October 2025"),
    ("4", "review_meeting", {"meeting": "2025-10-15"}, "may mean clear days"),
    ("5", "phase_transfer", {"phase": "primary_to_secondary", "transfer_date": "2026-09-01"}, "'by' would give 15 February 2026"),
    ("5", "phase_transfer", {"phase": "secondary_to_post16", "transfer_date": "2026-09-01"}, "'by' would give 31 March 2026"),
    ("5", "phase_late_plan", {"phase": "secondary_to_post16", "transfer_date": "2026-09-01", "plan_first_made": "2025-09-01"}, "'by' would give 31 March 2026"),
    ("5", "phase_on_time", {"phase": "primary_to_secondary", "transfer_date": "2026-09-01", "final_issued": "2026-02-01"}, "'by' would give 15 February 2026"),
    ("6", "phase_own_sixth_form", {}, "may be outside reg 18(1)(a)"),
    ("6", "phase_transfer", {"phase": "secondary_to_post16", "transfer_date": "2026-09-01"}, "own sixth form"),
    ("6", "phase_cohort", {"date_of_birth": "2010-01-10", "academic_year": "2025/26"}, "own sixth form"),
    ("7", "working_day", {"date": "2026-12-28"}, "define no working day"),
    *[
        ("7", rule, facts, "working days leave out weekends and the bank holidays of England and Wales: the Regulations as read define none")
        for rule, facts in [
            ("deemed_service_post", {"posted": "2025-12-23"}),
            ("detained_copy_5wd", {"aware": "2026-03-31"}),
            ("mediation_cert_3wd", {"event": "2025-10-20"}),
            ("mediation_30d", {"la_informed": "2025-10-20"}),
            ("la_move_transfer", {"move_date": "2025-09-01", "aware": "2025-08-20"}),
            ("icb_change_15wd", {"aware": "2025-08-20"}),
        ]
    ],
    ("8", "detained_scope", {}, "the 12 months of s.44 are taken to be suspended in custody"),
    ("9", "reassess_decision_15d", {"request_received": "2025-10-01"}, "our reading of reg 25"),
    ("11", "appeal_deadline", {"notice_sent": "2026-02-03"}, "its meeting with the excluded days"),
    ("11", "cease_effective", {"notice_sent": "2027-05-31"}, "its meeting with the excluded days"),
    ("12", "assess_bar_6m", {"last_assessed": "2025-03-10", "request_received": "2025-09-10"}, "is still inside 'the previous six months'"),
    ("13", "phase_post16_5m", {"transfer_date": "2026-06-30"}, "30 June gives 30 January"),
    ("13", "at_least_n_months_before", {"target": "2026-06-30", "months": 5}, "30 January or 31 January"),
    *[
        ("14", rule, facts, "born on 29 February")
        for rule, facts in [
            ("age", {"date_of_birth": "2020-02-29", "age": 5}),
            ("review_under5", {"date_of_birth": "2020-02-29", "anchor": "2024-08-31"}),
            ("review_19plus", {"date_of_birth": "2008-02-29", "meeting": "2027-03-01"}),
            ("compulsory_school_age", {"date_of_birth": "2012-02-29"}),
            ("age25", {"date_of_birth": "2000-02-29", "setting": "fe"}),
        ]
    ],
    ("15", "compulsory_school_age", {"date_of_birth": "2010-09-01"}, "depends on the first day of term"),
    ("15", "addressee", {"date_of_birth": "2010-09-04", "on": "2026-09-01"}, "depends on the first day of term"),
    ("16", "la_move_transfer", {"move_date": "2025-09-01", "aware": "2025-08-20"}, "the day of awareness is counted"),
    ("16", "icb_move_15wd", {"move_date": "2026-05-18", "aware": "2026-05-06"}, "the day of awareness is counted"),
    ("16", "icb_impracticable", {"aware": "2026-05-06"}, "the day of awareness is counted"),
    ("note", "termly_list_institutions", {}, "cited as 9.175 in one summary"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "rule", "facts", "said"), OPEN, ids=[f"{row[0]}-{row[1]}" for row in OPEN]
)
def test_what_the_document_leaves_open_stays_open(
    number: str, rule: str, facts: dict[str, Any], said: str
) -> None:
    told = explain(rule, facts)
    assert any(said in point for point in told.open_points)
    assert said in told.text.split(" Open: ", 1)[1]
