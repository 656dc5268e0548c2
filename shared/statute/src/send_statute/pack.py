"""The rule pack: rules as data, read from TOML, effective-dated. `README.md` describes the format.

A pack is read once and never changes; `amend` gives another pack, which is how "what if" questions are asked.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from send_statute.errors import NotInForce, PackError, UnknownRule
from send_statute.operations import OPERATIONS

Force = Literal["law", "guidance", "policy"]
FORCES = frozenset(get_args(Force))
FACT_TYPES = frozenset({"date", "instant", "int", "bool", "text", "academic_year", "closures", "events"})


@dataclass(frozen=True, slots=True)
class Input:
    """A fact that a rule takes."""

    name: str
    type: str
    meaning: str
    """What it is; for a date what happens on it, so that "…, when {meaning}" reads as English."""
    optional: bool = False
    default: str | int | bool | None = None
    """Another fact's name or "policy.<setting>", used when the fact is absent; or a plain number or boolean."""
    choices: tuple[str, ...] = ()
    """Words the fact may be; for events, the types they may have."""
    least: int | None = None
    """Smallest whole number allowed."""
    also: Mapping[str, str] = field(default_factory=dict)
    """Other names the fact may be given under, each with the meaning that this name adds."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a rule: an operation on earlier names, or a call of another rule."""

    set: str
    op: str
    """Name of the operation; empty for a call."""
    rule: str
    """Rule called; empty for an operation."""
    take: str
    """Result taken from the called rule."""
    args: tuple[tuple[str, Any], ...]
    """Arguments: a string is the name of a fact, an earlier result or a policy setting; anything else a value."""
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    """Conditions, all of which must hold for the step to run: a name and the values it may have."""
    label: str = ""
    """What the result is, for people. Where it ends in "by", "on" or the like, the date runs on from it."""
    under: str = ""
    """Rule whose citation the result carries, when not that of the rule it stands in."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """Something to say of an answer, in words with {name} slots, and the values for which it is said."""

    say: str
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    def slots(self) -> set[str]:
        """The names it speaks of."""
        return {match[1] for match in SLOT.finditer(self.say)} - {"citation"}


SLOT = re.compile(r"\{([a-z0-9_]+)(?:\.(how|meaning))?\}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One version of one rule. Dates of force are inclusive at both ends."""

    id: str
    title: str
    section: str
    citation: str
    evidence: str
    force: Force
    valid_from: date | None
    valid_to: date | None
    scope: str
    trigger: str
    trigger_fact: str
    duty: str
    who_acts: tuple[str, ...]
    who_is_told: tuple[str, ...]
    appealable: str
    exceptions: tuple[str, ...]
    supersedes: str
    open_points: tuple[Sentence, ...]
    """What the law leaves open."""
    moved_by: tuple[str, ...]
    not_moved_by: tuple[str, ...]
    aliases: tuple[str, ...]
    inputs: tuple[Input, ...]
    needs_one_of: tuple[str, ...]
    steps: tuple[Step, ...]
    results: tuple[str, ...]
    says: tuple[Sentence, ...]
    """The answer in words: every sentence that holds and whose names have values. Without any, the results in turn."""
    example: Mapping[str, Any]

    def in_force_on(self, on: date) -> bool:
        """Whether the rule is in force on a day, first and last day included."""
        return (self.valid_from or date.min) <= on <= (self.valid_to or date.max)

    @property
    def in_force(self) -> str:
        """The period of force in words."""
        if self.valid_from and self.valid_to:
            return f"in force {self.valid_from} to {self.valid_to}"
        if self.valid_from:
            return f"in force from {self.valid_from}"
        return f"in force to {self.valid_to}" if self.valid_to else "at all times"


