"""Strict routes: what a request must be before a handler sees it.

`router()` gives an APIRouter whose routes check, in this order: the caller's right, the size that is
announced, the query and path, the content type, and the JSON itself (`service_kit.strict.parse_json`).
Every refusal is a problem. `equip(app, …)` puts the rest round an app: problems, correlation, security
headers, limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from service_kit import access, problems
from service_kit.access import Keys, Marker, admit, markers
from service_kit.headers import RequestLimits, SecurityHeaders
from service_kit.logs import RequestLog
from service_kit.problems import Fault, Refusal
from service_kit.settings import Settings, cursor_key
from service_kit.strict import parse_json

MB = 1024 * 1024
MAX_BODY = MB
MAX_BULK = 256 * MB
MAX_LINE = 64 * 1024
_DRAIN = 8 * MB
NDJSON = "application/x-ndjson"
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffd]")


# -- requests ----------------------------------------------------------------------------------------------


class StrictRequest(Request):
    """A request whose body is counted while it is read."""

    def __init__(self, scope: Scope, receive: Receive, limit: int) -> None:
        super().__init__(scope, receive)
        self.limit = limit

    async def stream(self) -> AsyncIterator[bytes]:  # type: ignore[override]
        """The body in chunks. Raises `Refusal` too-large as soon as it passes the route's limit."""
        size = 0
        chunks = super().stream()
        async for chunk in chunks:
            size += len(chunk)
            if size > self.limit:
                await _let_finish(self, chunks)
                raise _too_large()
            yield chunk

    def accept_json(self, raw: bytes) -> None:
        """Parse the body; the handler then finds the value already there."""
        self._json = parse_json(raw)


async def _let_finish(request: Request, chunks: AsyncIterator[bytes]) -> None:
    """Read and forget what a client is still sending, for a moment: closing at once would reset the
    connection, and the client would never see the answer."""
    if "expect" in request.headers:
        return
    left = _DRAIN
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            async for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    return


def _too_large() -> Refusal:
    return Refusal("too-large", headers={"Connection": "close"})


async def _check_length(request: Request, limit: int) -> None:
    length = request.headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise Refusal("bad-parameter", headers={"Connection": "close"})
    if int(length) > limit:
        await _let_finish(request, Request.stream(request))
        raise _too_large()


def _check_media_type(request: Request, wanted: str) -> None:
    sent = request.headers.getlist("content-type")
    media, *rest = [part.strip().lower() for part in (sent[0] if sent else "").split(";")]
    charsets = [part.partition("=")[2].strip('"') for part in rest if part.startswith("charset=")]
    plain = request.headers.get("content-encoding", "identity").lower() == "identity"
    if (
        len(sent) != 1
        or media != wanted
        or not plain
        or any(c not in ("utf-8", "us-ascii") for c in charsets)
    ):
        raise Refusal(
            "unsupported-media-type", f"Send {wanted} in UTF-8, not compressed.", headers={"Accept": wanted}
        )


def _check_parameters(request: Request, known: dict[str, bool]) -> None:
    """Refuse unknown and repeated query parameters and control characters; the same in a path is no such
    thing."""
    if any(isinstance(value, str) and _UNFIT.search(value) for value in request.path_params.values()):
        raise Refusal("not-found")
    seen: set[str] = set()
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise Refusal("bad-parameter", "A query parameter is not known here.")
        if _UNFIT.search(value):
            raise Refusal("bad-parameter", errors=[Fault(f"/{name}", "forbidden-character", _CHARACTER)])
        if name in seen and not known[name]:
            raise Refusal("bad-parameter", errors=[Fault(f"/{name}", "repeated", "Send this once.")])
        seen.add(name)


_CHARACTER = "This holds a character that is not allowed."


# -- routes ------------------------------------------------------------------------------------------------


class Bulk:
    """Marks a route that reads its body as a stream: its media type and its own size limit."""

    def __init__(self, media_type: str, limit: int) -> None:
        self.media_type, self.limit = media_type, limit

    def __call__(self) -> None:
        """Nothing to do at request time; the route class reads the marker."""


def bulk(media_type: str = NDJSON, *, limit: int = MAX_BULK) -> Any:
    """Dependency of a route that streams its body (`async for line in ndjson(request)`); `limit` in bytes."""
    return Depends(Bulk(media_type, limit))


