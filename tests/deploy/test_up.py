"""`make up`: real Kafka, real PostgreSQL, and stubs in the services' places, which check what they were
given."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deploy.kafka.cluster import KafkaUnavailable
from deploy.kafka.cluster import fetch as fetch_kafka
from deploy.postgres.cluster import PostgresUnavailable, binaries
from deploy.up.up import Composition, CompositionFailed
from tests.rig.run import Run

ROOT = Path(__file__).parents[2]

# Migrates its own database, then says so; serves only if the migration and the topics are there.
SERVICE = """
import asyncio, http.server, os, sys
import asyncpg
from aiokafka.admin import AIOKafkaAdminClient

part = sys.argv[1]
url = os.environ["DATABASE_URL"].replace("+asyncpg", "")

async def check():
    connection = await asyncpg.connect(url)
    if part == "migrate":
        await connection.execute("create table if not exists migrated (n int)")
    await connection.execute("select from migrated")
    await connection.close()
    if part != "migrate":
        admin = AIOKafkaAdminClient(bootstrap_servers=os.environ["BUS_URL"].removeprefix("kafka://"))
        await admin.start()
        print(part, *sorted(await admin.list_topics()), flush=True)
        await admin.close()

asyncio.run(check())
if part != "migrate":
    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else 404); self.end_headers()
    http.server.HTTPServer((os.environ["EHCP_HOST"], int(os.environ["EHCP_PORT"])), Health).serve_forever()
"""


@pytest.fixture(scope="module", autouse=True)
def _servers_can_be_had() -> None:
    try:
        fetch_kafka()
        binaries()
    except (KafkaUnavailable, PostgresUnavailable) as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def case() -> Iterator[Composition]:
    """The case service's part of the hub, two consumers of it, on servers of its own."""
    commands = {f"case-{p}": ["python", "-c", SERVICE, p] for p in ("migrate", "serve", "relay", "work")}
    commands["case-work-2"] = commands["case-work"]
    only = ["kafka", "postgres", "topics", "case-*"]
    with Composition(only=only, commands=commands, replicas={"case-work": 2}) as composition:
        yield composition


def test_everything_is_up_in_order(case: Composition) -> None:
    for name in ("topics", "case-migrate"):
        assert case[name].state == "exited 0"
    for name in ("case-serve", "case-relay", "case-work", "case-work-2"):
        assert case[name].state == "running"
        assert "ehcp.cases ehcp.notifications ehcp.reviews" in case.log(name)


def test_the_table_says_what_runs_and_where(case: Composition) -> None:
    table = case.table()
    rows = {line.split()[0]: line for line in table.splitlines()}
    assert set(rows) == {"process", "kafka", "postgres", *case.processes}
    serve = case["case-serve"]
    assert rows["case-serve"].split() == ["case-serve", "running", str(serve.pid), case.address("case-serve")]


def test_a_killed_process_comes_back_and_is_healthy_again(case: Composition) -> None:
    before = case["case-work-2"].restarts
    killed = case.kill("case-work-2")
    assert case["case-work-2"].wait_restarted(killed) != killed
    case.wait_healthy("case-work-2")
    assert case["case-work-2"].restarts == before + 1
    assert case["case-work"].restarts == 0


def test_servers_can_be_broken_and_mended(case: Composition) -> None:
    assert case.kafka is not None
    assert case.postgres is not None
    case.kafka.kill9()
    case.postgres.stop_hard()
    assert (case.kafka.is_running, case.postgres.is_running) == (False, False)
    case.postgres.restart()
    case.kafka.restart()
    killed = case.kill("case-relay")
    case["case-relay"].wait_restarted(killed)
    case.wait_healthy("case-relay")


def test_what_does_not_come_up_is_told_with_its_log_and_leaves_nothing() -> None:
    failing = Composition(
        only=["postgres", "case-migrate", "case-serve"],
        commands={"case-migrate": ["python", "-c", "raise SystemExit('revision 7 is missing')"]},
    )
    with pytest.raises(CompositionFailed, match=r"case-migrate exited 1:\n(revision 7 is missing\n?){6}"):
        failing.start()
    directory = failing.directory
    failing.stop()
    assert failing.postgres is not None
    assert not failing.postgres.is_running
    assert not directory.exists()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_command_stops_all_however_it_ends(how: signal.Signals) -> None:
    place = Run.current().new_directory("up")  # which the user that PostgreSQL runs as can reach
    place.chmod(0o711)
    said = place / "said"
    command = [
        sys.executable,
        "-m",
        "deploy.up.up",
        "--only",
        "postgres",
        "--directory",
        str(place / "state"),
    ]
    with said.open("wb") as output:
        up = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=dict(os.environ))
    _until(lambda: "logs:" in said.read_text() or up.poll() is not None)
    found = re.search(r"postgres +running +127\.0\.0\.1:(\d+)", said.read_text())
    assert found, said.read_text()
    postmaster = int((place / "state" / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    up.send_signal(how)
    assert up.wait(30) == (0 if how != signal.SIGKILL else -signal.SIGKILL)
    _until(lambda: not Path(f"/proc/{postmaster}").exists())


def _until(holds: Callable[[], bool], patience: float = 120) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)
