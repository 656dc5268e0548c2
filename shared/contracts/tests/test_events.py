"""Events as values: tolerant readers, tight fields, one example of each."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from ehcp_contracts.catalogue import SERVICES, readers, sender, title
from ehcp_contracts.events import EVENTS, TOPICS, Placement, PlanCeased, ReviewMeetingBooked, Setting
from ehcp_contracts.examples import EXAMPLES, example_document
from ehcp_contracts.schemas import closed, envelope_schema, event_schema

EVERY_EVENT = pytest.mark.parametrize("wire_type", EVENTS)


def test_every_event_has_exactly_one_example() -> None:
    assert list(EXAMPLES) == list(EVENTS)


@EVERY_EVENT
def test_an_example_keeps_to_the_closed_schema_of_its_event(wire_type: str) -> None:
    document = example_document(wire_type)
    check = {"format_checker": jsonschema.FormatChecker()}
    jsonschema.validate(document["data"], closed(event_schema(EVENTS[wire_type])), **check)
    jsonschema.validate(document, closed(envelope_schema() | {"properties": _open_data()}), **check)


def _open_data() -> dict[str, object]:
    return envelope_schema()["properties"] | {"data": {"type": "object"}}


@EVERY_EVENT
def test_an_event_read_back_from_the_wire_is_the_same_event(wire_type: str) -> None:
    data = example_document(wire_type)["data"]
    assert EVENTS[wire_type].model_validate(data) == EXAMPLES[wire_type]


@EVERY_EVENT
def test_a_reader_ignores_a_field_it_does_not_know_and_a_writer_may_not_send_it(wire_type: str) -> None:
    """Bad inputs 4.5: a newer minor version with extra fields is applied, the extras ignored."""
    cls, data = EVENTS[wire_type], dict(example_document(wire_type)["data"]) | {"later_field": 1}  # type: ignore[call-overload]
    assert cls.model_validate(data) == EXAMPLES[wire_type]
    jsonschema.validate(data, event_schema(cls))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, closed(event_schema(cls)))


def test_a_placement_is_a_school_or_a_setting_never_both() -> None:
    assert Placement(urn="900123").setting is None
    with pytest.raises(ValidationError):
        Placement(urn="900123", setting=Setting.ELECTIVE_HOME)


@pytest.mark.parametrize("urn", ["90012", "9001234", "St Example's", "９００１２３", "900123\n"])
def test_a_urn_is_six_plain_digits(urn: str) -> None:
    with pytest.raises(ValidationError):
        Placement(urn=urn)


def test_every_event_is_sent_by_one_service_and_on_one_of_the_topics() -> None:
    assert {event.topic for event in EVENTS.values()} == set(TOPICS)
    assert all(sum(event in service.sends for service in SERVICES) == 1 for event in EVENTS.values())
    assert sender(PlanCeased).name == "case-service"
    assert [service.name for service in readers(PlanCeased)] == [
        "review-scheduler",
        "notification-service",
        "reporting-service",
    ]


def test_an_event_is_titled_in_words() -> None:
    assert title(ReviewMeetingBooked) == "Review meeting booked"


def test_the_readme_lists_every_event_with_its_sender() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    for wire_type, event in EVENTS.items():
        assert f"| `{event.__name__}` | `{wire_type}` | {sender(event).name} |" in readme
