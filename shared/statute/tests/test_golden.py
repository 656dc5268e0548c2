"""The hand-written cases, and the proof that they notice any number in the pack that changes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from statute_cases import Case, InForce, golden, in_force

from send_statute import MissingFact, NotInForce, Pack, UnknownRule, evaluate, explain, load_pack
from send_statute.pack import pack_from_document

CASES, PERIODS = golden(), in_force()


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_the_rule_answers_as_reckoned_by_hand(case: Case) -> None:
    assert case.outcome(load_pack()) == case.expected


@pytest.mark.parametrize("period", PERIODS, ids=[period.rule for period in PERIODS])
def test_the_rule_is_in_force_from_its_first_to_its_last_day_and_not_beyond(period: InForce) -> None:
    assert _in_force_as_expected(period, load_pack())


def test_every_rule_that_computes_anything_has_a_hand_written_case() -> None:
    computing = {rule.id for rule in load_pack().rules() if rule.steps}
    assert computing - {case.rule for case in CASES} == set()


def test_every_rule_has_what_an_officer_must_know() -> None:
    for rule in load_pack().rules():
        assert rule.title, rule.id
        assert rule.citation, rule.id
        assert rule.force in ("law", "guidance", "policy"), rule.id
        assert set(rule.evidence.split("/")) <= set("PSMD"), rule.id
        assert rule.steps or rule.duty, rule.id


def test_every_rule_explains_its_own_example() -> None:
    for rule in load_pack().rules():
        told = explain(rule.id, rule.example)
        assert told.text.endswith("."), rule.id
        assert "{" not in told.text, rule.id
        assert told.citation == rule.citation, rule.id


def test_an_unknown_rule_is_named_and_a_near_one_suggested() -> None:
    with pytest.raises(UnknownRule, match=r"revew_annual.*review_annual"):
        evaluate("revew_annual", {})


@pytest.mark.parametrize("given", [{}, {"anchor": None}])
def test_a_missing_fact_is_named_with_its_rule(given: dict[str, Any]) -> None:
    with pytest.raises(MissingFact, match=r"'review_annual' needs the fact 'anchor'"):
        evaluate("review_annual", given)


def test_dates_and_iso_text_and_hyphens_give_the_same_answer() -> None:
    assert evaluate("review-annual", {"anchor": date(2024, 11, 25)}) == evaluate(
        "review_annual", {"anchor": "2024-11-25"}
    )


# -- mutation ---------------------------------------------------------------------------------------------------


def test_every_changed_number_in_the_pack_is_noticed() -> None:
    unnoticed = [where for where, pack in _mutants() if not _noticed(where, pack)]
    assert unnoticed == []


def test_the_mutants_are_many() -> None:
    assert sum(1 for _ in _places()) > 150


Path = tuple[Any, ...]


def _places() -> Iterator[Path]:
    """Where a number, a date or a day of the year stands in the pack, examples apart: they are no law."""
    document = load_pack().source
    for name in document["instrument"]:
        yield ("instrument", name)
    for index, rule in enumerate(document["rule"]):
        for key, value in rule.items():
            if key != "example":
                yield from _numbers(value, ("rule", index, key))


def _numbers(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _numbers(item, (*path, index))
    elif (
        (isinstance(value, int) and not isinstance(value, bool))
        or isinstance(value, date)
        or (isinstance(value, str) and len(value) == 5 and value[2] == "-" and value[:2].isdigit())
    ):
        yield path


def _mutants() -> Iterator[tuple[str, Pack | None]]:
    """The pack with one number a step higher, and a step lower. None if the pack itself refuses the change."""
    for path in _places():
        for by in (1, -1):
            document = copy.deepcopy(dict(load_pack().source))
            holder: Any = document
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = _moved(holder[path[-1]], by)
            rule = document["rule"][path[1]]["id"] if path[0] == "rule" else path[1]
            yield f"{rule} {'.'.join(map(str, path[2:]))} {by:+}", pack_from_document(document)


def _moved(value: Any, by: int) -> Any:
    if isinstance(value, date):
        return value + timedelta(days=by)
    if isinstance(value, str):
        moved = date(2026, int(value[:2]), int(value[3:])) + timedelta(days=by)
        return f"{moved:%m-%d}"
    return value + by


def _noticed(where: str, pack: Pack | None) -> bool:
    if pack is None:
        return True
    mutated = where.split(" ")[0]
    near = [case for case in CASES if case.rule == mutated] or CASES
    return (
        any(case.outcome(pack) != case.expected for case in near)
        or not all(_in_force_as_expected(period, pack) for period in PERIODS)
        or any(case.outcome(pack) != case.expected for case in CASES)
    )


def _in_force_as_expected(period: InForce, pack: Pack) -> bool:
    day = timedelta(days=1)
    beyond = [period.first - day, *([period.last + day] if period.last else [])]
    try:
        pack.rule(period.rule, period.first)
        pack.rule(period.rule, period.last or date(2199, 12, 31))
    except NotInForce:
        return False
    return all(_not_in_force(pack, period.rule, on) for on in beyond)


def _not_in_force(pack: Pack, rule: str, on: date) -> bool:
    try:
        pack.rule(rule, on)
    except NotInForce:
        return True
    return False
