"""`ehcp why` and `ehcp rules` at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ehcp_embedded.statute_commands import register
from send_statute import reference_page, rules

app = typer.Typer()
register(app)


def run(*words: str) -> str:
    """What a command that succeeds prints."""
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words: str) -> str:
    """What a command that is refused prints."""
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 2, result.output
    return result.output


def test_why_says_the_date_the_rule_and_the_reason() -> None:
    said = run("why", "annual-review", "--last-reviewed", "2024-11-25")
    assert said.startswith(
        "The review must be concluded by 24 November 2025: 12 months starting with 25 November 2024, when the last "
        "review was concluded (Children and Families Act 2014 s.44(1)), last day included."
    )
    assert "strict reading; the anniversary would give 25 November 2025" in said
    assert "  1. Review concluded by 24 November 2025: 12 months starting with 25 November 2024.\n" in said
    assert "  2. On the anniversary reading, review concluded by 25 November 2025: 12 months after" in said
    assert "Rule review_annual, law (primary text read), pack england 2026.1." in said
    assert said.index("What moves it:\n  - a review concluded earlier") < said.index("What does not:\n")
    assert "  - weekends, bank holidays or school holidays" in said


def test_why_as_json_is_the_whole_explanation() -> None:
    told = json.loads(run("why", "review_meeting", "--meeting=2025-10-15", "--json"))
    assert told["results"]["decision_due"] == "2025-11-12"
    assert told["cited"]["report_due"]["rule_id"] == "report_2w"


def test_why_takes_the_councils_policy(tmp_path: Path) -> None:
    file = tmp_path / "bury.toml"
    file.write_text("under5_interval_months = 3\n", encoding="utf-8")
    said = run(
        "why",
        "review-under5",
        "--date-of-birth",
        "2023-01-31",
        "--anchor",
        "2025-10-31",
        "--policy",
        str(file),
    )
    assert "31 January 2026" in said


def test_why_takes_lists_as_json() -> None:
    events = json.dumps([{"type": "review_concluded", "date": "2024-12-20"}])
    assert "19 December 2025" in run(
        "why", "review-anchor", "--plan-first-made", "2024-01-15", "--events", events
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("why", "annual-review"), "needs the fact 'anchor'"),
        (("why", "annual-review", "--anchor", "soon"), "must be a date"),
        (("why", "annual-review", "--anchor"), "--anchor needs a value"),
        (("why", "annual-review", "--banana", "1"), "takes no '--banana'"),
        (("why", "annual-review", "2024-11-25"), "takes no '2024-11-25'"),
        (("why", "annual-revue", "--anchor", "2024-11-25"), "unknown rule 'annual-revue'"),
        (
            ("why", "review-anchor", "--plan-first-made", "2024-01-15", "--events", "x"),
            "--events is a JSON list",
        ),
        (
            ("why", "annual-review", "--anchor", "2024-11-25", "--policy", "/no/such.toml"),
            "cannot read /no/such.toml",
        ),
        (("rules", "no-such-rule"), "unknown rule"),
        (("rules", "--section", "8"), "no section '8'"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_a_sentence(words: tuple[str, ...], said: str) -> None:
    assert said in refused(*words)


def test_a_refused_question_lists_the_facts_the_rule_takes() -> None:
    assert "--last-reviewed" in refused("why", "annual-review")


def test_rules_lists_every_rule_with_its_citation() -> None:
    listed = run("rules")
    for rule in rules():
        assert rule.id in listed
        assert rule.citation in listed


def test_rules_shows_one_section_or_one_rule() -> None:
    assert "phase_15feb" not in run("rules", "--section", "3")
    assert "28 days" not in run("rules", "notice-2w")
    assert "14 days before meeting" in run("rules", "notice-2w")


def test_rules_as_json_is_a_line_per_rule() -> None:
    lines = [json.loads(line) for line in run("rules", "--json").splitlines()]
    assert [line["id"] for line in lines] == [rule.id for rule in rules()]


def test_the_reference_page_is_printed() -> None:
    assert run("rules", "--page") == reference_page()
