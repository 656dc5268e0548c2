"""Running a rule: its steps in order over the facts, with a trace of every step if one is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from send_statute.errors import BadFact, StatuteError
from send_statute.facts import read_facts, setting
from send_statute.holidays import BankHolidays
from send_statute.operations import OPERATIONS, Operation
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

    def same_as(self, other: Setting) -> bool:
        """Whether both are the very same pack and calendar, under equal policies."""
        return self.pack is other.pack and self.holidays is other.holidays and self.policy == other.policy


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
    in_force = _in_force(rule, values, within)
    if in_force is not rule:
        rule = in_force
        values, meanings = read_facts(rule, facts, within.policy)
    run = Run(rule, values, meanings)
    _run_steps(run, within, traced)
    return run


def run_typed(name: str, facts: dict[str, Any], within: Setting, traced: bool = False) -> Run:
    """Run a rule, by its id, on values that are of the right types already, as another rule or a batch has them."""
    rule = within.pack.versions[name][-1]
    for fact in rule.inputs:
        if facts.get(fact.name) is None and (fact.default is not None or not fact.optional):
            return run_rule(name, facts, within, traced=traced)
    facts = {fact.name: facts.get(fact.name) for fact in rule.inputs}
    run = Run(_in_force(rule, facts, within), facts, {fact.name: fact.meaning for fact in rule.inputs})
    _run_steps(run, within, traced)
    return run


def _in_force(rule: Rule, values: Mapping[str, Any], within: Setting) -> Rule:
    started = values.get(rule.trigger_fact) if rule.trigger_fact else None
    if isinstance(started, date) and not rule.in_force_on(started):
        return within.pack.rule(rule.id, started)
    return rule


def _run_steps(run: Run, within: Setting, traced: bool) -> None:
    values, trace, policy = run.values, run.trace, within.policy
    called: Run | None = None
    called_with: tuple[str, dict[str, Any]] | None = None
    for planned in _plan(run.rule, within.pack):
        step = planned.step
        if step.when and not all(_value(name, values, policy) in wanted for name, wanted in step.when):
            continue
        args = dict(planned.constants)
        for key, name in planned.names:
            args[key] = values.get(name)
        for key, source in planned.others:
            args[key] = _resolve(source, values, policy)
        if step.rule:
            # Neighbouring steps often take two results of one rule, which need not run twice.
            if called is None or called_with != (step.rule, args):
                called, called_with = run_typed(step.rule, args, within, traced), (step.rule, args)
            values[step.set] = called.values.get(step.take)
            if traced:
                trace.append(_called(step, run.rule, called, within))
            continue
        operation = planned.operation
        if not operation.takes_none and None in args.values():
            values[step.set] = None
        else:
            try:
                if operation.needs_holidays:
                    values[step.set] = operation.run(within.holidays, **args)
                else:
                    values[step.set] = operation.run(**args)
            except StatuteError:
                raise
            except (ValueError, OverflowError, TypeError, KeyError) as problem:
                raise BadFact(run.rule.id, step.set, f"cannot be computed: {problem}") from problem
        if traced:
            cited = within.pack.rule(step.under) if step.under else run.rule
            how = "" if values[step.set] is None else operation.words(args)
            trace.append(Traced(step.set, values[step.set], how, cited, step, run.rule))


def _called(step: Step, of: Rule, called: Run, within: Setting) -> Traced:
    last = next((t for t in reversed(called.trace) if t.name == step.take), None)
    how = last.how if last else ""
    cited = within.pack.rule(step.under) if step.under else last.rule if last else called.rule
    return Traced(step.set, called.values.get(step.take), how, cited, step, of, tuple(called.trace))


Source = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class _Planned:
    """A step made ready to run: what is fixed, what is a plain name, and what needs a closer look."""

    step: Step
    operation: Operation
    constants: Mapping[str, Any]
    names: tuple[tuple[str, str], ...]
    others: tuple[tuple[str, Source], ...]


_CALL = Operation("call", lambda: None, lambda args: "")


def _plan(rule: Rule, pack: Pack) -> tuple[_Planned, ...]:
    """The steps of a rule made ready to run, worked out once per version and kept with the pack."""
    key = (rule.id, rule.valid_from)
    found: tuple[_Planned, ...] | None = pack.plans.get(key)
    if found is None:
        found = pack.plans[key] = tuple(_planned(rule, step, pack) for step in rule.steps)
    return found


def _planned(rule: Rule, step: Step, pack: Pack) -> _Planned:
    read = [(key, _source(key, value)) for key, value in step.args]
    operation = _CALL
    if step.rule:
        # What the called rule takes and the caller has under the same name is handed on.
        given = {key for key, _ in read}
        own = {fact.name for fact in rule.inputs} | {s.set for s in rule.steps}
        wanted = (fact.name for fact in pack.rule(step.rule).inputs)
        read += [(name, ("name", name)) for name in wanted if name in own and name not in given]
    else:
        operation = OPERATIONS[step.op]
    plain = [(key, name) for key, (kind, name) in read if kind == "name" and not name.startswith("policy.")]
    constants = {key: value for key, (kind, value) in read if kind == "value"}
    done = {key for key, _ in plain} | constants.keys()
    others = tuple((key, source) for key, source in read if key not in done)
    return _Planned(step, operation, constants, tuple(plain), others)


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
