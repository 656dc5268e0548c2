"""F16, F43: a migration is killed at any of its statements, and run again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from case_service.main import service
from service_kit import Database, migrate, uuid7

KEPT = ("PATH", "HOME", "LANG", "PYTHONPATH")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Addresses of empty databases."""

    def make() -> str:
        name = f"killed_{uuid7().hex}"
        if request.param == "sqlite":
            return f"sqlite+aiosqlite:///{tmp_path / name}.sqlite3"
        made: str = request.getfixturevalue("postgres").create_database(name)
        return made

    return make


async def statements(url: str) -> int:
    """How many statements a whole migration takes."""
    db = Database(url, service.metadata)
    seen: list[Any] = []
    event.listen(db.engine.sync_engine, "after_cursor_execute", lambda *about: seen.append(about))
    await migrate.upgrade(db, service.package, service.metadata)
    await db.close()
    return len(seen)


def run_migration(url: str, **more: str) -> int:
    """`case_service migrate` as a process of its own; how it ended."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment = kept | {"DATABASE_URL": url, "EHCP_ENVIRONMENT": "test", "EHCP_LA_CODES": "351"} | more
    command = [sys.executable, "-m", "case_service", "migrate"]
    return subprocess.run(command, env=environment, check=False).returncode


async def test_a_migration_killed_anywhere_is_whole_after_the_next_run(
    new_database: Callable[[], str],
) -> None:
    whole = await statements(new_database())
    url = new_database()
    for killed_at in (3, whole // 2, whole - 3):
        failpoint = f"migrate.mid=kill:1@n={killed_at}"
        assert run_migration(url, FAILPOINTS=failpoint) == -signal.SIGKILL
    assert run_migration(url) == 0
    db = Database(url, service.metadata)
    assert await migrate.is_current(db, service.package)
    assert await migrate.differences(db, service.metadata) == []
    await db.close()
