"""What a JSON body must be: bad-inputs 1.1-1.4 and 1.9, S81, S84."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import httpx2
import pytest
from shared.kit.tests.web.toy import ID, Seen, assert_problem, post_json

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"name": "a"',
        b'{"name": "a",}',
        b"[1,]",
        b"{'name': 'a'}",
        b'{"name": "a"} {"name": "b"}',
        b'\xef\xbb\xbf{"name": "a"}',
        '{"name": "a"}'.encode("utf-16"),
        '{"name": "a"}'.encode("utf-16-le"),
        '{"name": "a"}'.encode("utf-32"),
        b'{"name": "\xff\xfe"}',
        b'{"name": "\xc0\xaf"}',
        b'{"name": "\xed\xa0\x80"}',
        b'{"number": NaN}',
        b'{"share": Infinity}',
        b'{"share": -Infinity}',
        b'{"share": 1e400}',
        b'{"anything": {"deep": [NaN]}}',
        b'{"number": 0x10}',
        b'{"number": 01}',
        b'{"number": ' + b"9" * 5000 + b"}",
        b'{"name": "line\nbreak"}',
        b"// comment\n{}",
        b"a=b",
        b"<x/>",
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_1_1_what_is_not_json_is_400(client: httpx2.AsyncClient, seen: Seen, body: bytes) -> None:
    assert_problem(await client.post("/things", content=body, headers=JSON), 400, "malformed-json")
    assert seen.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "application/problem+json"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": ""},
    ],
    ids=str,
)
async def test_1_2_another_content_type_or_none_is_415(
    client: httpx2.AsyncClient, seen: Seen, headers: dict[str, str]
) -> None:
    answer = await client.post("/things", content=b"{}", headers=headers)
    assert_problem(answer, 415, "unsupported-media-type")
    assert seen.calls == []


async def test_1_2_two_content_types_are_415(client: httpx2.AsyncClient) -> None:
    headers = [("Content-Type", "application/json"), ("Content-Type", "text/plain")]
    answer = await client.post("/things", content=b"{}", headers=headers)
    assert_problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "media", ["application/json", "Application/JSON", 'application/json; charset="UTF-8"']
)
async def test_json_in_utf_8_is_taken(client: httpx2.AsyncClient, media: str) -> None:
    answer = await client.post("/things", content=b'{"name": "Ada"}', headers={"Content-Type": media})
    assert (answer.status_code, answer.json()) == (200, {"name": "Ada"})


@pytest.mark.parametrize(
    "body",
    [
        b'{"on": "2026-09-01", "on": "2026-10-01"}',
        b'{"name": "a", "name": "a"}',
        b'{"inner": {"on": "2026-09-01", "on": "2026-10-01"}}',
        b'{"many": [{"on": "2026-09-01"}, {"on": "2026-09-01", "\\u006fn": "2026-10-01"}]}',
        b'{"anything": [[{"": 1, "": 2}]]}',
    ],
)
async def test_1_3_a_key_sent_twice_is_400_wherever_it_stands(
    client: httpx2.AsyncClient, seen: Seen, body: bytes
) -> None:
    assert_problem(await client.post("/things", content=body, headers=JSON), 400, "duplicate-key")
    assert seen.calls == []


async def test_1_4_an_unknown_field_is_422_with_its_pointer(client: httpx2.AsyncClient) -> None:
    """S13 mass assignment."""
    answer = await client.post("/things", json={"la_code": "351", "inner": {"on": "2026-09-01", "extra": 1}})
    document = assert_problem(answer, 422, "validation")
    assert {(e["pointer"], e["code"]) for e in document["errors"]} == {
        ("/la_code", "unknown-field"),
        ("/inner/extra", "unknown-field"),
    }


async def test_an_unknown_field_that_looks_like_no_field_of_ours_is_not_named(
    client: httpx2.AsyncClient,
) -> None:
    answer = await post_json(client, "/things", {"Zqx Canary-Child": 1, "inner": {"Canary": 1}})
    assert "anary" not in answer.text
    assert_problem(answer, 422, "validation")


async def test_a_body_that_is_not_an_object_is_422(client: httpx2.AsyncClient) -> None:
    for body in (b"[]", b'"x"', b"1", b"true", b"null"):
        assert_problem(await client.post("/things", content=body, headers=JSON), 422, "validation")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b"[" * 200_000 + b"]" * 200_000,
        b'{"anything":' * 33 + b"1" + b"}" * 33,
        b'{"a":' * 80_000,
        b'"' + b'\\"' * 400_000,
        b'["' + b"[" * 900_000,
        b"[" * 20 + b'{"' + b'\\"[' * 300_000,
        b'{"anything": [' + b"[],".join([b""] * 300_000) + b"[" * 40,
    ],
    ids=lambda body: f"{body[:14]!r}-{len(body)}",
)
async def test_1_9_deep_or_hostile_nesting_is_400_at_once(client: httpx2.AsyncClient, body: bytes) -> None:
    started = time.process_time()
    assert_problem(await client.post("/things", content=body, headers=JSON), 400, "malformed-json")
    assert time.process_time() - started < 1


async def test_nesting_up_to_the_bound_is_read(client: httpx2.AsyncClient) -> None:
    body = b'{"anything":' + b"[" * 31 + b"]" * 31 + b"}"
    assert (await client.post("/things", content=body, headers=JSON)).status_code == 200


async def test_brackets_within_text_are_no_nesting(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/things", json={"note": "[{" * 500 + '"\\'})
    assert answer.status_code == 200


async def test_1_9_a_hundred_thousand_keys_are_refused_at_once(client: httpx2.AsyncClient) -> None:
    body = json.dumps({f"k{n}": 1 for n in range(60_000)}).encode()
    started = time.process_time()
    assert_problem(await client.post("/things", content=body, headers=JSON), 400, "malformed-json")
    assert time.process_time() - started < 1


async def test_1_9_keys_are_counted_over_all_objects(client: httpx2.AsyncClient) -> None:
    body = json.dumps({"anything": [{"k": 1}] * 20_000}).encode()
    assert_problem(await client.post("/things", content=body, headers=JSON), 400, "malformed-json")


async def test_colons_within_text_are_no_keys(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/things", json={"anything": [":" * 30_000]})
    assert answer.status_code == 200


async def test_1_9_more_than_a_megabyte_is_413(client: httpx2.AsyncClient, seen: Seen) -> None:
    """S81."""
    answer = await client.post("/things", content=b" " * (1024 * 1024 + 1), headers=JSON)
    assert_problem(answer, 413, "too-large")
    assert answer.headers["connection"] == "close"
    assert seen.calls == []


async def test_s81_a_body_of_unannounced_length_is_cut_at_the_limit(client: httpx2.AsyncClient) -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 65_536
            yield b" " * 65_536

    # What follows the limit is read for a moment and forgotten, so that the sender sees the answer.
    answer = await client.post("/things", content=endless(), headers=JSON)
    assert_problem(answer, 413, "too-large")
    assert given < 11 * 1024 * 1024


async def test_a_route_may_have_a_smaller_limit(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/small", content=b"{}" + b" " * 98, headers=JSON)).status_code == 200
    assert_problem(await client.post("/small", content=b"{}" + b" " * 99, headers=JSON), 413, "too-large")


async def test_a_body_may_be_optional(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/maybe")).json() == {"given": False}
    assert (await client.post("/maybe", json={"name": "Ada"})).json() == {"given": True}
    assert_problem(await client.post("/maybe", content=b"{}"), 415, "unsupported-media-type")
    assert_problem(await client.post("/maybe", content=b"{", headers=JSON), 400, "malformed-json")


async def test_a_truncated_fault_list_says_so(client: httpx2.AsyncClient) -> None:
    document = assert_problem(
        await client.post("/things", json={"many": [{"on": n} for n in range(60)]}), 422, "validation"
    )
    assert len(document["errors"]) == 50
    assert document["truncated"] is True


async def test_1_15_a_malformed_id_in_the_path_is_a_missing_thing(client: httpx2.AsyncClient) -> None:
    """S11: what is malformed, foreign or missing answers the same bytes."""
    same = {"X-Correlation-ID": "4bf92f3577b34da6a3ce929d0e0e4736"}
    paths = [ID[:-1] + "1", "nothing", "%2e%2e", "1' OR '1'='1", "%00", "\u202e", "0" * 500, ID + "%0a"]
    answers = [await client.get(f"/things/{path}", headers=same) for path in paths]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


async def test_ndjson_lines_are_judged_one_by_one(client: httpx2.AsyncClient) -> None:
    body = b'{"a":1}\n\n{"a":\r\n{"a":1,"a":2}\n[NaN]\n"\\u0000"\n{"b":2}'
    answer = await client.post("/lines", content=body, headers={"Content-Type": "application/x-ndjson"})
    assert answer.json() == [
        [1, {"a": 1}],
        [3, "malformed-json"],
        [4, "duplicate-key"],
        [5, "malformed-json"],
        [6, "validation"],
        [7, {"b": 2}],
    ]


async def test_an_overlong_ndjson_line_harms_no_other(client: httpx2.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"a":1}\n"'
        for _ in range(20):
            yield b"x" * 5_000
        yield b'"\n{"a":'
        yield b"2}\n"

    answer = await client.post("/lines", content=chunks(), headers={"Content-Type": "application/x-ndjson"})
    assert answer.json() == [[1, {"a": 1}], [2, "too-large"], [3, {"a": 2}]]


async def test_an_ndjson_body_past_its_limit_ends_with_a_line_that_says_so(
    client: httpx2.AsyncClient,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"1\n" * 5_000

    answer = await client.post("/lines", content=chunks(), headers={"Content-Type": "application/x-ndjson"})
    last = answer.json()[-1]
    assert last == [100_001, "too-large"]
    announced = await client.post(
        "/lines", content=b"1\n" * 100_001, headers={"Content-Type": "application/x-ndjson"}
    )
    assert_problem(announced, 413, "too-large")


async def test_a_bulk_route_takes_only_its_media_type(client: httpx2.AsyncClient) -> None:
    assert_problem(await client.post("/lines", json={}), 415, "unsupported-media-type")
