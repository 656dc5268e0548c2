"""AsyncAPI 3.0 documents: one per service, and one for the hub as a partner inside the council's trust sees
it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import models_json_schema

from ehcp_contracts.catalogue import SERVICES, TOPIC_PURPOSES, ServiceEntry, on_topic, sender, summary, title
from ehcp_contracts.events import TOPICS, Event
from ehcp_contracts.examples import example_document
from ehcp_contracts.schemas import envelope_schema
from ehcp_contracts.vocabulary import vocabulary

Document = dict[str, Any]
HUB = "hub"
CONTENT_TYPE = "application/cloudevents+json"
PROMISE = (
    "At least once everywhere, applied exactly once in effect, in order per case, never silently dropped. "
    "The key is the case id; repeats carry the same event id. Unknown fields are to be ignored."
)


def names() -> tuple[str, ...]:
    """The documents there are: the hub's and each service's."""
    return (HUB, *(service.name for service in SERVICES))


def document(name: str) -> Document:
    """The AsyncAPI document of the hub (`hub`) or of one service. Raises StopIteration for an unknown
    name."""
    if name == HUB:
        return _document("EHC-plan hub", "Every event of the hub. " + PROMISE, send=TOPICS, receive=())
    service = next(service for service in SERVICES if service.name == name)
    return _document(
        service.name, f"Owns {service.owns}. {PROMISE}", *_directions(service), only=service.reads
    )


def _directions(service: ServiceEntry) -> tuple[tuple[str, ...], tuple[str, ...]]:
    send = (service.topic,) if service.topic else ()
    return send, tuple(topic for topic in TOPICS if any(event.topic == topic for event in service.reads))


def _document(
    heading: str,
    description: str,
    send: tuple[str, ...],
    receive: tuple[str, ...],
    only: tuple[type[Event], ...] = (),
) -> Document:
    messages = {topic: on_topic(topic) for topic in send}
    messages |= {topic: tuple(e for e in on_topic(topic) if e in only) for topic in receive}
    events = [event for topic in TOPICS for event in messages.get(topic, ())]
    operations = {f"send {topic}": _operation("send", topic, messages[topic]) for topic in send}
    operations |= {f"receive {topic}": _operation("receive", topic, messages[topic]) for topic in receive}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": heading, "version": "1", "description": description},
        "defaultContentType": CONTENT_TYPE,
        "channels": {topic: _channel(topic, messages[topic]) for topic in TOPICS if topic in messages},
        "operations": operations,
        "components": {"messages": {e.wire_type: _message(e) for e in events}, "schemas": _schemas(events)},
    }


def _channel(topic: str, events: Iterable[type[Event]]) -> Document:
    return {
        "address": topic,
        "description": TOPIC_PURPOSES[topic],
        "messages": {e.wire_type: {"$ref": f"#/components/messages/{e.wire_type}"} for e in events},
    }


def _operation(action: str, topic: str, events: Iterable[type[Event]]) -> Document:
    channel = f"#/channels/{topic}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{event.wire_type}"} for event in events],
    }


def _message(event: type[Event]) -> Document:
    return {
        "name": event.wire_type,
        "title": title(event),
        "summary": summary(event),
        "contentType": CONTENT_TYPE,
        "x-sender": sender(event).name,
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/Envelope"},
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": event.wire_type},
                        "data": {"$ref": f"#/components/schemas/{event.__name__}"},
                    },
                },
            ]
        },
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
        "examples": [{"name": title(event), "payload": example_document(event.wire_type)}],
    }


def _schemas(events: list[type[Event]]) -> Document:
    template = "#/components/schemas/{model}"
    _, definitions = models_json_schema([(event, "validation") for event in events], ref_template=template)
    schemas: Document = dict(definitions.get("$defs", {}))
    for part in schemas.values():
        for field, node in part.get("properties", {}).items():
            node.pop("title", None)
            node.setdefault("description", vocabulary().get(field, ""))
    envelope = envelope_schema()
    return {"Envelope": {k: v for k, v in envelope.items() if not k.startswith("$")}} | schemas
