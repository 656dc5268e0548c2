"""A journal outside the system under test: every line is on disk before anything follows from it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


class Journal:
    """Appends JSON lines, each with the instant at which it was written (`at`, seconds since the epoch)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)

    def write(self, **entry: Any) -> None:
        """Append one entry; it survives whatever happens after this returns."""
        line = json.dumps({"at": time.time(), **entry}, separators=(",", ":"))
        self._file.write(line.encode() + b"\n")
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> list[dict[str, Any]]:
    """All entries of a journal, in the order they were written."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]
