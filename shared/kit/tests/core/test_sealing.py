"""Secrets at rest: who has the database and not the key reads nothing (S61)."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from service_kit.sealing import SealBroken, Sealer, sealer
from service_kit.settings import Settings

OLD, NEW = bytes(range(32)), bytes(range(100, 132))
SECRET, PLACE = "whsec_c2VjcmV0", "subscription 1"


def test_what_was_sealed_opens_at_its_place_and_shows_nothing() -> None:
    box = Sealer([OLD])
    sealed = box.seal(SECRET, PLACE)
    assert box.open(sealed, PLACE) == SECRET
    assert SECRET not in sealed
    assert "c2VjcmV0" not in sealed
    assert box.seal(SECRET, PLACE) != sealed


def test_moved_to_another_place_it_does_not_open() -> None:
    """Whoever may write to the database and has no key cannot give one partner another's secret."""
    sealed = Sealer([OLD]).seal(SECRET, PLACE)
    with pytest.raises(SealBroken):
        Sealer([OLD]).open(sealed, "subscription 2")


@pytest.mark.parametrize(
    "changed",
    [
        lambda sealed: sealed[:-5] + ("A" if sealed[-5] != "A" else "B") + sealed[-4:],
        lambda sealed: sealed[:20],
        lambda sealed: "v2" + sealed[2:],
        lambda sealed: sealed.rsplit(".", 1)[0] + ".not base64",
        lambda sealed: sealed.rsplit(".", 1)[0] + ".",
        lambda _: SECRET,
        lambda _: "",
    ],
    ids=["changed", "cut", "version", "no base64", "empty box", "never sealed", "empty"],
)
def test_anything_else_does_not_open(changed) -> None:
    box = Sealer([OLD])
    with pytest.raises(SealBroken):
        box.open(changed(box.seal(SECRET, PLACE)), PLACE)


def test_the_newest_key_seals_and_every_key_of_the_ring_opens() -> None:
    sealed = Sealer([OLD]).seal(SECRET, PLACE)
    ring = Sealer([NEW, OLD])
    assert ring.open(sealed, PLACE) == SECRET
    assert not ring.is_newest(sealed)
    again = ring.seal(SECRET, PLACE)
    assert ring.is_newest(again)
    assert Sealer([NEW]).open(again, PLACE) == SECRET
    with pytest.raises(SealBroken):
        Sealer([NEW]).open(sealed, PLACE)


def test_without_keys_in_the_settings_one_is_made_that_only_we_may_read(tmp_path: Path) -> None:
    sealed = sealer(Settings(data_dir=tmp_path)).seal(SECRET, PLACE)
    kept = tmp_path / "sealing.key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert Sealer([base64.b64decode(kept.read_bytes())]).open(sealed, PLACE) == SECRET
    assert [path.name for path in tmp_path.iterdir()] == ["sealing.key"]


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sealing.key").write_bytes(base64.b64encode(OLD))
    (tmp_path / "sealing.key").chmod(0o644)
    with pytest.raises(PermissionError):
        sealer(Settings(data_dir=tmp_path))
