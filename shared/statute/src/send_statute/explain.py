"""Why this date? A computed rule with its trace, as a value, as JSON and as one or two plain sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from send_statute.interpret import Run, Traced
from send_statute.operations import OPERATIONS, is_day
from send_statute.pack import Pack, Rule
from send_statute.wording import day_in_words, in_words, to_iso


@dataclass(frozen=True, slots=True)
class CitedDate:
    """A date and the rule it stands on. `force` is law, guidance or policy and says how hard the date is."""

    date: date
    rule_id: str
    citation: str
    force: str
    text: str

    def to_dict(self) -> dict[str, str]:
        """JSON-ready."""
        return {
            "date": self.date.isoformat(),
            "rule_id": self.rule_id,
            "citation": self.citation,
            "force": self.force,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class ExplainedStep:
    """One step of the reckoning in plain English, with the rule it follows and what it gave."""

    name: str
    text: str
    rule_id: str
    citation: str
    result: Any

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "name": self.name,
            "text": self.text,
            "rule_id": self.rule_id,
            "citation": self.citation,
            "result": to_iso(self.result),
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to "why this date?"."""

    rule_id: str
    title: str
    citation: str
    force: str
    evidence: str
    pack_version: str
    inputs: Mapping[str, Any]
    """The facts used, defaults included."""
    results: Mapping[str, Any]
    cited: Mapping[str, CitedDate]
    """Every date among the results; the items of a list as "interims.1", "interims.2", …"""
    steps: tuple[ExplainedStep, ...]
    moved_by: tuple[str, ...]
    open_points: tuple[str, ...]
    text: str
    who_acts: tuple[str, ...] = ()
    who_is_told: tuple[str, ...] = ()
    appealable: str = ""
    exceptions: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, dates in ISO form."""
        return {
            "rule_id": self.rule_id,
            "title": self.title,
            "citation": self.citation,
            "force": self.force,
            "evidence": self.evidence,
            "pack_version": self.pack_version,
            "inputs": to_iso(dict(self.inputs)),
            "results": to_iso(dict(self.results)),
            "cited": {name: cited.to_dict() for name, cited in self.cited.items()},
            "steps": [step.to_dict() for step in self.steps],
            "moved_by": list(self.moved_by),
            "open_points": list(self.open_points),
            "text": self.text,
            "who_acts": list(self.who_acts),
            "who_is_told": list(self.who_is_told),
            "appealable": self.appealable or None,
            "exceptions": list(self.exceptions),
        }


def explanation(run: Run, pack: Pack) -> Explanation:
    """Put a traced run into words."""
    rule = run.rule
    last = {traced.name: traced for traced in run.trace}
    results = run.results()
    open_points = [*_open_points(rule, run, last), *_unknown_planning(run.trace)]
    return Explanation(
        rule_id=rule.id,
        title=rule.title,
        citation=rule.citation,
        force=rule.force,
        evidence=rule.evidence,
        pack_version=f"{pack.id} {pack.version}",
        inputs={fact.name: run.values[fact.name] for fact in rule.inputs},
        results=results,
        cited=dict(_cited(results, last)),
        steps=tuple(_steps(run.trace)),
        moved_by=_moved_by(rule, run),
        open_points=tuple(dict.fromkeys(open_points)),
        text=_text(rule, run, last, open_points),
        who_acts=rule.who_acts,
        who_is_told=rule.who_is_told,
        appealable=rule.appealable,
        exceptions=rule.exceptions,
    )


def _cited(results: Mapping[str, Any], last: Mapping[str, Traced]) -> list[tuple[str, CitedDate]]:
    found: list[tuple[str, CitedDate]] = []
    for name, value in results.items():
        if isinstance(value, list):
            days = [(f"{name}.{n}", day) for n, day in enumerate(value, 1) if is_day(day)]
        else:
            days = [(name, value)] if is_day(value) else []
        for key, day in days:
            traced = last[name]
            cited = CitedDate(
                day, traced.rule.id, traced.rule.citation, traced.rule.force, _sentence(traced, day)
            )
            found.append((key, cited))
    return found


def _label(traced: Traced) -> str:
    label = traced.step.label
    if not label and traced.inner:
        label = next((t.step.label for t in reversed(traced.inner) if t.name == traced.step.take), "")
    return label or traced.name.replace("_", " ").capitalize()


def _sentence(traced: Traced, value: Any) -> str:
    how = f", {traced.how}" if traced.how else ""
    return f"{_label(traced)}: {in_words(value)}{how} ({traced.rule.citation})."


def _steps(trace: list[Traced] | tuple[Traced, ...]) -> list[ExplainedStep]:
    """Every step in the order in which it ran, the steps of called rules before the step that called them."""
    steps: list[ExplainedStep] = []
    for traced in trace:
        inner = [t for t in traced.inner if t.name != traced.step.take]
        steps += _steps(inner)
        text = _sentence(traced, traced.value)
        steps.append(ExplainedStep(traced.name, text, traced.rule.id, traced.rule.citation, traced.value))
    return steps


def _open_points(rule: Rule, run: Run, last: Mapping[str, Traced]) -> list[str]:
    points = [
        _fill(point.say, rule, run, last)
        for point in rule.open_points
        if all(run.values.get(name) in wanted for name, wanted in point.when)
    ]
    # A point that speaks of a value which is not known here ("the anniversary would give none") says nothing.
    return [point for point in points if point]


def _unknown_planning(trace: list[Traced] | tuple[Traced, ...]) -> list[str]:
    points: list[str] = []
    for traced in trace:
        points += _unknown_planning(traced.inner)
        due = dict(traced.step.args).get("due")
        known = {t.name: t.value for t in trace}
        if traced.step.op == "planning_day" and traced.value is None and known.get(str(due)) is not None:
            points.append(
                f"the bank holidays of {known[str(due)].year} are not loaded, so no working day is given for "
                f"{traced.name.replace('_', ' ')}"
            )
    return points


def _moved_by(rule: Rule, run: Run) -> tuple[str, ...]:
    if not rule.results:
        return ()
    own = [_fill(line, rule, run, {}) for line in rule.moved_by]
    if not own:
        own = [
            f"another day for {run.meanings[fact.name]} (here {in_words(run.values[fact.name])})"
            for fact in rule.inputs
            if fact.type in ("date", "instant") and run.values[fact.name] is not None
        ]
    counts = {t.step.op for t in _all(run.trace) if t.step.op}
    if rule.force != "policy" and any(is_day(v) for v in run.results().values()):
        if any(OPERATIONS[op].needs_holidays for op in counts - {"planning_day"}):
            own.append("a bank holiday proclaimed within the working days counted")
        else:
            own.append("not moved by weekends, bank holidays or school holidays")
    return tuple(own)


def _all(trace: list[Traced] | tuple[Traced, ...]) -> list[Traced]:
    return [item for traced in trace for item in (traced, *_all(traced.inner))]


def _text(rule: Rule, run: Run, last: Mapping[str, Traced], open_points: list[str]) -> str:
    said = _fill(rule.says, rule, run, last) if rule.says else ""
    if not said:
        said = _default_text(rule, run, last)
    if open_points:
        said += " Open: " + "; ".join(open_points) + "."
    return said


def _default_text(rule: Rule, run: Run, last: Mapping[str, Traced]) -> str:
    results = run.results()
    told = [
        _sentence(last[name], value) for name, value in results.items() if value is not None and name in last
    ]
    if told:
        return " ".join(told[:2])
    if results:
        names = " or ".join(name.replace("_", " ") for name in results)
        return f"{rule.title}: there is no {names} on these facts ({rule.citation})."
    return f"{rule.title}: {rule.duty} ({rule.citation})."


_SLOT = re.compile(r"\{([a-z0-9_]+)(?:\.(how|meaning))?\}")


def _fill(template: str, rule: Rule, run: Run, last: Mapping[str, Traced]) -> str:
    """Fill {name}, {name.how}, {fact.meaning} and {citation}; empty if a name it speaks of has no value."""
    unknown = False

    def slot(match: re.Match[str]) -> str:
        nonlocal unknown
        name, part = match[1], match[2]
        if name == "citation":
            return rule.citation
        if part == "meaning":
            return run.meanings.get(name, name)
        if part == "how":
            traced = last.get(name)
            unknown = unknown or traced is None or not traced.how
            return traced.how if traced else ""
        value = run.values.get(name)
        unknown = unknown or value is None
        return day_in_words(value) if is_day(value) else in_words(value)

    filled = _SLOT.sub(slot, template)
    return "" if unknown else filled
