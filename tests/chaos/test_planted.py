"""The planted bugs themselves: what they replace is still there (that each is caught, `--planted` shows)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.chaos.planted import BUGS
from tests.chaos.planted_bugs import PLANT

ALL = "from tests.chaos.planted_bugs import PLANT\nfor plant in PLANT.values(): plant()"


def test_every_bug_still_finds_its_place_in_the_hub() -> None:
    assert [bug.id for bug in BUGS] == list(PLANT)
    subprocess.run([sys.executable, "-c", ALL], cwd=Path(__file__).parents[2], check=True)