@dataclass(frozen=True)
class Pack:
    """All versions of all rules, with the version that explanations quote, and the state machines."""

    id: str
    version: str
    title: str
    source: Mapping[str, Any]
    """The TOML as read, for `amend`, the mutation test and the reference page."""
    versions: Mapping[str, tuple[Rule, ...]]
    aliases: Mapping[str, str]
    plans: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """Steps made ready to run, filled by `interpret` on first use; says nothing that `versions` does not."""

    def rule_id(self, name: str) -> str:
        """The id behind a name: an id, an alias, or either written with hyphens."""
        if name in self.versions:
            return name
        plain = name.strip().replace("-", "_") if isinstance(name, str) else ""
        found = self.aliases.get(plain, plain)
        if found not in self.versions:
            near = difflib.get_close_matches(plain, [*self.versions, *self.aliases], n=3, cutoff=0.6)
            raise UnknownRule(str(name), tuple(near))
        return found

    def rule(self, name: str, on: date | None = None) -> Rule:
        """The version of a rule in force on a day; without a day, the latest. Raises `NotInForce`."""
        versions = self.versions[self.rule_id(name)]
        if on is None:
            return versions[-1]
        for version in reversed(versions):
            if version.in_force_on(on):
                return version
        raise NotInForce(versions[-1].id, on.isoformat(), "; ".join(v.in_force for v in versions))

    def rules(self) -> tuple[Rule, ...]:
        """Every version of every rule, in the order of the pack."""
        return tuple(version for versions in self.versions.values() for version in versions)

    def amend(self, text: str, version: str = "") -> Pack:
        """Another pack with the rules of some TOML added or replaced.

        A rule with the id of an existing one and a later `valid_from` follows it: the earlier version ends the day
        before. With the same `valid_from` it takes the earlier version's place. Fields not given are inherited.
        """
        changes = _toml(text)
        instruments = {**self.source.get("instrument", {}), **changes.get("instrument", {})}
        rules = [_dated(row, instruments) for row in self.source["rule"]]
        for change in changes.get("rule", []):
            _amend_rules(rules, _dated(change, instruments))
        header = {**self.source["pack"], **changes.get("pack", {})}
        header["version"] = version or changes.get("pack", {}).get("version", f"{self.version}+amended")
        return pack_from_document({**self.source, "pack": header, "rule": rules})


def _dated(row: Mapping[str, Any], instruments: Mapping[str, date]) -> dict[str, Any]:
    """A rule's row with the name of an instrument replaced by the day on which it came into force."""
    named = row.get("valid_from")
    if not isinstance(named, str):
        return dict(row)
    if named not in instruments:
        raise PackError(f"{row.get('id')}: no instrument {named!r}")
    return {**row, "valid_from": instruments[named]}


def _amend_rules(rules: list[dict[str, Any]], change: dict[str, Any]) -> None:
    """Put one changed rule into the list, in place, ending or replacing the version before it."""
    same = [index for index, row in enumerate(rules) if row["id"] == change.get("id")]
    if not same:
        rules.append(dict(change))
        return
    last = same[-1]
    earlier = rules[last]
    new = {**earlier, **change}
    starts = change.get("valid_from")
    if starts is None or starts == earlier.get("valid_from"):
        rules[last] = new
        return
    if earlier.get("valid_from") is not None and starts < earlier["valid_from"]:
        raise PackError(
            f"{new['id']}: a version from {starts} cannot follow one from {earlier['valid_from']}"
        )
    ends = earlier.get("valid_to")
    if ends is None or ends >= starts:
        rules[last] = {**earlier, "valid_to": starts - timedelta(days=1)}
    new.pop("valid_to", None)
    if "valid_to" in change:
        new["valid_to"] = change["valid_to"]
    new.setdefault("supersedes", f"{earlier['id']} of {earlier.get('valid_from', 'always')}")
    rules.insert(last + 1, new)


def load_pack(name: str = "england", *, folder: Path | None = None) -> Pack:
    """A pack from every `<name>-*.toml` in the package, or in `folder`. Reading is done once per name."""
    return _load_named(name) if folder is None else _load(_texts(folder.iterdir(), name))


@cache
def _load_named(name: str) -> Pack:
    return _load(_texts(files("send_statute").joinpath("packs").iterdir(), name))


def _texts(entries: Iterable[Any], name: str) -> list[str]:
    found = sorted(
        (e for e in entries if e.name.startswith(f"{name}-") and e.name.endswith(".toml")), key=_by_name
    )
    if not found:
        raise PackError(f"no rule pack {name!r}")
    return [entry.read_text(encoding="utf-8") for entry in found]


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise PackError(f"the pack is not TOML: {problem}") from None


