"""Kafka for tests: Apache Kafka itself, or where it cannot be had the mock cluster inside librdkafka."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from deploy.kafka import cluster as apache
from deploy.kafka.topics import Topic, declared, provision, renamed

from .run import Run

MOCK = Path(__file__).with_name("mock_kafka.py")


class Kafka(ABC):
    """A broker or three, to speak to and to break."""

    real: ClassVar[bool] = True

    def __init__(self, bootstrap: str, which: str) -> None:
        self.bootstrap = bootstrap
        self.which = which

    @property
    def bus_url(self) -> str:
        """The address as `BUS_URL` wants it."""
        return f"kafka://{self.bootstrap}"

    async def provision(self, prefix: str = "") -> tuple[Topic, ...]:
        """Make the hub's own topics, under a prefix where tests share the broker."""
        topics = renamed(declared(), prefix)
        await self._create(topics)
        return topics

    async def create_topics(self, *names: str, partitions: int = 6) -> None:
        """Make topics with the settings of the hub's own."""
        model = declared()[0]
        await self._create([Topic(name, partitions, model.replication, model.settings) for name in names])

    async def _create(self, topics: Sequence[Topic]) -> None:
        await provision(self.bootstrap, topics, fewer_replicas=True)

    @abstractmethod
    def kill9(self, node: int = 1) -> None:
        """Kill one broker as a crash would."""

    @abstractmethod
    def restart(self, node: int = 1) -> None:
        """Start it again."""

    def stop(self) -> None:  # noqa: B027
        """Have done with it."""


class SharedKafka(Kafka):
    """The run's broker: other tests use it at the same moment, so nobody may break it."""

    def kill9(self, node: int = 1) -> None:
        raise PermissionError("the run's Kafka is shared with other tests: ask for `own_kafka`")

    restart = kill9


class ApacheKafka(Kafka):
    """A cluster of Apache Kafka for one test."""

    def __init__(self, cluster: apache.KafkaCluster) -> None:
        super().__init__(cluster.bootstrap, _which(cluster.bootstrap))
        self.cluster = cluster

    def kill9(self, node: int = 1) -> None:
        self.cluster.kill9(node)

    def restart(self, node: int = 1) -> None:
        self.cluster.restart(node)

    def stop(self) -> None:
        self.cluster.stop(now=True)


class MockKafka(Kafka):
    """librdkafka's mock cluster in a process of its own, with a line for what its protocol cannot say."""

    real = False

    def __init__(self, bootstrap: str, control: int) -> None:
        super().__init__(
            bootstrap, "librdkafka mock cluster: rebalances, restarts and topic settings not proven"
        )
        self.control = control

    async def _create(self, topics: Iterable[Topic]) -> None:
        for topic in topics:
            self._say("create", topic.name, topic.partitions)

    def kill9(self, node: int = 1) -> None:
        self._say("down", node)

    def restart(self, node: int = 1) -> None:
        self._say("up", node)

    def stop(self) -> None:
        self._say("exit")

    def _say(self, *words: object) -> None:
        with socket.create_connection(("127.0.0.1", self.control), 10) as line, line.makefile("rw") as file:
            file.write(" ".join(map(str, words)) + "\n")
            file.flush()
            if (answer := file.readline().strip()) != "ok":
                raise RuntimeError(f"mock Kafka: {answer}")


class SharedMockKafka(MockKafka):
    """The run's mock cluster, likewise not to be broken."""

    kill9 = restart = SharedKafka.kill9


def shared(run: Run) -> Kafka:
    """The run's Kafka: the one `KAFKA_BOOTSTRAP` names, or one started when a test first asks."""
    with run.once("kafka") as known:
        if not known:
            if foreign := os.environ.get("KAFKA_BOOTSTRAP"):
                known |= {"bootstrap": foreign, "which": f"Kafka at {foreign} (KAFKA_BOOTSTRAP)"}
            elif reason := _unavailable(run):
                known |= _start_mock(run) | {"reason": reason}
            else:
                bootstrap = _start_apache(run, 1, None).bootstrap
                known |= {"bootstrap": bootstrap, "which": _which(bootstrap)}
        if "control" in known:
            mock = SharedMockKafka(known["bootstrap"], known["control"])
            run.used("Kafka", f"{mock.which} ({known['reason']})")
            return mock
        run.used("Kafka", known["which"])
        return SharedKafka(known["bootstrap"], known["which"])


def own(run: Run, nodes: int = 1, proxy_port: int | None = None) -> Kafka:
    """A cluster for one test."""
    if reason := _unavailable(run):
        started = _start_mock(run, nodes)
        mock = MockKafka(started["bootstrap"], started["control"])
        run.used("Kafka", f"{mock.which} ({reason})")
        return mock
    kafka = ApacheKafka(_start_apache(run, nodes, proxy_port))
    run.used("Kafka", f"real Apache Kafka {apache.version()}")
    return kafka


def _which(bootstrap: str) -> str:
    return f"real Apache Kafka {apache.version()} at {bootstrap}"


def _unavailable(run: Run) -> str | None:
    """Why Apache Kafka cannot be had, found out once per run; nothing if it can."""
    with run.once("kafka-libs") as known:
        if not known:
            try:
                if os.environ.get("RIG_KAFKA") == "mock":
                    raise apache.KafkaUnavailable("RIG_KAFKA=mock")
                apache.fetch()
                known["reason"] = None
            except apache.KafkaUnavailable as missing:
                known["reason"] = str(missing)
        reason: str | None = known["reason"]
        return reason


def _start_apache(run: Run, nodes: int, proxy_port: int | None) -> apache.KafkaCluster:
    cluster = apache.KafkaCluster(run.new_directory("kafka"), nodes=nodes, proxy_port=proxy_port)
    run.end_with_run(cluster.directory, cluster.end_command, cluster.environment)
    cluster.start()
    return cluster


def _start_mock(run: Run, nodes: int = 1) -> dict[str, Any]:
    directory = run.new_directory("mock-kafka")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, MOCK, str(nodes)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    run.end_with_run(directory, ["kill", "-KILL", str(process.pid)])
    assert process.stdout is not None
    with process.stdout as said:
        started: dict[str, Any] = json.loads(said.readline())
    return started
