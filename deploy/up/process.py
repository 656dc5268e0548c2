"""One process under supervision: started again as its restart policy says, its output in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Condition, Thread

from .guardian import killing, note

FIRST_PAUSE, LONGEST_PAUSE, SETTLED = 0.1, 5.0, 10.0
"""Seconds before the first new start, doubled each time up to the longest; who ran long enough begins
anew."""

Listener = Callable[["Process", str], None]


class Process:
    """A command that is kept running.

    Its life is watched by a thread, so the class serves tests with and without asyncio. `pid`, `restarts` and
    `exit_code` say how it stands; `wait_for` waits until that is as wished.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        directory: Path,
        restart: str = "always",
        cwd: Path | None = None,
        on_change: Listener | None = None,
    ) -> None:
        self.name = name
        self.command = tuple(command)
        self.environment = dict(environment)
        self.restart = restart
        self.log = directory / f"{name}.log"
        self.pid: int | None = None
        self.restarts = 0
        self.exit_code: int | None = None
        self.since = time.time()
        self._directory = directory
        self._cwd = cwd
        self._on_change = on_change
        self._change = Condition()
        self._wanted = False
        self._watch: Thread | None = None

    @property
    def state(self) -> str:
        """In a word."""
        if self.pid is not None:
            return "running"
        if self._watch is None:
            return "not started"
        if self._wanted and self._restarts_after(self.exit_code):
            return "restarting"
        return f"exited {self.exit_code}"

    def start(self) -> None:
        """Start it, also again after `stop`; it runs when this returns."""
        if self._watch is not None and self._watch.is_alive():
            raise RuntimeError(f"{self.name} is started already")
        self._wanted, self.exit_code = True, None
        first = self._spawn()
        self._watch = Thread(target=self._keep, args=(first,), name=f"keep {self.name}", daemon=True)
        self._watch.start()

    def kill(self, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to it and its children, and return the number it had; the policy then applies."""
        with self._change:
            if self.pid is None:
                raise RuntimeError(f"{self.name} does not run")
            pid = self.pid
            os.killpg(pid, how)
            return pid

    def end(self) -> None:
        """Ask it to end, and not to be started again."""
        with self._change:
            self._wanted = False
            self._change.notify_all()
            if self.pid is not None:
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGTERM)

    def stop(self, grace: float = 10) -> None:
        """End it, and kill it if it takes longer than that."""
        self.end()
        if self._watch is None:
            return
        self._watch.join(grace)
        with self._change:
            if self.pid is not None:
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
        self._watch.join()

    def wait_for(self, holds: Callable[[Process], bool], patience: float = 30) -> None:
        """Wait until this is so of the process, or raise `TimeoutError` with the end of its output."""
        with self._change:
            if not self._change.wait_for(lambda: holds(self), patience):
                raise TimeoutError(f"{self.name} is {self.state}:\n{self.tail()}")

    def wait_restarted(self, killed: int, patience: float = 30) -> int:
        """Wait until it runs again under another number than the killed one, and return that."""
        self.wait_for(lambda process: process.pid not in (None, killed), patience)
        assert self.pid is not None
        return self.pid

    def text(self) -> str:
        """All it has written."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 20) -> str:
        """The last of what it has written."""
        return "\n".join(self.text().splitlines()[-lines:])

    # -- inside
    # -------------------------------------------------------------------------------------------------

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            running = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        note(self._directory, self.name, killing(running.pid))
        with self._change:
            self.pid, self.since = running.pid, time.time()
            self._change.notify_all()
        return running

    def _keep(self, running: subprocess.Popen[bytes]) -> None:
        """The life of the process, in a thread of its own."""
        pause = FIRST_PAUSE
        while True:
            started = time.monotonic()
            os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
            with self._change:
                # The number is the dead process's own until it is collected, so no signal can go astray.
                with suppress(ProcessLookupError):
                    os.killpg(running.pid, signal.SIGKILL)
                self.pid, self.exit_code, self.since = None, running.wait(), time.time()
                (self._directory / f"{self.name}.end").unlink(missing_ok=True)
                self._change.notify_all()
                if not self._wanted or not self._restarts_after(self.exit_code):
                    return
                pause = FIRST_PAUSE if time.monotonic() - started >= SETTLED else pause
                if self._change.wait_for(lambda: not self._wanted, pause):
                    return
                pause = min(2 * pause, LONGEST_PAUSE)
                exit_code = self.exit_code
                self.restarts += 1
                running = self._spawn()
            if self._on_change is not None:
                self._on_change(self, f"exited {exit_code}, started again")

    def _restarts_after(self, exit_code: int | None) -> bool:
        policy, _, limit = self.restart.partition(":")
        if policy == "on-failure":
            return exit_code != 0 and (not limit or self.restarts < int(limit))
        return policy in ("always", "unless-stopped")
