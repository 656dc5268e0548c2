"""Golden files: written, found stale, and protected from changes that would break a reader."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ehcp_contracts import __main__ as cli
from ehcp_contracts.__main__ import main
from ehcp_contracts.publish import check, committed, on_disk, publish, render, stale

DUE = "schemas/ehcp.review-due.v1.json"


def edit(folder: Path, path: str, old: str, new: str) -> None:
    file = folder / path
    assert old in file.read_text("utf-8")
    file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert publish(tmp_path) == []
    return tmp_path


def test_what_was_published_is_fresh(folder: Path) -> None:
    assert stale(folder) == []
    assert check(folder) == []
    assert on_disk(folder) == render()


def test_there_is_a_file_per_event_version_an_envelope_and_a_document_per_service(folder: Path) -> None:
    names = sorted(on_disk(folder))
    assert len(names) == 24 + 1 + 5
    assert DUE in names
    assert "schemas/envelope.json" in names
    assert "asyncapi/hub.json" in names
    assert "asyncapi/reporting-service.json" in names


def test_a_file_changed_or_missing_or_left_over_is_stale(folder: Path) -> None:
    edit(folder, "asyncapi/hub.json", "EHC-plan hub", "Another hub")
    (folder / DUE).unlink()
    (folder / "asyncapi/gone-service.json").write_text("{}")
    assert stale(folder) == [
        "asyncapi/gone-service.json: no longer made by any class; publish again",
        "asyncapi/hub.json: stale; publish again",
        f"{DUE}: not yet published; publish",
    ]


def test_an_optional_field_added_to_a_class_is_accepted_and_asks_to_be_published(folder: Path) -> None:
    schema = json.loads((folder / DUE).read_text("utf-8"))
    del schema["properties"][
        "latest_meeting_on"
    ]  # as if published before the class had it, and it were optional
    schema["required"].remove("latest_meeting_on")
    (folder / DUE).write_text(json.dumps(schema))
    assert stale(folder) == [f"{DUE}: stale (new: latest_meeting_on); publish again"]


def test_a_class_that_breaks_a_published_version_is_neither_passed_nor_published(folder: Path) -> None:
    edit(folder, DUE, '"review_id"', '"identifier"')  # as if the class had been renamed since
    before = (folder / DUE).read_text("utf-8")
    expected = [
        f"{DUE}: identifier: field-removed: an old reader cannot read new messages; make it a new version",
        f"{DUE}: review_id: required-field-added: a new reader cannot read old messages; "
        "make it a new version",
    ]
    assert check(folder)[:2] == expected
    assert publish(folder) == expected
    assert (folder / DUE).read_text("utf-8") == before


def test_a_version_nobody_has_read_may_be_overwritten(folder: Path) -> None:
    edit(folder, DUE, '"review_id"', '"identifier"')
    assert publish(folder, unreleased=True) == []
    assert stale(folder) == []


def test_a_published_version_may_not_vanish(folder: Path) -> None:
    (folder / "schemas/ehcp.older-thing.v1.json").write_text('{"type": "object", "properties": {}}')
    assert "schemas/ehcp.older-thing.v1.json: version-removed: readers of it are still there" in check(folder)


def test_the_check_holds_classes_against_the_last_commit_even_when_the_files_were_edited(
    folder: Path,
) -> None:
    edit(folder, DUE, '"review_id"', '"identifier"')
    run = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "published"]):
        subprocess.run([*run, *command], check=True)
    publish(folder, unreleased=True)
    assert stale(folder) == []
    assert json.loads((folder / DUE).read_text("utf-8")) != committed(folder)[DUE]
    assert len(check(folder)) == 2


def test_the_command_says_what_is_wrong_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "check", lambda: ["a fault"])
    assert main(["check"]) == 1
    assert capsys.readouterr().err == "contracts: a fault\n"
    monkeypatch.setattr(cli, "check", list)
    assert main(["check"]) == 0
