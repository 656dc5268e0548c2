"""The business date over HTTP: read it, and move it day by day while the hub runs. Embedded mode only."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Protocol

from fastapi import APIRouter, Response

from service_kit.access import allow
from service_kit.api import router
from service_kit.clock import Clock
from service_kit.problems import Fault, Refusal
from service_kit.strict import Body, IsoDate, View

FURTHEST = timedelta(days=3 * 366)


class Calendar(Protocol):
    """What can move from day to day."""

    clock: Clock

    async def begin_day(self, day: date) -> None: ...


class MoveClock(Body):
    """The day to move to; it must lie ahead, at most three years."""

    until: IsoDate


class ClockView(View):
    """Where the business date stands, and where it is going. `days` and `done` count the present or last
    move; `failed` says that it stopped early, for the log to tell why."""

    today: date
    until: date
    moving: bool
    days: int = 0
    done: int = 0
    failed: bool = False


class Mover:
    """Moves a calendar on, one day after the other, one move at a time."""

    def __init__(self, calendar: Calendar) -> None:
        self.calendar = calendar
        self._from = self._until = calendar.clock.today()
        self._task: asyncio.Task[None] | None = None

    def view(self) -> ClockView:
        today, task = self.calendar.clock.today(), self._task
        moving = task is not None and not task.done()
        failed = task is not None and task.done() and (task.cancelled() or task.exception() is not None)
        return ClockView(
            today=today,
            until=self._until if moving or failed else today,
            moving=moving,
            days=(self._until - self._from).days,
            done=(min(today, self._until) - self._from).days,
            failed=failed,
        )

    def start(self, until: date) -> None:
        """Begin to move. Raises Refusal: `in-progress` while another move runs, `validation` for a day that
        does not lie ahead."""
        view = self.view()
        if view.moving:
            if until == self._until:
                return
            raise Refusal("in-progress", headers={"Retry-After": "2"})
        if not view.today <= until <= view.today + FURTHEST:
            message = "Time moves forward only, and at most three years at once."
            raise Refusal("validation", errors=[Fault("/until", "not-ahead", message)])
        self._from, self._until = view.today, until
        self._task = asyncio.create_task(self._move(), name="business date")

    async def _move(self) -> None:
        for n in range(1, (self._until - self._from).days + 1):
            await self.calendar.begin_day(self._from + timedelta(days=n))

    async def stop(self) -> None:
        """End a move that is running; the day it is at is finished at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def clock_routes(mover: Mover) -> APIRouter:
    """`GET` and `PUT /v1/clock`."""
    routes = router(tags=["clock"])

    @routes.get("/v1/clock", response_model=ClockView, dependencies=[allow("clock.read")])
    async def read_clock() -> ClockView:
        """Where the business date stands; while it moves, how far it has come."""
        return mover.view()

    @routes.put("/v1/clock", status_code=202, response_model=ClockView, dependencies=[allow("clock.move")])
    async def move_clock(body: MoveClock, response: Response) -> ClockView:
        """Move the business date on. Every day on the way is worked to its end before the next begins."""
        mover.start(body.until)
        response.headers["Location"] = "/v1/clock"
        return mover.view()

    return routes
