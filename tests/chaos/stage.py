"""The hub as it runs in production: a process for every part, Kafka and PostgreSQL, and somebody who starts what has died."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from deploy.postgres.cluster import PostgresCluster
from deploy.up.guardian import killing, note
from deploy.up.ports import free_port
from tests.rig import kafka as rig_kafka
from tests.rig import postgres as rig_postgres
from tests.rig.kafka import ApacheKafka
from tests.rig.proxy import Proxy
from tests.rig.run import Run

ISSUER, AUDIENCE = "https://issuer.test", "ehcp"
BASE_DAY, GO_LIVE = date(2027, 3, 1), date(2026, 9, 1)
PREFIX = "chaos."
TOPICS = {"case": "ehcp.cases", "scheduler": "ehcp.reviews", "notification": "ehcp.notifications"}
MODULES = {
    "case": "case_service",
    "scheduler": "review_scheduler",
    "notification": "notification_service",
    "reporting": "reporting_service",
}
NAMES = {
    "case": "case-service",
    "scheduler": "review-scheduler",
    "notification": "notification-service",
    "reporting": "reporting-service",
}
LISTENS = {
    "case": ("ehcp.reviews",),
    "scheduler": ("ehcp.cases",),
    "notification": ("ehcp.cases", "ehcp.reviews"),
    "reporting": ("ehcp.cases", "ehcp.reviews", "ehcp.notifications"),
}
ROLES = {
    "case": ("serve", "relay", "work"),
    "scheduler": ("serve", "relay", "work"),
    "notification": ("serve", "relay", "work"),
    "reporting": ("work",),
}
KEPT = ("PATH", "HOME", "LANG", "PYTHONPATH", "PLANTED")
RESTART_AFTER = 0.1
GRACE = 20.0
"""Seconds that a process has to end when it is asked to; the hub promises less (see `checker.ENDS_WITHIN`)."""
KILLED = -signal.SIGKILL
OUTLIVED = "grace"
"""The cause of an end that was asked for and did not come."""


class NoKafka(Exception):
    """Apache Kafka cannot be had here; nothing else can be cut off and come back with its log."""


class Issuer:
    """The council's OpenID provider: one key, its key set at an address, tokens for any role."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def token(self, role: str, org: str | None = None) -> str:
        """A bearer token good for the whole run."""
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": f"chaos-{role}",
            "iat": now,
            "exp": now + timedelta(hours=12),
            "jti": os.urandom(8).hex(),
            "role": role,
            "org_id": org,
            "las": ["351"],
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": "chaos", "typ": "at+jwt"})

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """The address of the key set, while the block lasts."""
        jwk = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        body = json.dumps({"keys": [{**jwk, "kid": "chaos", "alg": "ES256", "use": "sig"}]})
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(f"{head}connection: close\r\n\r\n{body}".encode())
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks.json"


@dataclass
class Life:
    """One life of a process: from its start to its end, and how it ended. `cause` is "nemesis", a failpoint, or the
    exit code; `ready` is when it first answered, `asked` when it was asked to end. Seconds since the epoch."""

    part: str
    started: float
    armed: str | None = None
    ready: float | None = None
    asked: float | None = None
    ended: float | None = None
    cause: str | None = None

    @property
    def killed(self) -> bool:
        """Whether it was ended by SIGKILL."""
        return self.ended is not None and not (self.cause or "").startswith("exit")


