"""The composition of `docker-compose.yml` as plain processes: `python -m deploy.up.up`.

Commands, settings, order and restart policies are read from that file. Names of services become addresses
on this machine, with free ports; Kafka, PostgreSQL and nginx run from what this machine has
(`deploy/install-debian.sh`). For tests and for the chaos rig the same is a `Composition`: start it, kill
parts of it, read their logs.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.kafka.cluster import KafkaCluster, KafkaUnavailable, fetch
from deploy.postgres.cluster import PostgresCluster, PostgresUnavailable

from . import compose
from .compose import Service
from .guardian import Guardian, note
from .ports import free_port, is_free
from .process import Listener, Process

ROOT = Path(__file__).parents[2]
_OURS = ("EHCP_", "DATABASE_URL", "BUS_URL", "FAILPOINTS")


class CompositionFailed(Exception):
    """Something did not come up; the message holds the end of its log."""


class Composition:
    """The services of the compose file, or some of them, as processes on this machine.

    `only`          names or patterns of the services to run; without it all
    `external`      servers that run already, by service: `{"kafka": "127.0.0.1:9092"}`
    `environment`   settings that differ, by name or pattern: `{"*": {...}, "case-*": {...}}`; later ones win
    `commands`      commands that differ, likewise
    `replicas`      how many of a service, if not one: `case-work`, `case-work-2` ...
    `port`          the gateway's; without it the published one if it is free, else any
    `directory`     keeps data and logs; without it they are thrown away at the end
    """

    def __init__(
        self,
        file: Path = compose.FILE,
        *,
        directory: Path | None = None,
        only: Collection[str] = ("*",),
        external: Mapping[str, str] | None = None,
        environment: Mapping[str, Mapping[str, str]] | None = None,
        commands: Mapping[str, Iterable[str]] | None = None,
        replicas: Mapping[str, int] | None = None,
        port: int | None = None,
        kafka_nodes: int = 1,
        on_change: Listener | None = None,
    ) -> None:
        self.external = dict(external or {})
        declared = compose.read(file, os.environ)
        self.services = {
            copy.name: copy
            for name, service in declared.items()
            if name not in self.external and any(fnmatch(name, pattern) for pattern in only)
            for copy in _copies(service, (replicas or {}).get(name, 1))
        }
        self.kafka: KafkaCluster | None = None
        self.postgres: PostgresCluster | None = None
        self.processes: dict[str, Process] = {}
        self._file = file
        self._keep = directory is not None
        self._directory = directory
        self._environment = environment or {}
        self._commands = commands or {}
        self._kafka_nodes = kafka_nodes
        self._on_change = on_change
        self._guardian: Guardian | None = None
        self._ports = {
            (service.name, inside): _host_port(service, inside, port)
            for service in self.services.values()
            for inside in service.ports
        }
        if directory is not None and (kept := directory / "kafka" / "port").exists():
            # The brokers remember one another's addresses.
            self._ports["kafka", 9092] = int(kept.read_text())

    # -- life
    # ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, patience: float = 180) -> None:
        """Start everything in order; when this returns every process is as those after it need it."""
        deadline = time.monotonic() + patience
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="ehcp-up-"))
        self._directory.mkdir(parents=True, exist_ok=True)
        self._directory.chmod(0o711)
        self._guardian = Guardian(self._directory, keep=self._keep)
        for service in self.services.values():
            for other, condition in service.depends_on.items():
                self._await(other, condition, deadline)
            self._launch(service)
        for service in self.services.values():
            self._await(service.name, compose.HEALTHY if service.ports else compose.COMPLETED, deadline)

    def stop(self) -> None:
        """Stop everything, the servers last; throw the data away unless they are to be kept."""
        processes = list(reversed(self.processes.values()))
        for process in processes:
            process.end()
        for process in processes:
            process.stop(self.services[process.name].grace)
        if self.kafka is not None:
            self.kafka.stop(now=not self._keep)
        if self.postgres is not None and self.postgres.is_running:
            self.postgres.stop()
        if self._guardian is not None:
            self._guardian.close()
            self._guardian = None

    # -- use
    # ----------------------------------------------------------------------------------------------------

    @property
    def directory(self) -> Path:
        """Where data and logs are."""
        assert self._directory is not None, "not started"
        return self._directory

    def __getitem__(self, name: str) -> Process:
        """A process of the composition, by the name the compose file gives it."""
        return self.processes[name]

    def address(self, name: str, inside: int = 8000) -> str:
        """`host:port` where a service listens on this machine."""
        return self.external.get(name) or f"127.0.0.1:{self._ports[name, inside]}"

    @property
    def url(self) -> str:
        """The gateway's."""
        return f"http://localhost:{self._ports['gateway', 8000]}"

    def log(self, name: str) -> str:
        """All a process has written."""
        return self.processes[name].text()

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Kill one process and return the number it had; it is started again if the file says so."""
        return self.processes[name].kill(how)

    def wait_healthy(self, name: str, patience: float = 60) -> None:
        """Wait until the health check of the compose file passes."""
        self._await(name, compose.HEALTHY, time.monotonic() + patience)

    def table(self) -> str:
        """What runs, as a table for people."""
        rows = [("process", "state", "pid", "restarts", "address")]
        for server, running in (("kafka", self.kafka), ("postgres", self.postgres)):
            if running is not None:
                rows.append(
                    (server, "running" if running.is_running else "down", "", "", self._listens(server))
                )
        rows += [
            (name, process.state, str(process.pid or ""), str(process.restarts or ""), self._listens(name))
            for name, process in self.processes.items()
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    # -- how the file's words apply to this machine
    # -------------------------------------------------------------

    def environment(self, service: Service) -> dict[str, str]:
        """The settings of a process: the compose file's, as they read on this machine, then the caller's."""
        settings = {key: self._here(service, key, value) for key, value in service.environment.items()}
        for pattern, differing in self._environment.items():
            if fnmatch(service.name, pattern):
                settings |= differing
        outer = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
        return outer | settings

    def command(self, service: Service) -> tuple[str, ...]:
        """The command of a process: the compose file's, with this interpreter, or the caller's."""
        command = service.command
        for pattern, differing in self._commands.items():
            if fnmatch(service.name, pattern):
                command = tuple(differing)
        words = [sys.executable if word == "python" else word for word in command]
        for n, (option, word) in enumerate(pairwise(words), start=1):
            if option == "--port" and word.isdigit():
                words[n] = str(self._ports.get((service.name, int(word)), word))
        return tuple(words)

    def _here(self, service: Service, key: str, value: str) -> str:
        if value in service.volumes:
            place = self.directory / "volumes" / service.volumes[value]
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o711)
            return str(place)
        if key.endswith("_PORT") and value.isdigit() and (service.name, int(value)) in self._ports:
            return str(self._ports[service.name, int(value)])
        if value == "0.0.0.0":
            return "127.0.0.1"
        for (name, inside), outside in self._ports.items():
            value = re.sub(rf"(?<![\w.-]){re.escape(name)}:{inside}(?!\d)", f"127.0.0.1:{outside}", value)
            if shown := self.services[name].published.get(inside):
                value = re.sub(rf"(?<![\w.-])localhost:{shown}(?!\d)", f"localhost:{outside}", value)
        for name, address in self.external.items():
            value = re.sub(rf"(?<![\w.-]){re.escape(name)}:\d+", address, value)
        return value

    def _listens(self, name: str) -> str:
        ports = [outside for (service, _), outside in self._ports.items() if service == name]
        return ", ".join(f"127.0.0.1:{port}" for port in ports)

    # -- starting
    # -----------------------------------------------------------------------------------------------

    def _launch(self, service: Service) -> None:
        kind = service.image.partition(":")[0]
        if kind == "apache/kafka":
            self._launch_kafka(service)
        elif kind == "postgres":
            self._launch_postgres(service)
        else:
            command = self._nginx(service) if kind == "nginx" else self.command(service)
            process = self.processes[service.name] = Process(
                service.name,
                command,
                self.environment(service),
                directory=self.directory,
                restart=service.restart,
                cwd=ROOT,
                on_change=self._on_change,
            )
            process.start()

    def _launch_kafka(self, service: Service) -> None:
        fetch()
        place = self.directory / "kafka"
        place.mkdir(exist_ok=True)
        self.kafka = KafkaCluster(place, nodes=self._kafka_nodes, port=self._ports[service.name, 9092])
        note(self.directory, "kafka", self.kafka.end_command, self.kafka.environment)
        self.kafka.start()

    def _launch_postgres(self, service: Service) -> None:
        settings = service.environment
        self.postgres = PostgresCluster(
            self.directory / "postgres",
            port=self._ports[service.name, 5432],
            password=settings["POSTGRES_PASSWORD"],
            durable=self._keep,
        )
        note(self.directory, "postgres", self.postgres.end_command)
        self.postgres.start()
        self.postgres.create_service_databases(dict(settings))

    def _nginx(self, service: Service) -> tuple[str, ...]:
        """nginx's command with its configuration filled in, as the image does it."""
        source = next(s for target, s in service.volumes.items() if target.startswith("/etc/nginx/templates"))
        settings = self.environment(service)
        text = (self._file.parent / source).read_text(encoding="utf-8")
        filled = re.sub(r"\$\{(\w+)\}", lambda match: settings[match[1]], text)
        configuration = self.directory / "nginx.conf"
        configuration.write_text(filled, encoding="utf-8")
        program, *rest = self.command(service)
        found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if found is None:
            raise CompositionFailed(f"no {program} on this machine (deploy/install-debian.sh)")
        return (found, "-e", "stderr", "-c", str(configuration), *rest)

    def _await(self, name: str, condition: str, deadline: float) -> None:
        """Wait until a service is as the condition says; one that runs elsewhere, or not at all, is."""
        process = self.processes.get(name)
        if process is None:
            return
        if condition == compose.COMPLETED:
            try:
                process.wait_for(lambda p: p.state.startswith("exited"), deadline - time.monotonic())
            except TimeoutError as late:
                raise CompositionFailed(str(late)) from None
            if process.exit_code:
                raise CompositionFailed(f"{name} {process.state}:\n{process.tail()}")
        elif condition == compose.HEALTHY:
            while not self._is_healthy(process):
                if time.monotonic() > deadline or process.state.startswith("exited"):
                    raise CompositionFailed(f"{name} is {process.state}:\n{process.tail()}")
                time.sleep(0.1)

    def _is_healthy(self, process: Process) -> bool:
        """Whether the process listens and its health check passes."""
        service = self.services[process.name]
        if process.pid is None:
            return False
        for inside in service.ports:
            try:
                socket.create_connection(("127.0.0.1", self._ports[service.name, inside]), 1).close()
            except OSError:
                return False
        if not service.healthcheck:
            return True
        check = [sys.executable if word == "python" else word for word in service.healthcheck]
        done = subprocess.run(check, env=process.environment, capture_output=True, check=False, timeout=10)
        return done.returncode == 0