def _by_name(entry: Any) -> str:
    return str(entry.name)


def _load(texts: list[str]) -> Pack:
    document: dict[str, Any] = {"pack": {}, "rule": []}
    for text in texts:
        part = _toml(text)
        document["pack"].update(part.pop("pack", {}))
        document["rule"].extend(part.pop("rule", []))
        for key, value in part.items():
            if key in document:
                raise PackError(f"{key!r} stands in two files of the pack")
            document[key] = value
    return pack_from_document(document)


def pack_from_document(document: Mapping[str, Any]) -> Pack:
    """A pack from parsed TOML. Raises `PackError` for whatever would only show up later as a wrong date."""
    versions: dict[str, list[Rule]] = {}
    aliases: dict[str, str] = {}
    for row in document["rule"]:
        rule = _rule(_dated(row, document.get("instrument", {})))
        earlier = versions.setdefault(rule.id, [])
        if earlier and (
            earlier[-1].valid_to is None or earlier[-1].valid_to >= (rule.valid_from or date.min)
        ):
            raise PackError(f"{rule.id}: two versions in force at once")
        earlier.append(rule)
        aliases.update(dict.fromkeys(rule.aliases, rule.id))
    for rule in (rule for same in versions.values() for rule in same):
        _check_calls(rule, versions)
    for name in aliases.keys() & versions.keys():
        raise PackError(f"{name!r} is both a rule and another rule's alias")
    header = document["pack"]
    try:
        return Pack(
            id=header["id"],
            version=header["version"],
            title=header["title"],
            source=MappingProxyType(dict(document)),
            versions=MappingProxyType({k: tuple(v) for k, v in versions.items()}),
            aliases=MappingProxyType(aliases),
        )
    except KeyError as missing:
        raise PackError(f"the pack header lacks {missing}") from None


_RULE_KEYS = frozenset(
    [
        "id",
        "title",
        "section",
        "citation",
        "evidence",
        "force",
        "valid_from",
        "valid_to",
        "scope",
        "trigger",
        "trigger_fact",
        "duty",
        "who_acts",
        "who_is_told",
        "appealable",
        "exceptions",
        "supersedes",
        "open_points",
        "moved_by",
        "not_moved_by",
        "aliases",
        "inputs",
        "needs_one_of",
        "step",
        "results",
        "says",
        "example",
    ]
)
_STEP_KEYS = frozenset({"set", "op", "rule", "take", "when", "label", "under"})


def _rule(row: Mapping[str, Any]) -> Rule:
    unknown = set(row) - _RULE_KEYS
    if unknown:
        raise PackError(f"{row.get('id')}: unknown field {', '.join(sorted(unknown))}")
    try:
        steps = tuple(_step(step) for step in row.get("step", ()))
        inputs = tuple(_input(row["id"], name, spec) for name, spec in row.get("inputs", {}).items())
        rule = Rule(
            id=row["id"],
            title=row["title"],
            section=row["section"],
            citation=row["citation"],
            evidence=row["evidence"],
            force=row["force"],
            valid_from=row.get("valid_from"),
            valid_to=row.get("valid_to"),
            scope=row.get("scope", "England"),
            trigger=row.get("trigger", ""),
            trigger_fact=row.get("trigger_fact", ""),
            duty=row.get("duty", ""),
            who_acts=tuple(row.get("who_acts", ())),
            who_is_told=tuple(row.get("who_is_told", ())),
            appealable=row.get("appealable", ""),
            exceptions=tuple(row.get("exceptions", ())),
            supersedes=row.get("supersedes", ""),
            open_points=_sentences(row.get("open_points", ())),
            moved_by=tuple(row.get("moved_by", ())),
            not_moved_by=tuple(row.get("not_moved_by", ())),
            aliases=tuple(row.get("aliases", ())),
            inputs=inputs,
            needs_one_of=tuple(row.get("needs_one_of", ())),
            steps=steps,
            results=tuple(row.get("results", [step.set for step in steps])),
            says=_sentences(row.get("says", ())),
            example=row.get("example", {}),
        )
    except KeyError as missing:
        raise PackError(f"{row.get('id', 'a rule without an id')}: lacks {missing}") from None
    if rule.force not in FORCES:
        raise PackError(f"{rule.id}: force {rule.force!r} is none of {', '.join(sorted(FORCES))}")
    _check_names(rule)
    return rule


