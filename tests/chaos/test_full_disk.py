"""F29: the disk that the logs go to is full."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from deploy.up.ports import free_port

FULL = Path("/dev/full")
"""Takes nothing, as a full disk does, but anybody has one."""


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Where a case-service answers whose every line of log fails."""
    port = free_port()
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    environment |= {
        "EHCP_ENVIRONMENT": "test",
        "EHCP_DATA_DIR": str(tmp_path),
        "EHCP_PORT": str(port),
        "EHCP_ISSUER": "https://issuer.test",
        "EHCP_JWKS_URL": "http://127.0.0.1:9/jwks.json",
    }
    command = [sys.executable, "-m", "case_service"]
    subprocess.run([*command, "migrate"], env=environment, check=True)
    with FULL.open("wb") as full:
        process = subprocess.Popen([*command, "serve"], env=environment, stdout=full, stderr=full)
    yield port
    assert process.poll() is None, "it died of its log"
    process.terminate()
    process.wait(30)


def test_a_service_whose_log_cannot_be_written_goes_on_answering(port: int) -> None:
    deadline = time.monotonic() + 60
    while (status := _health(port)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [status, *(_health(port) for _ in range(5))] == [200] * 6


def _health(port: int) -> int | None:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
        return int(answer.status)
    return None