def _copies(service: Service, count: int) -> list[Service]:
    """The service itself and its replicas."""
    return [service, *(replace(service, name=f"{service.name}-{n}") for n in range(2, count + 1))]


def _host_port(service: Service, inside: int, wished: int | None) -> int:
    """The port on this machine for one inside the composition."""
    if service.image.startswith("apache/kafka"):
        return free_port(10 * node + n for node in range(3) for n in range(3))
    if (shown := wished or service.published.get(inside)) and inside in service.published and is_free(shown):
        return shown
    return free_port()


def main() -> int:
    """Run the composition until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="make up", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--directory", type=Path, help="keep data and logs there (default: thrown away)")
    parser.add_argument("--port", type=int, help="the gateway's port (default: 8000, or a free one)")
    parser.add_argument("--only", action="append", help="a service or pattern; may be repeated")
    arguments = parser.parse_args()

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def broken_off(*_: object) -> None:
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, broken_off)
    composition = Composition(
        directory=arguments.directory,
        port=arguments.port,
        only=arguments.only or ("*",),
        on_change=lambda process, what: say(f"{time.strftime('%H:%M:%S')} {process.name}: {what}"),
    )
    try:
        composition.start()
        say(composition.table())
        say(f"logs: {composition.directory}/*.log")
        if "gateway" in composition.processes:
            say(f"the hub: {composition.url}    Ctrl-C stops it")
        while True:
            signal.pause()
    except KeyboardInterrupt:
        say("stopping")
        return 0
    except (CompositionFailed, KafkaUnavailable, PostgresUnavailable) as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    finally:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        composition.stop()


if __name__ == "__main__":
    sys.exit(main())
