"""Whether a process is fit to work (bad-inputs 6.3, 6.7, 6.8, 6.14): refused at the start, not ready later."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from deploy.postgres.cluster import PostgresCluster
from deploy.up.ports import free_port

from case_service.main import service
from service_kit import Clock, Running, Settings, fitness, uuid7
from service_kit.bus.log_bus import LogBus
from service_kit.migrate import downgrade
from service_kit.testing import Harness, running


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Harness]:
    async with running(service, tmp_path) as one:
        yield one


async def _ready(hub: Harness) -> tuple[int, list[tuple[str, str]]]:
    answer = await hub.client.get("/ready")
    return answer.status_code, [(e["pointer"], e["code"]) for e in answer.json().get("errors", [])]


async def test_a_fit_process_is_ready(hub: Harness) -> None:
    assert await _ready(hub) == (200, [])


async def test_6_14_a_full_disk_is_not_ready(hub: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=999_999_999))
    assert await _ready(hub) == (503, [("/disk", "full")])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000_000))
    assert await _ready(hub) == (200, [])


async def test_6_14_a_read_only_data_directory_is_not_ready(
    hub: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write anywhere
    assert await _ready(hub) == (503, [("/disk", "read-only")])


async def test_6_8_another_schema_is_not_ready_and_stays_as_it_is(hub: Harness) -> None:
    await downgrade(hub.hub.db, service.package, service.metadata, "base")
    assert await _ready(hub) == (503, [("/database", "schema")])
    assert not await hub.running.is_current()


async def test_an_inbox_that_cannot_be_filled_is_not_ready(hub: Harness) -> None:
    assert hub.running.inbox
    hub.running.inbox.reachable = False
    assert await _ready(hub) == (503, [("/inbox", "unreachable")])


# -- PostgreSQL ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _on_postgres(
    postgres: PostgresCluster, folder: Path, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Running]:
    told = Settings(
        environment="test",
        data_dir=folder,
        database_url=postgres.create_database(f"fitness_{uuid7().hex}"),
        **settings,
    )
    built = service.build(told, clock=clock, bus=LogBus(folder / "bus.sqlite3"))
    await built.migrate()
    try:
        yield built
    finally:
        await built.stop()


@pytest.mark.postgres
@pytest.mark.parametrize(("processes", "found"), [(5, []), (50, [("/database", "connections")])])
async def test_6_3_more_connections_than_postgres_has_are_refused(
    postgres: PostgresCluster, tmp_path: Path, processes: int, found: list[tuple[str, str]]
) -> None:
    """The rig's server has 300; a process takes up to 10 of its pool and 4 more."""
    async with _on_postgres(postgres, tmp_path, database_processes=processes) as built:
        assert [(f.pointer, f.code) for f in await fitness.faults(built)] == found


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("minutes", "found"), [(-9, []), (9, []), (11, [("/clock", "off")]), (-11, [("/clock", "off")])]
)
async def test_6_7_a_clock_ten_minutes_from_the_databases_is_refused(
    postgres: PostgresCluster, tmp_path: Path, minutes: int, found: list[tuple[str, str]]
) -> None:
    real = Clock()

    def wrong() -> datetime:
        return real.now() + timedelta(minutes=minutes)

    async with _on_postgres(postgres, tmp_path, Clock(date(2026, 9, 1), wrong)) as built:
        assert [(f.pointer, f.code) for f in await fitness.faults(built)] == found


# -- the process ---------------------------------------------------------------------------------------------------


async def _start(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """`python -m case_service serve`, until it ends."""
    environment = {"PATH": os.environ["PATH"], "EHCP_DATA_DIR": str(folder), "EHCP_PORT": str(free_port())}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "case_service", "serve"],
        cwd=folder,
        env=environment | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def test_what_is_unfit_at_the_start_ends_with_code_2_and_a_line_per_fault(tmp_path: Path) -> None:
    ended = await _start(tmp_path, EHCP_DISK_FLOOR_MB="900000000")
    assert ended.returncode == 2
    assert [line for line in ended.stderr.splitlines() if not line.startswith("{")] == [
        "disk: There is too little room left on the disk of the data directory.",
        "database: The database is not at this version's schema: run migrate.",
    ]
