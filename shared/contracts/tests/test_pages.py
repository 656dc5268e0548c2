"""The catalogue pages: complete, well-formed, self-contained and accessible in their structure."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from ehcp_contracts.asyncapi import names
from ehcp_contracts.events import EVENTS
from ehcp_contracts.pages import (
    SECURITY_POLICY,
    Problem,
    asyncapi_file,
    asyncapi_page,
    problems_page,
    schema_file,
    schemas_page,
)

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Outline(HTMLParser):
    """Collects what the tests look at, and fails on tags that do not close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.headings: list[int] = []
        self.tables = self.captions = 0
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in named:
            self.ids.append(named["id"] or "")
        if tag == "a":
            self.targets.append(named["href"] or "")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "th":
            assert named.get("scope") in ("col", "row")
        assert tag not in ("script", "img", "link", "iframe")
        self.tables += tag == "table"
        self.captions += tag == "caption"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


PROBLEMS = [
    Problem("not-found", 404, "Nothing here"),
    Problem("conflict", 409, "A <b>clash</b>", "Read again."),
]
PAGES = {"schemas": schemas_page(), "asyncapi": asyncapi_page(), "problems": problems_page(PROBLEMS)}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_is_well_formed_and_accessible(page: str) -> None:
    outline = Outline(page)
    assert page.startswith("<!doctype html>")
    assert '<html lang="en-GB">' in page
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(outline.headings, outline.headings[1:], strict=False))
    assert outline.tables == outline.captions
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.targets[0] == "#content"
    assert {target[1:] for target in outline.targets if target.startswith("#")} <= set(outline.ids)


def test_every_event_is_on_the_pages_and_linked_to_its_schema_and_its_description() -> None:
    schemas, described = Outline(PAGES["schemas"]), Outline(PAGES["asyncapi"])
    for wire_type in EVENTS:
        assert f"/schemas/{wire_type}.json" in schemas.targets
        assert f"/asyncapi#{wire_type}" in schemas.targets
        assert wire_type in described.ids


def test_names_in_backticks_are_set_as_code() -> None:
    assert "<code>issued_on</code> is the anchor" in PAGES["schemas"]
    assert "`" not in PAGES["schemas"]


def test_text_is_escaped() -> None:
    assert "A &lt;b&gt;clash&lt;/b&gt;" in PAGES["problems"]


def test_the_policy_allows_the_stylesheet_by_its_hash_and_nothing_else() -> None:
    assert SECURITY_POLICY.startswith("default-src 'none'")
    assert "unsafe-inline" not in SECURITY_POLICY
    assert "'sha256-" in SECURITY_POLICY


def test_schemas_and_documents_are_served_by_name_and_others_are_none() -> None:
    assert json.loads(schema_file("ehcp.plan-issued.v1.json") or "")["x-type"] == "ehcp.plan-issued.v1"
    assert json.loads(schema_file("envelope.json") or "")["title"] == "Envelope"
    assert schema_file("../pyproject.toml") is None
    assert all(json.loads(asyncapi_file(name) or "")["asyncapi"] == "3.0.0" for name in names())
    assert asyncapi_file("other") is None
