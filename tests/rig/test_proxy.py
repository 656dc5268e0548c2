"""The proxy is only of use if each kind of weather is what it says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from tests.rig.proxy import DOWN, UP, Proxy

PATIENCE = 5.0
"""Seconds after which something that should have happened has not."""
SILENCE = 0.15
"""Seconds without an answer that show there is none; a healthy echo takes less than one thousandth."""


@dataclass
class Echo:
    """A server that says everything back, and remembers it."""

    port: int = 0
    heard: bytearray = field(default_factory=bytearray)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65_536):
                self.heard += piece
                self.news.set()
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def wait_for(self, content: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            while content not in self.heard:
                self.news.clear()
                await self.news.wait()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    server = Echo()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server
        listening.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    async with Proxy(echo.port) as between:
        yield between


class Client:
    """A client of the echo server, through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def of(cls, proxy: Proxy) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", proxy.port))

    async def say(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def echo(self, content: bytes) -> bytes:
        await self.say(content)
        return await asyncio.wait_for(self.reader.readexactly(len(content)), PATIENCE)

    async def hears_nothing(self) -> bool:
        try:
            await asyncio.wait_for(self.reader.read(1), SILENCE)
        except TimeoutError:
            return True
        return False

    async def is_reset(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(1), PATIENCE) == b"never"
        except ConnectionResetError:
            return True


async def test_in_good_weather_everything_passes(proxy: Proxy) -> None:
    client = await Client.of(proxy)
    content = bytes(range(256)) * 4000
    assert await client.echo(content) == content


async def test_the_end_of_a_client_reaches_the_server_and_back(proxy: Proxy) -> None:
    client = await Client.of(proxy)
    await client.echo(b"last")
    client.writer.write_eof()
    assert await asyncio.wait_for(client.reader.read(), PATIENCE) == b""


async def test_refuse_resets_what_stands_and_lets_nobody_in_until_healed(proxy: Proxy) -> None:
    client = await Client.of(proxy)
    await client.echo(b"before")
    await proxy.refuse()
    assert await client.is_reset()
    with pytest.raises(ConnectionRefusedError):
        await Client.of(proxy)
    await proxy.heal()
    assert await (await Client.of(proxy)).echo(b"after") == b"after"


async def test_reset_accepts_and_resets(proxy: Proxy) -> None:
    client = await Client.of(proxy)
    await client.echo(b"before")
    await proxy.reset()
    assert await client.is_reset()
    assert await (await Client.of(proxy)).is_reset()


async def test_blackhole_takes_connections_and_never_answers(proxy: Proxy, echo: Echo) -> None:
    client = await Client.of(proxy)
    await client.echo(b"before")
    await proxy.blackhole()
    await client.say(b"lost?")
    late = await Client.of(proxy)
    assert await client.hears_nothing()
    assert await late.hears_nothing()
    assert b"lost?" not in echo.heard
    await proxy.heal()
    assert await asyncio.wait_for(client.reader.readexactly(5), PATIENCE) == b"lost?"
    assert await late.echo(b"late") == b"late"


async def test_half_down_delivers_and_loses_the_answer(proxy: Proxy, echo: Echo) -> None:
    client = await Client.of(proxy)
    await client.echo(b"before")
    await proxy.half(DOWN)
    await client.say(b"question")
    await echo.wait_for(b"question")
    assert await client.hears_nothing()


async def test_half_up_lets_nothing_reach_the_server(proxy: Proxy, echo: Echo) -> None:
    client = await Client.of(proxy)
    await client.echo(b"before")
    await proxy.half(UP)
    await client.say(b"question")
    assert await client.hears_nothing()
    assert b"question" not in echo.heard


async def test_strand_kills_what_stands_unnoticed_and_lets_new_connections_pass(
    proxy: Proxy, echo: Echo
) -> None:
    old = await Client.of(proxy)
    await old.echo(b"before")
    await proxy.strand()
    await old.say(b"lost?")
    assert await (await Client.of(proxy)).echo(b"new") == b"new"
    assert await old.hears_nothing()
    assert b"lost?" not in echo.heard
    await proxy.heal()
    assert await asyncio.wait_for(old.reader.readexactly(5), PATIENCE) == b"lost?"


async def test_delay_delays_both_ways_and_keeps_order(proxy: Proxy) -> None:
    client = await Client.of(proxy)
    await proxy.delay(0.05, jitter=0.01)
    started = time.monotonic()
    assert await client.echo(b"slow") == b"slow"
    assert time.monotonic() - started >= 0.08
    answers = b"".join([await client.echo(bytes([n])) for n in range(5)])
    assert answers == bytes(range(5))


async def test_a_delay_may_be_slow_as_well(proxy: Proxy) -> None:
    client = await Client.of(proxy)
    await proxy.delay(0.05, bytes_per_second=20_000)
    started = time.monotonic()
    assert len(await client.echo(b"x" * 4_000)) == 4_000
    assert time.monotonic() - started >= 0.05 + 0.15


async def test_throttle_takes_the_time_the_rate_says(proxy: Proxy) -> None:
    client = await Client.of(proxy)
    await proxy.throttle(20_000)
    started = time.monotonic()
    assert len(await client.echo(b"x" * 4_000)) == 4_000
    assert time.monotonic() - started >= 0.15


async def test_cut_after_counts_what_the_client_sends_and_then_passes_again(proxy: Proxy, echo: Echo) -> None:
    client = await Client.of(proxy)
    await proxy.cut_after(10)
    assert await client.echo(b"1234") == b"1234"
    await client.say(b"567890abc")
    assert await client.is_reset()
    await echo.wait_for(b"1234567890")
    assert b"abc" not in echo.heard
    assert await (await Client.of(proxy)).echo(b"again") == b"again"


@pytest.mark.parametrize("deliver", [True, False])
async def test_cut_at_loses_the_answer_or_the_question(proxy: Proxy, echo: Echo, deliver: bool) -> None:
    client = await Client.of(proxy)
    assert await client.echo(b"BEGIN") == b"BEGIN"
    await proxy.cut_at(b"COMMIT", deliver=deliver)
    assert await client.echo(b"INSERT") == b"INSERT"
    await client.say(b"COMMIT")
    assert await client.is_reset()
    assert proxy.cuts == 1
    other = await Client.of(proxy)
    assert await other.echo(b"next") == b"next"
    if deliver:
        await echo.wait_for(b"COMMIT")
    else:
        assert b"COMMIT" not in echo.heard
