"""The fixtures keep their word: one Kafka and one PostgreSQL per run, shared, and gone at its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from deploy.postgres.cluster import PostgresCluster, version
from tests.rig.kafka import Kafka
from tests.rig.proxy import Proxy
from tests.rig.run import Run

ROOT = Path(__file__).parents[2]


async def _send(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, key=b"case")
    finally:
        await producer.stop()


async def _read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(20):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_what_is_sent_is_read_in_order(kafka: Kafka, unique: Callable[[str], str]) -> None:
    topic = unique("order")
    await kafka.create_topics(topic)
    sent = [str(n).encode() for n in range(50)]
    await _send(kafka.bootstrap, topic, *sent)
    assert await _read(kafka.bootstrap, topic, 50) == sent


async def test_the_hubs_topics_under_a_prefix(kafka: Kafka, unique: Callable[[str], str]) -> None:
    prefix = unique("run") + "."
    topics = await kafka.provision(prefix)
    assert {topic.name for topic in topics} == {
        prefix + n for n in ("ehcp.cases", "ehcp.reviews", "ehcp.notifications")
    }
    await _send(kafka.bootstrap, prefix + "ehcp.cases", b"event")


def test_nobody_breaks_what_is_shared(kafka: Kafka, postgres: PostgresCluster) -> None:
    for breaking in (kafka.kill9, kafka.restart, postgres.stop_hard, postgres.restart, postgres.stop):
        with pytest.raises(PermissionError):
            breaking()


async def test_an_own_broker_keeps_what_it_acknowledged_through_sigkill(
    own_kafka: Callable[..., Kafka],
) -> None:
    kafka = own_kafka()
    if not kafka.real:
        pytest.skip("the mock cluster keeps nothing")
    await kafka.create_topics("kept")
    await _send(kafka.bootstrap, "kept", b"one", b"two")
    kafka.kill9(1)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(kafka.bootstrap.rpartition(":")[2]))
    kafka.restart(1)
    assert await _read(kafka.bootstrap, "kept", 2) == [b"one", b"two"]


async def test_clients_of_the_proxied_listener_stay_behind_the_proxy(own_kafka: Callable[..., Kafka]) -> None:
    async with Proxy(0) as proxy:
        kafka = own_kafka(proxy_port=proxy.port)
        if not kafka.real:
            pytest.skip("the mock cluster has no second listener")
        proxy.target = kafka.cluster.proxied_port()  # type: ignore[attr-defined]
        await kafka.create_topics("behind")
        through = f"127.0.0.1:{proxy.port}"
        await _send(through, "behind", b"seen")
        assert proxy.connections >= 2, "the metadata led the client past the proxy"
        await proxy.refuse()
        assert await _read(kafka.bootstrap, "behind", 1) == [b"seen"]


async def test_databases_are_copied_from_a_template(
    postgres: PostgresCluster, unique: Callable[[str], str]
) -> None:
    template, copy = unique("template"), unique("copy")
    postgres.create_database(template)
    postgres.execute("create table kept (n int); insert into kept values (7)", template)
    postgres.create_database(copy, template)
    connection = await asyncpg.connect(postgres.url(copy, driver="postgresql"))
    assert await connection.fetchval("select n from kept") == 7
    await connection.close()


async def test_an_own_server_keeps_what_it_committed_through_sigkill(
    own_postgres: Callable[[], PostgresCluster],
) -> None:
    server = own_postgres()
    server.execute("create table kept as select 1 as n")
    connection = await asyncpg.connect(server.url(driver="postgresql"))
    server.stop_hard()
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await connection.fetchval("select 1")
    server.restart()
    assert server.execute("select n from kept") == "1"
    server.restart()
    assert server.execute("select n from kept") == "1"


# -- runs inside this run
# ------------------------------------------------------------------------------------------

INNER = """
    import os, pathlib
    from tests.rig.run import Run

    def report(kafka, postgres):
        run = Run.current().directory
        with open(os.environ["REPORT"], "a") as report:
            report.write(f"{run} {kafka.bootstrap} {postgres.port}\\n")

    def test_one(kafka, postgres):
        report(kafka, postgres)

    def test_two(kafka, postgres):
        report(kafka, postgres)

    def test_three():
        import pytest
        pytest.skip("the moon is full")
