"""Canaries: what only case-service may know of a child, in a form that is found again wherever it turns up.

Every invented child carries its own surname, forename, birth date, postcode, UPN and NHS number. After a run, everything
that left case-service is searched for them, as written and as base64, hexadecimal, percent-encoded, escaped or gzip.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date, timedelta
from urllib.parse import unquote_to_bytes

LEFT = "left"
"""The folder of a run that holds what has left case-service."""
DEPTH = 3
"""How many layers of encoding are taken off."""
MOST_UNPACKED = 1_000_000
_PACKED, _GZIP = b"\x1f\x8b\x08", 31
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""Nearly all that looks like base64 and is none."""
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_UPN_LETTERS = "ABCDEFGHJKLMNPQRTUVWXYZ"
_FIRST_BIRTHDAY = date(2013, 1, 1)
_BIRTHDAYS = 2190
"""Of six years in which nothing else in a run happens: a date of them that turns up is somebody's birthday."""


def child(number: int) -> dict[str, str]:
    """What is personal in the snapshot of an invented child; its own, up to 2,000 children."""
    return {
        "surname": f"Qxsurname{number:05d}",
        "forename": f"Qxforename{number:05d}",
        "birth_date": (_FIRST_BIRTHDAY + timedelta(days=number * 37 % _BIRTHDAYS)).isoformat(),
        "upn": _upn(number),
        "nhs_number": _nhs_number(number),
        "postcode": f"ZZ{number // 1000 % 10}Q {number // 100 % 10}{_letter(number // 10)}{_letter(number)}",
    }


def reasons(number: int) -> str:
    """What an officer writes about a child."""
    return f"Qxreasons{number:05d} as the parents told us in confidence"


def _letter(digit: int) -> str:
    return "ABCDEFGHIJ"[digit % 10]


def _upn(number: int) -> str:
    digits = f"3519999{20 + number // 1000:02d}{number % 1000:03d}"
    return _UPN_LETTERS[sum(int(d) * w for d, w in zip(digits, range(2, 14), strict=True)) % 23] + digits


def _nhs_number(number: int) -> str:
    """Of the range 999, which belongs to nobody. Every third number or so has no check digit: its successor has."""
    for candidate in range(number * 3, number * 3 + 3):
        digits = f"999{candidate:06d}"
        check = -sum(int(d) * w for d, w in zip(digits, range(10, 1, -1), strict=True)) % 11
        if check < 10:
            return f"{digits}{check}"
    raise AssertionError("two numbers in a row always have a check digit")


class Canaries:
    """Searches for values all at once."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values = {value.lower().encode(): value for value in values}
        shapes: dict[bytes, list[bytes]] = defaultdict(list)
        for value in self._values:
            shapes[_shape(value)].append(value)
        self._patterns = [re.compile(_pattern(group)) for group in shapes.values()]

    def found_in(self, blob: bytes) -> set[str]:
        """The values that are in it, written plainly or under up to `DEPTH` layers of encoding."""
        found: set[str] = set()
        for layer in layers(blob, DEPTH):
            plain = layer.lower()
            for pattern in self._patterns:
                found |= {self._values[hit] for hit in _overlapping(pattern, plain) if hit in self._values}
        return found


def unseen(blob: bytes, seen: set[bytes]) -> bytes:
    """The lines and fields of a blob that are not in `seen`, which they are put into: an event stands in the log, in many
    tables and in webhooks, and needs to be searched once only. What holds something packed stays whole."""
    if _PACKED in blob:
        return blob
    fresh = [piece for piece in dict.fromkeys(re.split(rb"[\t\n]", blob)) if piece not in seen]
    seen.update(fresh)
    return b"\n".join(fresh)


def _overlapping(pattern: re.Pattern[bytes], text: bytes) -> Iterator[bytes]:
    """All matches, also those that begin within another."""
    place = 0
    while match := pattern.search(text, place):
        yield match[0]
        place = match.start() + 1


def _shape(value: bytes) -> bytes:
    return re.sub(rb"[a-z]", b"a", re.sub(rb"[0-9]", b"0", value))


def _pattern(group: list[bytes]) -> bytes:
    """One pattern for values of one shape: their common beginning, then any letters and digits."""
    first, last = min(group), max(group)
    common = next((n for n, (a, b) in enumerate(zip(first, last, strict=True)) if a != b), len(first))
    kinds = {ord("a"): b"[a-z]", ord("0"): b"[0-9]"}
    rest = [kinds.get(byte, re.escape(bytes([byte]))) for byte in _shape(first)[common:]]
    return re.escape(first[:common]) + b"".join(rest)


def layers(blob: bytes, depth: int) -> Iterator[bytes]:
    """The blob, and what it holds in other encodings."""
    yield blob
    if depth:
        for inner in (
            _unquoted(blob),
            _unescaped(blob),
            _from_base64(blob),
            _from_hex(blob),
            _unpacked(blob),
        ):
            if inner and inner != blob:
                yield from layers(inner, depth - 1)


def _unquoted(blob: bytes) -> bytes:
    return unquote_to_bytes(blob.replace(b"+", b" ")) if b"%" in blob or b"+" in blob else b""


def _unescaped(blob: bytes) -> bytes:
    return re.sub(rb"\\u00([0-9a-fA-F]{2})", lambda match: bytes.fromhex(match[1].decode()), blob)


def _from_base64(blob: bytes) -> bytes:
    """Whatever looks like base64, begun at each of its four places: a value may stand anywhere in what was encoded."""
    pieces = []
    for run in re.findall(rb"[A-Za-z0-9+/_-]{12,}", _UUID.sub(b" ", blob)):
        plain = run.translate(_TO_STANDARD) + b"AAA"
        pieces += [
            base64.b64decode(plain[start : len(plain) - (len(plain) - start) % 4]) for start in range(4)
        ]
    return _readable(pieces)


def _from_hex(blob: bytes) -> bytes:
    pieces = []
    for run in re.findall(rb"[0-9a-fA-F]{16,}", blob):
        pieces += [bytes.fromhex(part[: len(part) // 2 * 2].decode()) for part in (run, run[1:])]
    return _readable(pieces)


def _readable(pieces: list[bytes]) -> bytes:
    """The text in what was decoded, and what was packed; nearly all of it is noise, as most of it was never encoded."""
    packed = [piece for piece in pieces if _PACKED in piece]
    return b"\n".join([*re.findall(rb"[ -~]{8,}", b"\n".join(pieces)), *packed])


def _unpacked(blob: bytes) -> bytes:
    pieces = []
    for match in re.finditer(re.escape(_PACKED), blob):
        with suppress(zlib.error):
            pieces.append(zlib.decompressobj(_GZIP).decompress(blob[match.start() :], MOST_UNPACKED))
    return b"\n".join(pieces)
