"""A small town for the tests: two schools, an ICB, a team, the council's case system, and a fake receiver."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, timedelta
from math import inf
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from ehcp_contracts.events import (
    CASES,
    Facts,
    Placement,
    PlacementChanged,
    PlanIssued,
    PlanRegistered,
    Responsible,
    ReviewDue,
    ReviewKind,
    ReviewScheduled,
    ReviewStage,
)
from notification_service import addresses, knowledge
from notification_service.main import service
from notification_service.sender import Sender
from notification_service.targets import Outside
from service_kit.bus import Horizon
from service_kit.testing import Harness, running

ELM, OAK = "900123", "900456"
FACTS = Facts(academic_year="2026/27", year_group=5)
DUE = date(2027, 3, 1)
Reply = Callable[[httpx2.Request], httpx2.Response]


def responsible(la: str = "351", *, icb: str | None = "QOP", team: str | None = "team-a") -> Responsible:
    return Responsible(
        responsible_la=la, administering_la=la, icb=icb, social_care_team=team, officer="officer-3"
    )


class Town:
    """The service under test with helpers that read as what people do."""

    def __init__(self, app: Harness) -> None:
        self.app = app
        self.officer = app.as_("officer")
        self.requests: list[httpx2.Request] = []
        self.reply: Reply = lambda _: httpx2.Response(204)
        self.partners: dict[str, str] = {}
        self.subscriptions: dict[str, dict[str, Any]] = {}

    # --- partners

    async def partner(
        self, kind: str, ref: str, *, hook: bool = True, la: str = "351", event_types: Any = "all entitled"
    ) -> str:
        body: dict[str, Any] = {"kind": kind, "ref": ref, "name": f"The {ref} organisation", "la_code": la}
        answer = await self.app.as_("officer", las=(la,)).post("/v1/partners", json=body)
        assert answer.status_code == 201, answer.text
        self.partners[ref] = answer.json()["id"]
        if hook:
            await self.subscribe(ref, event_types=event_types, la=la)
        return self.partners[ref]

    async def subscribe(
        self, ref: str, *, event_types: Any = "all entitled", la: str = "351"
    ) -> dict[str, Any]:
        body = {
            "partner_id": self.partners[ref],
            "channel": "webhook",
            "url": f"https://{ref.lower()}.example/hook",
            "event_types": event_types,
        }
        answer = await self.app.as_("officer", las=(la,)).post("/v1/subscriptions", json=body)
        assert answer.status_code == 201, answer.text
        self.subscriptions[ref] = answer.json()
        approved = await self.approve(answer.json()["id"], body["url"], la=la)
        assert approved.status_code == 200, approved.text
        await self.challenge(echo)
        return self.subscriptions[ref]

    async def approve(
        self, subscription: str, url: str, *, role: str = "manager", la: str = "351"
    ) -> httpx2.Response:
        """Somebody else approves the address that an officer has proposed."""
        staff = self.app.as_(role, las=(la,))
        return await staff.post(f"/v1/subscriptions/{subscription}/approval", json={"url": url})

    async def challenge(self, reply: Reply) -> int:
        """Challenge the addresses whose time has come; returns how many."""
        async with Outside(transport=httpx2.MockTransport(reply)) as outside:
            return await addresses.challenge_due(self.app.hub, outside, Middle())

    # --- events

    async def issue(self, *, urn: str | None = ELM, who: Responsible | None = None) -> UUID:
        case = uuid4()
        event = PlanIssued(
            issued_on=date(2026, 9, 1),
            placement=Placement(urn=urn),
            responsible=who or responsible(),
            facts=FACTS,
        )
        await self.hear(event, case)
        return case

    async def register(self, *, urn: str = ELM) -> UUID:
        case = uuid4()
        event = PlanRegistered(
            plan_first_made=date(2024, 3, 4),
            placement=Placement(urn=urn),
            responsible=responsible(),
            facts=FACTS,
        )
        await self.hear(event, case)
        return case

    async def move(
        self, case: UUID, to: str | None, *, was: str = ELM, who: Responsible | None = None
    ) -> None:
        event = PlacementChanged(
            placement=Placement(urn=to, since=date(2026, 9, 1)),
            previous=Placement(urn=was, since=date(2022, 9, 1)),
            responsible=who or responsible(),
        )
        await self.hear(event, case)

    async def schedule(self, case: UUID, review: UUID | None = None) -> UUID:
        chosen = review or uuid4()
        event = ReviewScheduled(
            review_id=chosen,
            kind=ReviewKind.ANNUAL,
            due_on=DUE,
            latest_meeting_on=date(2027, 2, 1),
            rule_id="review_12m",
            citation="CFA 2014 s.44(1)",
        )
        await self.hear(event, case)
        return chosen

    async def due(self, case: UUID, review: UUID | None = None) -> None:
        await self.hear(due_event(review or uuid4()), case)

    async def hear(self, event: Any, case: UUID, **more: Any) -> None:
        """An event arrives, and case-service says that this was all."""
        await self.app.deliver(event, case=case, **more)
        await self.app.settle()
        await self.know()

    async def know(self) -> None:
        """The relay of case-service vouches for all up to now, and we look."""
        await self.app.bus.vouch(CASES, self.app.clock.now())
        await self.look()

    async def look(self) -> None:
        """Look how far the news of case-service has been consumed."""
        hub = self.app.hub
        await knowledge.look(hub, Horizon(hub.bus, hub.name, CASES))

    # --- sending

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self.reply(request)

    async def send(self) -> int:
        """Carry out what is due, against the fake receiver, with all known of case-service up to now."""
        await self.know()
        return await self.send_as_known()

    async def send_as_known(self) -> int:
        """The same, as far as is known of case-service."""
        async with Outside(transport=httpx2.MockTransport(self.answer)) as outside:
            working = Sender(self.app.hub, outside, Middle(), start_within=inf)
            return await working.drain(self.app.clock.now())

    async def send_after(self, seconds: float) -> int:
        self.app.clock.pass_time(timedelta(seconds=seconds))
        return await self.send()

    def received(self, ref: str) -> list[dict[str, Any]]:
        """What a partner's address has received so far, in order."""
        host = f"{ref.lower()}.example"
        return [json.loads(request.content) for request in self.requests if request.url.host == host]

    def heard(self, ref: str) -> list[str]:
        """The event types a partner has received, without prefix and version."""
        return [body["type"].split(".")[1] for body in self.received(ref)]

    # --- the ledger

    async def deliveries(self, **query: str) -> list[dict[str, Any]]:
        answer = await self.officer.get("/v1/deliveries", params={"limit": "200", **query})
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def pushes(self, ref: str) -> list[dict[str, Any]]:
        return [d for d in await self.deliveries(partner=self.partners[ref]) if d["channel"] == "webhook"]

    async def attempts(self, delivery_id: str) -> list[dict[str, Any]]:
        answer = await self.officer.get(f"/v1/deliveries/{delivery_id}")
        log: list[dict[str, Any]] = answer.json()["attempt_log"]
        return log

    async def alerts(self, ref: str) -> list[str]:
        answer = await self.officer.get(f"/v1/partners/{self.partners[ref]}")
        return [alert["kind"] for alert in answer.json()["alerts"]]

    async def published(self) -> list[tuple[str, dict[str, Any]]]:
        return [(envelope.type.split(".")[1], envelope.data) for envelope in await self.app.sent()]


