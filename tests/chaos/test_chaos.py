"""The two minutes of chaos that every test run has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.chaos.nemesis import FAILPOINTS
from tests.chaos.run import SHORT, run
from tests.chaos.stage import NoKafka
from tests.rig.run import Run


@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.xdist_group("heavy")
async def test_nothing_is_lost_doubled_misordered_leaked_or_told_to_strangers_whatever_dies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """I1 to I15 hold after every part has been killed at failpoints and by chance (F01 to F14, F17) or asked to end (F18),
    a consumer was frozen (F19), the broker cut off (F20), PostgreSQL started again (F25), connections cut during COMMIT
    (F27), and known, early and unreadable records put into the log (F32 to F34). `SEED=` repeats the decisions of a run."""
    seed = int(os.environ.get("SEED") or 20260901)
    try:
        report = await run(Run.current(), tmp_path, SHORT, seed)
    except NoKafka as missing:
        pytest.skip(str(missing))
    with capsys.disabled():
        print("", *report.lines(), sep="\n")
    assert report.violations == []
    assert report.healed_in is not None
    # A run in which little happened proves nothing.
    assert report.kills >= 15
    assert report.events >= 400
    assert sum(report.killed[name] > 0 for name in FAILPOINTS.values()) >= 6
