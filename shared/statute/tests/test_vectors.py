"""The vectors, each under its own name, every field of what it expects: the shared ones, and more of the same shape.

`second-hand.json` was reckoned with a calendar by somebody who had not read the code, from the wording of each rule:
month ends, leap days, bank holidays, clock changes, the days on either side of every limit.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from statute_cases import HERE, VECTORS

from send_statute import evaluate, explain

shared = json.loads(VECTORS.read_text(encoding="utf-8")) if VECTORS.is_file() else []
second_hand = json.loads((HERE / "second-hand.json").read_text(encoding="utf-8"))
vectors = [*shared, *second_hand]


def test_the_shared_vectors_are_beside_the_repository() -> None:
    if not VECTORS.is_file():
        pytest.skip(f"no vectors at {VECTORS}; the hand-written cases stand in for them")
    assert len(shared) > 100
    assert {vector["rule"] for vector in shared} <= {vector["rule"] for vector in second_hand}


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
