"""What only a real server shows: broken HTTP, endless heads, large bodies (bad-inputs 1.17, S81)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator

import pytest
import uvicorn
from fastapi import FastAPI
from shared.kit.tests.web.toy import ID

from service_kit.protocol import BoundedProtocol

POST = b"POST /things HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n"


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@pytest.fixture
async def port(app: FastAPI) -> AsyncIterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=BoundedProtocol, access_log=False, server_header=False, log_config=None)
    server = _Server(config)
    task = asyncio.create_task(server.serve([listening]))
    await server.up.wait()
    yield int(listening.getsockname()[1])
    server.should_exit = True
    await task


async def talk(port: int, first: bytes, more: bytes = b"", times: int = 0) -> bytes:
    """Send raw bytes, then `more` until the server stops taking it; everything it answered before closing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(first)
        for _ in range(times):
            writer.write(more)
            await writer.drain()
    except ConnectionError:
        pass
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def problem(raw: bytes) -> tuple[int, str]:
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["type"].rsplit("/", 1)[-1]


@pytest.mark.parametrize(
    "sent",
    [
        b"rubbish\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /things HTTP/9.9\r\n\r\n",
        b"FROB /things HTTP/1.1\r\nhost: h\r\n\r\n",
        b"GET /things HTTP/1.1\r\nhost: h\r\nbad header\r\n\r\n",
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\n{}",
        POST + b"content-length: -5\r\n\r\n{}",
    ],
    ids=lambda sent: repr(sent[-30:]),
)
async def test_1_17_what_is_not_proper_http_is_a_400_problem_and_closed(port: int, sent: bytes) -> None:
    assert problem(await talk(port, sent)) == (400, "bad-parameter")


async def test_1_17_an_oversized_head_is_431(port: int) -> None:
    start = b"GET /things HTTP/1.1\r\nhost: h\r\n"
    many = b"".join(b"x-%d: a\r\n" % n for n in range(500))
    assert problem(await talk(port, start + b"x: " + b"a" * 65_536 + b"\r\n\r\n")) == (
        431,
        "headers-too-large",
    )
    assert problem(await talk(port, start + many + b"\r\n")) == (431, "headers-too-large")
    assert problem(await talk(port, b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n")) == (
        431,
        "headers-too-large",
    )


async def test_one_header_without_an_end_is_cut_off(port: int) -> None:
    started = time.monotonic()
    await talk(port, b"GET /things HTTP/1.1\r\nhost: h\r\nx: ", b"a" * 65_536, 400)
    assert time.monotonic() - started < 4
    assert (await talk(port, f"GET /things/{ID} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".encode()))[
        9:12
    ] == b"200"


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (b"content-length: 3000000\r\n\r\n", b" " * 65_536),
        (b"transfer-encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65_536 + b"\r\n"),
    ],
    ids=["announced", "chunked"],
)
async def test_s81_a_large_body_is_413_within_a_second(port: int, head: bytes, more: bytes) -> None:
    started = time.monotonic()
    assert problem(await talk(port, POST + head, more, 45)) == (413, "too-large")
    assert time.monotonic() - started < 1


async def test_a_client_that_goes_away_harms_nothing(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(POST + b"content-length: 50\r\n\r\n{")
    await writer.drain()
    writer.close()
    head = await talk(port, f"HEAD /things/{ID} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".encode())
    assert head.startswith(b"HTTP/1.1 200")
    assert head.endswith(b"\r\n\r\n")


async def test_keep_alive_and_pipelined_requests_are_each_answered(port: int) -> None:
    one = f"GET /things/{ID} HTTP/1.1\r\nhost: h\r\n\r\n".encode()
    last = f"GET /things/{ID} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".encode()
    answers = await talk(port, POST + b"content-length: 2\r\n\r\n{}" + one + last)
    assert answers.count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /things HTTP/1.1\r\nhost: h\r\n", POST + b'content-length: 200\r\n\r\n{"a":'],
    ids=["nothing", "half a head", "half a body"],
)
async def test_s82_a_request_that_does_not_arrive_is_cut_off(
    port: int, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "patience", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()


async def test_s82_a_dripping_body_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "patience", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(POST + b"content-length: 100000\r\n\r\n")
    cut_off = asyncio.create_task(reader.read())
    drips = 0
    while not cut_off.done() and drips < 3_000:
        with contextlib.suppress(ConnectionError):
            writer.write(b" ")
        drips += 1
        await asyncio.wait({cut_off}, timeout=0.01)
    assert cut_off.done()
    with contextlib.suppress(ConnectionResetError):  # if a drip was still on its way when the server closed
        assert await cut_off == b""
    writer.close()


async def test_s82_a_client_between_requests_is_not_cut_off(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "patience", 0.2)
    monkeypatch.setattr(BoundedProtocol, "slowest", 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /things/{ID} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
    idle = asyncio.create_task(reader.read())
    await asyncio.wait({idle}, timeout=1.0)  # five looks; uvicorn's own patience between requests is 5 s
    assert not idle.done()
    idle.cancel()
    writer.close()
