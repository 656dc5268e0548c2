"""How often one client may ask: a token bucket per client in each process (S80).

The state is not shared between replicas; see docs/decisions/kit-rate-limit-per-process.md.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from service_kit.problems import Refusal
from service_kit.settings import Environment, Settings

_MOST_CLIENTS = 10_000


@dataclass
class _Bucket:
    left: float
    at: float


class Limiter:
    """`take(client, per_minute)` takes one request from the client's bucket, which refills evenly and holds
    one minute's worth. 0 per minute means no limit."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._buckets: OrderedDict[tuple[str, int], _Bucket] = OrderedDict()

    def take(self, client: str, per_minute: int) -> None:
        """Raises `Refusal` rate-limited, with `Retry-After` and `RateLimit` headers, if the bucket is
        empty."""
        if per_minute == 0:
            return
        now = self._now()
        bucket = self._bucket(client, per_minute, now)
        bucket.left = min(per_minute, bucket.left + (now - bucket.at) * per_minute / 60)
        bucket.at = now
        if bucket.left < 1:
            wait = math.ceil((1 - bucket.left) * 60 / per_minute)
            raise Refusal("rate-limited", headers=_headers(per_minute, wait))
        bucket.left -= 1

    def _bucket(self, client: str, per_minute: int, now: float) -> _Bucket:
        key = (client, per_minute)
        bucket = self._buckets.setdefault(key, _Bucket(per_minute, now))
        self._buckets.move_to_end(key)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return bucket


def _headers(limit: int, wait: int) -> dict[str, str]:
    return {
        "Retry-After": str(wait),
        "RateLimit-Limit": str(limit),
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": str(wait),
    }


def per_minute(settings: Settings, role: str, method: str) -> int:
    """The limit for a request: reads, writes, or the writes of an adapter; none in tests."""
    if settings.environment is Environment.test:
        return 0
    if method in ("GET", "HEAD"):
        return settings.reads_per_minute
    return settings.pushes_per_minute if role == "adapter" else settings.writes_per_minute
