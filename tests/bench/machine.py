"""The machine a bench runs on: real Kafka and PostgreSQL of this run, databases of the services, servers of their own.

PostgreSQL is the rig's throw-away server (without fsync), for floor and product alike.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from deploy.up.ports import free_port
from tests.rig import kafka, postgres
from tests.rig.run import Run

from service_kit import collector
from service_kit.clock import Clock
from service_kit.service import Running, Service
from service_kit.settings import Settings
from service_kit.testing import AUDIENCE, ISSUER, test_keys

TODAY = date(2026, 9, 14)
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Server:
    """An HTTP server in a process of its own, with tokens it accepts."""

    port: int
    tokens: dict[str, str]
    pid: int = 0

    def cpu(self) -> float:
        """CPU seconds the server has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def bearer(self, role: str) -> str:
        return f"Bearer {self.tokens[role]}"


class Machine:
    """What `Run` starts once for all benches."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def postgres(self) -> postgres.SharedPostgres:
        return postgres.shared(self.run)

    @cached_property
    def kafka(self) -> kafka.Kafka:
        return kafka.shared(self.run)

    def folder(self, name: str) -> Path:
        return self.run.new_directory(name)

    def database(self, name: str) -> str:
        """The address of a new, empty database, for asyncpg."""
        database = f"{name}_{uuid4().hex[:8]}"
        self.postgres.create_database(database)
        return self.postgres.url(database, driver="postgresql")

    async def topics(self) -> str:
        """The hub's topics under a prefix of their own; returns the prefix."""
        prefix = f"bench{uuid4().hex[:6]}."
        await self.kafka.provision(prefix)
        return prefix

    @asynccontextmanager
    async def service(
        self, service: Service, *, sqlite: bool = False, bus: Any = None
    ) -> AsyncIterator[Running]:
        """A service put together on a new database, migrated, in a process set as its own would be; nothing of it
        runs."""
        folder = self.folder(service.name)
        address = None if sqlite else self.database(service.name)
        options = settings(folder, address)
        running = service.build(options, clock=Clock(TODAY), bus=bus, keys=test_keys())
        await running.migrate()
        collector.settle()
        try:
            yield running
        finally:
            await running.stop()

    @contextmanager
    def server(self, which: str, database: str) -> Iterator[Server]:
        """One of `tests.bench.serve`, with one uvicorn worker on uvloop and httptools."""
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.serve", which, database, str(port), str(self.folder(which))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            tokens = json.loads(process.stdout.readline())
            yield Server(port, tokens, process.pid)
        finally:
            process.terminate()
            process.wait(20)


async def listening(port: int) -> None:
    """Return when something listens on a port."""
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def settings(folder: Path, address: str | None) -> Settings:
    """Settings of a service under measurement."""
    url = address and address.replace("postgresql://", "postgresql+asyncpg://")
    return Settings(
        environment="test",
        data_dir=folder,
        issuer=ISSUER,
        audience=AUDIENCE,
        public_url="http://hub.test",
        database_url=url,
    )
