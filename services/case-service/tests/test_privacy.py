"""No personal data leaves case-service (I10, S20, S100, S101)."""

from __future__ import annotations

import base64
from datetime import date
from typing import Any

import pytest
import structlog

from ehcp_contracts.events import CASES
from service_kit.bus.log_bus import LogBus

CANARIES = {
    "surname": "Zyxcanary",
    "forename": "Qwertha",
    "birth_date": "2018-05-17",
    "postcode": "BL9 7ZX",
    "nhs_number": "9990000018",
}
FREE_TEXT = ("Notewcanary", "Reasoncanary")


async def a_whole_life(hub: Any, snapshot: Any, upn: str) -> None:
    """Every kind of event this service sends, for a child full of canaries."""
    child = {**CANARIES, "upn": upn}
    case_id = await hub.a_plan(snapshot(child=child, primary_need="PMLD"))
    await hub.push(snapshot(version=2, child=child, placement={"urn": "900104"}, primary_need="PMLD"))
    url = f"/v1/cases/{case_id}"
    for end, body in (
        ("final", {"issued_on": "2026-09-10"}),
        ("drop", {"decided_on": "2026-09-14", "reasons": FREE_TEXT[1]}),
    ):
        notice = (await hub.post(f"{url}/amendment-notices", {"sent_on": "2026-08-20"})).json()
        done = await hub.post(f"{url}/amendment-notices/{notice['id']}/{end}", body)
        assert done.status_code == 200
    correction = {"field": "last_concluded", "new": "2026-05-04", "reason": "tribunal", "note": FREE_TEXT[0]}
    await hub.post(f"{url}/corrections", correction)
    await hub.post(f"{url}/cease", {"stage": "consult", "notified_on": "2026-09-10"})
    await hub.post(f"{url}/cease", {"notified_on": "2026-09-14", "reason": "2"})
    sibling = {**child, "upn": None, "nhs_number": None, "sex": "F"}
    registered = {"child": sibling, "responsible_la": "351"}
    new = (await hub.post("/v1/cases", registered)).json()
    await hub.post(f"/v1/cases/{new['id']}/plan", {"issued_on": "2026-09-10", "placement": {}})
    hub.app.clock.set(date(2027, 9, 1))
    await hub.app.run_daily()


def spellings(word: str) -> list[bytes]:
    raw = word.encode()
    return [raw, raw.lower(), raw.upper(), base64.b64encode(raw).rstrip(b"=")]


async def test_no_canary_is_in_any_event(hub: Any, snapshot: Any, upn: Any) -> None:
    """Over every kind of event, in the outbox and on the bus, and no need code either."""
    await a_whole_life(hub, snapshot, upn(42))
    sent = await hub.app.sent()
    kinds = {e.type.removeprefix("ehcp.").removesuffix(".v1") for e in sent}
    assert kinds == {
        "plan-registered",
        "plan-issued",
        "placement-changed",
        "case-facts-changed",
        "amendment-notice-sent",
        "amendment-issued",
        "amendment-dropped",
        "date-corrected",
        "cease-notified",
        "plan-ceased",
    }
    wire = b"".join(e.to_bytes() for e in sent) + await everything_on_the_bus(hub)
    words = [*CANARIES.values(), *FREE_TEXT, upn(42), '"PMLD"']
    assert [word for word in words if any(spelling in wire for spelling in spellings(word))] == []


async def everything_on_the_bus(hub: Any) -> bytes:
    bus: LogBus = hub.app.bus
    async with bus.consumer("canary-scan", [CASES]) as consumer:
        records = await consumer.fetch(wait=0)
        assert records
        return b"".join((r.key or "").encode() + (r.value or b"") for r in records)


async def test_no_canary_is_in_a_log_line_or_a_problem(
    hub: Any, snapshot: Any, upn: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with structlog.testing.capture_logs() as logs:
        await a_whole_life(hub, snapshot, upn(42))
        bad = snapshot(
            "LL-9", child={**CANARIES, "upn": "Zyxcanary"}, forename="Qwertha", version="Zyxcanary"
        )
        problems = (await hub.push(bad)).text + str(await hub.batch([bad, b'{"Zyxcanary": Qwertha']))
    printed = "".join(capsys.readouterr())
    words = [*CANARIES.values(), *FREE_TEXT, upn(42)]
    assert [word for word in words if word in str(logs) + printed + problems] == []
