"""Access: who asks, and what of it the policy table allows. Deny by default.

A route says `dependencies=[allow("cases.read")]` or `[public()]`; `check_routes` refuses to start with a
route that says neither. The role decides whether (403), the predicate decides which rows: it becomes part
of the SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from fastapi import Depends, FastAPI, Request
from fastapi.routing import RouteContext, iter_route_contexts
from sqlalchemy import ColumnElement, and_, false, func, or_, true

from service_kit.limits import Limiter, per_minute
from service_kit.policy import POLICY, ROLES, Predicate
from service_kit.problems import Refusal
from service_kit.settings import Settings
from service_kit.tokens import Caller, Keys, LocalKeys, RemoteKeys, Verifier, invalid_token, no_token

SESSION_COOKIE = "ehcp_session"
SCHEME = "bearer"  # name of the security scheme in the API description

FEW_COUNCILS = 4
Scope: TypeAlias = Callable[[Caller], "ColumnElement[bool] | tuple[ColumnElement[bool], ...]"]
"""The rows that are a caller's own, by role, organisation and councils. Several conditions: no row fulfils two, and each
has an index."""
Scopes: TypeAlias = Mapping[Any, Mapping[Predicate, Scope]]

# -- who asks ----------------------------------------------------------------------------------------------


async def caller(request: Request) -> Caller:
    """Who asks: by bearer token, or on GET by the session cookie. Raises `Refusal` unauthenticated."""
    known: Caller | None = getattr(request.state, "caller", None)
    if known is None:
        verifier: Verifier = request.app.state.verifier
        known = await verifier.caller(_token(request))
        request.state.caller = known
    return known


def _token(request: Request) -> str:
    sent = request.headers.getlist("authorization")
    if not sent:
        cookie = request.cookies.get(SESSION_COOKIE) if request.method in ("GET", "HEAD") else None
        if not cookie:
            raise no_token()
        return cookie
    scheme, _, token = sent[0].partition(" ")
    if len(sent) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise invalid_token()
    return token.strip()


# -- what is allowed ---------------------------------------------------------------------------------------


def authorise(who: Caller, action: str) -> Predicate:
    """The predicate under which this caller may do `action`. Raises `Refusal` forbidden if the role may
    never."""
    predicate = POLICY.get(action, {}).get(who.role) if who.role in ROLES else None
    if predicate is None:
        raise Refusal("forbidden")
    return predicate


def visible(who: Caller, action: str, scopes: Scopes, table: Any) -> ColumnElement[bool]:
    """The rows of `table` that this caller may touch with `action`, for the WHERE. Raises `Refusal`
    forbidden, and `LookupError` if the service has no scope for this table and predicate: nothing is shown
    by mistake."""
    return or_(*alternatives(who, action, scopes, table))


def alternatives(who: Caller, action: str, scopes: Scopes, table: Any) -> tuple[ColumnElement[bool], ...]:
    """The same rows in parts, so that a list can read each part in the order of its own index."""
    predicate = authorise(who, action)
    if predicate is Predicate.everyone:
        return (true(),)
    found = scopes[table][predicate](who)
    return (found or (false(),)) if isinstance(found, tuple) else (found,)


def either_council(
    responsible: Any, administering: Any, las: Sequence[Any]
) -> tuple[ColumnElement[bool], ...]:
    """One of these councils is responsible, or does the work for another that is none of them: a scope in parts. Whoever
    acts for many councils gets it in one, for each part names them all."""
    if len(las) > FEW_COUNCILS:
        return (or_(*(column == la for la in las for column in (responsible, administering))),)
    for_another = and_(administering != responsible, *(responsible != la for la in las))
    return (
        *(responsible == la for la in las),
        # `nullif` says again what the rest says, for PostgreSQL's planner: it takes such rows for most, which are few.
        *(
            and_(administering == la, for_another, func.nullif(administering, responsible) == la)
            for la in las
        ),
    )


# -- markers on routes -------------------------------------------------------------------------------------


class Marker:
    """What a route says about access: an action of the policy table, or None for public."""

    def __init__(self, action: str | None, *, idempotency: bool = True) -> None:
        self.action = action
        self.idempotency = idempotency

    async def __call__(self, request: Request) -> None:
        await admit(request, self)


def allow(action: str, *, idempotency: bool = True) -> Any:
    """Dependency of a route that does `action`. `idempotency=False`: a POST that is idempotent by nature
    and streams, so that no Idempotency-Key is asked for."""
    return Depends(Marker(action, idempotency=idempotency))


def public() -> Any:
    """Dependency of a route that anybody may use."""
    return Depends(Marker(None, idempotency=False))


async def admit(request: Request, marker: Marker) -> None:
    """Let the request in or refuse it; remembers caller, action and predicate in `request.state`. Once per
    request."""
    if getattr(request.state, "admitted", False):
        return
    request.state.action = marker.action or "public"
    request.state.idempotency = marker.idempotency
    if marker.action is not None:
        who = await caller(request)
        request.state.predicate = authorise(who, marker.action)
        _limit(request, who)
    request.state.admitted = True


def _limit(request: Request, who: Caller) -> None:
    settings: Settings = request.app.state.settings
    limiter: Limiter = request.app.state.limiter
    kind = "read" if request.method in ("GET", "HEAD") else "write"
    limiter.take(f"{kind}:{counted_as(who)}", per_minute(settings, who.role, request.method))


_SYSTEMS = frozenset({"adapter", "reporting"})


def counted_as(who: Caller) -> str:
    """Whose bucket a request is taken from: a system's client as a whole, but each person for themselves, for all staff
    of a council come through one web client. Quoted, so that no two pairs read the same."""
    if who.role in _SYSTEMS:
        return repr(who.client_id or who.subject)
    return f"{who.client_id!r}:{who.subject!r}"


# -- checks at the start -----------------------------------------------------------------------------------

# FastAPI's own pages; they hold the API description only.
_DESCRIPTION = frozenset({"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"})


def markers(dependencies: Iterable[Any]) -> list[Marker]:
    """The access markers among a route's dependencies."""
    return [d.dependency for d in dependencies if isinstance(getattr(d, "dependency", None), Marker)]