class StrictRoute(APIRoute):
    """See the module. `max_body_size` on the decorator is this route's limit in bytes (default 1 MB)."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.body_limit: int = options.pop("max_body_size", None) or MAX_BODY
        found = markers(options.get("dependencies") or ())
        if found and found[0].action:
            told = _description(found[0], options.get("methods") or ("GET",))
            options["openapi_extra"] = told | (options.get("openapi_extra") or {})
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()
        bulks = [d.dependency for d in self.dependencies if isinstance(d.dependency, Bulk)]
        streamed = bulks[0] if bulks else None
        limit = streamed.limit if streamed else self.body_limit
        guards = markers(self.dependencies)
        known = _query_parameters(self)

        async def handle(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive, limit)
            for guard in guards:
                await admit(strict, guard)
            await _check_length(strict, limit)
            _check_parameters(strict, known)
            if streamed:
                _check_media_type(strict, streamed.media_type)
            elif self.body_field is not None:
                await _read_json(strict, required=self.body_field.field_info.is_required())
            return await inner(strict)

        return handle


def _description(marker: Marker, methods: Iterable[str]) -> dict[str, Any]:
    """What the API description says about a guarded route."""
    told: dict[str, Any] = {"security": [{access.SCHEME: []}], "x-ehcp-action": marker.action}
    if marker.idempotency and "POST" in methods:
        told["parameters"] = [_IDEMPOTENCY_KEY]
    return told


_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "Chosen by the caller; the same request with the same key has one effect and one answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


async def _read_json(request: StrictRequest, *, required: bool) -> None:
    announced = request.headers.get("content-type") is not None
    if required or announced:
        _check_media_type(request, "application/json")
    raw = await request.body()
    if raw and not announced:
        _check_media_type(request, "application/json")
    if raw or required:
        request.accept_json(raw)


def _query_parameters(route: APIRoute) -> dict[str, bool]:
    """Names of the query parameters of a route, and whether each may be repeated."""
    found: dict[str, bool] = {}
    for field in get_flat_params(route.dependant):
        if isinstance(field.field_info, params.Query) or not isinstance(field.field_info, params.Param):
            found[field.alias] = _is_list(field.field_info.annotation)
    return found


def _is_list(annotation: Any) -> bool:
    origin = getattr(annotation, "__origin__", annotation)
    return origin in (list, set, tuple, frozenset) or any(
        _is_list(a) for a in getattr(annotation, "__args__", ())
    )


def router(**options: Any) -> APIRouter:
    """An APIRouter of strict routes; takes APIRouter's options."""
    answers = {**problems.RESPONSES, **options.pop("responses", {})}
    return APIRouter(route_class=StrictRoute, redirect_slashes=False, responses=answers, **options)


def offer(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Add the routes of some routers to an app as they are. `include_router` would look for the route of each request
    twice."""
    app.router.routes.extend(route for one in routers for route in one.routes)


# -- lines -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One line of an NDJSON body, counted from 1: its bytes, or why they were not read."""

    number: int
    raw: bytes = b""
    refusal: Refusal | None = None

    def value(self) -> Any:
        """The document. Raises Refusal."""
        if self.refusal is not None:
            raise self.refusal
        return parse_json(self.raw)


async def ndjson(request: Request, *, max_line: int = MAX_LINE) -> AsyncIterator[Line]:
    """The lines of a body as they arrive; empty ones are skipped, and each is parsed when it is asked for its value. An
    over-long line (`max_line` bytes) is given with its refusal and harms no other; a body past the route's limit ends
    with a last line that says so."""
    number = 0
    async for raw in _split(request, max_line):
        number += 1
        if isinstance(raw, Refusal):
            yield Line(number, refusal=raw)
        elif raw and not raw.isspace():
            yield Line(number, raw)


async def _split(request: Request, max_line: int) -> AsyncIterator[bytes | Refusal]:
    held, skipping = bytearray(), False
    try:
        async for chunk in request.stream():
            *complete, rest = chunk.split(b"\n")
            for part in complete:
                held += part
                yield _line(held, skipping, max_line)
                held, skipping = bytearray(), False
            held += rest
            if len(held) > max_line:
                held, skipping = bytearray(), True
    except Refusal as refusal:
        yield refusal
        return
    if held or skipping:
        yield _line(held, skipping, max_line)


def _line(held: bytearray, skipping: bool, max_line: int) -> bytes | Refusal:
    return Refusal("too-large") if skipping or len(held) > max_line else bytes(held)


# -- the app -----------------------------------------------------------------------------------------------


def equip(app: FastAPI, settings: Settings, keys: Keys | None = None) -> None:
    """Put round an app what every service needs on HTTP. Call `access.check_routes(app)` once its routes
    are there."""
    problems.install(app, public_url=settings.public_url)
    access.install(app, settings, keys)
    app.state.cursor_key = cursor_key(settings)
    layers: Iterable[tuple[Any, dict[str, Any]]] = (
        (RequestLimits, {}),
        (SecurityHeaders, {"hsts": settings.public_url.startswith("https://")}),
        (RequestLog, {}),
    )
    for layer, options in layers:  # the last one added is the outermost
        app.add_middleware(layer, **options)
