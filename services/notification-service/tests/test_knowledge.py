"""Notices wait until it is known where their pupils are (I8): nobody hears of a pupil whose move is still on its way."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from ehcp_contracts.events import CASES, Placement, PlacementChanged
from notification_service import knowledge
from notification_service.claims import InFlight, claim
from notification_service.sender import START_WITHIN, Sender
from notification_service.targets import Outside
from service_kit.bus import BusAway, Horizon

from .conftest import Town, due_event, responsible

ELM, OAK = "900123", "900456"
STALE_AFTER = 20  # seconds, the default


@pytest.fixture
async def school(quiet_town: Town) -> Town:
    """Only the school is registered, with a webhook."""
    await quiet_town.partner("school", ELM)
    return quiet_town


async def read(town: Town, urn: str = ELM, **params: str) -> httpx2.Response:
    return await town.app.as_("school", org=urn, las=()).get("/v1/events", params=params)


async def moves(town: Town, case: Any, to: str) -> None:
    """The move is in the log; nobody has consumed it yet."""
    move = PlacementChanged(
        placement=Placement(urn=to), previous=Placement(urn=ELM), responsible=responsible()
    )
    await town.app.deliver(move, case=case)


# --- the sender ------------------------------------------------------------------------------------------------------


async def test_nothing_is_sent_before_anything_is_known(school: Town) -> None:
    """A new database, or one that was put back: what it says of cases may be old."""
    case = await school.issue()
    async with school.app.hub.db.write() as tx:
        await tx.execute(text("DELETE FROM knowledge"))
    assert await school.send_as_known() == 0
    await school.know()
    assert await school.send_as_known() == 1
    assert school.received(ELM)[0]["subject"] == str(case)


async def test_while_the_relay_or_the_broker_is_away_notices_wait_and_are_sent_afterwards(
    school: Town,
) -> None:
    """The log is read to its end, and yet nothing is known: a move may stand in the outbox."""
    await school.issue()
    school.app.clock.pass_time(timedelta(seconds=STALE_AFTER + 1))
    await school.app.settle()
    await school.look()
    assert await school.send_as_known() == 0
    (push,) = await school.pushes(ELM)
    assert (push["status"], push["attempts"], push["held"]) == ("pending", 0, True)
    await school.know()
    assert await school.send_as_known() == 1


async def test_news_that_is_twenty_seconds_old_is_new_enough(school: Town) -> None:
    await school.issue()
    school.app.clock.pass_time(timedelta(seconds=STALE_AFTER))
    assert await school.send_as_known() == 1


async def test_a_move_that_was_published_and_not_consumed_holds_the_notice_until_it_is(school: Town) -> None:
    """Our own consumer is behind: what it has not taken is not known, however often the sender vouches."""
    await school.partner("school", OAK)
    school.reply = lambda _: httpx2.Response(500)
    case = await school.issue()
    await school.send()
    assert school.heard(ELM) == ["plan-issued"]
    await moves(school, case, OAK)
    school.app.clock.pass_time(timedelta(seconds=STALE_AFTER + 1))
    await school.know()
    assert await school.send_as_known() == 0  # the second attempt was due after five seconds
    await school.app.settle()
    school.reply = lambda _: httpx2.Response(204)
    await school.send()
    assert school.heard(ELM) == ["plan-issued", "placement-changed"]
    assert school.heard(OAK) == ["placement-changed"]


async def test_a_review_event_that_overtakes_the_move_is_held_until_the_move_is_known(town: Town) -> None:
    """The topics have no common order. The council's own system, which hears of the case either way, need not wait."""
    case = await town.issue()
    await town.send()
    town.app.clock.pass_time(timedelta(milliseconds=1))
    await town.app.deliver(due_event(case), case=case)
    await town.app.settle()
    assert await town.send_as_known() == 1
    assert town.heard("liquid-logic")[-1] == "review-due"
    await town.move(case, OAK)
    await town.send()
    assert "review-due" not in town.heard(ELM)
    assert "review-due" in town.heard(OAK)


