"""The state machines of a case, a plan and a review, read from the pack: what may follow what, and under which clause.

`Machine.step` answers with a `Transition` or raises `IllegalStep` naming the clause the step would offend. Lateness
does not refuse a step (a late decision is still a decision): it comes back in `Transition.breaches`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from send_statute.errors import BadFact, IllegalStep, MissingFact, MissingHolidayYear, PackError, StatuteError
from send_statute.facts import read_day
from send_statute.holidays import BankHolidays
from send_statute.interpret import Setting, run_rule
from send_statute.operations import is_day
from send_statute.pack import Pack, load_pack
from send_statute.policy import DEFAULT_POLICY, Policy

Told = Literal["must", "guidance", "policy"]
ROLES = ("family", "school", "icb", "social_care", "la_sen_officer", "youth_justice")


@dataclass(frozen=True, slots=True)
class Timer:
    """A limit that starts with a step. `due` is None while a fact it needs is not known."""

    name: str
    rule_id: str
    citation: str
    force: str
    due: date | None


@dataclass(frozen=True, slots=True)
class Breach:
    """Something the step broke without being refused for it."""

    reason: str
    clause: str


@dataclass(frozen=True, slots=True)
class Transition:
    """A legal step."""

    machine: str
    state: str
    event: str
    to: str
    citation: str
    appealable: str | None
    """Ground of appeal in s.51(2) of the Children and Families Act 2014, such as "s.51(2)(e)", or None."""
    timers: tuple[Timer, ...]
    notify: Mapping[str, Told]
    breaches: tuple[Breach, ...]
    starts: Mapping[str, str]
    """States of other machines that begin with this step: {"plan": "ACTIVE"}."""
    concludes: bool
    """Whether this step concludes a review, so that its day starts the next 12 months."""


@dataclass(frozen=True)
class Machine:
    """One machine: its states and every legal step."""

    name: str
    title: str
    start: str
    states: tuple[str, ...]
    ends: frozenset[str]
    steps: tuple[Mapping[str, Any], ...]
    refusals: tuple[Mapping[str, Any], ...]
    pack: Pack

    def legal(self, state: str) -> tuple[str, ...]:
        """Events that may follow in a state, guards aside."""
        return tuple(dict.fromkeys(step["event"] for step in self.steps if state in step["from"]))

    def events(self) -> tuple[str, ...]:
        """Every event the machine knows."""
        return tuple(dict.fromkeys(step["event"] for step in self.steps))

    def step(
        self,
        state: str,
        event: str,
        facts: Mapping[str, Any] | None = None,
        *,
        policy: Policy = DEFAULT_POLICY,
        holidays: BankHolidays | None = None,
    ) -> Transition:
        """Take a step. `facts` hold dates as `date` or ISO text; "on" is the day of the step.

        Raises `IllegalStep` if the step is not open or a guard refuses it, `MissingFact` if a guard cannot be
        checked for want of a fact, `BadFact` if a fact it looks at cannot be read.
        """
        row = next((s for s in self.steps if s["event"] == event and state in s["from"]), None)
        if row is None:
            raise self._refused(state, event)
        known = {k: v for k, v in (facts or {}).items() if v is not None}
        within = Setting(self.pack, policy, holidays or BankHolidays.offline())
        breaches = []
        for guard in row.get("guards", ()):
            if _holds(f"{self.name}.{event}", guard, known, within):
                continue
            if not guard.get("breach"):
                raise IllegalStep(self.name, state, event, guard["reason"], guard["clause"])
            breaches.append(Breach(guard["reason"], guard["clause"]))
        row_name = row.get("notify")
        return Transition(
            machine=self.name,
            state=state,
            event=event,
            to=row["to"],
            citation=row["clause"],
            appealable=row.get("appealable"),
            timers=tuple(_timer(spec, known, within) for spec in row.get("timers", ())),
            notify=who_is_told(row_name, detained=bool(known.get("detained")), pack=self.pack)
            if row_name
            else {},
            breaches=tuple(breaches),
            starts=row.get("starts", {}),
            concludes=row.get("concludes", False),
        )

    def _refused(self, state: str, event: str) -> IllegalStep:
        if state not in self.states:
            return IllegalStep(self.name, state, event, f"there is no state {state!r}", "unknown state")
        for row in self.refusals:
            if row["event"] == event and state in row["from"]:
                return IllegalStep(self.name, state, event, row["reason"], row["clause"])
        legal = self.legal(state)
        open_now = f"open here: {', '.join(legal)}" if legal else "nothing follows this state"
        meant = next((s for s in self.steps if s["event"] == event), None)
        if meant is None:
            return IllegalStep(
                self.name, state, event, f"there is no such event; {open_now}", "unknown event"
            )
        return IllegalStep(self.name, state, event, open_now, meant["clause"])


def machine(name: str, pack: Pack | None = None) -> Machine:
    """The machine "case", "plan" or "review"."""
    return _machine(name) if pack is None else _read(name, pack)


@cache
def _machine(name: str) -> Machine:
    return _read(name, load_pack())


def _read(name: str, pack: Pack) -> Machine:
    machines = pack.source.get("machine", {})
    if name not in machines:
        raise StatuteError(f"unknown machine {name!r}; there are {', '.join(machines)}")
    row = machines[name]
    states = tuple(row["states"])
    read = Machine(
        name=name,
        title=row["title"],
        start=row["start"],
        states=states,
        ends=frozenset(row["ends"]),
        steps=tuple(row["step"]),
        refusals=tuple(row.get("refusal", ())),
        pack=pack,
    )
    for step in (*read.steps, *read.refusals):
        named = {*step["from"], step.get("to", read.start)}
        if not named <= set(states):
            raise PackError(
                f"machine {name}, {step['event']}: unknown state in {sorted(named - set(states))}"
            )
        if step.get("notify", "termly_list") not in pack.source["notify"]:
            raise PackError(f"machine {name}, {step['event']}: nobody is told of {step['notify']!r}")
        for part in (*step.get("guards", ()), *step.get("timers", ())):
            if "rule" in part and part["take"] not in pack.rule(part["rule"]).results:
                raise PackError(f"machine {name}, {step['event']}: {part['rule']} has no {part['take']!r}")
    return read


def _holds(asking: str, guard: Mapping[str, Any], facts: Mapping[str, Any], within: Setting) -> bool:
    """Whether a guard is satisfied, or need not be looked at."""
    if guard.get("always"):
        return False
    if guard.get("unless") and facts.get(guard["unless"]):
        return True
    if guard.get("optional") and not all(name in facts for name in _needed(guard)):
        return True
    if "rule" not in guard:
        value = facts.get(guard["fact"], guard.get("default"))
        if guard.get("given"):
            return value is not None and str(value).strip() != ""
        if value is None:
            raise MissingFact(asking, guard["fact"])
        return value in guard["is"]
    result = run_rule(guard["rule"], _facts_for(guard, facts), within).results().get(guard["take"])
    if "is" in guard:
        return result in guard["is"]
    when = guard.get("fact", "on")
    if when not in facts:
        raise MissingFact(asking, when)
    try:
        day = read_day(facts[when])
    except (ValueError, OverflowError) as problem:
        raise BadFact(asking, when, str(problem)) from None
    if not is_day(result):
        raise MissingFact(asking, guard["take"])
    return day >= result if guard.get("not_before") else day <= result


def _needed(guard: Mapping[str, Any]) -> list[str]:
    if "rule" not in guard:
        return [guard["fact"]]
    return [*guard.get("needs", ()), guard.get("fact", "on")]


def _facts_for(spec: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts with the renamings of a guard or timer: {"day0": "on"} gives the rule the day of the step."""
    renamed = {name: facts[source] for name, source in spec.get("with", {}).items() if source in facts}
    left = {name: value for name, value in facts.items() if name not in spec.get("with", {})}
    return {**left, **renamed}


