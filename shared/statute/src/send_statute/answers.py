"""The two questions everybody asks: what are the dates, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from send_statute.explain import Explanation, explanation
from send_statute.holidays import BankHolidays
from send_statute.interpret import Setting, iso_results, run_rule
from send_statute.pack import Pack, Rule, load_pack
from send_statute.policy import DEFAULT_POLICY, Policy


def evaluate(
    rule: str,
    facts: Mapping[str, Any],
    *,
    policy: Policy = DEFAULT_POLICY,
    pack: Pack | None = None,
    holidays: BankHolidays | None = None,
) -> dict[str, Any]:
    """The results of a rule as JSON values: ISO strings, numbers, booleans, lists, None.

    `rule` is an id of the pack (hyphens allowed); `facts` hold ISO strings or `date` objects, None meaning "none".
    Raises `UnknownRule`, `MissingFact`, `BadFact`, `NotInForce` or `MissingHolidayYear`, all `ValueError`.
    """
    return iso_results(run_rule(rule, facts, _setting(policy, pack, holidays)))


def explain(
    rule: str,
    facts: Mapping[str, Any],
    *,
    policy: Policy = DEFAULT_POLICY,
    pack: Pack | None = None,
    holidays: BankHolidays | None = None,
) -> Explanation:
    """The same with the reasons: every date with its rule and citation, every step, and what is open."""
    within = _setting(policy, pack, holidays)
    return explanation(run_rule(rule, facts, within, traced=True), within.pack)


def rules(pack: Pack | None = None) -> tuple[Rule, ...]:
    """Every version of every rule, in the order of the pack."""
    return (pack or load_pack()).rules()


def _setting(policy: Policy, pack: Pack | None, holidays: BankHolidays | None) -> Setting:
    return Setting(pack or load_pack(), policy, holidays or BankHolidays.offline())