"""

HANGING = """
    import os, signal

    def test_hangs(own_postgres):
        server = own_postgres()
        with open(os.environ["REPORT"], "a") as report:
            print(server.directory.parent, server.port, file=report)
        signal.pause()
"""


def _inner(tmp_path: Path, source: str, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    """pytest as a person starts it, on one file, with the rig."""
    (tmp_path / "test_inner.py").write_text(textwrap.dedent(source), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tests.rig.plugin", "-q", "-c", os.devnull, "--rootdir"]
    command += [str(tmp_path), *arguments, str(tmp_path / "test_inner.py")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment |= {"REPORT": str(tmp_path / "report"), "PYTHONPATH": str(ROOT)} | settings
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_hears_ctrl_c,
    )


def _hears_ctrl_c() -> None:
    """A shell lets what it starts in the background ignore it, and so would this run's own children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _report(tmp_path: Path) -> list[str]:
    path = tmp_path / "report"
    return path.read_text().splitlines() if path.exists() else []


def test_workers_share_one_of_each_and_the_run_clears_up(tmp_path: Path, kafka: Kafka) -> None:
    inner = _inner(tmp_path, INNER, "-n", "2", "--dist", "each", KAFKA_BOOTSTRAP=kafka.bootstrap)
    output, _ = inner.communicate(timeout=240)
    assert inner.returncode == 0, output
    lines = _report(tmp_path)
    assert len(lines) == 4
    assert len(set(lines)) == 1, "every worker saw the same directory, broker and server"
    directory, _, port = lines[0].split()
    assert not Path(directory).exists()
    with pytest.raises(ConnectionRefusedError):
        _connect(int(port))
    assert output.splitlines()[-3:] == [
        f"Kafka: Kafka at {kafka.bootstrap} (KAFKA_BOOTSTRAP)",
        f"PostgreSQL: {version()} at 127.0.0.1:{port}",
        "skipped 2 in test_inner.py: the moon is full",
    ]


def test_without_kafka_the_mock_cluster_stands_in_and_the_run_says_so(tmp_path: Path) -> None:
    source = """
        async def send(kafka):
            from tests.rig.test_rig import _read, _send
            await kafka.create_topics("words", partitions=3)
            await _send(kafka.bootstrap, "words", b"a", b"b")
            assert await _read(kafka.bootstrap, "words", 2) == [b"a", b"b"]

        def test_sends(kafka):
            import asyncio
            asyncio.run(send(kafka))
            assert not kafka.real
    """
    inner = _inner(tmp_path, source, RIG_KAFKA="mock")
    output, _ = inner.communicate(timeout=240)
    assert inner.returncode == 0, output
    said = (
        "Kafka: librdkafka mock cluster: rebalances, restarts and topic settings not proven (RIG_KAFKA=mock)"
    )
    assert output.splitlines()[-3:] == [said, "PostgreSQL: not used", "nothing was skipped"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_broken_off_leaves_nothing(tmp_path: Path, how: signal.Signals) -> None:
    inner = _inner(tmp_path, HANGING)
    _wait_until(lambda: bool(_report(tmp_path)) or inner.poll() is not None)
    directory, port = _report(tmp_path)[0].split()
    inner.send_signal(how)
    inner.communicate(timeout=240)
    _wait_until(lambda: not Path(directory).exists())
    with pytest.raises(ConnectionRefusedError):
        _connect(int(port))


def test_this_run_has_a_directory_that_servers_can_reach() -> None:
    assert Run.current().directory.stat().st_mode & 0o777 == 0o711


def _wait_until(holds: Callable[[], bool], patience: float = 120) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def _connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), 1).close()
