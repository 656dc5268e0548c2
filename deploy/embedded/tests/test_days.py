"""Moving the business date: day by day, forwards, one move at a time."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta

import pytest

from ehcp_embedded import state
from ehcp_embedded.days import Mover
from service_kit.clock import Clock
from service_kit.problems import Refusal

MONDAY = date(2026, 11, 23)


class Calendar:
    """Notes the days it was asked to begin; waits for `go` before each."""

    def __init__(self, fails_on: date | None = None) -> None:
        self.clock = Clock(MONDAY)
        self.begun: list[date] = []
        self.go = asyncio.Event()
        self.fails_on = fails_on

    async def begin_day(self, day: date) -> None:
        await self.go.wait()
        if day == self.fails_on:
            raise RuntimeError
        self.clock.set(day)
        self.begun.append(day)


async def moved(mover: Mover) -> None:
    assert mover._task is not None
    await asyncio.gather(mover._task, return_exceptions=True)


async def test_every_day_on_the_way_is_begun_in_order() -> None:
    calendar = Calendar()
    mover = Mover(calendar)
    mover.start(MONDAY + timedelta(days=3))
    before = mover.view()
    assert (before.moving, before.days, before.done, before.today) == (True, 3, 0, MONDAY)
    calendar.go.set()
    await moved(mover)
    assert calendar.begun == [date(2026, 11, 24), date(2026, 11, 25), date(2026, 11, 26)]
    after = mover.view()
    assert (after.moving, after.done, after.today, after.failed) == (False, 3, date(2026, 11, 26), False)


async def test_a_second_move_waits_its_turn_and_the_same_one_is_no_other() -> None:
    mover = Mover(Calendar())
    mover.start(MONDAY + timedelta(days=3))
    mover.start(MONDAY + timedelta(days=3))
    with pytest.raises(Refusal, match="in-progress"):
        mover.start(MONDAY + timedelta(days=4))
    await mover.stop()


@pytest.mark.parametrize("days", [-1, 3 * 366 + 1])
async def test_time_moves_forward_only_and_not_too_far(days: int) -> None:
    with pytest.raises(Refusal, match="validation"):
        Mover(Calendar()).start(MONDAY + timedelta(days=days))


async def test_moving_to_today_moves_nothing() -> None:
    calendar = Calendar()
    mover = Mover(calendar)
    mover.start(MONDAY)
    await moved(mover)
    assert calendar.begun == []
    assert mover.view().days == 0


async def test_a_day_that_fails_stops_the_move_and_says_so() -> None:
    calendar = Calendar(fails_on=date(2026, 11, 25))
    calendar.go.set()
    mover = Mover(calendar)
    mover.start(MONDAY + timedelta(days=3))
    await moved(mover)
    view = mover.view()
    assert (view.failed, view.moving, view.today, view.until) == (
        True,
        False,
        date(2026, 11, 24),
        date(2026, 11, 26),
    )


def test_the_state_is_kept_and_readable_by_its_owner_only(tmp_path) -> None:
    kept = state.State(MONDAY, "http://127.0.0.1:8123", (("school", "whsec_x"),))
    state.save(tmp_path / "data", kept)
    assert state.load(tmp_path / "data") == kept
    assert (tmp_path / "data" / state.FILE).stat().st_mode & 0o077 == 0
    assert kept.filled


def test_a_new_data_directory_follows_the_calendar_and_is_not_filled(tmp_path) -> None:
    fresh = state.load(tmp_path)
    assert (fresh.today, fresh.filled) == (None, False)
