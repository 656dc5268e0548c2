"""A TCP proxy that misbehaves on command: the broken network of the tests.

    async with Proxy(5432) as proxy:
        await proxy.blackhole()     # and the server behind proxy.port no longer answers
        await proxy.heal()

`UP` is the direction from client to server, `DOWN` the answer.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from dataclasses import dataclass
from typing import Self

UP, DOWN = "up", "down"
_BOTH = frozenset({UP, DOWN})


@dataclass(frozen=True)
class _Weather:
    """How the network behaves; the default is well."""

    dead: frozenset[str] = frozenset()
    resets: bool = False
    delay: float = 0
    jitter: float = 0
    rate: float = 0
    cut_after: int = -1
    cut_at: bytes = b""
    deliver: bool = True


def _reset(*writers: asyncio.StreamWriter) -> None:
    """Who is at the other end sees the connection reset; nothing still in flight arrives."""
    for writer in writers:
        if not writer.is_closing():
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()


class Proxy:
    """Listens on `port` of the loopback address and passes on to a server, as well or badly as it is told."""

    def __init__(self, target: int, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.target = target
        self.host = host
        self.port = port
        self.connections = 0
        self.cuts = 0
        self._weather = _Weather()
        self._stranded: frozenset[asyncio.StreamWriter] = frozenset()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._passed = 0

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- modes
    # --------------------------------------------------------------------------------------------------

    async def heal(self) -> None:
        """Pass everything on; what a dead direction held back goes on its way."""
        self._stranded = frozenset()
        self._turn(_Weather())
        await self._listen()

    async def refuse(self) -> None:
        """Nobody listens any more, and connections that stand are reset."""
        self._stranded = frozenset()
        self._close()

    async def reset(self) -> None:
        """Connections are accepted and reset at once, those that stand are reset now."""
        await self._become(_Weather(resets=True))
        _reset(*self._writers)

    async def blackhole(self) -> None:
        """Connections are accepted, and nothing is read or answered."""
        await self._become(_Weather(dead=_BOTH))

    async def half(self, dead: str = DOWN) -> None:
        """One direction is dead, the other passes."""
        await self._become(_Weather(dead=frozenset({dead})))

    async def strand(self) -> None:
        """The connections that stand are dead, and neither end is told; new ones pass (a router that forgot them)."""
        self._stranded = frozenset(self._writers)
        await self._become(_Weather())

    async def delay(self, seconds: float, jitter: float = 0, bytes_per_second: float = 0) -> None:
        """Every piece arrives that much later, give or take the jitter, and that slowly; order is kept."""
        await self._become(_Weather(delay=seconds, jitter=jitter, rate=bytes_per_second))

    async def throttle(self, bytes_per_second: float) -> None:
        """Both directions are that slow."""
        await self._become(_Weather(rate=bytes_per_second))

    async def cut_after(self, count: int) -> None:
        """Reset the connection on which the client's next `count` bytes have passed; once, then pass."""
        self._passed = 0
        await self._become(_Weather(cut_after=count))

    async def cut_at(self, marker: bytes, *, deliver: bool = True) -> None:
        """Reset the connection whose client sends this; once, then pass.

        With `deliver` the server gets it and the answer is lost, otherwise it never arrives.
        """
        await self._become(_Weather(cut_at=marker, deliver=deliver))

    # -- inside
    # -------------------------------------------------------------------------------------------------

    def _turn(self, weather: _Weather) -> None:
        self._weather = weather
        self._changed.set()
        self._changed = asyncio.Event()

    async def _become(self, weather: _Weather) -> None:
        self._turn(weather)
        await self._listen()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        _reset(*self._writers)

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        ends = {client}
        self._writers |= ends
        try:
            if self._weather.resets:
                return
            while self._weather.dead == _BOTH:
                await self._changed.wait()
            answers, server = await asyncio.open_connection(self.host, self.target)
            ends.add(server)
            self._writers |= ends
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(UP, reader, server, client))
                pumps.create_task(self._pump(DOWN, answers, client, server))
        except* (OSError, asyncio.CancelledError):
            pass  # one side has gone, and the other hears of it now; or the proxy closes
        finally:
            _reset(*ends)
            self._writers -= ends

    async def _pump(
        self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        while True:
            await self._alive(way, writer)
            piece = await reader.read(65_536)
            await self._alive(way, writer)
            weather = self._weather
            if not piece:
                writer.write_eof()
                return
            if way == UP and self._is_cut(piece, weather):
                await self._cut(piece, writer, back, weather)
                return
            if weather.delay:
                await asyncio.sleep(max(0, weather.delay + random.uniform(-weather.jitter, weather.jitter)))
            await self._send(piece, writer, weather)

    async def _alive(self, way: str, writer: asyncio.StreamWriter) -> None:
        """Wait until this direction is not dead."""
        while way in self._weather.dead or writer in self._stranded:
            await self._changed.wait()

    async def _send(self, piece: bytes, writer: asyncio.StreamWriter, weather: _Weather) -> None:
        step = max(1, int(weather.rate / 20)) if weather.rate else len(piece)
        for start in range(0, len(piece), step):
            writer.write(piece[start : start + step])
            await writer.drain()
            if weather.rate and self._weather is weather:
                await asyncio.sleep(step / weather.rate)

    def _is_cut(self, piece: bytes, weather: _Weather) -> bool:
        if weather.cut_after < 0:
            return bool(weather.cut_at) and weather.cut_at in piece
        self._passed += len(piece)
        return self._passed >= weather.cut_after

    async def _cut(
        self, piece: bytes, server: asyncio.StreamWriter, client: asyncio.StreamWriter, weather: _Weather
    ) -> None:
        """Break the client's side first, so that no answer can pass, then deliver what is to be delivered."""
        self._turn(_Weather())
        self.cuts += 1
        _reset(client)
        if weather.cut_at and not weather.deliver:
            raise ConnectionResetError
        server.write(piece if weather.cut_at else piece[: len(piece) - (self._passed - weather.cut_after)])
        await server.drain()
        server.write_eof()
