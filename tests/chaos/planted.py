"""Planted bugs: each must turn its test red, which is green without it. Prints bug | what | caught by."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 180
ROOT = Path(__file__).parents[2]
_BUS, _DATABASE = "tests/conformance/test_bus.py", "tests/conformance/test_database.py"
_SENDER = "services/notification-service/tests/test_sender.py"
_PRIVACY = "services/case-service/tests/test_privacy.py"
NOT_RUN = (2, 3, 4, 5)
"""Exit codes of pytest that say nothing about a test."""


@dataclass(frozen=True)
class Bug:
    """One planted bug and the test that is to catch it."""

    id: str
    what: str
    file: str
    test: str

    @property
    def node(self) -> str:
        return f"{self.file}::{self.test}"


BUGS = (
    Bug("B01", "consumer commits by itself", _BUS,
        "test_uncommitted_messages_come_again_and_committed_ones_do_not[kafka]"),
    Bug("B02", "relay polls by a watermark", _DATABASE,
        "test_b02_an_event_that_commits_late_is_sent_although_later_ones_were_sent_before[sqlite]"),
    Bug("B03", "no entitlement check at sending", _SENDER, "test_entitlement_is_asked_again_at_each_attempt"),
    Bug("B04", "now() in a projection", "services/reporting-service/tests/test_projections.py",
        "test_the_tables_do_not_depend_on_how_the_log_is_cut_i9[2]"),
    Bug("B05", "redirects followed", "services/notification-service/tests/test_targets.py",
        "test_a_redirect_is_a_failure_and_is_not_followed"),
    Bug("B06", "commit after the answer", "shared/kit/tests/core/test_context.py",
        "test_b06_a_commit_that_fails_is_never_answered_with_success"),
    Bug("B07", "inbox row outside the effect's transaction", _DATABASE,
        "test_b07_effect_and_inbox_row_stand_or_fall_together[sqlite]"),
    Bug("B08", "two active relays", _DATABASE,
        "test_b08_of_two_relays_one_is_active_and_the_other_takes_over[sqlite]"),
    Bug("B09", "new webhook-id per attempt", _SENDER,
        "test_every_attempt_has_the_same_id_and_bytes_and_its_own_time"),
    Bug("B10", "marked without the lease token", _SENDER, "test_the_late_mark_of_a_frozen_sender_is_a_no_op"),
    Bug("B11", "last sequence forgotten with the inbox", _DATABASE,
        "test_b11_a_replay_is_recognised_after_the_inbox_was_pruned[sqlite]"),
    Bug("B12", "poison skipped", _DATABASE,
        "test_b12_a_poison_event_is_parked_with_the_later_ones_of_its_case_and_others_flow[sqlite]"),
    Bug("B13", "a name in an event", _PRIVACY, "test_no_canary_is_in_any_event"),
    Bug("B14", "input in a log line", _PRIVACY, "test_no_canary_is_in_a_log_line_or_a_problem"),
    Bug("B15", "a log read to its end taken for knowing", "services/notification-service/tests/test_knowledge.py",
        "test_while_the_relay_or_the_broker_is_away_notices_wait_and_are_sent_afterwards"),
)  # fmt: skip


def green(nodes: Sequence[str], planted: str | None = None) -> bool:
    """Whether these tests pass, with a bug planted or without. Raises `RuntimeError` if they could not be run."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "RIG_RUN"))
    }
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    if planted:
        environment["PLANTED"] = planted
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist"]
    # Into a file: a broker that the tests start would hold a pipe open.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        done = subprocess.run(
            [*command, "-p", "tests.chaos.planted_bugs", *nodes],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=PATIENCE,
            check=False,
        )
        output.seek(0)
        said = output.read()
    if done.returncode in NOT_RUN or (" passed" not in said and " failed" not in said):
        raise RuntimeError(f"{planted or 'without a bug'}: {said[-3000:]}")
    return done.returncode == 0


def caught(bug: Bug) -> bool:
    """Whether the bug turns its test red."""
    return not green([bug.node], bug.id)


def main() -> int:
    """Print the kill table; 1 if a bug lives, or a test is red without one."""
    if not green([bug.node for bug in BUGS]):
        print("the tests are red without any bug planted")
        return 1
    alive = 0
    print("| bug | what | caught by |\n| --- | --- | --- |")
    for bug in BUGS:
        dead = caught(bug)
        alive += not dead
        print(f"| {bug.id} | {bug.what} | {bug.test if dead else 'NOBODY'} |", flush=True)
    return 1 if alive else 0
