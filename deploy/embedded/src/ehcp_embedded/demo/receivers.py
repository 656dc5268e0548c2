"""Three partners' webhook receivers on this machine. They know only what a partner knows: an address and a
secret.

Each checks the signature (Standard Webhooks) before it believes anything, and shows what it received.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ehcp_contracts.catalogue import title
from ehcp_contracts.events import EVENTS
from ehcp_contracts.pages import templates
from ehcp_embedded.demo.partners import RECEIVERS
from ehcp_embedded.pages import page
from service_kit.access import public
from service_kit.api import router
from service_kit.clock import LONDON, Clock
from service_kit.problems import Refusal

KEPT = 100
TOLERANCE = 300  # seconds between the signature's time and ours
TITLES = {"school": "The school", "icb": "The integrated care board", "social-care": "The social care team"}


@dataclass(frozen=True)
class Arrival:
    """One event as it arrived."""

    at: datetime
    type: str
    case: str
    about: str

    @property
    def title(self) -> str:
        known = EVENTS.get(self.type)
        return title(known) if known else self.type

    @property
    def time(self) -> str:
        return f"{self.at.astimezone(LONDON):%H:%M:%S}"


class Receivers:
    """The three receivers. `secrets` are set when their subscriptions are made; `tell` is called on each
    arrival."""

    def __init__(
        self, secrets: Mapping[str, str], tell: Callable[[str, Arrival], None] = lambda *_: None
    ) -> None:
        self.secrets = dict(secrets)
        self.tell = tell
        self.clock = Clock()
        self.arrived: dict[str, deque[Arrival]] = {name: deque(maxlen=KEPT) for name in RECEIVERS}
        self.counts = dict.fromkeys(RECEIVERS, 0)
        self._seen: dict[str, deque[str]] = {name: deque(maxlen=10 * KEPT) for name in RECEIVERS}

    def routes(self) -> APIRouter:
        """`POST /receivers/{name}` for the hub, `GET /receivers` for a person."""
        routes = router(include_in_schema=False)

        @routes.post("/receivers/{name}", status_code=204, dependencies=[public()])
        async def receive(name: str, request: Request) -> Response:
            if name not in self.secrets:
                raise Refusal("not-found")
            body = await request.body()
            if not signed(self.secrets[name], request.headers, body, self.clock.now()):
                raise Refusal("unauthenticated", "The signature does not fit.")
            message = json.loads(body)
            if message["type"] == "ehcp.challenge":  # is this address ours? it is
                return JSONResponse({"challenge": message["challenge"]})
            self._note(name, request.headers["webhook-id"], message)
            return Response(status_code=204)

        @routes.get("/receivers", dependencies=[public()])
        async def show() -> Response:
            shown = [
                {
                    "title": TITLES[name],
                    "ref": ref,
                    "count": self.counts[name],
                    "arrived": list(self.arrived[name]),
                }
                for name, ref in RECEIVERS.items()
            ]
            return page(templates("ehcp_embedded").get_template("receivers.html").render(receivers=shown))

        return routes

    def _note(self, name: str, delivery: str, event: Mapping[str, Any]) -> None:
        if delivery in self._seen[name]:
            return  # a repeat: the same id on every attempt
        self._seen[name].append(delivery)
        arrival = Arrival(self.clock.now(), event["type"], event["subject"], in_short(event["data"]))
        self.arrived[name].appendleft(arrival)
        self.counts[name] += 1
        self.tell(name, arrival)


def signed(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> bool:
    """Whether a message carries a right and fresh signature (Standard Webhooks, v1: HMAC-SHA256 over
    `id.timestamp.body`). During a change of secret there are several; one that fits is enough."""
    message, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or len(stamp) > 12 or abs(int(stamp) - now.timestamp()) > TOLERANCE:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message}.{stamp}.".encode() + body, hashlib.sha256).digest()
    expected = f"v1,{base64.b64encode(digest).decode()}"
    offered = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected.encode(), one.encode()) for one in offered)


def in_short(data: Mapping[str, Any]) -> str:
    """The dates and codes of an event in one line; ids and nested parts are left out."""
    shown = [
        f"{name.replace('_', ' ')} {_in_words(value)}"
        for name, value in data.items()
        if isinstance(value, str) and not name.endswith("_id") and name not in ("citation", "origin")
    ]
    return ", ".join(shown)


def _in_words(value: str) -> str:
    """A date as people write it, with spaces that do not break; a code without underscores."""
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return value.replace("_", " ")
    return f"{day.day}\N{NO-BREAK SPACE}{day:%B}\N{NO-BREAK SPACE}{day.year}"
