"""The catalogue as a person reads it: pure functions that return HTML pages and JSON documents.

The pages bring their own small stylesheet, run no script and fetch nothing. Serve them with
`SECURITY_POLICY`, which allows exactly that stylesheet.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ehcp_contracts import asyncapi
from ehcp_contracts.catalogue import (
    SERVICES,
    TOPIC_PURPOSES,
    ServiceEntry,
    on_topic,
    readers,
    sender,
    summary,
    title,
)
from ehcp_contracts.events import EVENTS, TOPICS, Event
from ehcp_contracts.examples import example_document
from ehcp_contracts.schemas import Schema, envelope_schema, event_schema, file_name

STYLE = files(__package__).joinpath("templates", "style.css").read_text("utf-8")
SECURITY_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)


@dataclass(frozen=True)
class Problem:
    """A problem type of the HTTP API: slug, status code, what it means and what the caller can do."""

    slug: str
    status: int
    title: str
    advice: str = ""


@dataclass(frozen=True)
class Field:
    """A row of a table of fields; `path` is dotted for parts of an object."""

    path: str
    kind: str
    required: bool
    meaning: str


@cache
def schemas_page() -> str:
    """The index of events with their schemas."""
    return _render("schemas.html", topics=_topics())


@cache
def asyncapi_page() -> str:
    """Services, channels, events, fields and examples on one page."""
    return _render(
        "asyncapi.html",
        promise=asyncapi.PROMISE,
        services=[_service(service) for service in SERVICES],
        envelope=tuple(_fields(envelope_schema())),
        topics=_topics(),
    )


def problems_page(problems: Iterable[Problem]) -> str:
    """The problem types, each with an anchor of its slug."""
    return _render("problems.html", problems=sorted(problems, key=lambda p: (p.status, p.slug)))


@cache
def schema_file(name: str) -> str | None:
    """A published schema by file name (`ehcp.review-due.v1.json`, `envelope.json`); None if there is none."""
    made = {file_name(wire_type): event for wire_type, event in EVENTS.items()}
    if name == "envelope.json":
        return _json(envelope_schema())
    return _json(event_schema(made[name])) if name in made else None


@cache
def asyncapi_file(name: str = asyncapi.HUB) -> str | None:
    """The AsyncAPI document of the hub or of a service as JSON; None if there is no such service."""
    return _json(asyncapi.document(name)) if name in asyncapi.names() else None


@cache
def templates(*packages: str) -> Environment:
    """The templates of these pages, and of further packages that extend `base.html` for pages of the same
    look."""
    loaders = [PackageLoader(package) for package in (*packages, "ehcp_contracts")]
    made = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    table = made.get_template("fields.html")
    made.globals["style"] = Markup(STYLE)
    made.globals["fields_table"] = lambda caption, fields: Markup(
        table.render(caption=caption, fields=fields)
    )
    return made


def _render(template: str, **values: object) -> str:
    return templates().get_template(template).render(**values)


def _topics() -> list[tuple[str, str, list[Mapping[str, object]]]]:
    return [(topic, TOPIC_PURPOSES[topic], [_event(event) for event in on_topic(topic)]) for topic in TOPICS]


def _event(event: type[Event]) -> Mapping[str, object]:
    return {
        "type": event.wire_type,
        "title": title(event),
        "summary": _with_code(summary(event)),
        "sender": sender(event).name,
        "readers": ", ".join(service.name for service in readers(event)),
        "fields": tuple(_fields(event_schema(event))),
        "example": _json(example_document(event.wire_type)),
    }


def _with_code(words: str) -> Markup:
    """Text with `names` set as code."""
    plain = words.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(plain)
    )


def _service(service: ServiceEntry) -> Mapping[str, object]:
    whole = [topic for topic in TOPICS if set(on_topic(topic)) <= set(service.reads)]
    single = [event.wire_type for event in service.reads if event.topic not in whole]
    return {
        "name": service.name,
        "owns": service.owns,
        "topic": service.topic,
        "reads": ", ".join([*(f"all of {topic}" for topic in whole), *single]),
    }


def _fields(schema: Schema, part: Schema | None = None, prefix: str = "") -> Iterator[Field]:
    owner = schema if part is None else part
    for name, node in owner["properties"].items():
        inner = _resolved(schema, node)
        required = name in owner.get("required", ())
        yield Field(f"{prefix}{name}", _kind(inner), required, node.get("description", ""))
        if inner.get("type") == "object" and "properties" in inner:
            yield from _fields(schema, inner, f"{prefix}{name}.")


def _resolved(schema: Schema, node: Schema) -> Schema:
    branches = [branch for branch in node.get("anyOf", [node]) if branch.get("type") != "null"]
    target = branches[0]
    if "$ref" in target:
        return dict(schema["$defs"][target["$ref"].rsplit("/", 1)[-1]])
    return dict(target)


def _kind(node: Schema) -> str:
    if "const" in node:
        return f"always {node['const']}"
    if "enum" in node:
        return "one of " + ", ".join(str(value) for value in node["enum"])
    if node.get("type") == "array":
        return f"list of {_kind(node['items'])}"
    return str(node.get("format", node.get("type", "")))


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
