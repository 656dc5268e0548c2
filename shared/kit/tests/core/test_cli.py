"""The command line of a service."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import typer

from service_kit.cli import _instant


def test_an_instant_is_taken_with_its_zone() -> None:
    assert _instant("2026-09-01T07:00+01:00") == datetime(2026, 9, 1, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-09-01T06:00", "2026-09-01", "yesterday", ""])
def test_what_could_mean_several_instants_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="with its zone"):
        _instant(text)