def _input(rule: str, name: str, spec: Mapping[str, Any]) -> Input:
    if spec["type"] not in FACT_TYPES:
        raise PackError(f"{rule}: fact {name!r} has the unknown type {spec['type']!r}")
    return Input(
        name=name,
        type=spec["type"],
        meaning=spec["meaning"],
        optional=spec.get("optional", "default" in spec),
        default=spec.get("default"),
        choices=tuple(spec.get("choices", ())),
        least=spec.get("least"),
        also=spec.get("also", {}),
    )


def _step(row: Mapping[str, Any]) -> Step:
    return Step(
        set=row["set"],
        op=row.get("op", ""),
        rule=row.get("rule", ""),
        take=row.get("take", row["set"]),
        args=tuple((k, _frozen(v)) for k, v in row.items() if k not in _STEP_KEYS),
        when=_conditions(row.get("when", {})),
        label=row.get("label", ""),
        under=row.get("under", ""),
    )


def _sentences(given: str | Iterable[str | Mapping[str, Any]]) -> tuple[Sentence, ...]:
    """One sentence, or several of which some are only said of some values."""
    return tuple(
        Sentence(one) if isinstance(one, str) else Sentence(one["say"], _conditions(one.get("when", {})))
        for one in ([given] if isinstance(given, str) else given)
    )


def _conditions(table: Mapping[str, Any]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    return tuple((name, tuple(v) if isinstance(v, list) else (v,)) for name, v in table.items())


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _check_names(rule: Rule) -> None:
    """Every name a step reads must have been set before it; every result must be set by some step."""
    known = {fact.name for fact in rule.inputs}
    for step in rule.steps:
        if bool(step.op) == bool(step.rule):
            raise PackError(f"{rule.id}.{step.set}: a step has either an op or a rule")
        if step.op and step.op not in OPERATIONS:
            raise PackError(f"{rule.id}.{step.set}: unknown operation {step.op!r}")
        if step.op and (problem := OPERATIONS[step.op].refuses(key for key, _ in step.args)):
            raise PackError(f"{rule.id}.{step.set}: {step.op} {problem}")
        for name in (*_names_read(step), *(name for name, _ in step.when)):
            if name not in known and not name.startswith("policy."):
                raise PackError(f"{rule.id}.{step.set}: nothing sets {name!r}")
        known.add(step.set)
    said = [*rule.says, *rule.open_points, *map(Sentence, rule.moved_by), *map(Sentence, rule.not_moved_by)]
    spoken_of = [name for one in said for name in (*one.slots(), *(tested for tested, _ in one.when))]
    for name in (*rule.results, *rule.needs_one_of, *spoken_of, *filter(None, [rule.trigger_fact])):
        if name not in known:
            raise PackError(f"{rule.id}: nothing sets {name!r}")


def _check_calls(rule: Rule, versions: Mapping[str, list[Rule]]) -> None:
    """Every rule a step calls or cites must be there, take what it is given and set what is taken."""
    for step in rule.steps:
        for name in filter(None, [step.rule, step.under]):
            if name not in versions:
                raise PackError(f"{rule.id}.{step.set}: no rule {name!r}")
        for called in versions.get(step.rule, ()):
            taken = {fact.name for fact in called.inputs}
            for name in (name for name, _ in step.args if name not in taken):
                raise PackError(f"{rule.id}.{step.set}: {called.id} takes no {name!r}")
            if step.take not in {inner.set for inner in called.steps}:
                raise PackError(f"{rule.id}.{step.set}: {called.id} has no {step.take!r}")


def _names_read(step: Step) -> list[str]:
    names: list[str] = []
    for key, value in step.args:
        if key in LITERAL_ARGS:
            continue
        values = value if isinstance(value, tuple) else (value,)
        names.extend(item for item in values if isinstance(item, str))
    return names


LITERAL_ARGS = frozenset({"rows", "windows", "otherwise", "month_days", "words", "resets", "known"})
"""Arguments whose strings are words or day-months of the rule itself, not names of facts."""
