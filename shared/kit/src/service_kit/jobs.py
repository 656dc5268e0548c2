"""Supervised loops beside the API: periodic jobs, daily jobs by the business date, and loops that never end.

A job that fails is logged and tried again with growing pauses; one that keeps failing ends the process, so that
whoever supervises it (systemd, Kubernetes, `make up`) starts it anew instead of leaving it dead inside a live one.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import structlog
from sqlalchemy import select

from service_kit.database import upsert
from service_kit.hub import Hub

log = structlog.get_logger(__name__)
GIVE_UP_AFTER = 20
LONGEST_PAUSE = 30.0

Loop = Callable[[Hub], Awaitable[None]]
Daily = Callable[[Hub, date], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Job:
    """One loop of a service. `seconds` is the pause between runs; `daily` jobs look at the business date instead."""

    name: str
    run: Loop | None = None
    seconds: float = 0.0
    daily: Daily | None = None


def every(seconds: float, name: str, run: Loop) -> Job:
    """Run again and again with a pause of `seconds`."""
    return Job(name, run, seconds)


def forever(name: str, run: Loop) -> Job:
    """Run a loop that is not meant to return."""
    return Job(name, run)


def daily(name: str, run: Daily) -> Job:
    """Run once for each business date, in order, also for dates skipped while the service was down. Must be
    idempotent: a crash between its commit and the note that it ran repeats the day."""
    return Job(name, daily=run, seconds=5.0)


class Days:
    """Runs the daily jobs of one service up to the business date; one caller at a time."""

    def __init__(self, hub: Hub, jobs: Sequence[Job]) -> None:
        self.hub = hub
        self.jobs = [job for job in jobs if job.daily]
        self._turn = asyncio.Lock()

    async def catch_up(self) -> None:
        async with self._turn:
            today = self.hub.clock.today()
            for job in self.jobs:
                for day in await self._owed(job, today):
                    assert job.daily is not None
                    await job.daily(self.hub, day)
                    await self._note(job, day)

    async def _owed(self, job: Job, today: date) -> list[date]:
        table = self.hub.db.tables["ticks"]
        async with self.hub.db.read() as session:
            last = (
                await session.execute(select(table.c.last_day).where(table.c.job == job.name))
            ).scalar_one_or_none()
        if last is None:
            return [today]
        return [last + timedelta(days=n) for n in range(1, (today - last).days + 1)]

    async def _note(self, job: Job, day: date) -> None:
        table = self.hub.db.tables["ticks"]
        async with self.hub.db.write() as tx:
            statement = upsert(tx, table).values(job=job.name, last_day=day)
            await tx.execute(statement.on_conflict_do_update(index_elements=["job"], set_={"last_day": day}))


async def supervise(name: str, once: Callable[[], Awaitable[None]], pause: float) -> None:
    """Run `once` again and again; back off on failure, and end the process after too many in a row."""
    failures = 0
    while True:
        try:
            await once()
            failures = 0
            await asyncio.sleep(pause)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if (task := asyncio.current_task()) and task.cancelling():
                return  # what was cut off failed in its own way
            failures += 1
            log.warning(
                "job failed", job=name, failures=failures, error=type(error).__name__, exc_info=failures == 1
            )
            if failures >= GIVE_UP_AFTER:
                log.critical("job keeps failing; ending the process", job=name)
                os.kill(os.getpid(), signal.SIGTERM)
                return
            await asyncio.sleep(min(LONGEST_PAUSE, 0.1 * 2**failures))
