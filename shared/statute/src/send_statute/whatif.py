"""What if the rules were others? Every date that moves between two packs, and the clause that moved it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from send_statute.errors import StatuteError
from send_statute.holidays import BankHolidays
from send_statute.interpret import Run, Setting, Traced, run_rule
from send_statute.pack import Pack, Rule
from send_statute.policy import DEFAULT_POLICY, Policy
from send_statute.wording import to_iso

Case = tuple[str, str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Clause:
    """A rule that differs between the packs: how it reads before and after."""

    rule_id: str
    citation: str
    before: str
    """Its period of force and what it says before, or "not there"."""
    after: str


@dataclass(frozen=True, slots=True)
class Moved:
    """One result that is not the same under both packs."""

    case: str
    rule: str
    result: str
    before: Any
    after: Any
    days: int | None
    """Days by which a date moves, later being positive; None where it is not a date on both sides."""
    clauses: tuple[Clause, ...]
    """The rules used for this result that differ between the packs, the one nearest to the facts first."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "case": self.case,
            "rule": self.rule,
            "result": self.result,
            "before": to_iso(self.before),
            "after": to_iso(self.after),
            "days": self.days,
            "clauses": [
                {"rule_id": c.rule_id, "citation": c.citation, "before": c.before, "after": c.after}
                for c in self.clauses
            ],
        }


def diff(
    pack_a: Pack,
    pack_b: Pack,
    cases: Iterable[Case | tuple[str, Mapping[str, Any]] | Mapping[str, Any]],
    *,
    policy: Policy = DEFAULT_POLICY,
    policy_b: Policy | None = None,
    holidays: BankHolidays | None = None,
) -> list[Moved]:
    """What moves between pack A and pack B, case by case and in the order of each rule's results.

    A case is (name, rule, facts), (rule, facts), or a mapping with "rule", "facts" (or "input") and perhaps "id".
    A case that only one pack can compute appears with the refusal as the value of that side. `policy_b` asks the
    same of two policies.
    """
    calendar = holidays or BankHolidays.offline()
    a, b = Setting(pack_a, policy, calendar), Setting(pack_b, policy_b or policy, calendar)
    return [moved for number, case in enumerate(cases, 1) for moved in _case(*_read(case, number), a, b)]


def _read(case: Case | tuple[str, Mapping[str, Any]] | Mapping[str, Any], number: int) -> Case:
    if isinstance(case, Mapping):
        facts = case["facts"] if "facts" in case else case["input"]
        return str(case.get("id", number)), case["rule"], facts
    if len(case) == 2:
        return str(number), case[0], case[1]
    return case


def _case(name: str, rule: str, facts: Mapping[str, Any], a: Setting, b: Setting) -> list[Moved]:
    before, after = _run(rule, facts, a), _run(rule, facts, b)
    results_a, results_b = _results(before), _results(after)
    moved = []
    for result in dict.fromkeys((*results_a, *results_b)):
        old, new = results_a.get(result), results_b.get(result)
        if old != new:
            clauses = _clauses(result, before, after) or _settings(a.policy, b.policy)
            moved.append(Moved(name, rule, result, old, new, _days(old, new), clauses))
    return moved


def _run(rule: str, facts: Mapping[str, Any], within: Setting) -> Run | StatuteError:
    try:
        return run_rule(rule, facts, within, traced=True)
    except StatuteError as refusal:
        return refusal


def _results(run: Run | StatuteError) -> dict[str, Any]:
    return run.results() if isinstance(run, Run) else {"refused": str(run)}


def _days(old: Any, new: Any) -> int | None:
    try:
        return int((new - old).days)
    except (TypeError, AttributeError):
        return None


def _clauses(result: str, before: Run | StatuteError, after: Run | StatuteError) -> tuple[Clause, ...]:
    if isinstance(before, StatuteError) or isinstance(after, StatuteError):
        used_a, used_b, period_counts = _everything(before), _everything(after), True
    else:
        used_a, used_b, period_counts = _used(result, before), _used(result, after), False
    clauses = []
    for rule_id in dict.fromkeys((*used_a, *used_b)):
        old, new = used_a.get(rule_id), used_b.get(rule_id)
        if old and new and _same(old, new) and not (period_counts and old.in_force != new.in_force):
            continue
        clauses.append(
            Clause(rule_id, (used_b.get(rule_id) or used_a[rule_id]).citation, _says(old), _says(new))
        )
    return tuple(clauses)


def _same(old: Rule, new: Rule) -> bool:
    """Whether two versions reckon alike, whatever their titles and periods of force."""
    return (old.steps, old.inputs, old.results) == (new.steps, new.inputs, new.results)


def _settings(a: Policy, b: Policy) -> tuple[Clause, ...]:
    """The settings in which two policies differ, as clauses of local policy."""
    return tuple(
        Clause(f"policy.{s.name}", "local policy", str(getattr(a, s.name)), str(getattr(b, s.name)))
        for s in fields(Policy)
        if getattr(a, s.name) != getattr(b, s.name)
    )


def _used(result: str, run: Run | StatuteError) -> dict[str, Rule]:
    """The rules behind a result, those nearest to the facts first."""
    if isinstance(run, StatuteError):
        return {}
    used = _behind(result, run.trace)
    used.setdefault(run.rule.id, run.rule)
    return used


def _behind(name: str, trace: list[Traced] | tuple[Traced, ...]) -> dict[str, Rule]:
    """The rules of the steps that a name depends on, directly or through other names."""
    used: dict[str, Rule] = {}
    for traced in trace:
        if traced.name != name:
            continue
        for read in _reads(traced):
            used.update(_behind(read, [t for t in trace if t is not traced]))
        if traced.inner:
            used.update(_behind(traced.step.take, traced.inner))
        used.setdefault(traced.rule.id, traced.rule)
    return used


def _reads(traced: Traced) -> set[str]:
    names: set[str] = {name for name, _ in traced.step.when}
    for _, value in traced.step.args:
        names.update(
            item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, str)
        )
    return names - {traced.name}


def _everything(run: Run | StatuteError) -> dict[str, Rule]:
    if isinstance(run, StatuteError):
        return {}
    return {run.rule.id: run.rule}


def _says(rule: Rule | None) -> str:
    """A rule's arithmetic in one line, with its period of force."""
    if rule is None:
        return "not there"
    steps = []
    for step in rule.steps:
        numbers = ", ".join(f"{key} {value}" for key, value in step.args)
        steps.append(f"{step.set} = {step.op or step.rule}({numbers})")
    return f"{'; '.join(steps)} [{rule.in_force}]"