async def test_a_case_of_which_an_event_cannot_be_applied_waits_and_the_others_do_not(school: Town) -> None:
    """It may have been a move. An event that only a person can judge holds back nothing."""
    stuck, other = await school.issue(), await school.issue()
    await school.app.deliver_raw(CASES, str(stuck), b"{ this was a move")
    await school.app.settle()
    assert await school.send() == 1
    assert [body["subject"] for body in school.received(ELM)] == [str(other)]
    held = {push["case_id"]: push["held"] for push in await school.pushes(ELM)}
    assert held == {str(stuck): True, str(other): False}
    parked = school.app.hub.db.tables["parked"]
    async with school.app.hub.db.write() as tx:
        await tx.execute(parked.update().values(state="quarantined"))
    assert await school.send() == 1


async def test_a_sender_that_stood_still_after_its_claim_does_not_send(school: Town) -> None:
    """F19: it was frozen meanwhile; its lease runs out, and the next one asks anew whether the pupil is still there."""
    await school.issue()
    now = school.app.clock.now()
    async with school.app.hub.db.write() as tx:
        (late,) = await claim(tx, now, InFlight(), school.app.hub.settings)
    async with Outside(transport=httpx2.MockTransport(school.answer)) as outside:
        working = Sender(school.app.hub, outside)
        working._start(late, now, time.monotonic() - START_WITHIN - 1)
        await working._tasks.copy().pop()
        assert await working.turn(now) == 0
    assert school.requests == []
    assert await school.send_after(61) == 1


# --- what is noted ---------------------------------------------------------------------------------------------------


async def test_of_two_workers_the_one_that_saw_further_is_believed(school: Town) -> None:
    await school.know()
    seen = await knowledge.age(school.app.hub)
    await knowledge._note(school.app.hub, school.app.clock.now() - timedelta(minutes=1))
    assert await knowledge.age(school.app.hub) == seen == 0


async def test_a_sender_whose_clock_is_ahead_is_believed_up_to_now_only(school: Town) -> None:
    await school.issue()
    await school.app.bus.vouch(CASES, school.app.clock.now() + timedelta(minutes=10))
    await school.look()
    school.app.clock.pass_time(timedelta(seconds=STALE_AFTER + 1))
    assert await school.send_as_known() == 0


