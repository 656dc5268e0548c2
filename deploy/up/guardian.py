"""What a run has started ends with it, however the run ends: done, Ctrl-C, an exception or SIGKILL."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# The shell reads a pipe that only the run holds open: end of file means the run is gone. Then it carries
# out every note left in the directory, newest first.
_WATCH = """
trap '' INT TERM HUP
cat > /dev/null
for note in $(ls -t "$0"/*.end 2> /dev/null); do sh "$note"; rm -f "$note"; done
[ "$1" = keep ] || rm -rf "$0"
"""


class Guardian:
    """A small shell that outlives the run just long enough to end what it started.

    Notes live in a directory, so that several processes of one run (pytest's workers) can leave them. A
    directory that is not to be kept is removed at the end.
    """

    def __init__(self, directory: Path, *, keep: bool = False) -> None:
        self.directory = directory
        self._shell = subprocess.Popen(
            ["sh", "-c", _WATCH, str(directory), "keep" if keep else "remove"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def close(self) -> None:
        """End everything now and wait until that is done."""
        assert self._shell.stdin is not None
        with suppress(BrokenPipeError):
            self._shell.stdin.close()
        self._shell.wait(60)


def killing(group: int) -> list[str]:
    """The command, for a note, that kills a process group. Without `--`, which the `kill` of some shells does not take."""
    return ["kill", "-KILL", f"-{group}"]


def note(
    directory: Path, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> Path:
    """Leave word of how to end something; remove the returned file once it has ended by itself."""
    settings = [f"{key}={shlex.quote(value)}" for key, value in (environment or {}).items()]
    path = directory / f"{name}.end"
    path.write_text(" ".join([*settings, shlex.join(command)]) + "\n", encoding="utf-8")
    return path
