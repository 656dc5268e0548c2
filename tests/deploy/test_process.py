"""A process is kept as its policy says, and nothing it started outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deploy.up.guardian import Guardian, killing, note
from deploy.up.process import Process

Make = Callable[..., Process]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Process] = []

    def process(script: str, restart: str = "always") -> Process:
        command = [sys.executable, "-c", script]
        made.append(Process("p", command, dict(os.environ), directory=tmp_path, restart=restart))
        return made[-1]

    yield process
    for each in made:
        each.stop(5)


FOR_EVER = "import signal; print('up', flush=True); signal.pause()"


def test_a_killed_process_is_started_again(make: Make) -> None:
    process = make(FOR_EVER)
    process.start()
    first = process.kill()
    second = process.wait_restarted(first)
    assert second != first
    assert process.restarts == 1
    assert process.exit_code == -signal.SIGKILL


def test_on_failure_leaves_a_success_alone(make: Make) -> None:
    process = make("print('done')", restart="on-failure")
    process.start()
    process.wait_for(lambda p: p.exit_code == 0)
    assert (process.state, process.restarts, process.text()) == ("exited 0", 0, "done\n")


def test_on_failure_tries_again_until_it_succeeds(make: Make, tmp_path: Path) -> None:
    count = tmp_path / "count"
    process = make(
        f"import pathlib, sys; c = pathlib.Path({str(count)!r}); c.open('a').write('x')\n"
        "sys.exit(len(c.read_text()) < 3)",
        restart="on-failure",
    )
    process.start()
    process.wait_for(lambda p: p.exit_code == 0)
    assert process.restarts == 2


def test_a_limit_of_new_starts_is_kept(make: Make) -> None:
    process = make("raise SystemExit(1)", restart="on-failure:2")
    process.start()
    process.wait_for(lambda p: p.state == "exited 1")
    assert process.restarts == 2


def test_no_means_no(make: Make) -> None:
    process = make("raise SystemExit(3)", restart="no")
    process.start()
    process.wait_for(lambda p: p.exit_code == 3)
    assert process.state == "exited 3"


def test_who_does_not_end_is_killed_with_its_children(make: Make) -> None:
    process = make(
        "import signal, subprocess, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"child = subprocess.Popen([sys.executable, '-c', {FOR_EVER!r}], stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True); signal.pause()"
    )
    process.start()
    _until(lambda: process.text().endswith("\n"))
    child = int(process.text())
    process.stop(0.2)
    assert process.pid is None
    _until(lambda: not Path(f"/proc/{child}").exists())


def test_a_process_that_does_not_come_up_says_why(make: Make) -> None:
    process = make("raise SystemExit('no database')", restart="no")
    process.start()
    with pytest.raises(TimeoutError, match="no database"):
        process.wait_for(lambda p: p.exit_code == 0, 0.5)


def test_stop_during_the_pause_before_a_new_start_is_at_once(make: Make) -> None:
    process = make("raise SystemExit(1)")
    process.start()
    process.wait_for(lambda p: p.restarts >= 2)
    process.stop()
    assert process.pid is None


@pytest.mark.parametrize("keep", [True, False])
def test_a_guardian_ends_what_was_noted_and_forgets_it(tmp_path: Path, keep: bool) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    guardian = Guardian(directory, keep=keep)
    sleeper = subprocess.Popen([sys.executable, "-c", FOR_EVER], stdout=subprocess.DEVNULL)
    note(directory, "sleeper", ["kill", "-KILL", str(sleeper.pid)])
    note(directory, "setting", ["sh", "-c", 'echo "$WORD" > "$0"', str(tmp_path / "said")], {"WORD": "it's"})
    guardian.close()
    assert sleeper.wait(10) == -signal.SIGKILL
    assert (tmp_path / "said").read_text() == "it's\n"
    assert directory.exists() is keep
    assert not list(directory.glob("*.end"))


def test_a_guardian_ends_a_process_with_its_children_when_the_run_is_killed(
    tmp_path: Path,
) -> None:
    """All of them lived on: the shell's own `kill` did not understand the note."""
    guardian = Guardian(tmp_path)
    child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {FOR_EVER!r}]).wait()"
    process = subprocess.Popen(
        [sys.executable, "-c", child], stdout=subprocess.DEVNULL, start_new_session=True
    )
    _until(lambda: bool(_children(process.pid)))
    family = [process.pid, *_children(process.pid)]
    note(tmp_path, "family", killing(process.pid))
    guardian.close()
    assert process.wait(10) == -signal.SIGKILL
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _until(holds: Callable[[], bool], patience: float = 10) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)
