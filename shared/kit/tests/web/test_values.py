"""What a field takes and what it refuses: bad-inputs 1.5-1.8 and 1.11. Expectations are written by hand."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from shared.kit.tests.web.toy import assert_problem, post_json
from stdnum.gb import nhs, upn

from service_kit.strict import nhs_number_is_valid, upn_is_valid

RIGHT: list[tuple[str, Any, Any]] = [
    ("on", "2026-09-01", "2026-09-01"),
    ("on", "2024-02-29", "2024-02-29"),
    ("on", "1990-01-01", "1990-01-01"),
    ("on", "2100-12-31", "2100-12-31"),
    ("at", "2026-09-01T09:30:00Z", "2026-09-01T09:30:00Z"),
    ("at", "2026-09-01T09:30:00+01:00", "2026-09-01T08:30:00Z"),
    ("at", "2026-09-01T09:30:00.250Z", "2026-09-01T09:30:00.250000Z"),
    ("count", 0, 0),
    ("count", 100, 100),
    ("number", 9007199254740991, 9007199254740991),
    ("share", 0.5, 0.5),
    ("flag", False, False),
    ("name", "  Ada  ", "Ada"),
    ("name", "O’Brien-Ní Dhónaill", "O’Brien-Ní Dhónaill"),
    ("name", "Null", "Null"),
    ("name", "X Æ A-12", "X Æ A-12"),
    ("name", "李小龍", "李小龍"),
    ("name", "محمد", "محمد"),
    ("name", "👩‍🚀", "👩‍🚀"),
    ("name", "क्‍ष", "क्‍ष"),
    ("name", "Cafe\u0301", "Café"),
    ("note", "one\n\ttwo", "one\n\ttwo"),
    ("note", "one\r\ntwo", "one\ntwo"),
    ("colour", "red", "red"),
    ("id", "0190aaaa-0000-7000-8000-000000000000", "0190aaaa-0000-7000-8000-000000000000"),
    ("urn", "900123", "900123"),
    ("la", "351", "351"),
    ("upn", "B801200005001", "B801200005001"),
    ("nhs", "9434765919", "9434765919"),
]


@pytest.mark.parametrize(("field", "sent", "kept"), RIGHT, ids=lambda value: ascii(value)[:30])
async def test_what_is_right_is_taken(client: httpx2.AsyncClient, field: str, sent: Any, kept: Any) -> None:
    """Reliability 6.5: strictness must not refuse the correct date, instant, enum or id."""
    answer = await post_json(client, "/things", {field: sent})
    assert (answer.status_code, answer.json()) == (200, {field: kept})


async def test_1_7_minus_zero_is_zero(client: httpx2.AsyncClient) -> None:
    body = b'{"count": -0}'
    answer = await client.post("/things", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (200, {"count": 0})


WRONG: list[tuple[str, Any]] = [
    # 1.5 dates: one written form, never guessed
    *(
        ("on", value)
        for value in (
            *(
                "04/09/2024",
                45539,
                1725408000,
                "1725408000",
                "2024-09-04T00:00:00Z",
                "2024-02-30",
                "0000-01-01",
            ),
            *(
                "9999-12-31",
                "1989-12-31",
                "2101-01-01",
                "2024-9-4",
                "20240904",
                "2024-W36-3",
                "2024-09-04 ",
                " 2024-09-04",
            ),
            *(
                "+2024-09-04",
                "２０２４-09-04",
                "2023-02-29",
                "2024-09-04\n",
                "today",
                "",
                True,
                1.5,
                [],
                {},
                ["2024-09-04"],
            ),
        )
    ),
    # 1.6 instants: aware, real, written in full
    *(
        ("at", value)
        for value in (
            *(
                "2026-09-01T09:30:00",
                "2026-09-01T09:30:00+99:00",
                "2026-09-01T24:00:00Z",
                "2026-09-01T23:59:60Z",
            ),
            *(
                "2026-09-01",
                "2026-09-01T09:30Z",
                "2026-09-01 09:30:00Z",
                "2026-09-01T09:30:00z",
                1788000000,
                "1788000000",
            ),
            *(
                "2026-02-30T09:30:00Z",
                "9999-12-31T23:59:59-14:00",
                "1989-12-31T00:00:00Z",
                "2026-09-01T09:30:00+15:00",
            ),
            *("2026-09-01T09:30:00.1234567Z", True, None.__class__.__name__),
        )
    ),
    # 1.7 numbers and truth
    *(("count", value) for value in (True, False, "5", " 5 ", "1_000", 3.0, 1.5, -1, 101, 10**30, [], "yes")),
    *(("number", value) for value in (True, "5", 3.0, 1e3, 10**30, -(10**30), 2**53)),
    *(("share", value) for value in (True, "0.5", 10**30)),
    *(("flag", value) for value in ("yes", "true", 1, 0, 1.0, "1")),
    # 1.8 text
    *(
        ("name", value)
        for value in (
            *(
                "a\x00b",
                "\ud800",
                "a\udfffb",
                "a\u202eb",
                "a\u2066b",
                "a\x1bb",
                "a\x7fb",
                "a\x85b",
                "a\nb",
                "a\tb",
                "a\u2028b",
            ),
            *("", " ", "\u00a0\u2003", "\u200b\u200d", "x" * 121, "x" * 900_000, 5, True, [], {}),
        )
    ),
    *(("note", value) for value in ("a\x00b", "\x0c", "lone\rcarriage", "x" * 2001, " \n ")),
    # choices and ids
    *(("colour", value) for value in ("Red", "green", "", 1, True, ["red"], "red ", {"red": 1})),
    *(
        ("id", value)
        for value in (
            "x",
            1,
            "0190aaaa00007000800000000000000",
            "{0190aaaa-0000-7000-8000-000000000000}",
            "0" * 36,
        )
    ),
    # 1.11 identifiers
    *(
        ("urn", value)
        for value in (900123, "90012", "9001234", "0900123", "090012", "٩٠٠١٢٣", "90012a", "900123\n0")
    ),
    *(("la", value) for value in (351, "35", "3510", "abc", "３５１")),
    *(
        ("upn", value)
        for value in ("A801200005001", "B801200005002", "b801200005001", "B80120000500", "I801200005001")
    ),
    *(
        ("nhs", value)
        for value in ("9434765918", "943 476 5919", "943476591", 9434765919, "9434765910", "９434765919")
    ),
    # structure
    *(("inner", value) for value in ([], "x", {}, {"on": None}, {"on": "2024-02-30"})),
    *(("many", value) for value in ({}, [1], [{"on": 1}], "x")),
]


@pytest.mark.parametrize(("field", "sent"), WRONG, ids=lambda value: ascii(value)[:30])
async def test_what_is_wrong_is_422_and_not_repeated(
    client: httpx2.AsyncClient, field: str, sent: Any
) -> None:
    answer = await post_json(client, "/things", {field: sent})
    document = assert_problem(answer, 422, "validation")
    assert all(error["pointer"].startswith(f"/{field}") for error in document["errors"])
    if isinstance(sent, str) and len(sent) > 6:
        assert sent not in answer.text


async def test_a_forbidden_character_is_refused_wherever_it_stands(client: httpx2.AsyncClient) -> None:
    """One net under all types: also a field of type Any and a key hold no NUL."""
    for value in (
        {"anything": ["ok", {"deep": "a\x00"}]},
        {"anything": {"k\x00": 1}},
        {"anything": "\udc00"},
    ):
        document = assert_problem(await post_json(client, "/things", value), 422, "validation")
        assert document["errors"][0]["code"] == "forbidden-character"


CHECKED = ["B801200005001", "A801200005001", "Y320100004011", "H801200001001", "B80120000500Z"]


@pytest.mark.parametrize("number", CHECKED)
def test_the_upn_letter_agrees_with_stdnum(number: str) -> None:
    letters = "ABCDEFGHJKLMNPQRTUVWXYZ"
    for letter in letters:
        candidate = letter + number[1:]
        assert upn_is_valid(candidate) == (upn.calc_check_digit(candidate) == letter)


def test_the_nhs_number_agrees_with_stdnum() -> None:
    for start in range(943_476_000, 943_476_200):
        for last in range(10):
            number = f"{start}{last}"
            assert nhs_number_is_valid(number) == nhs.is_valid(number)
