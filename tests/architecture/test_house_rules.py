"""Rules of the house that a reader would otherwise have to remember."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = [
    *ROOT.glob("shared/*/src/**/*.py"),
    *ROOT.glob("services/*/src/**/*.py"),
    *ROOT.glob("deploy/embedded/src/**/*.py"),
]
SERVICES = ("case-service", "review-scheduler", "notification-service", "reporting-service")
CLOCKS = {"now", "today", "utcnow"}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--", *patterns], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [ROOT / line for line in listed.stdout.splitlines()]


def calls(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


def test_import_rules_hold() -> None:
    """Services never import one another; rules are pure; only the embedded package imports services."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_cut_the_same_way(name: str) -> None:
    package = ROOT / "services" / name / "src" / name.replace("-", "_")
    rooms = {path.stem for path in package.iterdir()}
    assert {"main", "__main__", "tables", "queries", "api", "migrations"} <= rooms
    assert rooms >= ({"projections"} if name == "reporting-service" else {"domain", "commands", "reactions"})
    assert (ROOT / "services" / name / "README.md").is_file()


def test_nobody_reads_the_real_clock_but_the_clock() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in PRODUCT
        if path.name not in ("clock.py", "testing.py")
        for name, line in calls(path)
        if name.split(".")[-1] in CLOCKS and name.split(".")[-2:-1] in (["datetime"], ["date"])
    ]
    assert found == []


def test_nothing_is_left_to_background_tasks_or_middleware_that_cancels() -> None:
    text = {path.relative_to(ROOT): path.read_text() for path in PRODUCT}
    assert [
        str(path)
        for path, code in text.items()
        if "BackgroundTasks(" in code or "(BaseHTTPMiddleware" in code
    ] == []


def test_no_lock_file_holds_an_address() -> None:
    for path in tracked("*.lock", "*-lock.json", "pylock*.toml", "requirements*.txt"):
        assert not re.search(r"(https?|file)://", path.read_text()), path


def test_no_file_names_a_path_of_one_machine() -> None:
    here = re.compile(r"(^|[^A-Za-z0-9_./-])/(work|farm|tmp|root|home)/[A-Za-z.]")
    suffixes = {".py", ".toml", ".md", ".yml", ".yaml", ".sh", ".template", ".json", ""}
    found = []
    for path in tracked():
        if path.suffix in suffixes and path.is_file() and path != Path(__file__):
            try:
                lines = path.read_text().splitlines()
            except UnicodeDecodeError:
                continue
            found += [f"{path.relative_to(ROOT)}:{n}" for n, line in enumerate(lines, 1) if here.search(line)]
    assert found == []


def test_the_lock_pins_every_package_with_a_hash() -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text().strip())
    assert len(entries) > 60
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
