"""No event may say who a child is: allow-list, deny pattern, no free text, and what readers find suspicious."""

from __future__ import annotations

from typing import ClassVar

import pytest
from pydantic import Field

from ehcp_contracts.events import EVENTS, Event, PlanIssued
from ehcp_contracts.examples import example_document
from ehcp_contracts.publish import personal
from ehcp_contracts.schemas import event_schema, objects
from ehcp_contracts.vocabulary import is_personal, personal_data, suspicious_fields, vocabulary


class Planted(Event):
    """Not an event of the hub: in no catalogue, for the tests below."""

    wire_type: ClassVar[str] = "ehcp.planted.v1"
    topic: ClassVar[str] = "ehcp.cases"


def faults(**fields: object) -> list[str]:
    schema = event_schema(PlanIssued)
    schema["properties"] = fields
    return personal_data(schema | {"$defs": {}}, vocabulary())


def test_no_event_and_no_attribute_can_carry_personal_data() -> None:
    assert personal() == []


def test_the_vocabulary_has_no_word_that_no_event_uses() -> None:
    used = {
        name
        for event in EVENTS.values()
        for part in objects(event_schema(event))
        for name in part["properties"]
    }
    assert set(vocabulary()) == used


def test_no_word_of_the_vocabulary_looks_personal() -> None:
    assert [word for word in vocabulary() if is_personal(word)] == []


def test_a_field_outside_the_vocabulary_is_a_fault() -> None:
    assert faults(shoe_size={"type": "integer"}) == ["shoe_size: not in the vocabulary"]


@pytest.mark.parametrize(
    "field",
    [
        "child_name",
        "surname",
        "dob",
        "date_of_birth",
        "birthDate",
        "UPN",
        "nhsNumber",
        "home_address",
        "postcode",
        "primary_need",
        "needs",
        "diagnosis",
        "ｎａｍｅ",
    ],
)
def test_a_field_that_looks_personal_is_a_fault_and_suspicious(field: str) -> None:
    """Bad inputs 4.15."""
    assert f"{field}: looks like personal data" in faults(**{field: {"type": "integer"}})
    assert suspicious_fields({"issued_on": "2026-09-01", field: "x"}) == [field]


def test_the_addressee_is_a_word_of_ours_and_not_an_address() -> None:
    assert not is_personal("addressee")
    assert is_personal("addresses")
    assert suspicious_fields({"facts": {"addressee": "parent"}}) == []


def test_suspicious_fields_are_found_at_any_depth_and_named_by_path_only() -> None:
    data = {"facts": {"year_group": 6, "dob": "2015-01-01"}, "items": [{"pupil": {"forename": "Amina"}}]}
    assert suspicious_fields(data) == ["facts.dob", "items.pupil.forename"]


def test_unknown_but_harmless_fields_are_not_suspicious() -> None:
    assert suspicious_fields({"later_field": 1, "other": {"deep": True}}) == []


def test_a_very_deep_document_does_not_exhaust_the_reader() -> None:
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    assert suspicious_fields(deep | {"upn": 1}) == ["upn"]


@pytest.mark.parametrize("wire_type", EVENTS)
def test_no_example_is_suspicious(wire_type: str) -> None:
    assert suspicious_fields(example_document(wire_type)["data"]) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "string", "maxLength": 200},
        {"type": "string", "pattern": "^.*$"},
        {"type": "string", "pattern": "[A-Z]"},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"type": "array", "items": {"type": "string"}},
        {"type": "object", "additionalProperties": {"type": "string"}},
    ],
)
def test_a_field_that_could_hold_free_text_is_a_fault(schema: dict[str, object]) -> None:
    assert len(faults(reason=schema)) == 1


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "format": "date"},
        {"type": "string", "enum": ["a"]},
        {"type": "string", "pattern": "^[0-9]{6}$"},
        {"type": "integer"},
        {"type": "boolean"},
    ],
)
def test_a_code_a_date_or_a_number_is_no_fault(schema: dict[str, object]) -> None:
    assert faults(reason=schema) == []


def test_a_new_event_with_a_free_text_field_would_be_caught() -> None:
    class Note(Planted):
        """A planted event."""

        reason: str = Field(max_length=500)

    assert personal_data(event_schema(Note), vocabulary()) == [
        "reason: a string needs a pattern, an enum or a format that cannot hold free text"
    ]