@dataclass
class Part:
    """One process of one service, started again whenever it ends."""

    stage: Stage
    service: str
    role: str
    replica: int = 1
    frozen: bool = False
    lives: list[Life] = field(default_factory=list)
    pid: int | None = None

    def __post_init__(self) -> None:
        self.port = free_port()
        self.name = f"{self.service}.{self.role}" + (f".{self.replica}" if self.replica > 1 else "")
        self._wanted = True
        self._free = asyncio.Event()
        self._free.set()
        self._gone = asyncio.Event()
        self._gone.set()
        self._cause: str | None = None

    @property
    def life(self) -> Life:
        return self.lives[-1]

    @property
    def ready(self) -> bool:
        """Whether it runs and has answered, and was not asked to end."""
        return self.pid is not None and self.life.ready is not None and self.life.asked is None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self, cause: str = "nemesis") -> bool:
        """SIGKILL it; False if it does not run."""
        if self.pid is None:
            return False
        self._cause, self.frozen = cause, False
        os.killpg(self.pid, signal.SIGKILL)
        return True

    def freeze(self) -> None:
        """SIGSTOP it: it lives, holds what it holds, and does nothing."""
        if self.pid is not None:
            os.killpg(self.pid, signal.SIGSTOP)
            self.frozen = True

    def thaw(self) -> None:
        if self.pid is not None and self.frozen:
            os.killpg(self.pid, signal.SIGCONT)
        self.frozen = False

    def ask_to_end(self) -> None:
        """SIGTERM it: it may finish what it has begun, and is started again."""
        if self.pid is not None:
            self.thaw()
            self.life.asked = time.time()
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGTERM)

    def hold(self) -> None:
        """Ask it to end, and do not start it again before `release`."""
        self._free.clear()
        self.ask_to_end()

    def release(self) -> None:
        self._free.set()

    async def gone(self) -> None:
        """Wait until it does not run, nor is about to."""
        await self._gone.wait()

    async def keep(self) -> None:
        """Run it, again and again, until `end`."""
        while await self._free.wait() and self._wanted:
            self._gone.clear()
            try:
                await self._live()
            finally:
                self._gone.set()
            await asyncio.sleep(RESTART_AFTER if self.life.ready or self.life.killed else 1.0)

    async def _live(self) -> None:
        """One life, from its start to its end."""
        process = await self._start()
        if not (self._free.is_set() and self._wanted):  # asked to end when there was nobody yet to ask
            self.ask_to_end()
        looking = asyncio.create_task(self._look())
        code = await process.wait()
        looking.cancel()
        self.life.ended, self.life.cause = time.time(), self._cause_of(code)
        self.pid = None
        (self.stage.run.directory / f"chaos-{self.name}.end").unlink(missing_ok=True)

    def end(self) -> None:
        """Ask it to end, for good."""
        self._wanted = False
        self.ask_to_end()
        self.release()

    async def _start(self) -> asyncio.subprocess.Process:
        self._cause = None
        environment = self.stage.environment(self.service, self.role) | {"EHCP_PORT": str(self.port)}
        armed = self.stage.arm(self)
        if armed:
            environment["FAILPOINTS"] = armed
        with (self.stage.directory / f"{self.name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command(MODULES[self.service], self.role),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = process.pid
        note(self.stage.run.directory, f"chaos-{self.name}", killing(process.pid))
        self.lives.append(Life(self.name, time.time(), armed))
        return process

    def _cause_of(self, code: int) -> str:
        if code != KILLED:
            return f"exit {code}"
        return self._cause or (self.life.armed or "unknown").partition("=")[0]

    async def _look(self) -> None:
        """Note when it first answers."""
        while self.life.ready is None:
            await asyncio.sleep(0.1)
            if await answers(self.port):
                self.life.ready = time.time()


def command(*words: str) -> list[str]:
    """A command of the hub, with the bug planted in it that `PLANTED` names, if one."""
    planted = ["tests.chaos.planted_bugs"] if os.environ.get("PLANTED") else []
    return [sys.executable, "-m", *planted, *words]


async def answers(port: int) -> bool:
    """Whether a process answers for its health."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n")
            line = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in line


async def end_all(parts: Iterable[Part], grace: float = GRACE) -> None:
    """Wait until all that were asked to end are gone; who outlives its grace is killed, and its life says so."""
    leaving = asyncio.gather(*(part.gone() for part in parts))
    await asyncio.wait([leaving], timeout=grace)
    for part in parts:
        part.kill(OUTLIVED)
    await leaving


class Stage:
    """Broker, database, network and processes of one run. `today` is the business date of processes started from now on,
    `arm` says which failpoint a new life is armed with."""

    kafka: ApacheKafka
    postgres: PostgresCluster
    broker_link: Proxy
    """Between everybody and the broker."""
    database_link: Proxy
    """Between the APIs and PostgreSQL; workers and relays reach it directly."""

    def __init__(self, run: Run, directory: Path, seed: int) -> None:
        self.run, self.directory, self.seed = run, directory, seed
        self.today = BASE_DAY
        self.issuer = Issuer()
        self.databases: dict[str, str] = {}
        self.parts: list[Part] = []
        self.arm: Callable[[Part], str | None] = lambda _: None
        self._jwks = ""
        self._bus_port = free_port()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, run: Run, directory: Path, seed: int) -> AsyncIterator[Stage]:
        """Start broker and database; `start` then starts the processes."""
        stage = cls(run, directory, seed)
        async with AsyncExitStack() as stack:
            stage._jwks = await stack.enter_async_context(stage.issuer.served())
            databases = asyncio.create_task(stage._open_databases(stack))
            try:
                await stage._open_broker(stack)
            finally:
                await databases
            stack.push_async_callback(stage.stop)
            yield stage

    async def start(self, replicas: int = 1) -> None:
        """Start so many of every process, and wait until they answer."""
        self.parts = [
            Part(self, service, role, replica)
            for service, roles in ROLES.items()
            for role in roles
            for replica in range(1, replicas + 1)
        ]
        self._tasks = [asyncio.create_task(part.keep(), name=part.name) for part in self.parts]
        async with asyncio.timeout(90):
            while not all(part.ready for part in self.parts if part.role == "serve"):
                await asyncio.sleep(0.1)

    def environment(self, service: str, role: str = "") -> dict[str, str]:
        """The settings of a process of a service, as it starts now."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        database = self.databases[service].replace("postgresql://", "postgresql+asyncpg://")
        if role == "serve":
            database = database.replace(f":{self.postgres.port}/", f":{self.database_link.port}/")
        return kept | {
            "PYTHONHASHSEED": "0",
            "DATABASE_URL": database,
            "BUS_URL": f"kafka://127.0.0.1:{self._bus_port}?prefix={PREFIX}",
            "EHCP_ENVIRONMENT": "test",
            "EHCP_HOST": "127.0.0.1",
            "EHCP_ISSUER": ISSUER,
            "EHCP_AUDIENCE": AUDIENCE,
            "EHCP_JWKS_URL": self._jwks,
            "EHCP_DATA_DIR": str(self.directory),
            "EHCP_CURSOR_KEY": "a-key-of-the-chaos-run-that-guards-nothing",
            "EHCP_DATABASE_POOL": "5",
            "EHCP_GO_LIVE": GO_LIVE.isoformat(),
            "EHCP_TODAY": self.today.isoformat(),
            "EHCP_WRITES_PER_MINUTE": "0",
            "EHCP_READS_PER_MINUTE": "0",
            "EHCP_PUSHES_PER_MINUTE": "0",
            "EHCP_LOG_LEVEL": "INFO",
            "FAILPOINTS_SEED": str(self.seed),
        }

    def part(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)

    @property
    def lives(self) -> list[Life]:
        """Every life of every process so far, in the order of their starts."""
        return sorted((life for part in self.parts for life in part.lives), key=lambda life: life.started)

    def of_role(self, role: str) -> list[Part]:
        """The processes of one role, of all services."""
        return [part for part in self.parts if part.role == role]

    async def hold(self, role: str) -> list[Part]:
        """End the processes of a role; they stay away until each is released."""
        parts = self.of_role(role)
        for part in parts:
            part.hold()
        await end_all(parts)
        return parts

    async def all_ready(self, patience: float = 90) -> None:
        """Wait until every process answers."""
        async with asyncio.timeout(patience):
            while not all(part.ready for part in self.parts):
                await asyncio.sleep(0.1)

    async def command(self, service: str, *words: str) -> str:
        """Run a command of a service to its end and return what it said."""
        process = await asyncio.create_subprocess_exec(
            *command(MODULES[service], *words),
            env=self.environment(service),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{service} {' '.join(words)}: {said.decode()[-2000:]}")
        return said.decode()

    async def stop(self) -> None:
        """End the processes, in order if they will."""
        for part in self.parts:
            part.end()
        await end_all(self.parts)
        await asyncio.gather(*self._tasks)

    async def _open_broker(self, stack: AsyncExitStack) -> None:
        broker = await asyncio.to_thread(rig_kafka.own, self.run, 1, self._bus_port)
        stack.callback(broker.stop)
        if not isinstance(broker, ApacheKafka):
            raise NoKafka("the crash proof needs Apache Kafka itself: the mock cluster keeps no log")
        self.kafka = broker
        self.broker_link = await stack.enter_async_context(
            Proxy(broker.cluster.proxied_port(), port=self._bus_port)
        )
        await broker.provision(PREFIX)

    async def _open_databases(self, stack: AsyncExitStack) -> None:
        self.postgres = await asyncio.to_thread(rig_postgres.own, self.run)
        stack.callback(self._end_database)
        self.database_link = await stack.enter_async_context(Proxy(self.postgres.port))
        for service, module in MODULES.items():
            url = await asyncio.to_thread(self.postgres.create_database, module)
            self.databases[service] = url.replace("postgresql+asyncpg://", "postgresql://")
        await asyncio.gather(*(self.command(service, "migrate") for service in MODULES))

    def keep_logs(self) -> None:
        """Put what broker and database have logged so far (deadlocks, for one) with the logs of the processes."""
        broker = self.kafka.cluster.directory / "1" / "log"
        for name, log in (("kafka", broker), ("postgres", self.postgres.directory / "log")):
            with suppress(OSError):
                (self.directory / f"{name}.log").write_bytes(log.read_bytes())

    def logs(self) -> list[Path]:
        """All logs of the run."""
        return sorted(self.directory.glob("*.log"))

    def _end_database(self) -> None:
        self.keep_logs()
        with suppress(Exception):
            self.postgres.stop()
