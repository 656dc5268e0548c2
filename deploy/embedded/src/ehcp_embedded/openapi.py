"""One OpenAPI document from several applications."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI

Document = dict[str, Any]


def merged(apps: Iterable[FastAPI], *, title: str, server: str) -> Document:
    """The paths and components of all applications. Components of the same name that differ are told apart by
    the name of their application."""
    whole: Document = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        "servers": [{"url": server}],
        "paths": {},
        "components": {},
    }
    for app in apps:
        document = _without_clashes(app, whole["components"])
        whole["paths"] |= document.get("paths", {})
        for kind, named in document.get("components", {}).items():
            whole["components"].setdefault(kind, {}).update(named)
    return whole


def _without_clashes(app: FastAPI, taken: Document) -> Document:
    document = app.openapi()
    own = document.get("components", {}).get("schemas", {})
    others = taken.get("schemas", {})
    clashes = {name for name in own if name in others and others[name] != own[name]}
    if not clashes:
        return document
    # What speaks of a component that is told apart must be told apart itself, though it reads the same.
    while more := {n for n in own if n in others and n not in clashes and _speaks_of(own[n], clashes)}:
        clashes |= more
    prefix = "".join(word.capitalize() for word in app.title.split("-"))
    text = json.dumps(document)
    for name in clashes:
        text = text.replace(f'"#/components/schemas/{name}"', f'"#/components/schemas/{prefix}{name}"')
    renamed: Document = json.loads(text)
    schemas = renamed["components"]["schemas"]
    for name in clashes:
        schemas[f"{prefix}{name}"] = schemas.pop(name)
    return renamed


def _speaks_of(schema: Any, names: set[str]) -> bool:
    text = json.dumps(schema)
    return any(f'"#/components/schemas/{name}"' in text for name in names)
