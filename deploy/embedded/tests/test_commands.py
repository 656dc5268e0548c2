"""The `ehcp` command without a running hub."""

from __future__ import annotations

from pathlib import Path

import jwt
import pytest
from typer.testing import CliRunner

from ehcp_embedded import state
from ehcp_embedded.cli import app


def ehcp(data: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*words, "--data", str(data)])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("who", "more", "expected"),
    [
        ("school:900123", [], ("school", "900123", [])),
        ("officer", [], ("officer", None, ["351"])),
        ("officer", ["--la", "350", "--la", "351"], ("officer", None, ["350", "351"])),
        ("adapter:liquid-logic", [], ("adapter", "liquid-logic", ["351"])),
    ],
)
def test_a_token_carries_role_organisation_and_councils(
    tmp_path: Path, who: str, more: list[str], expected: tuple[str, str | None, list[str]]
) -> None:
    code, text = ehcp(tmp_path, "token", "--as", who, *more)
    claims = jwt.decode(text.strip(), options={"verify_signature": False})
    assert code == 0
    assert (claims["role"], claims["org_id"], claims["las"]) == expected


def test_a_token_for_a_role_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    code, text = ehcp(tmp_path, "token", "--as", "king")
    assert code == 2
    assert "the roles are" in text


def test_tokens_and_links_name_the_address_of_the_last_start(tmp_path: Path) -> None:
    state.save(tmp_path, state.State(address="http://127.0.0.1:8123"))
    _, link = ehcp(tmp_path, "sign-in", "--as", "board")
    assert link.startswith("http://127.0.0.1:8123/sign-in?ticket=")
    _, token = ehcp(tmp_path, "token", "--as", "board")
    assert jwt.decode(token.strip(), options={"verify_signature": False})["iss"] == "http://127.0.0.1:8123"


def test_a_tick_without_a_running_hub_says_so(tmp_path: Path) -> None:
    state.save(tmp_path, state.State(address="http://127.0.0.1:9"))
    code, text = ehcp(tmp_path, "tick", "--until", "2027-01-01")
    assert code == 2
    assert "no hub answers at http://127.0.0.1:9" in text


def test_a_date_in_another_form_is_refused(tmp_path: Path) -> None:
    assert ehcp(tmp_path, "tick", "--until", "01/02/2027")[0] == 2


def test_another_first_day_than_the_kept_one_is_refused(tmp_path: Path) -> None:
    code, _ = ehcp(tmp_path, "run", "--today", "2026-09-01", "--port", "99999")
    assert code != 0
    from datetime import date

    state.save(tmp_path, state.State(today=date(2026, 10, 1)))
    code, text = ehcp(tmp_path, "run", "--today", "2026-09-01")
    assert code == 2
    assert "stands at 2026-10-01" in text


def test_only_reporting_can_be_rebuilt(tmp_path: Path) -> None:
    code, text = ehcp(tmp_path, "rebuild", "case")
    assert code == 2
    assert "only reporting" in text
