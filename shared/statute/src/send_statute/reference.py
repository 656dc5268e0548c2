"""The reference page: every rule with its citation, its formula in plain English and a worked example.

`python -m send_statute > shared/statute/REFERENCE.md` renews the copy in the repository.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from send_statute.explain import explanation
from send_statute.holidays import BankHolidays
from send_statute.interpret import Setting, run_rule
from send_statute.machines import ROLES, machine, notification_matrix
from send_statute.operations import OPERATIONS
from send_statute.pack import SLOT, Pack, Rule, Step, load_pack
from send_statute.policy import DEFAULT_POLICY
from send_statute.wording import in_words, joined

SECTIONS = {
    "0": "Counting days, weeks and months",
    "1": "Assessment and first plan",
    "2": "Annual review: when",
    "3": "Annual review: how",
    "4": "Phase transfer",
    "5": "Year groups and ages",
    "6": "Moves, custody, not attending",
    "7": "Ceasing, re-assessment, mediation, appeal",
    "9": "Measures",
}
EVIDENCE = {
    "P": "primary text read",
    "S": "secondary source",
    "M": "from memory, to verify",
    "D": "our design decision",
}


def reference_page(pack: Pack | None = None) -> str:
    """The page as Markdown."""
    chosen = pack or load_pack()
    return "\n".join(_page(chosen)).rstrip() + "\n"


def formula(step: Step, *, linked: bool = True) -> str:
    """A step of a rule in plain English, with the names of facts where an explanation would have their values."""
    condition = joined(
        [f"{in_words(name)} is {joined([in_words(v) for v in wanted], 'or')}" for name, wanted in step.when]
    )
    only = f" (when {condition})" if condition else ""
    if step.rule:
        given = ", ".join(f"{key} = {value}" for key, value in step.args)
        called = f"[`{step.rule}`](#{step.rule})" if linked else step.rule
        return f"`{step.set}`: `{step.take}` of {called}{f' with {given}' if given else ''}{only}"
    args = dict(step.args)
    said = OPERATIONS[step.op].words(args)
    if "rows" in args:
        said += (
            ": "
            + "; ".join(_row(row) for row in args["rows"])
            + f"; otherwise {in_words(args.get('otherwise'))}"
        )
    return f"`{step.set}`: {said}{only}"


def _row(row: Mapping[str, Any]) -> str:
    tests = [f"{in_words(key)} {in_words(value)}" for key, value in row.items() if key != "then"]
    return f"{joined(tests)} gives {in_words(row.get('then'))}"


def _page(pack: Pack) -> Iterator[str]:
    yield "# The rules, one by one"
    yield ""
    yield f"{pack.title}. Pack `{pack.id}` {pack.version}. Made from the pack by `send_statute.reference`; not edited by hand."
    yield ""
    yield (
        "A due day is the last compliant day, to its local midnight, and is not moved off weekends or bank holidays. "
        f"Evidence: {joined([f'{key} = {meaning}' for key, meaning in EVIDENCE.items()])}."
    )
    for section, title in SECTIONS.items():
        yield ""
        yield f"## {section}. {title}"
        for rule in pack.rules():
            if rule.section == section:
                yield ""
                yield from _rule(rule, pack)
    yield ""
    yield from _machines(pack)


def _rule(rule: Rule, pack: Pack) -> Iterator[str]:
    yield f'### <a id="{rule.id}"></a>`{rule.id}` {rule.title}'
    yield ""
    yield f"**{rule.force}** · {rule.citation} · evidence {rule.evidence} · {rule.in_force}"
    yield ""
    lines = {
        "Starts with": rule.trigger,
        "Duty": rule.duty,
        "Acts": joined(list(rule.who_acts)),
        "Is told": joined(list(rule.who_is_told)),
        "Appeal": rule.appealable,
        "Exceptions": "; ".join(rule.exceptions),
        "Moved by": "; ".join(rule.moved_by),
        "Not moved by": "; ".join(rule.not_moved_by),
        "Supersedes": rule.supersedes,
    }
    for name, text in lines.items():
        if text:
            yield f"- {name}: {text}"
    if rule.inputs:
        yield "- Facts: " + "; ".join(_fact(fact) for fact in rule.inputs)
    for step in rule.steps:
        yield f"- {formula(step)}"
    for point in rule.open_points:
        yield "- Open: " + SLOT.sub(r"`\1`", point.say)
    if rule.steps:
        yield f"- Example: {_example(rule, pack)}"


def _fact(fact: Any) -> str:
    notes = [fact.type]
    if fact.optional:
        notes.append(f"or else {fact.default}" if fact.default not in (None, False) else "may be absent")
    if fact.choices:
        notes.append(", ".join(fact.choices))
    if fact.also:
        notes.append(f"also given as {', '.join(fact.also)}")
    return f"`{fact.name}` ({'; '.join(notes)})"


def _example(rule: Rule, pack: Pack) -> str:
    within = Setting(pack, DEFAULT_POLICY, BankHolidays.offline())
    given = ", ".join(f"{in_words(name)} {in_words(value)}" for name, value in rule.example.items())
    told = explanation(run_rule(rule.id, rule.example, within, traced=True), pack)
    results = "; ".join(f"`{name}` {in_words(value)}" for name, value in told.results.items())
    return f"{given}: {results}."


def _machines(pack: Pack) -> Iterator[str]:
    yield "## 8. State machines"
    for name in ("case", "plan", "review"):
        read = machine(name, pack)
        yield ""
        yield f"### {name}: {read.title}"
        yield ""
        yield "| from | event | to | clause | timers | refused, or noted as a breach, when | appeal |"
        yield "|---|---|---|---|---|---|---|"
        for step in read.steps:
            timers = ", ".join(f"{timer['name']} (`{timer['rule']}`)" for timer in step.get("timers", ()))
            guards = "; ".join(
                f"{'breach' if guard.get('breach') else 'refused'}: {guard['reason']}"
                for guard in step.get("guards", ())
            )
            yield (
                f"| {', '.join(step['from'])} | `{step['event']}` | {step['to']} | {step['clause']} | {timers} | "
                f"{guards} | {step.get('appealable', '')} |"
            )
    yield ""
    yield "### Who is told"
    yield ""
    yield f"| event | {' | '.join(in_words(role) for role in ROLES)} | clause |"
    yield f"|---|{'---|' * len(ROLES)}---|"
    for row in notification_matrix(pack).values():
        cells = [_told(role, row) for role in ROLES]
        yield f"| {row['title']} | {' | '.join(cells)} | {row['clause']} |"


def _told(role: str, row: Mapping[str, Any]) -> str:
    note = f" ({row['notes'][role]})" if role in row.get("notes", {}) else ""
    if role in row.get("if_detained", ()):
        return f"must, if detained{note}"
    return next(
        (f"{level}{note}" for level in ("must", "guidance", "policy") if role in row.get(level, ())), "-"
    )
