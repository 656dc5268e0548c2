"""Failpoints: named places at which a test may end the process, as if power failed there.

``FAILPOINTS="relay.after_send_before_mark=kill:0.02;send.after_2xx_before_mark=kill:1@n=7"``: kill with a probability
at each visit, or exactly at the n-th visit. Nothing happens unless the variable is set; production settings refuse it.
"""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass


@dataclass
class _Point:
    probability: float
    nth: int | None
    visits: int = 0

    def fires(self, dice: random.Random) -> bool:
        self.visits += 1
        if self.nth is not None:
            return self.visits == self.nth
        return dice.random() < self.probability


def _parse(spec: str) -> dict[str, _Point]:
    points: dict[str, _Point] = {}
    for item in filter(None, spec.split(";")):
        name, _, action = item.partition("=")
        kind, _, rest = action.partition(":")
        chance, _, nth = rest.partition("@n=")
        if kind != "kill" or not name:
            raise ValueError("FAILPOINTS: expected name=kill:PROBABILITY or name=kill:1@n=N")
        points[name] = _Point(float(chance), int(nth) if nth else None)
    return points


_points = _parse(os.environ.get("FAILPOINTS", ""))
_dice = random.Random(os.environ.get("FAILPOINTS_SEED"))


def failpoint(name: str) -> None:
    """End the process with SIGKILL if this point is armed and its dice say so."""
    point = _points.get(name) if _points else None
    if point is not None and point.fires(_dice):
        os.kill(os.getpid(), signal.SIGKILL)
