"""What an event may say: an allow-list of field names, and a deny pattern as the second net.

The allow-list (`vocabulary.toml`) is the rule for our own events. The deny pattern catches what slips past
it, and is what readers hold unknown fields against: an event with such a field is quarantined, not applied.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

PERSONAL = re.compile(r"name|dob|birth|upn|nhs|address(?!ee)|postcode|need|diagnos", re.IGNORECASE)

PROBES = (
    "Amina Example",
    "Lives with grandparents since March.",
    "12 Example Road, Bury BL9 0AA",
    "autism, moderate learning difficulty",
)
"""Texts that no string field of an event may be able to hold."""


@cache
def vocabulary() -> dict[str, str]:
    """Field name -> meaning, for the data of events."""
    return _table("data")


@cache
def envelope_vocabulary() -> dict[str, str]:
    """Attribute name -> meaning, for the envelope."""
    return _table("envelope")


def _table(name: str) -> dict[str, str]:
    text = files(__package__).joinpath("vocabulary.toml").read_text("utf-8")
    return dict(tomllib.loads(text)[name])


def suspicious_fields(data: Mapping[str, Any]) -> list[str]:
    """Paths of fields, at any depth, that are not in the vocabulary and look like personal data.

    `data` is the parsed data of an event, ours or foreign. The paths hold field names only, never a value.
    """
    known = vocabulary()
    return sorted(path for path, name in _unknown(data, known) if is_personal(name))


def is_personal(field: str) -> bool:
    """Whether a field name looks like personal data; look-alike letters and case do not hide it."""
    return PERSONAL.search(unicodedata.normalize("NFKC", field)) is not None


def _unknown(data: Mapping[str, Any], known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Paths and names of fields that are not in `known`. Every event that is consumed passes here: an object whose
    names are all known costs one comparison of sets."""
    waiting: list[tuple[str, Any]] = [
        ("", data)
    ]  # a stack, so that deep nesting cannot exhaust the call stack
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, Mapping):
            if not value.keys() <= known.keys():
                yield from ((f"{path}{name}", str(name)) for name in value if name not in known)
            waiting += [(f"{path}{name}.", inner) for name, inner in value.items() if type(inner) in _NESTED]
        else:
            waiting += [(path, inner) for inner in value if type(inner) in _NESTED]


_NESTED = frozenset({dict, list})  # what parsed JSON nests with


def personal_data(schema: Mapping[str, Any], allowed: Mapping[str, str]) -> list[str]:
    """Faults of a schema: field names outside `allowed`, names like personal data, strings that could hold
    free text, objects whose keys are open. One line per fault, empty if there is none."""
    faults: list[str] = []
    for path, name, node in _fields(schema):
        if name not in allowed:
            faults.append(f"{path}: not in the vocabulary")
        if is_personal(name):
            faults.append(f"{path}: looks like personal data")
        faults += [f"{path}: {fault}" for fault in _loose(node)]
    return faults


def _fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Every property of a schema and of the definitions it uses: path, name, schema of the property."""
    owners = {"": schema, **{f"{name}.": part for name, part in schema.get("$defs", {}).items()}}
    for prefix, owner in owners.items():
        for name, node in owner.get("properties", {}).items():
            yield f"{prefix}{name}", name, node


def _loose(node: Mapping[str, Any]) -> Iterator[str]:
    for branch in node.get("anyOf", [node]):
        leaf = branch.get("items", branch)
        if leaf.get("type") == "string" and not _is_tight(leaf):
            yield "a string needs a pattern, an enum or a format that cannot hold free text"
        if leaf.get("type") == "object" and "properties" not in leaf:
            yield "an object needs named fields"


def _is_tight(leaf: Mapping[str, Any]) -> bool:
    if "enum" in leaf or "const" in leaf or leaf.get("format") in ("date", "date-time", "uuid"):
        return True
    pattern = leaf.get("pattern", "")
    return bool(pattern) and not any(re.search(pattern, probe) for probe in PROBES)
