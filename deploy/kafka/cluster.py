"""`kafka.sh` for Python: a cluster of Apache Kafka as plain processes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

from deploy.up.ports import free_port

SCRIPT = Path(__file__).with_name("kafka.sh")


class KafkaUnavailable(Exception):
    """Kafka cannot run here: no Java, or its jars cannot be fetched."""


def fetch() -> None:
    """Have the jars in place, or say why not."""
    if not shutil.which("java"):
        raise KafkaUnavailable("no Java (deploy/install-debian.sh)")
    if not (SCRIPT.parent / "libs").exists() and not shutil.which("mvn"):
        raise KafkaUnavailable("no Maven to fetch Kafka with (deploy/install-debian.sh)")
    fetched = subprocess.run([SCRIPT, "libs"], capture_output=True, text=True, check=False)
    if fetched.returncode:
        reason = next((line for line in fetched.stderr.splitlines() if "ERROR" in line), "mvn timed out")
        raise KafkaUnavailable(f"Maven Central not reached: {reason[:160]}")


def version() -> str:
    """The version of the fetched Kafka."""
    jar = next((SCRIPT.parent / "libs").glob("kafka-clients-*.jar"))
    return jar.stem.removeprefix("kafka-clients-")


class KafkaCluster:
    """One or three brokers with their state in one directory. Methods return when what they say is so."""

    def __init__(
        self, directory: Path, *, nodes: int = 1, port: int | None = None, proxy_port: int | None = None
    ) -> None:
        self.directory = directory
        self.nodes = nodes
        kept = directory / "port"
        self.port = port or (
            int(kept.read_text())
            if kept.exists()
            else free_port(10 * node + n for node in range(nodes) for n in range(3))
        )
        self.environment = {"KAFKA_RUN": str(directory), "KAFKA_PORT": str(self.port)}
        if proxy_port:
            self.environment["KAFKA_PROXY_PORT"] = str(proxy_port)

    @property
    def bootstrap(self) -> str:
        """`host:port` of every broker, separated by commas."""
        return ",".join(f"127.0.0.1:{self.port + 10 * node}" for node in range(self.nodes))

    def proxied_port(self, node: int = 1) -> int:
        """Where a node listens for what comes through a proxy (with `proxy_port` only)."""
        return self.port + 10 * (node - 1) + 2

    def start(self) -> None:
        """Start all brokers, on the log they had if they had one."""
        self._run("start", str(self.nodes))

    def kill9(self, node: int = 1) -> None:
        """Kill one broker as a crash would."""
        self._run("kill9", str(node))

    def restart(self, node: int = 1) -> None:
        """Start one broker again, killing it first if it runs."""
        self._run("restart", str(node))

    def stop(self, *, now: bool = False) -> None:
        """Stop all brokers; `now` kills them, for a cluster nobody will start again."""
        self._run("stop", *(["now"] if now else []))

    @property
    def is_running(self) -> bool:
        """Whether every broker takes connections."""
        for node in range(self.nodes):
            try:
                socket.create_connection(("127.0.0.1", self.port + 10 * node), 1).close()
            except OSError:
                return False
        return True

    @property
    def end_command(self) -> list[str]:
        """What a guardian runs to end the cluster, with `environment`."""
        return [str(SCRIPT), "stop", "now"]

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            [SCRIPT, *arguments],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise KafkaUnavailable(f"kafka.sh {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
