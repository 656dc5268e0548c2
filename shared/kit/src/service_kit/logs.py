"""Logs and the one correlation id that goes from a request to the webhook it causes.

JSON lines with allow-listed fields: a name, a body or an exception's message cannot slip in, because a
field that is not on the list is dropped (and counted), and an exception is logged as its class and places
only. The correlation id is the trace id of a W3C traceparent; it lives in a context variable.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import time
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import date
from enum import Enum
from types import TracebackType
from typing import Any, TextIO
from uuid import UUID

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# -- correlation -------------------------------------------------------------------------------------------

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_NO_TRACE = "0" * 32
_trace: ContextVar[str | None] = ContextVar("ehcp_trace", default=None)


def _trace_of(header: str | None) -> str | None:
    """The trace id of a traceparent (W3C Trace Context level 1), or None if it is not one."""
    match = _TRACEPARENT.fullmatch(header or "")
    if not match or match[1] == "ff" or match[2] == _NO_TRACE or match[3] == "0" * 16:
        return None
    return match[2]


def correlation_id() -> str:
    """The id of what is going on here, 32 hex digits; made if nothing was bound."""
    current = _trace.get()
    if current is None:
        current = secrets.token_hex(16)
        _trace.set(current)
    return current


def traceparent() -> str:
    """A traceparent for the next hop: the same trace, a new span."""
    return f"00-{correlation_id()}-{secrets.token_hex(8)}-01"


@contextmanager
def bind_traceparent(header: str | None) -> Iterator[str]:
    """Carry on the trace of `header` in this block (a new one if it is missing or malformed); gives the
    id."""
    token = _trace.set(_trace_of(header) or secrets.token_hex(16))
    try:
        yield correlation_id()
    finally:
        _trace.reset(token)


def _asked_for(headers: Headers) -> str:
    """The trace a request belongs to: its traceparent, its X-Correlation-ID (32 hex digits), or a new one."""
    asked = headers.get("x-correlation-id", "").lower()
    usable = _TRACE_ID.fullmatch(asked) and asked != _NO_TRACE
    return _trace_of(headers.get("traceparent")) or (asked if usable else secrets.token_hex(16))


# -- what may be logged ------------------------------------------------------------------------------------

FIELDS = frozenset(
    {"timestamp", "level", "logger", "event", "service", "correlation", "error", "places", "dropped"}
    # a request
    | {"method", "route", "status", "ms", "bytes", "role", "action", "slug", "code"}
    # an event, a delivery, a job; all ids are opaque
    | {
        "event_id",
        "event_type",
        "topic",
        "source",
        "subject",
        "case",
        "sequence",
        "lacode",
        "group",
        "position",
    }
    | {"partner", "delivery", "subscription", "channel", "attempt", "attempts", "outcome", "reason", "kid"}
    | {
        "job",
        "count",
        "lag",
        "age",
        "delay",
        "seconds",
        "day",
        "since",
        "until",
        "version",
        "revision",
        "state",
    }
    | {"type", "failures", "signal", "port", "host", "setting", "table", "failpoint", "pid"}
)
_MAX_VALUE = 300
# Nothing below space, no DEL, C1, line or paragraph separator, no surrogate or bidirectional override.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# Foreign loggers whose messages hold no data; of others only the unfilled template is kept.
_TRUSTED = ("uvicorn", "alembic", "service_kit", "ehcp")


def escape(text: str) -> str:
    """One printable line: controls, line breaks and direction overrides become escapes; long text is cut."""
    cut = text if len(text) <= _MAX_VALUE else text[:_MAX_VALUE] + "…"
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", cut)


def _plain(value: object) -> str | int | float | bool | None:
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | UUID | date):
        return escape(str(value))
    return f"<{type(value).__name__}>"


def places(trace: TracebackType | None) -> str:
    """The innermost eight places of a traceback as file:line, without code and without values."""
    frames = traceback.extract_tb(trace)[-8:]
    return " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in reversed(frames))


def _exception(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace `exc_info` by class and places: messages of exceptions hold values (SQL parameters, input)."""
    info = entry.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        entry["error"] = type(error).__name__
        entry["places"] = places(error.__traceback__)
    return entry


def _correlate(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if (current := _trace.get()) is not None:
        entry.setdefault("correlation", current)
    return entry


def _foreign(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A line of another library: filled in if that library is known to be discreet, else the template
    alone."""
    record: logging.LogRecord = entry["_record"]
    trusted = record.name.split(".")[0] in _TRUSTED
    if not trusted:  # asyncio, for one, writes values into the lines that follow the first
        entry["event"] = str(record.msg).partition("\n")[0]
    entry["logger"] = record.name
    return entry


def _allow(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    kept = {key: _plain(value) for key, value in entry.items() if key in FIELDS}
    dropped = sum(key not in FIELDS and not key.startswith("_") for key in entry)
    return kept | ({"dropped": dropped} if dropped else {})


def configure(
    service: str, *, console: bool = False, level: str = "INFO", stream: TextIO | None = None
) -> None:
    """Send every line of this process, ours and other libraries', through the allow-list to `stream`
    (stdout).

    `console` chooses the form for people; the default is one JSON object per line.
    """
    target = stream or sys.stdout
    first: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _correlate,
        lambda _, __, entry: {"service": service} | dict(entry),
    ]
    last: list[structlog.typing.Processor] = [
        _exception,
        _allow,
        structlog.dev.ConsoleRenderer() if console else _one_line,
    ]
    # Our own lines are written at once; those of other libraries come through their logging.
    structlog.configure(
        processors=[*first, *last],
        logger_factory=lambda *_: _Lines(target),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=first,
            processors=[_foreign, structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name, quiet in (("uvicorn.access", logging.CRITICAL), ("httpx2", logging.WARNING), ("aiosqlite", 30)):
        logging.getLogger(name).setLevel(quiet)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True


class _Lines:
    """Writes lines to a stream. One that cannot be written (a full disk, a closed stream) must not fail what it tells
    of."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def info(self, line: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(f"{line}\n")
            self._stream.flush()

    debug = warning = error = critical = exception = info


def _one_line(_: object, __: str, entry: MutableMapping[str, Any]) -> str:
    return json.dumps(entry)


def logger() -> structlog.typing.FilteringBoundLogger:
    """The log of this process: `logger().info("relay-standby", service=…)`. Event names are constants,
    never data."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return log


# -- one line per request ----------------------------------------------------------------------------------

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


class RequestLog:
    """ASGI: binds the correlation id, answers it as X-Correlation-ID and logs one line per request. The
    line names the route's template, never the path or the query, which are input."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})
        token = _trace.set(_asked_for(Headers(scope=scope)))
        started, seen = time.monotonic(), {"status": 0, "bytes": 0}

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                MutableHeaders(scope=message)["X-Correlation-ID"] = correlation_id()
            elif message["type"] == "http.response.body":
                seen["bytes"] += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            _line(scope, seen, time.monotonic() - started)
            _trace.reset(token)


def _line(scope: Scope, seen: dict[str, int], seconds: float) -> None:
    state = scope.get("state") or {}
    caller = state.get("caller")
    logger().info(
        "request",
        method=scope["method"] if scope["method"] in _METHODS else "other",
        route=getattr(scope.get("route"), "path", "-"),
        status=seen["status"],
        ms=round(seconds * 1000, 1),
        bytes=seen["bytes"],
        role=getattr(caller, "role", "-"),
        action=state.get("action", "-"),
    )