def _timer(spec: Mapping[str, Any], facts: Mapping[str, Any], within: Setting) -> Timer:
    rule = within.pack.rule(spec["rule"])
    try:
        due = run_rule(spec["rule"], _facts_for(spec, facts), within).results().get(spec["take"])
    except (MissingFact, MissingHolidayYear):
        due = None  # a timer that cannot be told yet does not stop the step
    return Timer(spec["name"], rule.id, rule.citation, rule.force, due if is_day(due) else None)


def who_is_told(event: str, *, detained: bool = False, pack: Pack | None = None) -> dict[str, Told]:
    """Who is told of an event, and how binding that is. A role that is not told is left out.

    `event` is a row of the matrix, the name of a domain event ("PlanIssued"), or an event of a machine. Of a
    detained person the youth offending team and the place of custody are told as well.
    """
    chosen = pack or load_pack()
    row = chosen.source["notify"][_matrix_row(event, chosen)]
    levels: tuple[Told, ...] = ("must", "guidance", "policy")
    told: dict[str, Told] = {role: level for level in levels for role in row.get(level, ())}
    if detained:
        told.update(dict.fromkeys(row.get("if_detained", ()), "must"))
    return {role: told[role] for role in ROLES if role in told}


def notification_matrix(pack: Pack | None = None) -> Mapping[str, Mapping[str, Any]]:
    """The whole matrix as it stands in the pack, with titles, clauses and notes."""
    return MappingProxyType((pack or load_pack()).source["notify"])


def _matrix_row(event: str, pack: Pack) -> str:
    matrix: Mapping[str, Any] = pack.source["notify"]
    if event in matrix:
        return event
    for name, row in matrix.items():
        if event in row.get("also", ()):
            return name
    steps = [
        s for m in pack.source["machine"].values() for s in m["step"] if s["event"] == event and "notify" in s
    ]
    rows = {s["notify"] for s in steps}
    if len({str(sorted(matrix[name].items(), key=str)) for name in rows}) == 1:
        return str(rows.pop())
    if rows:
        raise StatuteError(f"{event!r} is told differently in different machines: {', '.join(sorted(rows))}")
    raise StatuteError(f"nobody is told of {event!r}: no such event in the notification matrix")
