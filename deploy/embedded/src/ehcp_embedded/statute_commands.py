"""`ehcp why` and `ehcp rules`: the law at the command line, without a service running."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from send_statute import (
    DEFAULT_POLICY,
    ExplainedStep,
    Explanation,
    Pack,
    Policy,
    Rule,
    StatuteError,
    explain,
    load_pack,
    reference_page,
)
from send_statute.pack import Input
from send_statute.reference import EVIDENCE, SECTIONS, formula
from send_statute.wording import in_words, joined, spelled_out

# Facts are options of their own ("--last-reviewed 2024-11-25"), and which there are depends on the rule.
FREE_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}


def register(app: typer.Typer) -> None:
    """Mount the two commands on the `ehcp` command."""
    app.command("why", context_settings=FREE_OPTIONS)(why)
    app.command("rules")(list_rules)


def why(
    context: typer.Context,
    rule: Annotated[str, typer.Argument(help="A rule, such as annual-review; `ehcp rules` lists them.")],
    policy: Annotated[Path | None, typer.Option(help="TOML file with the council's settings.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole explanation as JSON.")] = False,
) -> None:
    """Say why a date is what it is: ehcp why annual-review --last-reviewed 2024-11-25."""
    pack = load_pack()
    try:
        found = pack.rule(rule)
        facts = read_options(context.args, found)
        settings = Policy.from_toml(policy) if policy else DEFAULT_POLICY
        told = explain(found.id, facts, policy=settings, pack=pack)
    except StatuteError as refusal:
        typer.echo(f"ehcp why: {refusal}", err=True)
        if rule_known(pack, rule):
            typer.echo(facts_taken(pack.rule(rule)), err=True)
        raise typer.Exit(2) from None
    except OSError as problem:
        typer.echo(f"ehcp why: cannot read {policy}: {problem.strerror}", err=True)
        raise typer.Exit(2) from None
    typer.echo(json.dumps(told.to_dict(), indent=2) if as_json else explanation_as_text(told))


def list_rules(
    rule: Annotated[str | None, typer.Argument(help="Show this rule in full.")] = None,
    section: Annotated[str | None, typer.Option(help="Only one section: 0 to 7, or 9.")] = None,
    page: Annotated[bool, typer.Option("--page", help="Print the reference page (Markdown).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per rule.")] = False,
) -> None:
    """List every rule of the pack with its citation, or show one."""
    pack = load_pack()
    if page:
        typer.echo(reference_page(pack), nl=False)
        return
    try:
        chosen = (pack.rule(rule),) if rule else pack.rules()
    except StatuteError as refusal:
        typer.echo(f"ehcp rules: {refusal}", err=True)
        raise typer.Exit(2) from None
    if section is not None and section not in SECTIONS:
        typer.echo(f"ehcp rules: no section {section!r}; there are {', '.join(SECTIONS)}", err=True)
        raise typer.Exit(2)
    chosen = tuple(item for item in chosen if section in (None, item.section))
    if as_json:
        for item in chosen:
            typer.echo(json.dumps(rule_as_dict(item)))
    elif rule:
        typer.echo(rule_as_text(chosen[0]) if chosen else "")
    else:
        typer.echo(rules_as_text(chosen, pack))


def read_options(words: list[str], rule: Rule) -> dict[str, Any]:
    """Facts from "--name value" or "--name=value"; lists are JSON. Raises `StatuteError` for a name no fact
    has."""
    names = {name: fact for fact in rule.inputs for name in (fact.name, *fact.also)}
    facts: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not word.startswith("--") or name not in names:
            raise StatuteError(f"rule {rule.id!r} takes no {word!r}")
        if not equals:
            if not rest:
                raise StatuteError(f"{word} needs a value")
            value = rest.pop(0)
        if name in facts:
            raise StatuteError(f"{word} is given twice")
        facts[name] = _value(names[name], value)
    return facts


def _value(fact: Input, value: str) -> Any:
    if fact.type not in ("closures", "events"):
        return value
    try:
        read = json.loads(value)
    except json.JSONDecodeError:
        read = None
    if not isinstance(read, list) or not all(isinstance(item, Mapping) for item in read):
        raise StatuteError(f"--{fact.name.replace('_', '-')} is a JSON list of objects")
    return read


def rule_known(pack: Pack, name: str) -> bool:
    """Whether the pack has such a rule."""
    try:
        pack.rule_id(name)
    except StatuteError:
        return False
    return True


def explanation_as_text(told: Explanation) -> str:
    """The explanation for a terminal: the sentence, then every step with its citation."""
    lines = [told.text, ""]
    if told.cited:
        lines += [f"  {date.text} [{date.force}]" for date in told.cited.values()]
        lines.append("")
    others = {name: value for name, value in told.results.items() if not _is_cited(name, told)}
    lines += [f"  {name.replace('_', ' ')}: {in_words(value)}" for name, value in others.items()]
    if others:
        lines.append("")
    if told.steps:
        lines += ["Step by step:", *(f"  {n}. {_step(step, told)}" for n, step in enumerate(told.steps, 1))]
    for heading, points in (("What moves it:", told.moved_by), ("What does not:", told.not_moved_by)):
        lines += [heading, *(f"  - {point}" for point in points)] if points else []
    if told.who_acts:
        lines.append(f"Acts: {joined(list(told.who_acts))}.")
    if told.who_is_told:
        lines.append(f"Is told: {joined(list(told.who_is_told))}.")
    if told.appealable:
        lines.append(f"May be appealed: {told.appealable}.")
    evidence = joined([EVIDENCE[letter] for letter in told.evidence.split("/")])
    lines.append(f"Rule {told.rule_id}, {told.force} ({evidence}), pack {told.pack_version}.")
    return "\n".join(lines)


def _step(step: ExplainedStep, told: Explanation) -> str:
    """A step, with its citation where that is not the citation of the whole."""
    return step.text if step.citation == told.citation else f"{step.text} ({spelled_out(step.citation)})"


def _is_cited(name: str, told: Explanation) -> bool:
    return name in told.cited or f"{name}.1" in told.cited


def facts_taken(rule: Rule) -> str:
    """The facts a rule takes, as options."""
    if not rule.inputs:
        return f"{rule.id} takes no facts."
    lines = [f"{rule.id} takes:"]
    for fact in rule.inputs:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in (fact.name, *fact.also))
        notes = f" ({', '.join(fact.choices)})" if fact.choices else ""
        lines.append(f"  {options}: {fact.meaning}{notes}{', may be left out' if fact.optional else ''}")
    return "\n".join(lines)


def rules_as_text(rules: tuple[Rule, ...], pack: Pack) -> str:
    """The list, section by section, in columns."""
    width = max((len(rule.id) for rule in rules), default=0)
    lines = [f"Pack {pack.id} {pack.version}: {pack.title}."]
    for section, title in SECTIONS.items():
        here = [rule for rule in rules if rule.section == section]
        if here:
            lines += ["", f"{section}. {title}"]
            lines += [f"  {rule.id:{width}}  {rule.force:8}  {rule.title} ({rule.citation})" for rule in here]
    return "\n".join(lines)


def rule_as_text(rule: Rule) -> str:
    """One rule in full."""
    lines = [
        f"{rule.id}: {rule.title}",
        f"  {rule.citation} [{rule.force}, evidence {rule.evidence}, {rule.in_force}]",
    ]
    told = {
        "Starts with": rule.trigger,
        "Duty": rule.duty,
        "Acts": joined(list(rule.who_acts)),
        "Is told": joined(list(rule.who_is_told)),
        "May be appealed": rule.appealable,
    }
    lines += [f"  {name}: {text}" for name, text in told.items() if text]
    lines += [f"  {formula(step, linked=False).replace('`', '')}" for step in rule.steps]
    lines += [f"  Open: {point.say}" for point in rule.open_points]
    return "\n".join([*lines, facts_taken(rule)])


def rule_as_dict(rule: Rule) -> dict[str, Any]:
    """What a machine wants to know of a rule."""
    return {
        "id": rule.id,
        "title": rule.title,
        "section": rule.section,
        "citation": rule.citation,
        "force": rule.force,
        "evidence": rule.evidence,
        "valid_from": rule.valid_from.isoformat() if rule.valid_from else None,
        "valid_to": rule.valid_to.isoformat() if rule.valid_to else None,
        "facts": [fact.name for fact in rule.inputs],
        "results": list(rule.results),
        "appealable": rule.appealable or None,
    }
