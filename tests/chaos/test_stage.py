"""The supervisor of the rig: whoever is asked to end is gone afterwards, one way or the other."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.chaos import stage
from tests.chaos.stage import OUTLIVED, Part, end_all

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
WILLING = "import time; print('here', flush=True); time.sleep(600)"


def part_of(code: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Part:
    """A part whose process runs this code."""
    monkeypatch.setattr(stage, "command", lambda *_: [sys.executable, "-c", code])
    around: Any = SimpleNamespace(
        directory=directory,
        run=SimpleNamespace(directory=directory),
        environment=lambda *_: {},
        arm=lambda _: None,
    )
    return Part(around, "case", "relay")


async def said(part: Part, word: bytes) -> None:
    log = part.stage.directory / f"{part.name}.log"
    async with asyncio.timeout(60):
        while not (log.exists() and word in log.read_bytes()):
            await asyncio.sleep(0.02)


async def test_who_does_not_end_when_asked_is_killed_and_counted_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for it ended the whole run with a `TimeoutError` instead."""
    part = part_of(DEAF, tmp_path, monkeypatch)
    keeping = asyncio.create_task(part.keep())
    await said(part, b"deaf")
    part.end()
    await end_all([part], grace=0.2)
    await keeping
    assert [life.cause for life in part.lives] == [OUTLIVED]


async def test_who_is_held_while_it_is_being_started_does_not_run_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody was there yet to be asked: it passed for gone, and was there a moment later."""
    part = part_of(WILLING, tmp_path, monkeypatch)
    keeping = asyncio.create_task(part.keep())
    await asyncio.sleep(0)  # `keep` is now in the middle of the start
    assert part.pid is None
    part.hold()
    await end_all([part], grace=60)
    assert [life.cause for life in part.lives] == ["exit -15"]
    part.end()
    await keeping
    assert len(part.lives) == 1
