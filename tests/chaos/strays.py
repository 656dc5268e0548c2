"""Records that the hub did not send: what it sent before, once more, and what nobody can read (F32 to F34)."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from .evidence import Entry
from .log import Addition

KEY = "stray-"
"""The keys of poison begin so; no case has such a name."""
MOST_COPIES = 5
LARGE = 900_000


def again(entries: Sequence[Entry], dice: random.Random, most: int = 20) -> list[Addition]:
    """Some records of the log as they are, each one to five times: long known, and in no order."""
    chosen = [entry for entry in entries if entry.value]
    return [
        Addition(entry.topic, entry.key, entry.value)
        for entry in dice.sample(chosen, min(most, len(chosen)))
        for _ in range(dice.randint(1, MOST_COPIES))
    ]


def poison(entries: Sequence[Entry], dice: random.Random) -> list[Addition]:
    """For each topic one record of every kind that cannot be applied; each has a key of its own, so that no case of the
    run has to wait behind it, but the last: another content under the id of an event that is long known."""
    made: list[Addition] = []
    for topic in sorted({entry.topic for entry in entries}):
        known = dice.choice([entry for entry in entries if entry.topic == topic and entry.value])
        for value in _unreadable(known, dice):
            made.append(Addition(topic, f"{KEY}{len(made)}", value))
        made += [Addition(topic, f"{KEY}{len(made) + n}", value) for n, value in enumerate((None, None))]
        for changes in _unfit():
            key = f"{KEY}{len(made)}"
            made.append(Addition(topic, key, _changed(known, dice, subject=key, partitionkey=key, **changes)))
        made.append(Addition(topic, f"{KEY}{len(made)}", _changed(known, dice)))
        made.append(
            Addition(
                topic, known.key, _changed(known, dice, id=known.event["id"], time="2027-03-01T00:00:00Z")
            )
        )
    return made


def _unreadable(known: Entry, dice: random.Random) -> list[bytes]:
    mark = f"{dice.getrandbits(64):016x}".encode()
    return [
        b"not json " + mark,
        b"\xff\xfe" + mark,
        b'["' + mark + b'"]',
        b'{"specversion":"1.0","id":"' + mark + b'"}',
        known.value[:-20] + mark,
        b'"' + mark + b"x" * LARGE + b'"',
    ]


def _unfit() -> list[dict[str, Any]]:
    """What makes an envelope one that nobody can apply: a type or version nobody knows, no sequence, a name in it."""
    return [
        {"type": "ehcp.plan-exploded.v1"},
        {"type": "ehcp.plan-issued.v99"},
        {"sequence": "soon"},
        {"data": {"surname": "Nobody"}},
    ]


def _changed(known: Entry, dice: random.Random, **changes: Any) -> bytes:
    fresh = {"id": str(UUID(int=dice.getrandbits(128), version=4))}
    return json.dumps(known.event | fresh | changes).encode()
