"""The published contracts: golden files made from the classes, and the checks that keep them true.

`publish` writes them and refuses to overwrite a published version with one that breaks a reader. `check`
changes nothing: it fails when a file is stale, when a class no longer agrees with what git holds as
published, or when an event could carry personal data.
"""

from __future__ import annotations

import json
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

from ehcp_contracts import asyncapi
from ehcp_contracts.compatibility import additions, breaks
from ehcp_contracts.events import EVENTS
from ehcp_contracts.schemas import envelope_schema, event_schema, file_name
from ehcp_contracts.vocabulary import envelope_vocabulary, personal_data, vocabulary

PUBLISHED = Path(str(files(__package__).joinpath("published")))
ENVELOPE = "schemas/envelope.json"


def render() -> dict[str, dict[str, Any]]:
    """Every published file by its path under `published/`, as it should be now."""
    documents = {f"schemas/{file_name(name)}": event_schema(event) for name, event in EVENTS.items()}
    documents[ENVELOPE] = envelope_schema()
    documents |= {f"asyncapi/{name}.json": asyncapi.document(name) for name in asyncapi.names()}
    return documents


def text(document: dict[str, Any]) -> str:
    """A document as it is written: indented, in the order it was built, with a final newline."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def publish(folder: Path = PUBLISHED, *, unreleased: bool = False) -> list[str]:
    """Write the golden files. Returns the faults that kept it from writing anything, empty if it wrote.

    `unreleased=True` writes all the same: for versions that no reader outside this repository has seen.
    """
    faults = [] if unreleased else incompatible(on_disk(folder), render())
    if not faults:
        write(folder)
    return faults


def write(folder: Path) -> None:
    for path, document in render().items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text(document), "utf-8")
    for stale in set(_files(folder)) - set(render()):
        (folder / stale).unlink()


def check(folder: Path = PUBLISHED) -> list[str]:
    """Every fault of the published contracts, one line each; empty if all is well."""
    return incompatible(committed(folder) or on_disk(folder), render()) + stale(folder) + personal()


def stale(folder: Path) -> list[str]:
    """Files that differ from what the classes say, naming the optional fields that wait to be published."""
    faults = []
    now, published = render(), on_disk(folder)
    for path in sorted({*now, *published}):
        if path not in now:
            faults.append(f"{path}: no longer made by any class; publish again")
        elif path not in published:
            faults.append(f"{path}: not yet published; publish")
        elif text(now[path]) != text(published[path]):
            new = ", ".join(additions(published[path], now[path])) if path.startswith("schemas/") else ""
            faults.append(f"{path}: stale{f' (new: {new})' if new else ''}; publish again")
    return faults


def incompatible(published: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Differences within a published version that break a reader; a version that vanished breaks them all."""
    faults = []
    for path, before in published.items():
        if not path.startswith("schemas/"):
            continue
        if path not in now:
            faults.append(f"{path}: version-removed: readers of it are still there")
            continue
        faults += [f"{path}: {found}; make it a new version" for found in breaks(before, now[path])]
    return faults


def personal() -> list[str]:
    """Fields of any event or of the envelope that could carry personal data."""
    faults = [
        f"{name}: {fault}"
        for name, cls in EVENTS.items()
        for fault in personal_data(event_schema(cls), vocabulary())
    ]
    envelope = envelope_schema()
    del envelope["properties"]["data"]  # each event's own schema, checked above
    return faults + [f"envelope: {fault}" for fault in personal_data(envelope, envelope_vocabulary())]


def on_disk(folder: Path) -> dict[str, Any]:
    return {path: json.loads((folder / path).read_text("utf-8")) for path in _files(folder)}


def committed(folder: Path) -> dict[str, Any]:
    """The golden files as the last commit holds them; empty outside a git checkout."""
    listing = _git(folder, "ls-tree", "-r", "--name-only", "HEAD", ".")
    paths = [path for path in listing.splitlines() if path.endswith(".json")]
    return {path: json.loads(_git(folder, "show", f"HEAD:./{path}")) for path in paths}


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder).as_posix()) for path in folder.rglob("*.json"))


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
