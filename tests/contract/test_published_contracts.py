"""The contracts of this repository as published: fresh, compatible, free of personal data, valid documents."""

from __future__ import annotations

import jsonschema
import pytest

from ehcp_contracts.events import EVENTS
from ehcp_contracts.examples import example_document
from ehcp_contracts.publish import PUBLISHED, check, on_disk, render


def test_the_published_contracts_are_fresh_compatible_and_free_of_personal_data() -> None:
    """What `make check` runs. If it fails after a change of yours: `python -m ehcp_contracts publish`."""
    assert check() == []


@pytest.mark.parametrize("path", sorted(p for p in render() if p.startswith("schemas/")))
def test_a_published_schema_is_a_valid_schema(path: str) -> None:
    jsonschema.Draft202012Validator.check_schema(on_disk(PUBLISHED)[path])


@pytest.mark.parametrize("wire_type", EVENTS)
def test_the_published_schema_accepts_the_published_example(wire_type: str) -> None:
    published = on_disk(PUBLISHED)
    document = example_document(wire_type)
    jsonschema.validate(document, published["schemas/envelope.json"])
    jsonschema.validate(document["data"], published[f"schemas/{wire_type}.json"])


@pytest.mark.parametrize("path", sorted(p for p in render() if p.startswith("asyncapi/")))
def test_every_reference_of_an_asyncapi_document_leads_somewhere(path: str) -> None:
    document = on_disk(PUBLISHED)[path]
    for reference in _references(document):
        node = document
        for step in reference.removeprefix("#/").split("/"):
            assert step in node, reference
            node = node[step]


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    return [found for value in node for found in _references(value)] if isinstance(node, list) else []
