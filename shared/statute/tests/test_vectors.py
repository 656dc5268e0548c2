"""The shared test vectors, each under its own name, every field of what it expects."""

from __future__ import annotations

import json
from typing import Any

import pytest
from statute_cases import VECTORS

from send_statute import evaluate, explain

vectors = json.loads(VECTORS.read_text(encoding="utf-8")) if VECTORS.is_file() else []


def test_the_shared_vectors_are_beside_the_repository() -> None:
    if not VECTORS.is_file():
        pytest.skip(f"no vectors at {VECTORS}; the hand-written cases stand in for them")
    assert len(vectors) > 100


@pytest.mark.parametrize("vector", vectors, ids=[vector["id"] for vector in vectors])
def test_vector(vector: dict[str, Any]) -> None:
    assert evaluate(vector["rule"], vector["input"]) == vector["expect"]


@pytest.mark.parametrize("vector", vectors, ids=[vector["id"] for vector in vectors])
def test_vector_is_explained_with_the_same_results_and_a_citation_on_every_date(
    vector: dict[str, Any],
) -> None:
    told = explain(vector["rule"], vector["input"]).to_dict()
    assert told["results"] == vector["expect"]
    for name, value in vector["expect"].items():
        dates = [f"{name}.{n + 1}" for n in range(len(value))] if isinstance(value, list) else [name]
        if name.endswith(("utc_exclusive", "academic_year")) or not _is_date(value):
            continue
        for key in dates:
            assert told["cited"][key]["citation"]


def _is_date(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(isinstance(item, str) and len(item) == 10 and item[4] == item[7] == "-" for item in values)
