"""How much every process and every database holds, looked at once a second while a run lasts (I14)."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import asyncpg

from .evidence import Sample
from .stage import MODULES, Stage

EVERY = 1.0


class Watch:
    """Takes samples of all processes of a stage, and of the connections of each service's database."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.samples: list[Sample] = []
        self.connections: dict[str, int] = {}
        """The most connections that each service has held at once."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._look_at_processes()
            with suppress(OSError, asyncpg.PostgresError):
                await self._look_at_databases()
            await asyncio.sleep(EVERY)

    def _look_at_processes(self) -> None:
        for part in self.stage.parts:
            if part.pid is not None and part.lives:
                with suppress(OSError):  # it has died just now
                    self.samples.append(_sample(part.name, part.life.started, part.pid))

    async def _look_at_databases(self) -> None:
        connection = await asyncpg.connect(self.stage.postgres.url(driver="postgresql"), timeout=5)
        try:
            rows = await connection.fetch("SELECT datname FROM pg_stat_activity WHERE datname IS NOT NULL")
        finally:
            await connection.close()
        held = Counter(row["datname"] for row in rows)
        for service, database in MODULES.items():
            self.connections[service] = max(self.connections.get(service, 0), held[database])


def _sample(part: str, born: float, pid: int) -> Sample:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    kilobytes = (
        int(status["VmRSS"].split()[0]) if "VmRSS" in status else 0
    )  # a process that is ending has none
    files = len(os.listdir(f"/proc/{pid}/fd"))
    return Sample(time.time(), part, born, files, int(status["Threads"]), kilobytes / 1024)
