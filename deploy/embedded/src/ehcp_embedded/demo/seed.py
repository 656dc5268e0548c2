"""Fills the hub as a council would: over HTTP, with the adapter's and an officer's tokens, step by step.

Every step may be repeated: what is there already is found again, so a fill that was cut off can be started
anew.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import httpx2

from ehcp_embedded.demo.partners import PartnerPlan

NDJSON = "application/x-ndjson"
LINES_AT_ONCE = 475
NOTICE = 21  # days: the two weeks of reg 20(3), and one for writing the invitations
Advance = Callable[[int], None]


class NotTaken(Exception):
    """The hub refused a line or a request of the fill; the text names the problem, not the data."""


@dataclass(frozen=True)
class Way:
    """A way into the hub: its address, a client for it, and tokens for the two who fill it, and for the manager who
    approves the addresses that the officer proposes."""

    address: str
    client: httpx2.AsyncClient
    adapter: str
    officer: str
    manager: str

    async def send(
        self, method: str, path: str, body: Any = None, match: str | None = None, *, token: str | None = None
    ) -> httpx2.Response:
        """A request as the officer, or with another token; `match`: the version that is to be changed."""
        headers = {"Authorization": f"Bearer {token or self.officer}", "Idempotency-Key": str(uuid4())}
        if match:
            headers["If-Match"] = match
        return await self.client.request(method, path, json=body, headers=headers)


async def load_register(way: Way, lines: Sequence[dict[str, Any]], advance: Advance) -> None:
    """Load the register of institutions, a line for each."""
    async for _ in _lines(way, "/v1/imports/institutions", lines):
        advance(1)


async def push_cases(way: Way, snapshots: Sequence[dict[str, Any]], advance: Advance) -> None:
    """Push the caseload through the adapter's batch endpoint."""
    for start in range(0, len(snapshots), LINES_AT_ONCE):
        async for _ in _lines(
            way, "/v1/sources/liquid-logic/batches", snapshots[start : start + LINES_AT_ONCE]
        ):
            advance(1)


async def _lines(way: Way, path: str, lines: Iterable[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    headers = {"Authorization": f"Bearer {way.adapter}", "Content-Type": NDJSON}
    async with way.client.stream("POST", path, content=body, headers=headers) as answer:
        if answer.status_code != 200:
            raise NotTaken(f"{path}: {_problem(await answer.aread())}")
        async for line in answer.aiter_lines():
            result = json.loads(line)
            if result["status"] == "rejected":
                raise NotTaken(f"{path}, line {result['line']}: {_faults(result.get('problem', {}))}")
            yield result


async def register_partners(
    way: Way, plans: Sequence[PartnerPlan], advance: Advance
) -> AsyncIterator[tuple[str, str]]:
    """Register every partner with its subscription; gives (receiver, secret) for each webhook as it is
    made."""
    for plan in plans:
        partner = await _partner(way, plan)
        if plan.receiver:
            url = f"{way.address}/receivers/{plan.receiver}"
            webhook, secret = await _webhook(way, partner, url)
            yield plan.receiver, secret  # first, for the receiver must know it when it is challenged
            await _approve(way, webhook, url)
        advance(1)


async def invite_to_a_first_review(way: Way, urn: str, today: date) -> None:
    """Book the meeting of a school's next review that can be held in time and with two weeks' notice: something that
    its partners hear on the first day, which may be a day on which nothing falls due."""
    found = await _taken(way, "GET", f"/v1/reviews?urn={urn}&limit=200")
    soonest = today + timedelta(days=NOTICE)
    days = [
        (weekday(date.fromisoformat(review["latest_meeting_on"])), review["id"])
        for review in found.json()["items"]
    ]
    if in_time := [day for day in days if day[0] >= soonest]:
        meeting, review = min(in_time)
        await _taken(way, "POST", f"/v1/reviews/{review}/meeting", meeting_on=meeting.isoformat())


def weekday(day: date) -> date:
    """The day itself, or the Friday before a weekend."""
    return day - timedelta(days=max(0, day.weekday() - 4))


async def _partner(way: Way, plan: PartnerPlan) -> str:
    body = {"kind": plan.kind, "ref": plan.ref, "name": plan.name, "la_code": plan.la_code}
    made = await way.send("POST", "/v1/partners", {k: v for k, v in body.items() if v is not None})
    if made.status_code == 201:
        return str(made.json()["id"])
    if made.status_code != 409:
        raise NotTaken(f"partner {plan.ref}: {_problem(made.content)}")
    found = await way.send("GET", f"/v1/partners?kind={plan.kind}&ref={plan.ref}")
    return str(found.json()["items"][0]["id"])


async def _webhook(way: Way, partner: str, url: str) -> tuple[str, str]:
    """Path and secret of the partner's webhook, with `url` in use or proposed. A webhook that is there already gets a
    new secret, for the old one is shown to nobody again."""
    known = await _taken(way, "GET", f"/v1/subscriptions?partner={partner}")
    webhook = next((one for one in known.json()["items"] if one["channel"] == "webhook"), None)
    if webhook is None:
        made = await _taken(way, "POST", "/v1/subscriptions", partner_id=partner, channel="webhook", url=url)
        return f"/v1/subscriptions/{made.json()['id']}", str(made.json()["secret"])
    path = f"/v1/subscriptions/{webhook['id']}"
    if url not in (webhook["url"], webhook["proposed_url"]):
        version = (await _taken(way, "GET", path)).headers["etag"]
        await _taken(way, "PATCH", path, match=version, url=url)
    return path, str((await _taken(way, "POST", f"{path}/rotate-secret")).json()["secret"])


async def _approve(way: Way, webhook: str, url: str) -> None:
    """As the manager, where the address is not in use yet."""
    if (await _taken(way, "GET", webhook)).json()["proposed_url"] != url:
        return
    answer = await way.send("POST", f"{webhook}/approval", {"url": url}, token=way.manager)
    if answer.status_code != 200:
        raise NotTaken(f"address of a webhook: {_problem(answer.content)}")


async def _taken(way: Way, method: str, path: str, match: str | None = None, **body: str) -> httpx2.Response:
    answer = await way.send(method, path, body or None, match)
    if answer.status_code >= 400:
        raise NotTaken(f"{method} {path.partition('?')[0]}: {_problem(answer.content)}")
    return answer


def _problem(body: bytes) -> str:
    try:
        return _faults(json.loads(body))
    except ValueError:
        return "no answer that can be read"


def _faults(problem: dict[str, Any]) -> str:
    faults = [f"{fault['pointer']} {fault['code']}" for fault in problem.get("errors", [])]
    return "; ".join([str(problem.get("title", "refused")), *faults])