def _of(context: RouteContext) -> list[Marker]:
    return markers(getattr(context._effective_route, "dependencies", None) or [])


def _names(context: RouteContext) -> list[str]:
    return [f"{method} {context.path}" for method in sorted(context.methods or {"*"})]


def route_actions(app: FastAPI) -> dict[str, str | None]:
    """Each route (``"GET /v1/cases"``) and its action; None for public ones."""
    actions: dict[str, str | None] = {}
    for context in iter_route_contexts(app.routes):
        if found := _of(context):
            actions |= dict.fromkeys(_names(context), found[0].action)
    return actions


def check_routes(app: FastAPI) -> None:
    """Raises `RuntimeError` if a route has no access marker, more than one, or names an action that POLICY
    lacks (S18)."""
    wrong: list[str] = []
    for context in iter_route_contexts(app.routes):
        found = _of(context)
        if not found and context.path in _DESCRIPTION:
            continue
        unknown = [m.action for m in found if m.action is not None and m.action not in POLICY]
        if len(found) != 1:
            wrong += [f"{name}: needs exactly one of allow() and public()" for name in _names(context)]
        elif unknown:
            wrong += [f"{name}: action {unknown[0]} is not in the policy table" for name in _names(context)]
    if wrong:
        raise RuntimeError("routes without a policy:\n" + "\n".join(sorted(wrong)))


def install(app: FastAPI, settings: Settings, keys: Keys | None = None) -> None:
    """Give the app its verifier and limiter. `keys` None: the key set behind `settings.jwks_url`."""
    if keys is None:
        keys = RemoteKeys(settings.jwks_url) if settings.jwks_url else LocalKeys({"keys": []})
    app.state.settings = settings
    _describe(app)
    app.state.limiter = Limiter()
    app.state.verifier = Verifier(
        keys, issuer=settings.token_issuer, audience=settings.audience, algorithms=settings.algorithms
    )


def _describe(app: FastAPI) -> None:
    """Name the security scheme in the API description, so that its page can send a token."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes[SCHEME] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        return document

    app.openapi = openapi  # type: ignore[method-assign]


__all__ = [
    "POLICY",
    "SCHEME",
    "SESSION_COOKIE",
    "Caller",
    "Keys",
    "LocalKeys",
    "Marker",
    "Predicate",
    "RemoteKeys",
    "Scopes",
    "Verifier",
    "admit",
    "allow",
    "alternatives",
    "authorise",
    "caller",
    "check_routes",
    "counted_as",
    "either_council",
    "install",
    "markers",
    "public",
    "route_actions",
    "visible",
]
