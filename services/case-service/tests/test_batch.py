"""NDJSON batches: streamed, in order, one bad line harms no other (bad-inputs 3.7; I12; F44)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlmodel import func, select

from case_service import pushes, sources, streams
from case_service.tables import CaseRow, ChangeRow
from service_kit.database import Crossed

HEADERS = {"Content-Type": "application/x-ndjson"}
URL = "/v1/sources/liquid-logic/batches"


async def test_every_line_is_answered_in_order_and_three_bad_ones_harm_no_other(
    hub: Any, snapshot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "CHUNK", 50)
    lines: list[Any] = [snapshot(f"B-{n}") for n in range(200)]
    lines[10] = b'{"ref": "B-10", '
    lines[77] = json.dumps(snapshot("B-77")).replace('"version": 1', '"version": 1, "version": 2').encode()
    lines[150] = snapshot("B-150", placement={"urn": "999998"})
    out = await hub.batch(lines)
    assert [line["line"] for line in out] == list(range(1, 201))
    assert Counter(line["status"] for line in out) == {"created": 197, "rejected": 3}
    assert out[10]["problem"]["type"].endswith("/problems/malformed-json")
    assert out[77]["problem"]["type"].endswith("/problems/duplicate-key")
    assert out[150]["problem"]["errors"][0]["code"] == "urn-not-in-register"
    assert (out[10]["ref"], out[150]["ref"]) == (None, "B-150")
    assert len(await hub.events()) == 197


async def test_a_line_that_is_too_long_is_refused_and_the_next_one_is_read(hub: Any, snapshot: Any) -> None:
    long = json.dumps(snapshot("B-1", officer="x" * 70_000)).encode()
    out = await hub.batch([long, b"", snapshot("B-2")])
    assert [(line["line"], line["status"]) for line in out] == [(1, "rejected"), (3, "created")]
    assert out[0]["problem"]["status"] == 413


async def test_a_conflict_in_a_batch_is_quarantined_with_its_reference(hub: Any, snapshot: Any) -> None:
    await hub.push(snapshot("B-1", version=3))
    out = await hub.batch([snapshot("B-1", version=2, officer="officer-8"), snapshot("B-2")])
    assert [line["status"] for line in out] == ["rejected", "created"]
    assert out[0]["problem"]["status"] == 409
    (kept,) = (await hub.officer.get("/v1/sources/liquid-logic/quarantine")).json()["items"]
    assert (kept["ref"], kept["code"]) == ("B-1", "stale-snapshot")


async def test_a_reference_twice_in_one_batch_is_taken_in_order(
    hub: Any, snapshot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two chunks, not by a failed one: falling back to single lines is made impossible here."""
    monkeypatch.setattr(streams, "_alone", None)
    out = await hub.batch(
        [snapshot(), snapshot(version=2, officer="officer-4"), snapshot(), snapshot(version=2)]
    )
    assert [line["status"] for line in out] == ["created", "updated", "rejected", "rejected"]
    assert [name for name, _ in await hub.events()] == ["plan-registered", "case-facts-changed"]


async def test_the_same_batch_again_is_unchanged_throughout(hub: Any, snapshot: Any) -> None:
    """F45: repeated pushes are idempotent."""
    lines = [snapshot(f"B-{n}") for n in range(30)]
    await hub.batch(lines)
    assert {line["status"] for line in await hub.batch(lines)} == {"unchanged"}
    assert len(await hub.events()) == 30


async def test_a_chunk_that_fails_is_taken_line_by_line(
    hub: Any, snapshot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error nobody foresaw in one line costs that line only."""
    real = pushes._decide

    def failing(ctx: Any, taken: Any, case: Any, known: Any) -> Any:
        if taken.ref == "B-3":
            raise ZeroDivisionError
        return real(ctx, taken, case, known)

    monkeypatch.setattr(pushes, "_decide", failing)
    out = await hub.batch([snapshot(f"B-{n}") for n in range(6)])
    assert [line["status"] for line in out] == ["created"] * 3 + ["rejected"] + ["created"] * 2
    assert out[3]["problem"]["type"].endswith("/problems/internal")
    assert len(await hub.events()) == 5


async def test_a_chunk_that_the_database_ends_for_another_s_sake_is_taken_again(
    hub: Any, snapshot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two batches at once can come to wait for each other; no line of the one that is ended is told to come again."""
    ended = [Crossed()]
    real = pushes._decide

    def crossed_once(ctx: Any, taken: Any, case: Any, known: Any) -> Any:
        if taken.ref == "B-3" and ended:
            raise ended.pop()
        return real(ctx, taken, case, known)

    monkeypatch.setattr(pushes, "_decide", crossed_once)
    out = await hub.batch([snapshot(f"B-{n}") for n in range(6)])
    assert not ended
    assert [line["status"] for line in out] == ["created"] * 6
    assert len(await hub.events()) == 6


async def test_results_flow_back_while_the_batch_is_still_being_sent(hub: Any, snapshot: Any) -> None:
    """The second half of the body is read only after the first results went out: memory stays bounded."""
    received: list[str] = []
    lines = [json.dumps(snapshot(f"B-{n}")).encode() + b"\n" for n in range(3 * streams.CHUNK)]
    parts = [b"".join(lines[: streams.CHUNK + 1]), b"".join(lines[streams.CHUNK + 1 :])]

    async def body() -> AsyncIterator[dict[str, Any]]:
        yield {"type": "http.request", "body": parts[0], "more_body": True}
        received.append("second half asked for")
        yield {"type": "http.request", "body": parts[1], "more_body": False}

    sender = body()

    async def receive() -> dict[str, Any]:
        return await anext(sender)

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body" and message["body"]:
            received.extend(["result"] * message["body"].count(b"\n"))

    await hub.app.asgi(scope_of(hub), receive, send)
    first = received.index("second half asked for")
    assert received[:first].count("result") == streams.CHUNK
    assert received.count("result") == 3 * streams.CHUNK


def scope_of(hub: Any) -> dict[str, Any]:
    """The ASGI scope of a batch as an HTTP server makes it."""
    request = hub.adapter.build_request("POST", URL, headers=HEADERS)
    authorised = next(hub.adapter.auth.auth_flow(request))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": URL,
        "raw_path": URL.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (k.lower(), v) for k, v in authorised.headers.raw if k.lower() not in (b"content-length", b"host")
        ]
        + [(b"host", b"hub.test"), (b"transfer-encoding", b"chunked")],
        "client": ("127.0.0.1", 1),
        "server": ("hub.test", 80),
        "state": {},
    }


