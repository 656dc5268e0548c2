"""The whole embedded hub under schemathesis: whatever the input, no answer is a server error, and answers fit their schema."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance"


pytestmark = pytest.mark.xdist_group("fuzz")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The hub as a user starts it, with sixty invented children."""
    data = tmp_path_factory.mktemp("hub")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"EHCP_WRITES_PER_MINUTE": "0", "EHCP_READS_PER_MINUTE": "0"}
    command = [
        BIN / "ehcp",
        "run",
        "--port",
        str(port),
        "--data",
        str(data),
        "--plans",
        "60",
        "--today",
        "2026-09-01",
    ]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        _wait_until_filled(base, data, process)
        yield base, data
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_filled(base: str, data: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            request = urllib.request.Request(f"{base}/v1/reviews?limit=1")
            request.add_header("Authorization", f"Bearer {token(data, 'officer')}")
            if json.load(urllib.request.urlopen(request, timeout=5))["items"]:
                return
        except (urllib.error.URLError, ConnectionError, subprocess.CalledProcessError):
            time.sleep(0.2)
    pytest.fail("the hub did not come up")


def token(data: Path, who: str) -> str:
    """A token as `ehcp token` prints it."""
    command = [BIN / "ehcp", "token", "--as", who, "--la", "351", "--data", str(data)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]


@pytest.mark.parametrize(
    ("who", "paths", "seconds"),
    [
        (
            "officer",
            "^/v1/(cases|reviews|officers|calendars|policies|imports|partners|subscriptions|deliveries|measures)",
            45,
        ),
        ("adapter:liquid-logic", "^/v1/sources", 15),
        ("school:900123", "^/v1/(events|reviews|cases)", 20),
    ],
)
def test_no_input_leads_to_a_server_error(
    hub: tuple[str, Path], who: str, paths: str, seconds: int, tmp_path: Path
) -> None:
    """`seconds` bounds the fuzzing; FUZZ_SECONDS lengthens it for a night."""
    base, data = hub
    command = [
        BIN / "schemathesis", "run", f"{base}/openapi.json", "--include-path-regex", paths,
        "-H", f"Authorization: Bearer {token(data, who)}", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing",
        "--max-examples", "12", "--seed", "7", "--no-shrink", "--request-timeout", "30", "--workers", "1",
        "--suppress-health-check", "all", "--generation-database", "none",
        "--max-time", os.environ.get("FUZZ_SECONDS", str(seconds)),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    tested = re.search(r"(\d+) generated", done.stdout)
    assert tested, done.stdout[-3000:]
    assert (
        int(tested.group(1)) > 5
    )  # that it reached the API at all; how far it comes in its time is the machine's
    assert done.returncode == 0, done.stdout[-6000:]
