"""Strict reading of JSON: one parser, base models and shared types that take what is right and guess nothing.

FastAPI parses JSON first and then validates Python objects, so plain strict mode would refuse every correct
date, enum and UUID. The types here accept exactly one written form each (reliability 6.5); everything else
is a fault with a fixed text. Bodies derive from `Body`, answers from `View`.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any, Final, NoReturn, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from service_kit.problems import Fault, Refusal, pointer

# -- JSON --------------------------------------------------------------------------------------------------

MAX_DEPTH: Final = 32
MAX_KEYS: Final = 20_000
MAX_INTEGER: Final = (
    2**53 - 1
)  # the largest integer that every JSON reader holds exactly (RFC 8259, section 6)
# Strings are skipped whole, also an unterminated last one: each byte is looked at once.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.?)*+(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)
# A document without any of these needs no closer look: an escape or a forbidden character, a number of 16 digits. (Sought
# one after the other: as alternatives of one expression they take three times as long.)
_SUSPECT = re.compile(r"[\\\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONG_NUMBER = re.compile(r"[0-9]{16}")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class _Malformed(ValueError):
    pass


class _Duplicate(ValueError):
    pass


def parse_json(raw: bytes) -> Any:
    """Parse one JSON document. Raises `Refusal`: `malformed-json` (also for a byte order mark, another
    encoding, NaN, Infinity, a number that overflows, too many levels or keys), `duplicate-key`, or
    `validation` for characters and numbers that no field may hold."""
    try:
        _check_depth(raw)
        text = raw.decode("utf-8")
        value = _DECODER.decode(text)
        _check_keys(raw, value)
    except _Duplicate:
        raise Refusal("duplicate-key") from None
    except (ValueError, RecursionError):
        raise Refusal("malformed-json") from None
    found = _unfit(value) if _SUSPECT.search(text) or _LONG_NUMBER.search(text) else None
    if found:
        raise Refusal("validation", errors=found)
    return value


def _check_depth(raw: bytes) -> None:
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _TOKEN.finditer(raw):
        first = match[0][:1]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise _Malformed
        elif first in b"]}":
            depth -= 1


def _check_keys(raw: bytes, value: Any) -> None:
    if raw.count(b":") > MAX_KEYS and _keys(value) > MAX_KEYS:
        raise _Malformed


def _keys(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_keys, value.values()))
    return sum(map(_keys, value)) if isinstance(value, list) else 0


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Duplicate
    return found


def _refuse_constant(_: str) -> NoReturn:
    raise _Malformed


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Malformed
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite
)  # one for all, since making one costs as much as a small document


def _unfit(document: Any) -> list[Fault]:
    """Characters and integers that no field of ours may hold, wherever they stand: one net under all
    types."""
    found: list[Fault] = []
    todo: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    while todo and len(found) <= 50:
        place, value = todo.pop()
        if isinstance(value, str):
            if _FORBIDDEN.search(value):
                found.append(Fault(pointer(place), *_CHARACTER))
        elif isinstance(value, int) and abs(value) > MAX_INTEGER:
            found.append(Fault(pointer(place), "out-of-range", "This number is out of range."))
        elif isinstance(value, list):
            todo.extend(((*place, index), item) for index, item in enumerate(value))
        elif isinstance(value, dict):
            if any(_FORBIDDEN.search(key) for key in value):
                found.append(Fault(pointer(place), *_CHARACTER))
            todo.extend(((*place, key), item) for key, item in value.items())
    return found


# -- faults ------------------------------------------------------------------------------------------------

_CHARACTER = ("forbidden-character", "This holds a character that is not allowed.")


def fault(code: str, message: str) -> PydanticCustomError:
    """An error for a validator to raise: `code` in hyphens, `message` a fixed text without the value."""
    return PydanticCustomError(code, message)


# -- models ------------------------------------------------------------------------------------------------


class Body(BaseModel):
    """Base of request bodies: no unknown field, no conversion, no NaN, text stripped."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        str_strip_whitespace=True,
        hide_input_in_errors=True,
        frozen=True,
    )


class View(BaseModel):
    """Base of answers; may be built from a table row by attribute (`View.model_validate(row)`)."""

    model_config = ConfigDict(frozen=True, from_attributes=True, hide_input_in_errors=True)


# -- text --------------------------------------------------------------------------------------------------


def clean(value: str, *, lines: bool) -> str:
    """NFC text. Raises a fault for NUL and other controls, lone surrogates and direction overrides; tab and
    newline only where `lines` (CR LF becomes one newline). Zero-width joiners stay: names and emoji need
    them."""
    if lines:
        value = value.replace("\r\n", "\n")
    if _FORBIDDEN.search(value) or re.search(r"[\r]" if lines else r"[\t\n\r\u2028\u2029]", value):
        raise fault(*_CHARACTER)
    return unicodedata.normalize("NFC", value)


@dataclass(frozen=True)
class Text:
    """Text of 1 to `max` characters: `Annotated[str, Text(200)]`. Only spaces counts as empty and is
    refused unless `empty`; several lines only where `lines`."""

    max: int
    lines: bool = False
    empty: bool = False

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        low = None if self.empty else 1
        inner = core_schema.str_schema(
            max_length=self.max, min_length=low, strict=True, strip_whitespace=True
        )
        return core_schema.no_info_after_validator_function(self._check, inner)

    def _check(self, value: str) -> str:
        if value.isascii() and value.isprintable():
            return value  # nothing to refuse, nothing to compose
        text = clean(value, lines=self.lines)
        if len(text) > self.max:
            raise fault("too-long", "This is too long.")
        if not self.empty and not text.strip("\u200b\u200c\u200d\u2060\ufeff"):
            raise fault("too-short", "This is too short.")
        return text


