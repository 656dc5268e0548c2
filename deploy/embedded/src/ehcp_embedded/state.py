"""What the embedded hub remembers beside its databases: the business date, the address, and that it was
filled."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

FILE = "hub.json"


@dataclass(frozen=True)
class State:
    """`today` is the business date as it was set or moved, None while it follows the calendar; `demo` is what
    the demonstration needs to know again (its receivers' secrets), empty until the hub was filled."""

    today: date | None = None
    address: str = "http://127.0.0.1:8000"
    demo: tuple[tuple[str, str], ...] = ()

    @property
    def filled(self) -> bool:
        return bool(self.demo)


def load(data_dir: Path) -> State:
    """The state of a data directory; that of a new one if it has none."""
    try:
        kept = json.loads((data_dir / FILE).read_text("utf-8"))
    except FileNotFoundError:
        return State()
    today = date.fromisoformat(kept["today"]) if kept["today"] else None
    return State(today, kept["address"], tuple((name, secret) for name, secret in kept["demo"]))


def save(data_dir: Path, state: State) -> None:
    """Keep it: the file is replaced as a whole, and readable by its owner only."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = data_dir / f"{FILE}.new"
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(asdict(state), default=_as_text), "utf-8")
    fresh.replace(data_dir / FILE)


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
