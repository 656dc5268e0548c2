"""JSON Schemas of the events. The published schema is open, as readers are; the writer's is the same,
closed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from ehcp_contracts.envelope import Envelope
from ehcp_contracts.events import Event
from ehcp_contracts.vocabulary import envelope_vocabulary, vocabulary

Schema = dict[str, Any]
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def file_name(wire_type: str) -> str:
    """Name of the golden file, and last part of the address under /schemas: `ehcp.review-due.v1.json`."""
    return f"{wire_type}.json"


def event_schema(event: type[Event]) -> Schema:
    """The open schema of an event's `data`, as published and as readers use it."""
    schema = event.model_json_schema(mode="validation")
    for part in objects(schema):
        part["additionalProperties"] = True
        _explain(part, vocabulary())
    head = {
        "$schema": DRAFT,
        "$id": f"/schemas/{file_name(event.wire_type)}",
        "x-type": event.wire_type,
        "x-topic": event.topic,
    }
    return _plain({**head, **schema})


def envelope_schema() -> Schema:
    """The open schema of the envelope; `data` is any object here, and the event's own schema in the
    catalogue."""
    schema = Envelope.model_json_schema(mode="serialization")
    schema["additionalProperties"] = True
    schema["required"] = [name for name, field in Envelope.model_fields.items() if field.is_required()]
    schema["required"].insert(0, "specversion")
    schema["properties"]["sequence"] = {"type": "string", "pattern": "^[0-9]{10}$"}
    _explain(schema, envelope_vocabulary())
    return _plain({"$schema": DRAFT, "$id": "/schemas/envelope.json", **schema})


def closed(schema: Mapping[str, Any]) -> Schema:
    """The writer's schema: the same, but a field it does not name is refused."""
    writers = copy.deepcopy(dict(schema))
    for part in objects(writers):
        part["additionalProperties"] = False
    return writers


def objects(schema: Schema) -> Iterator[Schema]:
    """The schema and every definition of it that describes an object."""
    for part in (schema, *schema.get("$defs", {}).values()):
        if part.get("type") == "object":
            yield part


def _explain(part: Schema, meanings: Mapping[str, str]) -> None:
    for name, node in part["properties"].items():
        node.setdefault("description", meanings.get(name, ""))


def _plain(schema: Schema) -> Schema:
    """Without the titles pydantic makes up for each field: they repeat the name."""
    for part in objects(schema):
        for node in part["properties"].values():
            node.pop("title", None)
    return schema
