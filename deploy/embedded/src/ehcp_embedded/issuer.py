"""The local token issuer of the embedded mode: one key pair in the data directory, tokens, and one-time
sign-in links.

It stands in for the council's OpenID provider, so that a person can try every role. Production never loads
it.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import APIRouter, Query, Request, Response

from service_kit.access import SESSION_COOKIE, LocalKeys, public
from service_kit.api import router
from service_kit.headers import HEAD_KEY
from service_kit.ids import uuid7
from service_kit.policy import ROLES
from service_kit.problems import Refusal
from service_kit.settings import Settings, private_file

TOKEN_SECONDS = 8 * 3600
TICKET_SECONDS = 24 * 3600
_TICKET = re.compile(r"[A-Za-z0-9_-]{43}")
_START = {"board": "/dashboard", "officer": "/dashboard", "senior": "/dashboard", "manager": "/dashboard"}
_ELSEWHERE = "/docs"


@dataclass(frozen=True)
class Grant:
    """What a token or ticket is for."""

    role: str
    org: str | None
    las: tuple[str, ...]

    @property
    def start(self) -> str:
        """The page on which this role begins."""
        return _START.get(self.role, _ELSEWHERE)


class Issuer:
    """Mints tokens signed with ES256 and hands out sign-in tickets that work once, also after a restart."""

    def __init__(
        self, data_dir: Path, *, issuer: str, audience: str, now: Callable[[], float] = time.time
    ) -> None:
        self.issuer, self.audience = issuer.rstrip("/"), audience
        self._now = now
        self._tickets = data_dir / "tickets"
        self._key = _load_key(data_dir / "issuer.pem")
        public_key = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self.kid = _thumbprint(public_key)
        self._jwk = {**public_key, "kid": self.kid, "use": "sig", "alg": "ES256"}

    @classmethod
    def of(cls, settings: Settings) -> Issuer:
        """The issuer that these settings describe. Raises `RuntimeError` in production."""
        if settings.production:
            raise RuntimeError("the local issuer is for the embedded mode only")
        return cls(settings.data_dir, issuer=settings.token_issuer, audience=settings.audience)

    def jwks(self) -> dict[str, Any]:
        """The public key set (RFC 7517)."""
        return {"keys": [self._jwk]}

    def keys(self) -> LocalKeys:
        """The key set for services of the same process."""
        return LocalKeys(self.jwks())

    def mint(
        self,
        role: str,
        org: str | None = None,
        las: Iterable[str] = (),
        ttl: float = TOKEN_SECONDS,
        *,
        subject: str | None = None,
    ) -> str:
        """An access token (RFC 9068) for `ttl` seconds. Raises `ValueError` for an unknown role."""
        if role not in ROLES:
            raise ValueError(f"the roles are {', '.join(sorted(ROLES))}")
        now = int(self._now())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": subject or (f"{role}:{org}" if org else role),
            "client_id": "ehcp-embedded",
            "iat": now,
            "nbf": now,
            "exp": now + int(ttl),
            "jti": str(uuid7()),
            "role": role,
            "org_id": org,
            "las": sorted(las),
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self.kid, "typ": "at+jwt"})

    def ticket(self, role: str, org: str | None = None, las: Iterable[str] = ()) -> str:
        """A secret that signs in once within a day. Only its hash is kept."""
        if role not in ROLES:
            raise ValueError(f"the roles are {', '.join(sorted(ROLES))}")
        self._forget_old()
        secret = secrets.token_urlsafe(32)
        grant = {"role": role, "org": org, "las": sorted(las), "until": self._now() + TICKET_SECONDS}
        private_file(self._file(secret), json.dumps(grant).encode())
        return secret

    def link(self, role: str, org: str | None = None, las: Iterable[str] = ()) -> str:
        """A sign-in link to print for a person."""
        return f"{self.issuer}/sign-in?{urlencode({'ticket': self.ticket(role, org, las)})}"

    def redeem(self, ticket: str) -> Grant | None:
        """The grant of a ticket, once: the one who removes its file has it. None if unknown, used or too
        old."""
        if not _TICKET.fullmatch(ticket):
            return None
        file = self._file(ticket)
        taken = file.with_suffix(f".{secrets.token_hex(4)}")
        try:
            file.rename(taken)
        except FileNotFoundError:
            return None
        grant = json.loads(taken.read_bytes())
        taken.unlink()
        if self._now() >= grant["until"]:
            return None
        return Grant(grant["role"], grant["org"], tuple(grant["las"]))

    def _file(self, ticket: str) -> Path:
        return self._tickets / f"{hashlib.sha256(ticket.encode()).hexdigest()}.json"

    def _forget_old(self) -> None:
        self._tickets.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in self._tickets.iterdir():
            if file.stat().st_mtime < self._now() - 2 * TICKET_SECONDS:
                file.unlink(missing_ok=True)

    def router(self) -> APIRouter:
        """`GET /.well-known/jwks.json` and `GET /sign-in?ticket=…`."""
        routes = router(tags=["sign-in"])

        @routes.get("/.well-known/jwks.json", dependencies=[public()])
        async def key_set() -> dict[str, Any]:
            """The public keys that tokens are checked against."""
            return self.jwks()

        @routes.get("/sign-in", dependencies=[public()], include_in_schema=False)
        async def sign_in(request: Request, ticket: Annotated[str, Query(max_length=200)]) -> Response:
            """Exchange a ticket for a session and go to the role's first page. HEAD does not use the ticket
            up."""
            if request.scope.get(HEAD_KEY):
                return Response(status_code=204)
            grant = self.redeem(ticket)
            if grant is None:
                raise Refusal("gone", "This sign-in link was used before or is too old. Ask for a new one.")
            return self._session(grant)

        return routes

    def _session(self, grant: Grant) -> Response:
        response = Response(status_code=303, headers={"Location": grant.start})
        response.set_cookie(
            SESSION_COOKIE,
            self.mint(grant.role, grant.org, grant.las),
            max_age=TOKEN_SECONDS,
            path="/",
            httponly=True,
            samesite="strict",
            secure=urlsplit(self.issuer).scheme == "https",
        )
        return response


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The signing key, made at the first start with mode 0600. Raises `PermissionError` if others may read
    it."""
    fresh = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = serialization.load_pem_private_key(private_file(path, fresh), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path.name} does not hold an EC key")
    return key


def _thumbprint(jwk: Mapping[str, Any]) -> str:
    """The key's own id (RFC 7638)."""
    canonical = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return jwt.utils.base64url_encode(hashlib.sha256(canonical.encode()).digest()).decode()
