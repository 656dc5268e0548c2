"""Whether two versions of a schema understand each other, both ways.

Within a version, only an optional field may be added. Everything else needs a new version, sent beside the
old one until the last reader has moved. The subset compared is what our events use: objects with named
fields, references, arrays, scalars with limits, and `anyOf` with null; anything else is refused rather than
guessed at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Schema = Mapping[str, Any]
LIMITS = ("pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems")
NOTES = ("title", "description", "examples", "$schema", "$id", "$defs")
KNOWN = {*LIMITS, *NOTES, "type", "format", "enum", "const", "default", "properties", "required", "items"} | {
    "additionalProperties", "anyOf", "x-type", "x-topic"
}  # fmt: skip


class Harm(StrEnum):
    """Which pair of sender and reader a change breaks."""

    OLD_READER = "an old reader cannot read new messages"
    NEW_READER = "a new reader cannot read old messages"
    BOTH = "old and new do not understand each other"


@dataclass(frozen=True)
class Break:
    """One incompatible difference: the field it is at, the rule it breaks, and who is harmed."""

    path: str
    rule: str
    harm: Harm

    def __str__(self) -> str:
        return f"{self.path or '(event)'}: {self.rule}: {self.harm}"


def breaks(published: Schema, current: Schema) -> list[Break]:
    """Every incompatible difference between the published schema of a version and its present one."""
    found = list(_compare(published, current, _Pair(published, current), ""))
    if published.get("x-topic") != current.get("x-topic"):
        found.append(Break("", "topic-changed", Harm.BOTH))
    return found


def additions(published: Schema, current: Schema) -> list[str]:
    """Paths of optional fields that are new: allowed, and to be published."""
    before, after = set(_paths(published)), set(_paths(current))
    return sorted(after - before)


@dataclass(frozen=True)
class _Pair:
    """The two documents, for following references."""

    published: Schema
    current: Schema


def _compare(old: Schema, new: Schema, roots: _Pair, path: str) -> Iterator[Break]:
    old, old_null = _open_up(old, roots.published)
    new, new_null = _open_up(new, roots.current)
    for keyword in sorted({*old, *new} - KNOWN):
        yield Break(path, f"unknown-keyword {keyword}", Harm.BOTH)
    if old_null != new_null:
        yield (
            Break(path, "null-allowed", Harm.OLD_READER)
            if new_null
            else Break(path, "null-refused", Harm.NEW_READER)
        )
    if _kind(old) != _kind(new):
        yield Break(path, "type-changed", Harm.BOTH)
        return
    if old.get("default") != new.get("default"):
        yield Break(path, "default-changed", Harm.BOTH)
    if any(old.get(limit) != new.get(limit) for limit in LIMITS):
        yield Break(path, "limits-changed", Harm.BOTH)
    yield from _values(old, new, path)
    if "items" in old or "items" in new:
        yield from _compare(old.get("items", {}), new.get("items", {}), roots, f"{path}[]")
    if old.get("type") == "object":
        yield from _fields(old, new, roots, path)


def _values(old: Schema, new: Schema, path: str) -> Iterator[Break]:
    before, after = _allowed(old), _allowed(new)
    if before is None or after is None:
        if before is not after:
            yield Break(path, "values-changed", Harm.BOTH)
        return
    if after - before:
        yield Break(path, "values-added", Harm.OLD_READER)
    if before - after:
        yield Break(path, "values-removed", Harm.NEW_READER)


def _fields(old: Schema, new: Schema, roots: _Pair, path: str) -> Iterator[Break]:
    before, after = old.get("properties", {}), new.get("properties", {})
    must_before, must_after = set(old.get("required", ())), set(new.get("required", ()))
    if new.get("additionalProperties", True) is not True:
        yield Break(path, "closed-to-readers", Harm.OLD_READER)
    for name in sorted({*before, *after}):
        inner = f"{path}.{name}" if path else name
        if name not in after:
            yield Break(inner, "field-removed", Harm.OLD_READER)
        elif name not in before:
            if name in must_after:
                yield Break(inner, "required-field-added", Harm.NEW_READER)
        else:
            if name in must_after - must_before:
                yield Break(inner, "field-made-required", Harm.NEW_READER)
            if name in must_before - must_after:
                yield Break(inner, "field-made-optional", Harm.OLD_READER)
            yield from _compare(before[name], after[name], roots, inner)


def _open_up(node: Schema, root: Schema) -> tuple[dict[str, Any], bool]:
    """The node with references followed, and whether it may be null."""
    opened, nullable = dict(node), False
    while "$ref" in opened or _is_nullable(opened):
        if "$ref" in opened:
            target = root["$defs"][opened.pop("$ref").removeprefix("#/$defs/")]
        else:
            nullable = True
            target = next(b for b in opened.pop("anyOf") if b.get("type") != "null")
        opened = {**target, **opened}
    return opened, nullable


def _is_nullable(node: Schema) -> bool:
    branches = node.get("anyOf", ())
    return len(branches) == 2 and sum(b.get("type") == "null" for b in branches) == 1


def _kind(node: Schema) -> tuple[Any, ...]:
    # A union other than "or null" is compared whole.
    return node.get("type"), node.get("format"), str(node.get("anyOf"))


def _allowed(node: Schema) -> set[str] | None:
    if "const" in node:
        return {str(node["const"])}
    return {str(value) for value in node["enum"]} if "enum" in node else None


def _paths(schema: Schema) -> Iterator[str]:
    for owner, part in (("", schema), *schema.get("$defs", {}).items()):
        for name in part.get("properties", {}):
            yield f"{owner}.{name}" if owner else name