def echo(request: httpx2.Request) -> httpx2.Response:
    """What an address answers that is its partner's and ready."""
    return says_as_a_server(json.dumps({"challenge": json.loads(request.content)["challenge"]}).encode())


def says_as_a_server(body: bytes, status: int = 200) -> httpx2.Response:
    """An answer whose body is still to be read, as it comes from a network."""

    async def coming() -> AsyncIterator[bytes]:
        yield body

    return httpx2.Response(status, content=coming())


class Middle(random.Random):
    """Dice that always fall in the middle, so that pauses are the schedule's own."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def due_event(review: UUID) -> ReviewDue:
    return ReviewDue(
        review_id=review,
        kind=ReviewKind.ANNUAL,
        stage=ReviewStage.PLAN,
        due_on=DUE,
        latest_meeting_on=date(2027, 2, 1),
    )


EVERYBODY = (
    ("school", ELM),
    ("school", OAK),
    ("icb", "QOP"),
    ("social-care", "team-a"),
    ("case-system", "liquid-logic"),
)


@pytest.fixture
def quiet() -> dict[str, Any]:
    """Settings without rate limits."""
    return {"writes_per_minute": 0, "reads_per_minute": 0}


@pytest.fixture
def settle_in() -> Callable[[Harness], Awaitable[Town]]:
    """Makes a town of a running service: everybody registered with a webhook for all they are entitled to."""

    async def settle(app: Harness) -> Town:
        town = Town(app)
        for kind, ref in EVERYBODY:
            await town.partner(kind, ref)
        return town

    return settle


@pytest.fixture
async def quiet_town(tmp_path: Path, quiet: dict[str, Any]) -> AsyncIterator[Town]:
    """The service without any partner."""
    async with running(service, tmp_path, settings=quiet) as app:
        yield Town(app)


@pytest.fixture
async def town(quiet_town: Town, settle_in: Callable[[Harness], Awaitable[Town]]) -> Town:
    """The service with everybody."""
    return await settle_in(quiet_town.app)