async def test_a_batch_of_the_whole_caseload_leaves_no_gap_anywhere(hub: Any, snapshot: Any) -> None:
    """2,850 cases: created = rows = first versions = events (I2, I12)."""
    out = await hub.batch(snapshot(f"B-{n}") for n in range(2850))
    assert Counter(line["status"] for line in out) == {"created": 2850}
    async with hub.app.hub.db.read() as session:
        assert (await session.exec(select(func.count()).select_from(CaseRow))).one() == 2850
        versions = (await session.exec(select(func.count(), func.max(ChangeRow.version)))).one()
        assert tuple(versions) == (2850, 1)
    assert len({e.subject for e in await hub.app.sent()}) == 2850


async def test_other_content_types_are_refused_before_a_line_is_read(hub: Any, snapshot: Any) -> None:
    response = await hub.adapter.post(URL, json=snapshot())
    assert response.status_code == 415


async def test_a_system_cannot_send_a_batch_under_anothers_name(hub: Any) -> None:
    stranger = hub.app.as_("adapter", org="other-system")
    assert (await stranger.post(URL, content=b"", headers=HEADERS)).status_code == 404


# -- lines that say nothing new are recognised without being read ---------------------------------------------------


async def test_a_line_taken_before_is_not_read_again(
    hub: Any, snapshot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nightly push of what did not change: no line is parsed or validated."""
    lines = [snapshot(f"B-{n}") for n in range(5)]
    created = await hub.batch(lines)
    monkeypatch.setattr(pushes, "read_line", None)
    unchanged = await hub.batch(lines)
    assert unchanged == [{**line, "status": "unchanged"} for line in created]


async def test_only_the_last_line_taken_of_a_case_is_recognised(hub: Any, snapshot: Any) -> None:
    """bad-inputs 3.2: what was true once and is no longer is refused, in a batch of its own as within one."""
    first, second = snapshot(), snapshot(version=2, officer="officer-4")
    await hub.batch([first, second])
    assert [line["status"] for line in await hub.batch([first])] == ["rejected"]
    out = await hub.batch([second, snapshot(version=3, officer="officer-5"), second])
    assert [line["status"] for line in out] == ["unchanged", "updated", "rejected"]
    assert out[2]["problem"]["errors"][0]["code"] == "stale-snapshot"


async def test_a_push_of_its_own_is_not_undone_by_the_last_line_of_a_batch(hub: Any, snapshot: Any) -> None:
    await hub.batch([snapshot()])
    assert (await hub.push(snapshot())).json()["status"] == "unchanged"
    assert [line["status"] for line in await hub.batch([snapshot()])] == ["unchanged"]
    await hub.push(snapshot(version=2))
    (line,) = await hub.batch([snapshot()])
    assert line["problem"]["errors"][0]["code"] == "stale-snapshot"


async def test_a_line_is_recognised_for_the_council_that_pushed_it_only(hub: Any, snapshot: Any) -> None:
    await hub.batch([snapshot()])
    rochdale = hub.app.as_("adapter", org="liquid-logic", las=("354",))
    answer = await rochdale.post(URL, content=json.dumps(snapshot()).encode(), headers=HEADERS)
    assert json.loads(answer.text)["problem"]["status"] == 403


async def test_a_line_taken_before_settles_what_came_too_late(hub: Any, snapshot: Any) -> None:
    """A record of which something waits in quarantine is looked at properly."""
    await hub.batch([snapshot(version=5)])
    await hub.batch([snapshot(version=4)])
    assert [line["status"] for line in await hub.batch([snapshot(version=5)])] == ["unchanged"]
    assert (await hub.officer.get("/v1/sources/liquid-logic/quarantine")).json()["items"] == []


async def test_under_another_mapping_every_line_is_read_anew(
    hub: Any, snapshot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hub.batch([snapshot()])
    monkeypatch.setattr(sources, "_MAPPING", hashlib.sha256(b"of the next release"))
    read: list[int] = []
    real = pushes.read_line
    monkeypatch.setattr(pushes, "read_line", lambda *line: read.append(1) or real(*line))
    for _ in range(2):
        assert [line["status"] for line in await hub.batch([snapshot()])] == ["unchanged"]
    assert len(read) == 1
