"""Schools and officers at work while the calendar moves, so that a year of reviews looks like a year in Bury.

Whoever acts here learns what to do as a partner's own system would: from the feed. A review that is to be
invited to gets its course: reviewed in time, late, or not at all, in the proportions that the cabinet report
gives. All acts go over HTTP.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ehcp_contracts.events import ReviewDue, ReviewStage
from ehcp_embedded.demo.figures import (
    AMENDED,
    DECIDED_IN_FOUR_WEEKS,
    REVIEWED_IN_12_MONTHS,
    REVIEWED_IN_TIME,
)
from ehcp_embedded.demo.seed import Way, weekday

FILE = "people.json"
AT_ONCE = 200
FOUR_WEEKS = 28


@dataclass(frozen=True)
class Rates:
    """Shares of all reviews due: concluded by the due date, and concluded late."""

    in_time: float = REVIEWED_IN_TIME
    late: float = REVIEWED_IN_12_MONTHS - REVIEWED_IN_TIME


@dataclass(frozen=True)
class Act:
    """Something somebody will do on a day: `path` and `body` of the request. `then_final`: days after which
    the plan that this amendment notice announces is issued."""

    on: str
    path: str
    body: dict[str, Any]
    then_final: int | None = None


def course(review: ReviewDue, case: str, rates: Rates) -> Iterator[Act]:
    """What becomes of a review: nothing, or meeting, report, decision and, for some, an amendment. The same
    review takes the same course again."""
    dice = random.Random(str(review.review_id))
    luck = dice.random()
    if luck >= rates.in_time + rates.late:
        return
    if luck < rates.in_time:
        meeting = weekday(review.latest_meeting_on - timedelta(days=dice.randint(0, 14)))
        took = dice.randint(7, FOUR_WEEKS - 2)
    else:
        meeting = weekday(review.latest_meeting_on + timedelta(days=dice.randint(35, 120)))
        took = dice.randint(10, FOUR_WEEKS) if dice.random() < DECIDED_IN_FOUR_WEEKS else dice.randint(29, 70)
    path = f"/v1/reviews/{review.review_id}"
    decided = meeting + timedelta(days=took)
    amend = dice.random() < AMENDED
    yield _act(meeting - timedelta(days=20), f"{path}/meeting", meeting_on=meeting)
    yield _act(meeting, f"{path}/held", held_on=meeting)
    reported = meeting + timedelta(days=dice.randint(3, took))
    yield _act(reported, f"{path}/report", received_on=reported)
    yield _act(decided, f"{path}/decision", outcome="amend" if amend else "maintain", notified_on=decided)
    if amend:
        sent = decided + timedelta(days=1)  # the case system knows of the decision a day later
        body = {"sent_on": sent.isoformat(), "review_id": str(review.review_id)}
        yield Act(sent.isoformat(), f"/v1/cases/{case}/amendment-notices", body, dice.randint(25, 70))


def _act(on: date, path: str, **body: str | date) -> Act:
    return Act(
        on.isoformat(), path, {k: v.isoformat() if isinstance(v, date) else v for k, v in body.items()}
    )


class Life:
    """Those who act. What they mean to do is kept in the data directory, so that a restart forgets
    nothing."""

    def __init__(self, way: Way, data_dir: Path, rates: Rates | None = None) -> None:
        self.way, self.rates = way, rates or Rates()
        self._file = data_dir / FILE
        self._read: str | None = None
        self._agenda: list[Act] = []
        self._load()

    async def day(self, today: date) -> None:
        """Read what is new in the feed, then do what is for today or was left over."""
        async for event in self._news():
            if event["type"] == ReviewDue.wire_type and event["data"]["stage"] == ReviewStage.INVITE:
                self._agenda += course(ReviewDue.model_validate(event["data"]), event["subject"], self.rates)
        now = [act for act in self._agenda if act.on <= today.isoformat()]
        self._agenda = [act for act in self._agenda if act.on > today.isoformat()]
        for act in sorted(now, key=lambda act: act.on):
            await self._do(act)
        self._save()

    async def _news(self) -> Any:
        headers = {"Authorization": f"Bearer {self.way.adapter}"}
        while True:
            since = {"lastEventId": self._read} if self._read else {}
            answer = await self.way.client.get(
                "/v1/events", params={"limit": AT_ONCE, **since}, headers=headers
            )
            if (
                answer.status_code == 503
            ):  # the hub is busy and behind with its own news: as it says, a little later
                await asyncio.sleep(float(answer.headers["Retry-After"]))
                continue
            answer.raise_for_status()
            events = answer.json()
            for event in events:
                yield event
                self._read = event["id"]
            if len(events) < AT_ONCE:
                return

    async def _do(self, act: Act) -> None:
        """A refusal is an answer too: the plan has ended, or the review was satisfied by another."""
        answer = await self.way.send("POST", act.path, act.body)
        if act.then_final is not None and answer.status_code == 201:
            on = date.fromisoformat(act.on) + timedelta(days=act.then_final)
            self._agenda.append(_act(on, f"{act.path}/{answer.json()['id']}/final", issued_on=on))

    def _load(self) -> None:
        if self._file.exists():
            kept = json.loads(self._file.read_text("utf-8"))
            self._read, self._agenda = kept["read"], [Act(**act) for act in kept["agenda"]]

    def _save(self) -> None:
        fresh = self._file.with_suffix(".new")
        kept = {"read": self._read, "agenda": [asdict(act) for act in self._agenda]}
        fresh.write_text(json.dumps(kept), "utf-8")
        fresh.replace(self._file)