async def test_with_the_bus_away_looking_goes_on_and_nothing_is_noted(
    school: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(self: object, topic: str) -> None:
        raise BusAway

    await school.know()
    monkeypatch.setattr(type(school.app.bus), "vouched", away)
    school.app.clock.pass_time(timedelta(seconds=3))
    await knowledge.look(school.app.hub, Horizon(school.app.bus, school.app.hub.name, CASES))
    assert await knowledge.age(school.app.hub) == 3


# --- the feed and the ledger -----------------------------------------------------------------------------------------


async def test_a_reader_is_told_to_come_again_and_finds_everything_then(school: Town) -> None:
    """An empty answer would say that there is nothing new. What the reader has is acknowledged all the same."""
    for _ in range(3):
        await school.issue()
    first = (await read(school, limit="1")).json()[0]["id"]
    school.app.clock.pass_time(timedelta(seconds=STALE_AFTER + 1))
    answer = await read(school, lastEventId=first)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["type"].endswith("/problems/unavailable")
    feed = [d["status"] for d in await school.deliveries() if d["channel"] == "feed"]
    assert sorted(feed) == ["available", "available", "delivered"]
    await school.know()
    assert len((await read(school, lastEventId=first)).json()) == 2


async def test_a_reader_who_waits_is_answered_as_soon_as_it_is_known(
    school: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    await school.issue()
    school.app.clock.pass_time(timedelta(seconds=STALE_AFTER + 1))

    async def meanwhile(_: float) -> None:
        await school.know()

    monkeypatch.setattr("notification_service.feed._pause", meanwhile)
    assert len((await read(school, timeout="30")).json()) == 1


async def test_a_reader_who_has_everything_is_told_so(school: Town) -> None:
    school.app.clock.pass_time(timedelta(days=3))
    answer = await read(school)
    assert (answer.status_code, answer.json()) == (200, [])


async def test_a_review_event_is_held_in_the_feed_as_well_and_holds_what_is_behind_it(school: Town) -> None:
    case = await school.issue()
    school.app.clock.pass_time(timedelta(milliseconds=1))
    for one in (due_event(case), due_event(case)):
        await school.app.deliver(one, case=case)
    await school.app.settle()
    assert [event["type"] for event in (await read(school)).json()] == ["ehcp.plan-issued.v1"]
    await school.know()
    assert len((await read(school)).json()) == 3


async def test_a_case_that_cannot_be_told_of_holds_the_feed_at_its_place(school: Town) -> None:
    """Nothing is passed over: the reader would never come back for it."""
    before, stuck, behind = [await school.issue() for _ in range(3)]
    await school.app.deliver_raw(CASES, str(stuck), b"{ this was a move")
    await school.app.settle()
    shown = (await read(school)).json()
    assert [event["subject"] for event in shown] == [str(before)]
    answer = await read(school, lastEventId=shown[0]["id"])
    assert answer.status_code == 503
    assert str(behind) not in answer.text


async def test_a_partner_sees_no_delivery_that_may_yet_be_withdrawn_and_the_council_does(
    school: Town,
) -> None:
    """By its type and time alone it would tell the old school of a pupil who has left."""
    case = await school.issue()
    school.app.clock.pass_time(timedelta(milliseconds=1))
    await school.app.deliver(due_event(case), case=case)
    await school.app.settle()
    partner = school.app.as_("school", org=ELM, las=())
    seen = (await partner.get("/v1/deliveries")).json()["items"]
    assert {d["event_type"] for d in seen} == {"ehcp.plan-issued.v1"}
    (unsure, *_) = [d for d in await school.deliveries() if d["event_type"] == "ehcp.review-due.v1"]
    assert unsure["held"]
    assert (await partner.get(f"/v1/deliveries/{unsure['id']}")).status_code == 404


async def test_a_partner_is_not_shown_its_copy_while_its_right_is_uncertain(school: Town) -> None:
    await school.issue()
    await school.send()
    (push,) = await school.pushes(ELM)
    partner = school.app.as_("school", org=ELM, las=())
    assert (await partner.get(f"/v1/deliveries/{push['id']}")).json()["event"] is not None
    school.app.clock.pass_time(timedelta(seconds=STALE_AFTER + 1))
    assert (await partner.get(f"/v1/deliveries/{push['id']}")).json()["event"] is None
    assert (await school.officer.get(f"/v1/deliveries/{push['id']}")).json()["event"] is not None


# --- for operators ---------------------------------------------------------------------------------------------------


async def test_readiness_and_metrics_say_how_old_the_news_is_and_how_much_waits(school: Town) -> None:
    await school.issue()
    school.app.clock.pass_time(timedelta(seconds=33))
    ready = (await school.app.client.get("/ready")).json()
    assert (ready["knowledge_age_seconds"], ready["notices_held"]) == (33, 1)
    metrics = (await school.app.client.get("/metrics")).text
    assert 'ehcp_knowledge_age_seconds{service="notification-service"} 33.0' in metrics
    await school.know()
    ready = (await school.app.client.get("/ready")).json()
    assert (ready["knowledge_age_seconds"], ready["notices_held"]) == (0, 0)


async def test_before_anything_is_known_the_age_is_infinite(quiet_town: Town) -> None:
    assert (await quiet_town.app.client.get("/ready")).json()["knowledge_age_seconds"] is None
    metrics = (await quiet_town.app.client.get("/metrics")).text
    assert 'ehcp_knowledge_age_seconds{service="notification-service"} +Inf' in metrics