SafeStr = Text
Name = Annotated[str, Text(120)]


# -- numbers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BoundedInt:
    """A whole number from `low` to `high`: `Annotated[int, BoundedInt(0, 25)]`. No bool, no 3.0, no text."""

    low: int
    high: int

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.int_schema(ge=self.low, le=self.high, strict=True)


@dataclass(frozen=True)
class QueryInt:
    """A whole number in a query parameter, where everything is text: digits only, from `low` to `high`."""

    low: int
    high: int

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        inner = core_schema.int_schema(ge=self.low, le=self.high)
        return core_schema.no_info_before_validator_function(_digits, inner)


def _digits(value: object) -> object:
    if isinstance(value, str):
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise fault("whole-number", "This must be a whole number.")
        return int(value)
    return value


def _true_or_false(value: object) -> object:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise fault("true-or-false", "This must be true or false.")
        return value == "true"
    return value


QueryBool = Annotated[bool, BeforeValidator(_true_or_false)]


# -- dates and instants ------------------------------------------------------------------------------------

FIRST_YEAR: Final = 1990
LAST_YEAR: Final = 2100
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
    r"(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"
)


def _no_date() -> PydanticCustomError:
    return fault("date-format", "This must be a date written YYYY-MM-DD, from 1990 to 2100.")


def _no_instant() -> PydanticCustomError:
    return fault("instant-format", "This must be an instant with its zone, such as 2030-01-31T12:00:00Z.")


def _read_date(value: object) -> date:
    """Exactly YYYY-MM-DD (ASCII digits), or a date that code hands over; never a number, never a datetime."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise _no_date() from None
    if type(value) is not date or not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise _no_date()
    return value


def _read_instant(value: object) -> datetime:
    """RFC 3339 with a zone, or an aware datetime that code hands over; given back in UTC."""
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise _no_instant() from None
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise _no_instant()
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise _no_instant()
    return value.astimezone(UTC)


IsoDate = Annotated[date, Field(strict=False), BeforeValidator(_read_date)]
Instant = Annotated[datetime, Field(strict=False), BeforeValidator(_read_instant)]


# -- choices and ids ---------------------------------------------------------------------------------------

E = TypeVar("E", bound=Enum)


def _only_text_or_enum(value: object) -> object:
    if not isinstance(value, str | Enum):
        raise fault("not-text", "This must be text.")
    return value


StrictEnum = Annotated[E, Field(strict=False), BeforeValidator(_only_text_or_enum)]
"""One of the values of an enum, written exactly: `StrictEnum[Outcome]`."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _read_uuid(value: object) -> UUID:
    if isinstance(value, str) and _UUID.fullmatch(value):
        return UUID(value)
    if isinstance(value, UUID):
        return value
    raise fault("id-format", "This must be an id in its usual form of 36 characters.")


Id = Annotated[UUID, Field(strict=False), BeforeValidator(_read_uuid)]
StrictUuid = Id


# -- identifiers of the field ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Form:
    """Text that matches a form in full, with a code and fixed message if it does not."""

    regex: re.Pattern[str]
    code: str
    message: str

    def __call__(self, value: str) -> str:
        if not self.regex.fullmatch(value):
            raise fault(self.code, self.message)
        return value


_UPN_LETTERS: Final = "ABCDEFGHJKLMNPQRTUVWXYZ"  # no I, O, S
_UPN_WORTH: Final = {c: n for letters in (_UPN_LETTERS, "0123456789") for n, c in enumerate(letters)}
_UPN = re.compile(rf"[{_UPN_LETTERS}][0-9]{{11}}[0-9{_UPN_LETTERS}]")


def upn_is_valid(value: str) -> bool:
    """Unique pupil number: check letter, then 12 digits (a temporary one ends in a letter). The letter is
    the sum of the other characters weighted 2 to 13, modulo 23 (DfE, UPN guide)."""
    if not _UPN.fullmatch(value):
        return False
    return value[0] == _UPN_LETTERS[sum(w * _UPN_WORTH[c] for w, c in enumerate(value[1:], start=2)) % 23]


def nhs_number_is_valid(value: str) -> bool:
    """NHS number: ten digits, the last 11 minus the sum of the others weighted 10 to 2, modulo 11 (NHS Data
    Model)."""
    if not re.fullmatch(r"[0-9]{10}", value):
        return False
    check = 11 - sum(w * int(d) for w, d in zip(range(10, 1, -1), value[:9], strict=True)) % 11
    return check % 11 == int(value[9]) and check != 10


def _upn(value: str) -> str:
    if not upn_is_valid(value):
        raise fault("upn-check", "This is not a valid UPN.")
    return value


def _nhs_number(value: str) -> str:
    if not nhs_number_is_valid(value):
        raise fault("nhs-number-check", "This is not a valid NHS number.")
    return value


def _shaped(regex: str, code: str, message: str) -> AfterValidator:
    return AfterValidator(_Form(re.compile(regex), code, message))


Urn = Annotated[str, _shaped(r"[1-9][0-9]{5}", "urn-format", "This must be a URN: six digits, as text.")]
LaCode = Annotated[
    str, _shaped(r"[0-9]{3}", "la-code-format", "This must be a council's three-digit code, as text.")
]
OdsCode = Annotated[str, _shaped(r"[A-Z0-9]{3,6}", "ods-code-format", "This must be an ODS code.")]
Upn = Annotated[str, AfterValidator(_upn)]
NhsNumber = Annotated[str, AfterValidator(_nhs_number)]
