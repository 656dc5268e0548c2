"""The envelope against the official CloudEvents SDK, both ways, and against documents it must refuse."""

from __future__ import annotations

import json

import pytest
from cloudevents.core.bindings.kafka import to_binary_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from pydantic import ValidationError

from ehcp_contracts.envelope import Envelope
from ehcp_contracts.events import EVENTS, ReviewDue
from ehcp_contracts.examples import CASE, EXAMPLES, example_document

DUE = "ehcp.review-due.v1"


def raw(**changes: object) -> bytes:
    return json.dumps({k: v for k, v in (example_document(DUE) | changes).items() if v is not ...}).encode()


@pytest.mark.parametrize("wire_type", EVENTS)
def test_the_official_sdk_reads_our_document_attribute_by_attribute(wire_type: str) -> None:
    ours = Envelope.from_bytes(json.dumps(example_document(wire_type)).encode())
    event = JSONFormat().read(CloudEvent, ours.to_bytes())
    assert event.get_specversion() == "1.0"
    assert event.get_id() == str(ours.id)
    assert event.get_source() == ours.source
    assert event.get_type() == wire_type
    assert event.get_subject() == str(CASE)
    assert event.get_time() == ours.time
    assert event.get_dataschema() == f"/schemas/{wire_type}.json"
    assert event.get_datacontenttype() == "application/json"
    assert event.get_extension("sequence") == "0000000007"
    assert event.get_extension("partitionkey") == str(CASE)
    assert event.get_extension("lacode") == "351"
    assert event.get_data() == ours.data


def test_we_read_the_document_that_the_official_sdk_writes() -> None:
    written = JSONFormat().write(JSONFormat().read(CloudEvent, raw()))
    assert Envelope.from_bytes(written) == Envelope.from_bytes(raw())


def test_the_sdk_takes_the_case_as_the_kafka_key() -> None:
    message = to_binary_event(JSONFormat().read(CloudEvent, raw()), JSONFormat())
    assert message.key == str(CASE)


def test_the_document_that_was_written_is_the_one_that_is_read() -> None:
    envelope = Envelope.from_bytes(raw())
    assert Envelope.from_bytes(envelope.to_bytes()) == envelope
    assert envelope.sequence == 7
    assert json.loads(envelope.to_bytes())["sequence"] == "0000000007"


def test_sequences_sort_as_text_as_they_do_as_numbers() -> None:
    written = [json.loads(Envelope.from_bytes(raw(sequence=n)).to_bytes())["sequence"] for n in (9, 10, 200)]
    assert written == sorted(written)


def test_an_envelope_gives_the_typed_event_and_none_for_a_foreign_type() -> None:
    """Bad inputs 4.4: foreign types are ignored and counted."""
    assert Envelope.from_bytes(raw()).event() == EXAMPLES[DUE]
    assert isinstance(Envelope.from_bytes(raw()).event(), ReviewDue)
    assert Envelope.from_bytes(raw(type="uk.example.other.v1")).event() is None


def test_an_attribute_we_do_not_know_is_ignored() -> None:
    assert Envelope.from_bytes(raw(laterattribute="x")) == Envelope.from_bytes(raw())


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("specversion", "0.3"),
        ("id", "not-an-id"),
        ("id", ...),
        ("type", ...),
        ("type", "ehcp review due"),
        ("source", ...),
        ("subject", "Amina Example"),
        ("subject", ...),
        ("time", "2026-11-23T08:30:00"),
        ("time", "yesterday"),
        ("sequence", 0),
        ("sequence", "seven"),
        ("sequence", ...),
        ("lacode", "Bury"),
        ("lacode", ...),
        ("dataref", "/v1/cases?name=x"),
        ("data", ...),
        ("data", []),
        ("data", None),
    ],
)
def test_a_document_with_a_missing_or_wrong_attribute_is_refused(attribute: str, value: object) -> None:
    """Bad inputs 4.3: quarantine `envelope`."""
    with pytest.raises(ValidationError):
        Envelope.from_bytes(raw(**{attribute: value}))
