"""One test run: a directory that all its processes share, and a guardian that clears up after them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from deploy.up.guardian import Guardian, note

_VARIABLE = "RIG_RUN"


class Run:
    """What the processes of one run know of one another, as files in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def current(cls) -> Run:
        """The run this process belongs to."""
        return cls(Path(os.environ[_VARIABLE]))

    @contextmanager
    def once(self, name: str) -> Iterator[dict[str, Any]]:
        """What the first process of the run finds out under this name, and all others then read.

        The block runs under a lock. It gets an empty mapping the first time, and fills it.
        """
        path = self.directory / f"{name}.json"
        with (self.directory / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
            before = dict(known)
            yield known
            if known != before:
                path.write_text(json.dumps(known))

    def new_directory(self, name: str) -> Path:
        """A directory for one server; the user a server runs as can pass through the run's to reach it."""
        directory = self.directory / f"{name}-{uuid4().hex[:8]}"
        directory.mkdir()
        return directory

    def end_with_run(
        self, directory: Path, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Path:
        """Leave word of how to end what runs in a directory; remove the file when it has ended."""
        return note(self.directory, directory.name, command, environment)

    def used(self, what: str, which: str) -> None:
        """Remember for the summary what the run used; what was used first is said."""
        path = self.directory / f"{what}.used"
        if not path.exists():
            path.write_text(which, encoding="utf-8")

    def all_used(self) -> dict[str, str]:
        """What the run has used so far."""
        return {path.stem: path.read_text(encoding="utf-8") for path in sorted(self.directory.glob("*.used"))}


class OpenRun(Run):
    """The run as the process that began it holds it."""

    def __init__(self) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="ehcp-run-")))
        self.directory.chmod(0o711)
        self._before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = str(self.directory)
        self._guardian = Guardian(self.directory)

    def close(self) -> None:
        """End everything the run has started, in any of its processes."""
        self._guardian.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        if self._before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = self._before
