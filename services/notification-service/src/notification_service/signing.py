"""Signatures of Standard Webhooks (v1, HMAC-SHA256) and the secrets behind them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypedDict
from uuid import UUID

PREFIX = "whsec_"
OVERLAP = timedelta(hours=24)


class Key(TypedDict):
    """A signing secret (kept: sealed), and until when it signs (ISO instant; None: it is the current one)."""

    secret: str
    until: str | None


def new_secret() -> str:
    """A new secret: `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def rotate(keys: Sequence[Key], secret: str, now: datetime) -> list[Key]:
    """The new secret first; the old ones go on signing for the overlap, so that a partner can change over."""
    until = (now + OVERLAP).isoformat()
    old = [Key(secret=key["secret"], until=key["until"] or until) for key in in_use(keys, now)]
    return [Key(secret=secret, until=None), *old]


def in_use(keys: Iterable[Key], now: datetime) -> list[Key]:
    """The keys that sign at this instant."""
    return [key for key in keys if key["until"] is None or datetime.fromisoformat(key["until"]) > now]


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature over `id.timestamp.body`."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def headers(keys: Iterable[Key], delivery_id: UUID, now: datetime, body: bytes) -> dict[str, str]:
    """The three headers of an attempt: the id stays the same over all attempts, the timestamp is the attempt's."""
    timestamp = int(now.timestamp())
    signatures = [sign(key["secret"], str(delivery_id), timestamp, body) for key in in_use(keys, now)]
    return {
        "webhook-id": str(delivery_id),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }
