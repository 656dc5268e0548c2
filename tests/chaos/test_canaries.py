"""A canary is found wherever it hides, and nothing else is taken for one."""

from __future__ import annotations

import base64
import gzip
import json
import os
from urllib.parse import quote

import pytest
from stdnum.gb import nhs, upn
from tests.chaos.canaries import Canaries, child, reasons, unseen

CHILDREN = [child(number) for number in range(300)]
CANARIES = Canaries([*(value for one in CHILDREN for value in one.values()), reasons(7), '"SLCN"'])
SURNAME, POSTCODE = "Qxsurname00017", "ZZ0Q 0BH"


def test_every_child_has_its_own_and_they_are_well_formed() -> None:
    for field in CHILDREN[0]:
        assert len({one[field] for one in CHILDREN}) == 300
    assert CHILDREN[17]["surname"] == SURNAME
    assert CHILDREN[17]["postcode"] == POSTCODE
    assert all(nhs.is_valid(one["nhs_number"]) and upn.is_valid(one["upn"]) for one in CHILDREN)


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
@pytest.mark.parametrize(
    "hidden",
    [
        lambda text: text.encode(),
        lambda text: text.upper().encode(),
        lambda text: b"\x00\xff" + text.encode() + b"\xfe",
        lambda text: base64.b64encode(text.encode()),
        lambda text: base64.urlsafe_b64encode(text.encode()).rstrip(b"="),
        lambda text: quote(text).encode(),
        lambda text: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
        lambda text: "".join(f"\\u{byte:04x}" for byte in text.encode()).encode(),
        lambda text: text.encode().hex().encode(),
        lambda text: b"head" + gzip.compress(text.encode()) + b"tail",
        lambda text: base64.b64encode(gzip.compress(text.encode())),
        lambda text: quote(base64.b64encode(text.encode())).encode(),
        lambda text: json.dumps({"bytes": str(base64.b64encode(text.encode()))}).encode(),
    ],
)
def test_it_is_found_wherever_it_hides(hidden: object, before: str) -> None:
    text = f"{before}{SURNAME} of {POSTCODE}, NHS {CHILDREN[17]['nhs_number']}"
    found = CANARIES.found_in(b"some line\n" + hidden(text) + b"\nanother")  # type: ignore[operator]
    assert found == {SURNAME, POSTCODE, CHILDREN[17]["nhs_number"]}


def test_each_kind_is_found() -> None:
    for one in CHILDREN[::37]:
        assert CANARIES.found_in(json.dumps(one).encode()) == set(one.values())
    assert CANARIES.found_in(b'{"primary_need": "SLCN"}') == {'"SLCN"'}
    assert CANARIES.found_in(f"because {reasons(7)}".encode()) == {reasons(7)}


def test_nothing_else_is_taken_for_one() -> None:
    assert CANARIES.found_in(b"Qxsurname, Qxsurname99999, 2013-12-32, SLCN, 9990000000, ZZ0Q 0ZZ") == set()
    assert CANARIES.found_in(os.urandom(200_000) + base64.b64encode(os.urandom(200_000))) == set()


def test_what_stands_in_many_places_is_searched_once_and_what_is_packed_stays_whole() -> None:
    packed = gzip.compress(b"\t".join(b"%d" % (n * n) for n in range(500)))
    seen: set[bytes] = set()
    assert unseen(b"id-1\tthe body\nid-2\tthe body", seen) == b"id-1\nthe body\nid-2"
    assert unseen(b"the body\tid-3", seen) == b"id-3"
    assert unseen(packed, seen) == packed
