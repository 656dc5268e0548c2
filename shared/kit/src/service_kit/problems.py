"""Refusals and their answers: RFC 9457 problems that never repeat the input.

`Refusal(slug)` is raised by whoever may refuse; this module alone knows which status a slug has and how an
answer looks. `install(app)` covers every other way to an error: validation, unknown paths and methods,
unhandled exceptions.
"""

from __future__ import annotations

import html
import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service_kit.logs import correlation_id, logger

MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 50

SLUGS: dict[str, tuple[int, str]] = {
    "malformed-json": (400, "The body is not valid JSON"),
    "duplicate-key": (400, "A key occurs twice in a JSON object"),
    "bad-parameter": (400, "A query parameter or header is not acceptable"),
    "unauthenticated": (401, "Sign in, or send a valid access token"),
    "forbidden": (403, "Your role may not do this"),
    "basis-required": (403, "No basis for sharing is recorded"),
    "not-found": (404, "There is nothing here, or nothing that you may see"),
    "method-not-allowed": (405, "This method is not offered here"),
    "conflict": (409, "This contradicts what is already recorded"),
    "in-progress": (409, "The same request is still being worked on"),
    "gone": (410, "This is no longer here"),
    "stale-version": (412, "It has changed since you read it"),
    "too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "The content type is not accepted here"),
    "validation": (422, "Some values are not acceptable"),
    "idempotency-mismatch": (422, "This Idempotency-Key was used for another request"),
    "file-rejected": (422, "The file was not accepted"),
    "rows-rejected": (422, "Some rows were not accepted"),
    "precondition-required": (428, "Say which version you are changing"),
    "rate-limited": (429, "Too many requests"),
    "headers-too-large": (431, "The request headers are too large"),
    "internal": (500, "Something went wrong on our side"),
    "unavailable": (503, "Not available at the moment"),
    "storage-full": (507, "There is no room to store this"),
}

ADVICE: dict[str, str] = {
    "malformed-json": "Send one JSON document in UTF-8, without byte order mark, NaN or Infinity.",
    "duplicate-key": "Send each key once.",
    "bad-parameter": "Check the query parameters and headers against the API description.",
    "unauthenticated": "Send 'Authorization: Bearer <token>' with a current token for this service.",
    "forbidden": "Ask the council if you need this right.",
    "basis-required": "Record the basis (duty, consent or other) first.",
    "not-found": "Check the address. What you may not see answers the same as what does not exist.",
    "method-not-allowed": "The Allow header lists the methods offered at this address.",
    "conflict": "Read the current state, then decide again.",
    "in-progress": "Wait as the Retry-After header says, then repeat with the same Idempotency-Key.",
    "gone": "Use the successor named in the Link header, if there is one.",
    "stale-version": "Read it again, and send the new ETag in If-Match.",
    "too-large": "Send less at a time.",
    "unsupported-media-type": "Set Content-Type as the API description says, in UTF-8.",
    "validation": "See 'errors' for what to correct.",
    "idempotency-mismatch": "Use a new Idempotency-Key for a new request.",
    "file-rejected": "See 'errors' for what to correct, then send the file again.",
    "rows-rejected": "See 'errors' for what to correct.",
    "precondition-required": "Send the ETag that you read in If-Match.",
    "rate-limited": "Wait as the Retry-After header says.",
    "headers-too-large": "Send fewer or shorter headers.",
    "internal": "Try again later. If it stays, tell support the correlation id.",
    "unavailable": "Try again as the Retry-After header says.",
    "storage-full": "Try again later. Operators have been told by the readiness check.",
}


_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "correlationId"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri"},
        "correlationId": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "errors": {
            "type": "array",
            "maxItems": MAX_FAULTS,
            "items": {
                "type": "object",
                "required": ["pointer", "code", "message"],
                "properties": {name: {"type": "string"} for name in ("pointer", "code", "message")},
            },
        },
        "truncated": {"type": "boolean"},
    },
}
# For the API description: every route may refuse, always in this form.
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": _SCHEMA}}}
    for status, text in (("4XX", "Refused (RFC 9457)"), ("5XX", "Failed (RFC 9457)"))
}


@dataclass(frozen=True)
class Fault:
    """One fault in the input: where (a JSON Pointer), a stable code, and plain English. Never the value."""

    pointer: str
    code: str
    message: str


