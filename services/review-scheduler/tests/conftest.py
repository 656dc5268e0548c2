"""The service with its database and bus, and a small register of invented cases."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from ehcp_contracts.envelope import Envelope
from ehcp_contracts.events import (
    CaseFactsChanged,
    Event,
    Facts,
    Phase,
    Placement,
    PlacementChanged,
    PlanIssued,
    PlanRegistered,
    Responsible,
)
from review_scheduler.main import service
from service_kit.testing import Harness, running

OAK, ELM = "900001", "900002"


@dataclass
class Desk:
    """A service under test, with the words of its own field."""

    app: Harness
    routing: dict[str, Any] = field(
        default_factory=lambda: {
            "responsible_la": "351",
            "administering_la": "351",
            "icb": "QOP",
            "social_care_team": "team-a",
            "officer": "officer-1",
        }
    )

    def responsible(self, **more: Any) -> Responsible:
        return Responsible(**(self.routing | more))

    def facts(self, **more: Any) -> Facts:
        return Facts(**({"academic_year": "2026/27", "year_group": 3} | more))

    def year_6(self) -> Facts:
        return self.facts(
            year_group=6,
            phase=Phase.PRIMARY_TO_SECONDARY,
            transfer_on=date(2027, 9, 1),
            phase_due=date(2027, 2, 14),
            phase_by=date(2027, 2, 15),
        )

    async def register(
        self,
        *,
        last: date | None = date(2026, 3, 2),
        made: date = date(2020, 5, 4),
        urn: str | None = OAK,
        facts: Facts | None = None,
        held: date | None = None,
        notice: date | None = None,
        case: UUID | None = None,
        **responsible: Any,
    ) -> UUID:
        """A plan that existed before the hub; last concluded 2 March 2026, so its review is due on 1 March 2027 and
        its latest safe meeting is on 1 February 2027."""
        case = case or uuid4()
        event = PlanRegistered(
            plan_first_made=made,
            last_concluded=last,
            meeting_held_on=held,
            notice_sent_on=notice,
            placement=Placement(urn=urn),
            responsible=self.responsible(**responsible),
            facts=facts or self.facts(),
        )
        await self.tell(case, event, la=responsible.get("responsible_la", "351"))
        return case

    async def issue(self, issued_on: date, *, facts: Facts | None = None) -> UUID:
        """A first plan issued since the hub went live."""
        case = uuid4()
        placement, responsible = Placement(urn=OAK), self.responsible()
        await self.tell(
            case,
            PlanIssued(
                issued_on=issued_on, placement=placement, responsible=responsible, facts=facts or self.facts()
            ),
        )
        return case

    async def change_facts(self, case: UUID, facts: Facts, **responsible: Any) -> None:
        await self.tell(case, CaseFactsChanged(facts=facts, responsible=self.responsible(**responsible)))

    async def move(self, case: UUID, urn: str, **responsible: Any) -> None:
        event = PlacementChanged(
            placement=Placement(urn=urn),
            previous=Placement(urn=OAK),
            responsible=self.responsible(**responsible),
        )
        await self.tell(case, event)

    async def tell(self, case: UUID, event: Event, la: str = "351") -> Envelope:
        """Deliver an event of case-service and let everything settle."""
        envelope = await self.app.deliver(event, case=case, la=la)
        await self.app.settle()
        return envelope

    async def day(self, today: date) -> None:
        """Let the business date be `today` and run the daily tick for each day up to it."""
        self.app.clock.set(today)
        await self.app.run_daily()

    async def reviews(self, case: UUID | None = None, **query: Any) -> list[dict[str, Any]]:
        """What an officer sees in the list, by due date."""
        mine = {"case": str(case)} if case else {}
        answer = await self.app.as_("officer", las=("351", "352")).get(
            "/v1/reviews", params={"limit": 200} | mine | query
        )
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def review(self, case: UUID, kind: str = "annual", status: str = "open") -> dict[str, Any]:
        """The one review of this kind."""
        (found,) = [item for item in await self.reviews(case, status=status) if item["kind"] == kind]
        return found

    async def post(self, review: dict[str, Any], step: str, expect: int = 200, **body: Any) -> dict[str, Any]:
        """Take a step as an officer."""
        answer = await self.app.as_("officer").post(f"/v1/reviews/{review['id']}/{step}", json=body)
        assert answer.status_code == expect, answer.text
        result: dict[str, Any] = answer.json()
        return result

    async def sent(self, case: UUID | None = None) -> list[tuple[str, dict[str, Any]]]:
        """What this service has sent, oldest first: the name of the event, and its data."""
        return [
            (envelope.type.removeprefix("ehcp.").removesuffix(".v1"), envelope.data)
            for envelope in await self.app.sent()
            if case is None or envelope.subject == str(case)
        ]

    async def names(self, case: UUID | None = None) -> list[str]:
        return [name for name, _ in await self.sent(case)]

    async def stages(self, case: UUID) -> list[str]:
        """The stages announced for a case, in order."""
        return [
            data.get("stage", "overdue")
            for name, data in await self.sent(case)
            if name in ("review-due", "review-overdue")
        ]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """The service on 1 September 2026."""
    async with running(service, tmp_path, today=date(2026, 9, 1)) as app:
        yield Desk(app)


@pytest.fixture
def make_desk() -> type[Desk]:
    """A desk for a service that a test has started in its own way."""
    return Desk
