"""Bearer tokens: whose keys are trusted, and what a token must carry.

The key set is pinned by configuration. Nothing in a token chooses how it is checked: the algorithm comes
from the key and the configured allow-list, and headers that point to keys elsewhere are refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2
import jwt
import structlog

from service_kit.problems import Refusal

ALGORITHMS = ("ES256", "EdDSA", "RS256")
LEEWAY = 30.0  # seconds of clock skew (S04)
MAX_TOKEN = 8 * 1024
KEEP = 24 * 3600.0  # cached keys outlive an outage of their endpoint this long (F49)
FRESH = 600.0
ASK_AGAIN = 60.0
_KID = re.compile(r"[A-Za-z0-9._~=+-]{1,128}")
_FOREIGN_KEYS = frozenset({"jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip"})
_MIN_RSA = 2048
_MAX_JWKS = 256 * 1024
_MOST_CHECKED = 1_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Caller:
    """Who asks: `org_id` is a URN, ODS code, team or system; `las` the councils (three digits) a role
    covers."""

    subject: str
    role: str
    org_id: str | None
    las: frozenset[str]
    client_id: str | None = None


# -- keys --------------------------------------------------------------------------------------------------


class Keys(Protocol):
    """Public keys by their id."""

    async def get(self, kid: str) -> jwt.PyJWK | None:
        """The key, or None if the pinned key set has none of that id. Raises `Refusal` unavailable."""
        ...


def read_jwks(document: Any) -> dict[str, jwt.PyJWK]:
    """The usable signing keys of a key set: asymmetric, of a kind we accept, with an id. Others are left
    out."""
    found: dict[str, jwt.PyJWK] = {}
    entries = document.get("keys") if isinstance(document, Mapping) else None
    for entry in entries if isinstance(entries, list) else []:
        key = _read_key(entry)
        if key is not None and key.key_id:
            found[key.key_id] = key
    return found


def _read_key(entry: Any) -> jwt.PyJWK | None:
    algorithm = _algorithm(entry)
    if algorithm is None or entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    try:
        key = jwt.PyJWK(entry, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    short = algorithm == "RS256" and key.key.key_size < _MIN_RSA
    return None if short else key


def _algorithm(entry: Any) -> str | None:
    """The one algorithm a key may be used with: by its kind, and as it says itself."""
    if not isinstance(entry, Mapping):
        return None
    by_kind = {"RSA ": "RS256", "EC P-256": "ES256", "OKP Ed25519": "EdDSA"}
    kind = by_kind.get(f"{entry.get('kty')} {entry.get('crv', '')}")
    return kind if kind == entry.get("alg", kind) else None


class LocalKeys:
    """A key set handed over in the process."""

    def __init__(self, jwks: Mapping[str, Any]) -> None:
        self._keys = read_jwks(jwks)

    async def get(self, kid: str) -> jwt.PyJWK | None:
        return self._keys.get(kid)


class RemoteKeys:
    """The key set behind a pinned address, cached: asked again after ten minutes or for an unknown id, at
    most once a minute; the cache is good for 24 hours while the endpoint is down."""

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url
        self._clock = clock
        self._transport = transport
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched: float | None = None
        self._asked: float | None = None
        self._lock = asyncio.Lock()

    async def get(self, kid: str) -> jwt.PyJWK | None:
        if kid not in self._usable() or self._age(self._fetched) > FRESH:
            await self._refresh()
        keys = self._usable()
        if self._age(self._fetched) > KEEP:
            raise Refusal(
                "unavailable", "Tokens cannot be checked at the moment.", headers={"Retry-After": "60"}
            )
        return keys.get(kid)

    def _age(self, since: float | None) -> float:
        return float("inf") if since is None else self._clock() - since

    def _usable(self) -> dict[str, jwt.PyJWK]:
        return self._keys if self._age(self._fetched) <= KEEP else {}

    async def _refresh(self) -> None:
        async with self._lock:
            if self._age(self._asked) < ASK_AGAIN:
                return
            self._asked = self._clock()
            try:
                keys = read_jwks(await self._fetch())
            except (httpx2.HTTPError, TimeoutError, ValueError) as error:
                log.warning("key set not fetched", error=type(error).__name__)
                return
            if keys:
                self._keys, self._fetched = keys, self._clock()

    async def _fetch(self) -> Any:
        client = httpx2.AsyncClient(
            transport=self._transport, timeout=3.0, follow_redirects=False, trust_env=False
        )
        async with asyncio.timeout(5.0), client, client.stream("GET", self.url) as response:
            if response.status_code != 200:
                raise ValueError("not 200")
            raw = b""
            async for chunk in response.aiter_bytes():
                raw += chunk
                if len(raw) > _MAX_JWKS:
                    raise ValueError("too large")
        return json.loads(raw)


# -- tokens ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Checked:
    """A token whose signature, issuer, audience and claims have been found right."""

    key_id: str
    key: jwt.PyJWK
    claims: Mapping[str, Any]
    caller: Caller


class Verifier:
    """Checks access tokens (RFC 9068): `typ` at+jwt, signature by a pinned key, issuer, audience, times,
    `jti`."""

    def __init__(
        self,
        keys: Keys,
        *,
        issuer: str,
        audience: str,
        algorithms: Iterable[str] = ALGORITHMS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.keys, self.issuer, self.audience = keys, issuer, audience
        self.algorithms = frozenset(algorithms) & frozenset(ALGORITHMS)
        self.now = now
        self._checked: OrderedDict[bytes, _Checked] = OrderedDict()

    async def caller(self, token: str) -> Caller:
        """Who holds this token. Raises `Refusal` unauthenticated; the reason is not told. A token that was checked
        before is not checked again, but for its times and for its key still being the one in the key set."""
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        known = self._checked.get(digest)
        if known is None or await self.keys.get(known.key_id) is not known.key:
            known = self._checked[digest] = await self._check(token)
            if len(self._checked) > _MOST_CHECKED:
                self._checked.popitem(last=False)
        self._check_times(known.claims)
        return known.caller

    async def _check(self, token: str) -> _Checked:
        key_id = self._key_id(token)
        key = await self.keys.get(key_id)
        if key is None or key.algorithm_name not in self.algorithms:
            raise invalid_token()
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name],
                audience=self.audience,
                issuer=self.issuer,
                options={
                    "require": ["exp", "iss", "aud", "sub", "jti"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            raise invalid_token() from None
        self._check_times(claims)
        return _Checked(key_id, key, claims, _caller(claims))

    def _key_id(self, token: str) -> str:
        """The key id of a header that is as it must be."""
        if len(token) > MAX_TOKEN:
            raise invalid_token()
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise invalid_token() from None
        kid, kind = header.get("kid"), header.get("typ")
        fits = isinstance(kind, str) and kind.lower() in ("at+jwt", "application/at+jwt")
        if not fits or _FOREIGN_KEYS & header.keys() or header.get("alg") not in self.algorithms:
            raise invalid_token()
        if not isinstance(kid, str) or not _KID.fullmatch(kid):
            raise invalid_token()
        return kid

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self.now()
        expires, starts = claims["exp"], claims.get("nbf", 0)
        numbers = all(isinstance(at, int | float) and not isinstance(at, bool) for at in (expires, starts))
        if not numbers or not starts - LEEWAY <= now < expires + LEEWAY:
            raise invalid_token()


def _caller(claims: Mapping[str, Any]) -> Caller:
    role, org, las = claims.get("role"), claims.get("org_id"), claims.get("las") or []
    client = claims.get("client_id")
    texts = all(value is None or (isinstance(value, str) and len(value) <= 200) for value in (org, client))
    councils = isinstance(las, list) and all(
        isinstance(la, str) and re.fullmatch("[0-9]{3}", la) for la in las
    )
    if not isinstance(role, str) or not texts or not councils or not 0 < len(claims["sub"]) <= 200:
        raise invalid_token()
    return Caller(claims["sub"], role, org or None, frozenset(las), client)


def invalid_token() -> Refusal:
    """The refusal of a token that does not hold."""
    return Refusal(
        "unauthenticated", headers={"WWW-Authenticate": 'Bearer realm="ehcp", error="invalid_token"'}
    )


def no_token() -> Refusal:
    """The refusal of a request without a token."""
    return Refusal("unauthenticated", headers={"WWW-Authenticate": 'Bearer realm="ehcp"'})
