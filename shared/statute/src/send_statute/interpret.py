"""Running a rule: its steps in order over the facts, with a trace of every step if one is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from send_statute.errors import BadFact, PackError, StatuteError
from send_statute.facts import read_facts, setting
from send_statute.holidays import BankHolidays
from send_statute.operations import OPERATIONS
from send_statute.pack import LITERAL_ARGS, Pack, Rule, Step
from send_statute.policy import Policy
from send_statute.wording import to_iso


@dataclass(frozen=True, slots=True)
class Traced:
    """One step that ran: what it set, to what, how, and under which rule."""

    name: str
    value: Any
    how: str
    """The operation in words; for a call, how the called rule reached the result."""
    rule: Rule
    """The rule whose citation the result carries."""
    step: Step
    of: Rule
    """The rule in which the step stands."""
    inner: tuple[Traced, ...] = ()
    """For a call: the trace of the called rule."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything a computation depends on besides the facts."""

    pack: Pack
    policy: Policy
    holidays: BankHolidays


@dataclass(slots=True)
class Run:
    """What came of one rule: every name it set, what was read of the facts, and the trace."""

    rule: Rule
    values: dict[str, Any]
    meanings: dict[str, str] = field(default_factory=dict)
    trace: list[Traced] = field(default_factory=list)

    def results(self) -> dict[str, Any]:
        """The results in the order the rule names them; a result whose step did not apply is left out."""
        return {name: self.values[name] for name in self.rule.results if name in self.values}


def run_rule(name: str, facts: Mapping[str, Any], within: Setting, *, traced: bool = False) -> Run:
    """Run the version of a rule that was in force on the day that starts its clock."""
    rule = within.pack.rule(name)
    values, meanings = read_facts(rule, facts, within.policy)
    started = values.get(rule.trigger_fact)
    if isinstance(started, date) and not rule.in_force_on(started):
        rule = within.pack.rule(name, started)
        values, meanings = read_facts(rule, facts, within.policy)
    run = Run(rule, values, meanings)
    _run_steps(run, within, traced)
    return run


def _run_steps(run: Run, within: Setting, traced: bool) -> None:
    values, trace = run.values, run.trace
    for step, conditions, read, act in _plan(run.rule, within.pack):
        if conditions and not all(
            _value(name, values, within.policy) in wanted for name, wanted in conditions
        ):
            continue
        args = {key: _resolve(source, values, within.policy) for key, source in read}
        if step.rule:
            called = run_rule(step.rule, args, within, traced=traced)
            values[step.set] = called.results().get(step.take)
            if traced:
                trace.append(_called(step, run.rule, called, within))
            continue
        try:
            values[step.set] = act(args, within)
        except StatuteError:
            raise
        except (ValueError, OverflowError, TypeError, KeyError) as problem:
            raise BadFact(run.rule.id, step.set, f"cannot be computed: {problem}") from problem
        if traced:
            cited = within.pack.rule(step.under) if step.under else run.rule
            how = "" if values[step.set] is None else OPERATIONS[step.op].words(args)
            trace.append(Traced(step.set, values[step.set], how, cited, step, run.rule))


def _called(step: Step, of: Rule, called: Run, within: Setting) -> Traced:
    last = next((t for t in reversed(called.trace) if t.name == step.take), None)
    how = last.how if last else ""
    cited = within.pack.rule(step.under) if step.under else last.rule if last else called.rule
    return Traced(step.set, called.values.get(step.take), how, cited, step, of, tuple(called.trace))


Source = tuple[str, Any]
Act = Callable[[dict[str, Any], Setting], Any]
Planned = tuple[Step, tuple[tuple[str, tuple[Any, ...]], ...], tuple[tuple[str, Source], ...], Act]


def _plan(rule: Rule, pack: Pack) -> tuple[Planned, ...]:
    """The steps of a rule made ready to run, worked out once per version and kept with the pack."""
    key = (rule.id, rule.valid_from)
    found: tuple[Planned, ...] | None = pack.plans.get(key)
    if found is None:
        found = pack.plans[key] = tuple(_planned(rule, step, pack) for step in rule.steps)
    return found


def _planned(rule: Rule, step: Step, pack: Pack) -> Planned:
    read = [(key, _source(key, value)) for key, value in step.args]
    if step.rule:
        # What the called rule takes and the caller has under the same name is handed on.
        given = {key for key, _ in read}
        own = {fact.name for fact in rule.inputs} | {s.set for s in rule.steps}
        wanted = (fact.name for fact in pack.rule(step.rule).inputs)
        read += [(name, ("name", name)) for name in wanted if name in own and name not in given]
        return step, step.when, tuple(read), _no_act
    operation = OPERATIONS.get(step.op)
    if operation is None:
        raise PackError(f"{rule.id}.{step.set}: unknown operation {step.op!r}")
    run, takes_none, needs_holidays = operation.run, operation.takes_none, operation.needs_holidays

    def act(args: dict[str, Any], within: Setting) -> Any:
        if not takes_none and None in args.values():
            return None
        return run(within.holidays, **args) if needs_holidays else run(**args)

    return step, step.when, tuple(read), act


def _no_act(args: dict[str, Any], within: Setting) -> Any:
    raise AssertionError("a call has no operation")


def _source(key: str, value: Any) -> Source:
    if key in LITERAL_ARGS:
        return "value", value
    if isinstance(value, str):
        return "name", value
    if isinstance(value, tuple):
        return "each", tuple(_source(key, item) for item in value)
    return "value", value


def _resolve(source: Source, values: Mapping[str, Any], policy: Policy) -> Any:
    kind, value = source
    if kind == "name":
        return _value(value, values, policy)
    if kind == "each":
        return tuple(_resolve(item, values, policy) for item in value)
    return value


def _value(name: str, values: Mapping[str, Any], policy: Policy) -> Any:
    return setting(policy, name) if name.startswith("policy.") else values.get(name)


def iso_results(run: Run) -> dict[str, Any]:
    """The results of a run as JSON values."""
    return {name: to_iso(value) for name, value in run.results().items()}
