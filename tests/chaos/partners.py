"""The partners: receivers on loopback that write down every request before they answer it, and answer badly at times."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import socket
import struct
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from .journal import Journal

RESET, HANG = "reset", "hang"
REFUSALS: Sequence[int | str] = (500, 500, 503, RESET)
LONGER_THAN_A_SENDER_WAITS = 35.0


@dataclass(frozen=True)
class Partner:
    """Somebody who is told, or must not be: kind and reference as the hub knows them."""

    kind: str
    ref: str

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.ref}"


class Receivers:
    """One server for all partners; each has its own path. `trouble` is the share of notices first answered badly.

    A notice is refused once at most: a second failure would be tried again only after five minutes.
    """

    def __init__(self, journal: Journal, seed: int, *, trouble: float = 0.05, hang: float = 0.0) -> None:
        self.journal, self.trouble, self.hang = journal, trouble, hang
        self.received = 0
        self._dice = random.Random(seed)
        self._refused: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Receivers:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, partner: Partner) -> str:
        """The webhook address of a partner."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/{partner.name}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.IncompleteReadError):
            while await self._exchange(reader, writer):
                pass
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if b'"ehcp.challenge"' in body:  # no notice: the hub asks whether this address is ours
            echo = json.loads(body)["challenge"]
            writer.write(f"HTTP/1.1 200 -\r\ncontent-length: {len(echo)}\r\n\r\n{echo}".encode())
            await writer.drain()
            return True
        verdict = self._verdict(headers.get("webhook-id", ""))
        self.journal.write(
            partner=head[0].split()[1].strip("/"),
            headers=headers,
            body=body.decode(errors="replace"),
            sha256=hashlib.sha256(body).hexdigest(),
            verdict=verdict,
        )
        self.received += 1
        if verdict == HANG:
            await asyncio.sleep(LONGER_THAN_A_SENDER_WAITS)
            return False
        if verdict == RESET:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return False
        writer.write(f"HTTP/1.1 {verdict} -\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        return True

    def _verdict(self, notice: str) -> int | str:
        if self._refused[notice] or self._dice.random() >= self.trouble + self.hang:
            return 204
        self._refused[notice] += 1
        if self._dice.random() < self.hang / (self.trouble + self.hang):
            return HANG
        return self._dice.choice(REFUSALS)
