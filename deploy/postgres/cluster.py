"""A PostgreSQL server of one's own, from the Debian package, as root or not, for tests and for
`deploy/up`."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deploy.up.ports import free_port

DATABASES = Path(__file__).with_name("databases.sh")
SUPERUSER = "postgres"

# Nobody is to find these data after a power cut. A killed server they do survive, which is why commits stay
# synchronous: otherwise what was committed a moment ago waits in the server's memory.
_THROW_AWAY = {"fsync": "off", "full_page_writes": "off"}
_SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "max_connections": "300",
    "shared_buffers": "'64MB'",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
}


class PostgresUnavailable(Exception):
    """No PostgreSQL server is installed, or it does not start."""


def binaries() -> Path:
    """Where `initdb` and the rest are: `$PG_BIN`, or the newest version that Debian has installed."""
    if chosen := os.environ.get("PG_BIN"):
        return Path(chosen)
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if installed:
        return installed[-1].parent
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    raise PostgresUnavailable("no PostgreSQL server (deploy/install-debian.sh, or set PG_BIN)")


def version() -> str:
    """What `postgres --version` says, without the word."""
    said = subprocess.run([binaries() / "postgres", "--version"], capture_output=True, text=True, check=True)
    return said.stdout.split()[2]


class PostgresCluster:
    """One server with its data in one directory. Methods return when what they say is so.

    PostgreSQL refuses to run as root, so for root it runs as the package's own user. Without a `password`
    every connection from this machine is trusted; with one, every role must give its own.
    """

    def __init__(
        self, directory: Path, *, port: int | None = None, password: str | None = None, durable: bool = False
    ) -> None:
        self.directory = directory
        self.password = password
        self.durable = durable
        kept = directory / "port"
        self.port = port or (int(kept.read_text()) if kept.exists() else free_port())

    # -- life
    # ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the server, on the data it had if it had any."""
        if not (self.directory / "data" / "PG_VERSION").exists():
            self._create()
        self._configure()
        self._control("start", "-l", str(self.directory / "log"))

    def stop(self) -> None:
        """Stop in an orderly way; open connections are cut."""
        self._control("stop", "-m", "fast")

    def restart(self) -> None:
        """Start again at once, without a checkpoint if it runs (`immediate`), or after `stop_hard`."""
        if self._postmaster() is None:
            self.start()
        else:
            self._control("restart", "-m", "immediate", "-l", str(self.directory / "log"))

    def stop_hard(self) -> None:
        """SIGKILL the server and every process of it."""
        main = self._postmaster()
        if main is None:
            return
        family = [main, *_children(main)]
        for pid in family:
            _kill(pid)
        deadline = time.monotonic() + 10
        while any(map(_alive, family)):
            if time.monotonic() > deadline:
                raise PostgresUnavailable("the server outlives SIGKILL")
            time.sleep(0.01)
        (self.directory / "data" / "postmaster.pid").unlink(missing_ok=True)

    @property
    def is_running(self) -> bool:
        """Whether the server's main process lives."""
        return self._postmaster() is not None

    @property
    def end_command(self) -> list[str]:
        """What a guardian runs to end the server."""
        control = [str(binaries() / "pg_ctl"), "-D", str(self.directory / "data"), "stop", "-m", "immediate"]
        return ["setpriv", "--reuid", SUPERUSER, "--clear-groups", *control] if os.getuid() == 0 else control

    # -- use
    # ----------------------------------------------------------------------------------------------------

    def url(
        self,
        database: str = "postgres",
        *,
        role: str = SUPERUSER,
        password: str | None = None,
        driver: str = "postgresql+asyncpg",
    ) -> str:
        """The address of a database as SQLAlchemy wants it (`driver="postgresql"` for asyncpg and psql)."""
        secret = password or (self.password if role == SUPERUSER else None)
        who = quote(role, safe="") + (":" + quote(secret, safe="") if secret else "")
        return f"{driver}://{who}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def create_database(self, name: str, template: str | None = None, owner: str | None = None) -> str:
        """Create a database, empty or as a copy of another, and return its address."""
        statement = f'create database "{name}"'
        statement += f' template "{template}"' if template else ""
        statement += f' owner "{owner}"' if owner else ""
        self.execute(statement)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, if it is there, though it be in use."""
        self.execute(f'drop database if exists "{name}" with (force)')

    def create_service_databases(self, passwords: dict[str, str]) -> None:
        """A database and a role per service (`databases.sh`); `passwords` as that script wants them."""
        environment = os.environ | self._client() | passwords | {"POSTGRES_USER": SUPERUSER}
        done = subprocess.run(["sh", DATABASES], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PostgresUnavailable(done.stderr.strip())

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Run SQL as the superuser; rows come back as text, columns separated by `|`."""
        done = subprocess.run(
            ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-U", SUPERUSER, "-d", database, "-c", statement],
            env=os.environ | self._client(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PostgresUnavailable(done.stderr.strip())
        return done.stdout.strip()

    # -- inside
    # -------------------------------------------------------------------------------------------------

    def _client(self) -> dict[str, str]:
        return {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGPASSWORD": self.password or ""}

    def _create(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            shutil.chown(self.directory, SUPERUSER)
            self._check_reach()
        command: list[str | Path] = [
            binaries() / "initdb",
            "-D",
            self.directory / "data",
            "-U",
            SUPERUSER,
            "--no-sync",
        ]
        command += ["--encoding=UTF8", "--locale=C.UTF-8"]
        if self.password is None:
            command += ["--auth=trust"]
            self._as_owner(command)
            return
        secret = self.directory / "secret"
        secret.touch(mode=0o600)
        secret.write_text(self.password, encoding="utf-8")
        if os.getuid() == 0:
            shutil.chown(secret, SUPERUSER)
        self._as_owner([*command, "--auth=scram-sha-256", f"--pwfile={secret}"])
        secret.unlink()

    def _check_reach(self) -> None:
        """The server's user must be able to pass through every folder above the data."""
        for folder in self.directory.resolve().parents:
            if not folder.stat().st_mode & 0o001:
                raise PostgresUnavailable(
                    f"the user {SUPERUSER} cannot pass through {folder}: choose another"
                )

    def _configure(self) -> None:
        (self.directory / "port").write_text(str(self.port))
        settings = _SETTINGS | ({} if self.durable else _THROW_AWAY) | {"port": str(self.port)}
        lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
        (self.directory / "data" / "postgresql.auto.conf").write_text(lines, encoding="utf-8")

    def _control(self, *arguments: str) -> None:
        command: list[str | Path] = [
            binaries() / "pg_ctl",
            "-D",
            self.directory / "data",
            "-w",
            "-t",
            "60",
            "-s",
            *arguments,
        ]
        self._as_owner(command)

    def _as_owner(self, command: Sequence[str | Path]) -> None:
        """Run as the owner of the data; output goes to a file, since a server would hold a pipe open."""
        owner: dict[str, Any] = {}
        if os.getuid() == 0:
            user = pwd.getpwnam(SUPERUSER)
            owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        said = self.directory / "said"
        with said.open("wb") as output:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", check=False, **owner
            )
        if done.returncode:
            log = self.directory / "log"
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise PostgresUnavailable(f"{Path(command[0]).name}: {said.read_text(errors='replace')}{tail}")

    def _postmaster(self) -> int | None:
        try:
            pid = int((self.directory / "data" / "postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError):
            return None
        return pid if _alive(pid) else None


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _alive(pid: int) -> bool:
    """Whether the process still runs; one that is dead and not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False