class Refusal(Exception):
    """A refusal by slug. `detail` and the faults are shown to the caller: they must not contain the input."""

    def __init__(
        self,
        slug: str,
        detail: str | None = None,
        *,
        errors: Iterable[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.title = SLUGS[slug]
        self.slug = slug
        self.detail = detail or ADVICE[slug]
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        super().__init__(f"{slug}: {self.detail}")


def problem_document(refusal: Refusal, public_url: str = "") -> dict[str, Any]:
    """The problem as a JSON document. `instance` names this occurrence, not the path: a path is input."""
    cid = correlation_id()
    document: dict[str, Any] = {
        "type": f"{public_url.rstrip('/')}/problems/{refusal.slug}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "instance": f"urn:uuid:{uuid.UUID(cid)}",
        "correlationId": cid,
    }
    if refusal.errors:
        faults = refusal.errors[:MAX_FAULTS]
        document["errors"] = [{"pointer": f.pointer, "code": f.code, "message": f.message} for f in faults]
        if len(refusal.errors) > MAX_FAULTS:
            document["truncated"] = True
    return document


def problem_response(refusal: Refusal, request: Request | None = None) -> Response:
    """The answer to a refusal. Pure ASCII on the wire, so no text can fail to encode."""
    public_url = getattr(request.app.state, "public_url", "") if request and "app" in request.scope else ""
    body = json.dumps(problem_document(refusal, public_url)).encode("ascii")
    return Response(body, refusal.status, refusal.headers, MEDIA_TYPE)


# -- validation errors -------------------------------------------------------------------------------------

_MESSAGES: dict[str, tuple[str, str]] = {
    "missing": ("required", "This is required."),
    "extra_forbidden": ("unknown-field", "This field is not known here."),
    "enum": ("choice", "This is not one of the values offered."),
    "literal_error": ("choice", "This is not one of the values offered."),
    "union_tag_invalid": ("choice", "This is not one of the kinds offered."),
    "union_tag_not_found": ("required", "The kind is required."),
    "string_type": ("text", "This must be text."),
    "string_too_long": ("too-long", "This is too long."),
    "string_too_short": ("too-short", "This is too short."),
    "string_pattern_mismatch": ("format", "This does not have the expected form."),
    "int_type": ("whole-number", "This must be a whole number."),
    "int_from_float": ("whole-number", "This must be a whole number."),
    "int_parsing": ("whole-number", "This must be a whole number."),
    "int_parsing_size": ("out-of-range", "This number is out of range."),
    "float_type": ("number", "This must be a number."),
    "finite_number": ("number", "This must be a finite number."),
    "bool_type": ("true-or-false", "This must be true or false."),
    "bool_parsing": ("true-or-false", "This must be true or false."),
    "greater_than": ("out-of-range", "This is out of range."),
    "greater_than_equal": ("out-of-range", "This is out of range."),
    "less_than": ("out-of-range", "This is out of range."),
    "less_than_equal": ("out-of-range", "This is out of range."),
    "list_type": ("list", "This must be a list."),
    "too_long": ("too-many", "There are too many of these."),
    "too_short": ("too-few", "There are too few of these."),
    "dict_type": ("object", "This must be an object."),
    "model_type": ("object", "This must be an object."),
    "model_attributes_type": ("object", "This must be an object."),
    "date_type": ("date", "This must be a date written YYYY-MM-DD."),
    "datetime_type": ("instant", "This must be an instant with a time zone."),
    "uuid_type": ("id", "This must be an id."),
    "uuid_parsing": ("id", "This must be an id."),
}
_UNKNOWN = ("invalid", "This value is not acceptable.")
# Our own validators name their error in hyphens and write their own fixed text (service_kit.strict.fault).
_OWN_CODE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+")
# A key that looks like one of our field names may stand in a pointer; any other key is input and stays out.
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def pointer(location: Sequence[object]) -> str:
    """A JSON Pointer; stops at the first key that does not look like a field name, as that is input."""
    parts: list[str] = []
    for part in location:
        if not isinstance(part, int) and not _FIELD_NAME.fullmatch(str(part)):
            break
        parts.append(str(part))
    return "".join(f"/{part}" for part in parts)


def faults(errors: Iterable[Mapping[str, Any]], *, skip: int = 0) -> list[Fault]:
    """Pydantic's errors as faults: place, code and fixed text only, never `input`, `ctx` or an interpolated
    message.

    `skip` leaves out leading parts of the location (FastAPI puts "body" first).
    """
    return [_fault(error, skip) for error in errors]


def _fault(error: Mapping[str, Any], skip: int) -> Fault:
    kind = str(error["type"])
    if kind in _MESSAGES:
        code, message = _MESSAGES[kind]
    elif _OWN_CODE.fullmatch(kind) and not error.get("ctx"):
        code, message = kind, str(error["msg"])
    else:
        code, message = _UNKNOWN
    return Fault(pointer(error["loc"][skip:]), code, message)


def from_validation(errors: Sequence[Mapping[str, Any]]) -> Refusal:
    """FastAPI's request errors as one refusal: a bad id in the path is a missing thing, a bad query or
    header is 400, a bad body 422 (`malformed-json` if it could not be parsed at all)."""
    places = {str(error["loc"][0]) for error in errors if error["loc"]}
    if "path" in places:
        return Refusal("not-found")
    if places & {"query", "header", "cookie"}:
        bad = [error for error in errors if error["loc"] and error["loc"][0] in ("query", "header", "cookie")]
        return Refusal("bad-parameter", errors=faults(bad, skip=1))
    if any(error["type"] == "json_invalid" for error in errors):
        return Refusal("malformed-json")
    return Refusal("validation", errors=faults(errors, skip=1))


# -- everything else ---------------------------------------------------------------------------------------

_BY_STATUS = {
    400: "bad-parameter",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    406: "bad-parameter",
    409: "conflict",
    410: "gone",
    412: "stale-version",
    413: "too-large",
    415: "unsupported-media-type",
    422: "validation",
    428: "precondition-required",
    429: "rate-limited",
    431: "headers-too-large",
    503: "unavailable",
    507: "storage-full",
}


def from_exception(error: BaseException) -> Refusal:
    """What an unhandled exception means to the caller: a full disk 507, a lost database 503, anything else
    500."""
    text = str(error.orig) if isinstance(error, DBAPIError) else ""
    if (isinstance(error, OSError) and error.errno == 28) or "disk is full" in text or "DiskFull" in text:
        return Refusal("storage-full")
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    refused = isinstance(error, ConnectionError)
    if lost or refused or isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        return Refusal("unavailable", headers={"Retry-After": "5"})
    return Refusal("internal")


def allowed_methods(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """Methods offered at this path by any route; HEAD comes with GET, OPTIONS always. Empty: no such path."""
    methods: set[str] = set()
    for context in iter_route_contexts(list(routes)):
        offered = context.methods
        regex = getattr(context, "path_regex", None)
        if offered and regex is not None and regex.match(scope["path"]):
            methods |= offered
    if methods:
        methods |= {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
    return sorted(methods)


def _http_exception(request: Request, error: HTTPException) -> Response:
    if error.status_code < 400:
        return Response(status_code=error.status_code, headers=error.headers)
    headers = dict(error.headers or {})
    slug = _BY_STATUS.get(error.status_code, "bad-parameter" if error.status_code < 500 else "internal")
    if slug == "method-not-allowed":
        allow = ", ".join(allowed_methods(request.app.routes, request.scope)) or headers.get("Allow", "")
        headers = {"Allow": allow}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
    return problem_response(Refusal(slug, headers=headers), request)


def install(app: FastAPI, *, public_url: str = "") -> None:
    """Answer every error of this app with a problem. `public_url` is where `/problems/<slug>` is served."""
    app.state.public_url = public_url
    app.router.redirect_slashes = False  # a redirect repeats the path, and hides a wrong address
    app.add_middleware(CatchAll)

    async def refusal(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return problem_response(error, request)

    async def validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem_response(from_validation(error.errors()), request)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _http_exception(request, error)

    app.add_exception_handler(Refusal, refusal)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, http)


class CatchAll:
    """ASGI: an unhandled exception becomes a problem and one log line with its class and places (S102).
    Nothing of it reaches the server's own log, where a traceback would show values."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except ClientDisconnect:
            return
        except Exception as error:
            refusal = from_exception(error)
            logger().error("unhandled", slug=refusal.slug, exc_info=error)
            if started:
                raise BrokenAnswer from None  # the server closes the connection: the client sees a cut answer
            await problem_response(refusal, Request(scope))(scope, receive, send)


class BrokenAnswer(Exception):
    """An answer that had begun could not be finished."""


def problems_page() -> str:
    """A plain page that explains every slug, made from the table; each slug is an anchor."""
    rows = "".join(
        f'<tr id="{slug}"><th scope="row"><code>{slug}</code></th><td>{status}</td>'
        f"<td>{html.escape(title)}</td><td>{html.escape(ADVICE[slug])}</td></tr>"
        for slug, (status, title) in SLUGS.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Problems of the hub</title></head>'
        "<body><h1>Problems</h1>"
        "<p>Every error answer is an RFC 9457 problem. Its type ends in one of these names.</p>"
        "<table><thead><tr><th>Name</th><th>Status</th><th>Meaning</th><th>What to do</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></body></html>"
    )
