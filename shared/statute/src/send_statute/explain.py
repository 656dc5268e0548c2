"""Why this date? A computed rule with its trace, as a value, as JSON and as one or two plain sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from send_statute.interpret import Run, Traced
from send_statute.operations import OPERATIONS, is_day
from send_statute.pack import SLOT, Pack, Sentence
from send_statute.wording import in_words, joined, spelled_out, to_iso


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
    """One step of the reckoning in plain English, with what it gave and, beside the words, the rule it follows."""

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
    """What would move the dates."""
    not_moved_by: tuple[str, ...]
    """What does not, though it might be thought to."""
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
            "not_moved_by": list(self.not_moved_by),
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
    open_points = [*_said(rule.open_points, run, last), *_unknown_planning(run.trace)]
    moved_by, not_moved_by = _moved_by(run, last)
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
        moved_by=moved_by,
        not_moved_by=not_moved_by,
        open_points=tuple(dict.fromkeys(open_points)),
        text=_text(run, last, open_points),
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


_RUNS_ON = re.compile(r"\b(by|on|until|from|to|before|than|the|with)$")


def _words(traced: Traced, value: Any) -> str:
    """ "Decision notified by 12 November 2025: 4 weeks after …", or "Days late: 3, days by which …"."""
    label, said = _label(traced), in_words(value)
    before, after = (" ", ": ") if _RUNS_ON.search(label) else (": ", ", ")
    return f"{label}{before}{said}" + (f"{after}{traced.how}" if traced.how not in ("", said) else "")


def _sentence(traced: Traced, value: Any) -> str:
    return f"{_words(traced, value)} ({spelled_out(traced.rule.citation)})."


def _steps(trace: list[Traced] | tuple[Traced, ...]) -> list[ExplainedStep]:
    """The steps that gave something in the order in which they ran, those of called rules before the calling step."""
    steps: list[ExplainedStep] = []
    for traced in trace:
        inner = [t for t in traced.inner if t.name != traced.step.take]
        steps += _steps(inner)
        if traced.value is not None:
            text = f"{_words(traced, traced.value)}."
            steps.append(ExplainedStep(traced.name, text, traced.rule.id, traced.rule.citation, traced.value))
    return steps


def _said(sentences: Iterable[Sentence], run: Run, last: Mapping[str, Traced]) -> list[str]:
    """Those that hold. One that speaks of a value not known here ("the anniversary would give none") says nothing."""
    filled = [
        _fill(one.say, run, last)
        for one in sentences
        if all(run.values.get(name) in wanted for name, wanted in one.when)
    ]
    return [text for text in filled if text]


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


def _moved_by(run: Run, last: Mapping[str, Traced]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What would move the dates of a rule, and what does not."""
    rule = run.rule
    moved = _said(map(Sentence, rule.moved_by), run, last)
    not_moved = _said(map(Sentence, rule.not_moved_by), run, last)
    if not moved:
        moved = [
            f"another day on which {run.meanings[fact.name]} (here {in_words(run.values[fact.name])})"
            for fact in rule.inputs
            if fact.type in ("date", "instant") and run.values[fact.name] is not None
        ]
    if rule.force != "policy" and any(is_day(value) for value in run.results().values()):
        counted = {traced.step.op for traced in _all(run.trace) if traced.step.op} - {"planning_day"}
        if any(OPERATIONS[op].needs_holidays for op in counted):
            moved.append("a bank holiday proclaimed within the working days counted")
            not_moved.append("school holidays")
        else:
            not_moved.append("weekends, bank holidays or school holidays")
    return tuple(moved), tuple(not_moved)


def _all(trace: list[Traced] | tuple[Traced, ...]) -> list[Traced]:
    return [item for traced in trace for item in (traced, *_all(traced.inner))]


def _text(run: Run, last: Mapping[str, Traced], open_points: list[str]) -> str:
    said = " ".join(_said(run.rule.says, run, last)) or _results_in_turn(run, last)
    if open_points:
        said += " Open: " + "; ".join(open_points) + "."
    return said


def _results_in_turn(run: Run, last: Mapping[str, Traced]) -> str:
    rule, results = run.rule, run.results()
    told = [
        _sentence(last[name], value) for name, value in results.items() if value is not None and name in last
    ]
    if told:
        return " ".join(told)
    if results:
        names = joined([name.replace("_", " ") for name in results], "or")
        return f"{rule.title}: there is no {names} on these facts ({spelled_out(rule.citation)})."
    return f"{rule.title}: {rule.duty} ({spelled_out(rule.citation)})."


def _fill(template: str, run: Run, last: Mapping[str, Traced]) -> str:
    """Fill {name}, {name.how}, {fact.meaning} and {citation}; empty if a name it speaks of has no value."""
    unknown = False

    def slot(match: re.Match[str]) -> str:
        nonlocal unknown
        name, part = match[1], match[2]
        if name == "citation":
            return spelled_out(run.rule.citation)
        if part == "meaning":
            return run.meanings[name]
        if part == "how":
            traced = last.get(name)
            unknown = unknown or traced is None or not traced.how
            return traced.how if traced else ""
        value = run.values.get(name)
        unknown = unknown or value is None
        return in_words(value)

    filled = SLOT.sub(slot, template)
    return "" if unknown else filled
