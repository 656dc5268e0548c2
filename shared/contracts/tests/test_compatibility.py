"""Planted breaks: each rule of compatibility is broken once, and must be the one that is reported."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ehcp_contracts.compatibility import Harm, additions, breaks
from ehcp_contracts.events import EVENTS, PlanIssued
from ehcp_contracts.schemas import event_schema

Change = Callable[[dict[str, Any]], object]

PUBLISHED: dict[str, Any] = {
    "$id": "/schemas/ehcp.example.v1.json",
    "x-type": "ehcp.example.v1",
    "x-topic": "ehcp.cases",
    "type": "object",
    "additionalProperties": True,
    "properties": {
        "issued_on": {"type": "string", "format": "date"},
        "urn": {"anyOf": [{"type": "string", "pattern": "^[0-9]{6}$"}, {"type": "null"}], "default": None},
        "outcome": {"$ref": "#/$defs/Outcome"},
        "attempts": {"type": "integer", "minimum": 0, "maximum": 9},
        "part": {"$ref": "#/$defs/Part"},
        "dates": {"type": "array", "items": {"type": "string", "format": "date"}, "default": []},
    },
    "required": ["issued_on", "outcome"],
    "$defs": {
        "Outcome": {"type": "string", "enum": ["amend", "maintain"]},
        "Part": {
            "type": "object",
            "additionalProperties": True,
            "properties": {"la": {"type": "string", "pattern": "^[0-9]{3}$"}, "since": {"type": "string"}},
            "required": ["la"],
        },
    },
}


def after(change: Change) -> dict[str, Any]:
    changed = copy.deepcopy(PUBLISHED)
    change(changed)
    return changed


def rename(schema: dict[str, Any]) -> None:
    schema["properties"]["published_on"] = schema["properties"].pop("issued_on")
    schema["required"] = ["published_on", "outcome"]


PLANTED: list[tuple[str, Change, list[tuple[str, str, Harm]]]] = [
    (
        "field removed",
        lambda s: s["properties"].pop("attempts"),
        [("attempts", "field-removed", Harm.OLD_READER)],
    ),
    (
        "field renamed",
        rename,
        [
            ("issued_on", "field-removed", Harm.OLD_READER),
            ("published_on", "required-field-added", Harm.NEW_READER),
        ],
    ),
    (
        "required field added",
        lambda s: (s["properties"].update(kind={"type": "integer"}), s["required"].append("kind")),
        [("kind", "required-field-added", Harm.NEW_READER)],
    ),
    (
        "required field added in a part",
        lambda s: (
            s["$defs"]["Part"]["properties"].update(kind={"type": "integer"}),
            s["$defs"]["Part"]["required"].append("kind"),
        ),
        [("part.kind", "required-field-added", Harm.NEW_READER)],
    ),
    (
        "optional made required",
        lambda s: s["required"].append("attempts"),
        [("attempts", "field-made-required", Harm.NEW_READER)],
    ),
    (
        "required made optional",
        lambda s: s["required"].remove("outcome"),
        [("outcome", "field-made-optional", Harm.OLD_READER)],
    ),
    (
        "type changed",
        lambda s: s["properties"]["attempts"].update(type="string"),
        [("attempts", "type-changed", Harm.BOTH)],
    ),
    (
        "format changed",
        lambda s: s["properties"]["issued_on"].update(format="date-time"),
        [("issued_on", "type-changed", Harm.BOTH)],
    ),
    (
        "type changed in a list",
        lambda s: s["properties"]["dates"]["items"].update(type="integer"),
        [("dates[]", "type-changed", Harm.BOTH)],
    ),
    (
        "value added to an enum",
        lambda s: s["$defs"]["Outcome"]["enum"].append("cease"),
        [("outcome", "values-added", Harm.OLD_READER)],
    ),
    (
        "value removed from an enum",
        lambda s: s["$defs"]["Outcome"]["enum"].remove("amend"),
        [("outcome", "values-removed", Harm.NEW_READER)],
    ),
    (
        "enum opened to any text",
        lambda s: s["$defs"]["Outcome"].pop("enum"),
        [("outcome", "values-changed", Harm.BOTH)],
    ),
    (
        "pattern changed",
        lambda s: s["$defs"]["Part"]["properties"]["la"].update(pattern="^[0-9]{4}$"),
        [("part.la", "limits-changed", Harm.BOTH)],
    ),
    (
        "limit raised",
        lambda s: s["properties"]["attempts"].update(maximum=99),
        [("attempts", "limits-changed", Harm.BOTH)],
    ),
    (
        "null allowed",
        lambda s: s["properties"].update(
            attempts={"anyOf": [PUBLISHED["properties"]["attempts"], {"type": "null"}]}
        ),
        [("attempts", "null-allowed", Harm.OLD_READER)],
    ),
    (
        "null refused",
        lambda s: s["properties"].update(urn={"type": "string", "pattern": "^[0-9]{6}$", "default": None}),
        [("urn", "null-refused", Harm.NEW_READER)],
    ),
    (
        "default changed",
        lambda s: s["properties"]["urn"].update(default="900001"),
        [("urn", "default-changed", Harm.BOTH)],
    ),
    (
        "readers closed",
        lambda s: s.update(additionalProperties=False),
        [("", "closed-to-readers", Harm.OLD_READER)],
    ),
    ("topic changed", lambda s: s.update({"x-topic": "ehcp.other"}), [("", "topic-changed", Harm.BOTH)]),
    (
        "keyword outside the subset",
        lambda s: s["properties"]["attempts"].update(multipleOf=2),
        [("attempts", "unknown-keyword multipleOf", Harm.BOTH)],
    ),
]


@pytest.mark.parametrize(("change", "expected"), [p[1:] for p in PLANTED], ids=[p[0] for p in PLANTED])
def test_a_planted_break_is_refused(change: Change, expected: list[tuple[str, str, Harm]]) -> None:
    assert [(b.path, b.rule, b.harm) for b in breaks(PUBLISHED, after(change))] == expected


def test_an_optional_field_may_be_added_anywhere() -> None:
    def grow(schema: dict[str, Any]) -> None:
        schema["properties"]["note_id"] = {"type": "string", "format": "uuid"}
        schema["$defs"]["Part"]["properties"]["icb"] = {"type": "string", "pattern": "^[A-Z]{3}$"}

    assert breaks(PUBLISHED, after(grow)) == []
    assert additions(PUBLISHED, after(grow)) == ["Part.icb", "note_id"]


def test_words_may_change() -> None:
    def reword(schema: dict[str, Any]) -> None:
        schema["description"] = "Said better."
        schema["properties"]["attempts"]["description"] = "How often."

    assert breaks(PUBLISHED, after(reword)) == []


def test_a_part_may_be_moved_into_the_place_where_it_is_used() -> None:
    """A reference and its target say the same to a reader."""
    inlined = after(lambda s: s["properties"].update(outcome=s["$defs"].pop("Outcome")))
    assert breaks(PUBLISHED, inlined) == []


@pytest.mark.parametrize("wire_type", EVENTS)
def test_every_event_agrees_with_itself(wire_type: str) -> None:
    schema = event_schema(EVENTS[wire_type])
    assert breaks(schema, schema) == []
    assert additions(schema, schema) == []


def test_what_a_planted_break_says_names_place_rule_and_harm() -> None:
    schema = event_schema(PlanIssued)
    less = copy.deepcopy(schema)
    less["$defs"]["Facts"]["properties"].pop("addressee")
    assert [str(found) for found in breaks(schema, less)] == [
        "facts.addressee: field-removed: an old reader cannot read new messages"
    ]
