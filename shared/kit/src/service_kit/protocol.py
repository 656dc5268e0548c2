"""uvicorn's HTTP/1.1 protocol, with bounds while a request is still arriving.

uvicorn itself would keep headers of any size, answer what is not HTTP in plain text, and wait for ever for the rest of
a request. Used as ``uvicorn.run(app, http=BoundedProtocol)``.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service_kit.headers import MAX_HEADER_BYTES, MAX_HEADERS, MAX_TARGET_BYTES
from service_kit.logs import bind_traceparent
from service_kit.problems import MEDIA_TYPE, Refusal, problem_document


class HeadTooLarge(Exception):
    """The head of a request passed its bounds."""


class BoundedProtocol(HttpToolsProtocol):
    """Refuses an oversized head with 431 and anything that is not HTTP with 400, as problems, and closes. A request
    that arrives slower than `slowest` bytes in `patience` seconds is cut off (S82)."""

    patience, slowest = 20.0, 2000
    _arrived = 0  # bytes since the last look
    _is_arriving = True  # a new connection owes its first request
    _slug = "bad-parameter"
    _size = 0  # of the headers that are complete
    _unread = 0  # bytes received since the last request's end, while this head is incomplete
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._next_look = self.loop.call_later(self.patience, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._next_look.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Whoever is slow because we do not read is not to blame."""
        if self._is_arriving and self._arrived < self.slowest and not self.flow.read_paused:
            self.transport.close()
            return
        self._arrived = 0
        self._next_look = self.loop.call_later(self.patience, self._look)

    def data_received(self, data: bytes) -> None:
        self._is_arriving = True
        self._arrived += len(data)
        self._unread += len(data)
        super().data_received(data)
        # The parser holds back an unfinished line, so one endless header shows only here.
        if self._in_head and self._unread > 2 * MAX_HEADER_BYTES and not self.transport.is_closing():
            self._slug = "headers-too-large"
            self.send_400_response("")

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._unread, self._is_arriving = True, 0, False
        super().on_message_complete()

    def on_message_begin(self) -> None:
        self._slug, self._size = "bad-parameter", 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_TARGET_BYTES:
            self._refuse()

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._size += len(name) + len(value)
        if self._size > MAX_HEADER_BYTES or len(self.headers) > MAX_HEADERS:
            self._refuse()

    def _refuse(self) -> None:
        self._slug = "headers-too-large"
        raise HeadTooLarge

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for every fault of the parser; `msg` is not shown."""
        refusal = Refusal(self._slug)
        with bind_traceparent(None) as correlation:
            body = json.dumps(problem_document(refusal, "")).encode("ascii")
        head = (
            f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n"
            f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            f"x-correlation-id: {correlation}\r\nx-content-type-options: nosniff\r\n"
            "cache-control: no-store\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
