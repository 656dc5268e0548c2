"""The pull feed: order, paging, long poll, acknowledgement, and what it no longer shows."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import httpx2
import pytest

from ehcp_contracts.events import Responsible
from notification_service import feed

ELM, OAK = "900123", "900456"


@pytest.fixture
async def school(quiet_town):
    """The school is registered and has no webhook."""
    await quiet_town.partner("school", ELM, hook=False)
    return quiet_town


async def read(town, urn: str = ELM, **params: str) -> httpx2.Response:
    return await town.app.as_("school", org=urn, las=()).get("/v1/events", params=params)


async def ids(town, urn: str = ELM, **params: str) -> list[str]:
    answer = await read(town, urn, **params)
    assert answer.status_code == 200, answer.text
    return [event["id"] for event in answer.json()]


async def statuses(town) -> list[str]:
    return [d["status"] for d in await town.deliveries()]


async def test_a_feed_is_a_cloudevents_batch_in_order(school) -> None:
    cases = [await school.issue() for _ in range(3)]
    answer = await read(school)
    assert answer.headers["content-type"] == "application/cloudevents-batch+json"
    assert [event["subject"] for event in answer.json()] == [str(case) for case in cases]


async def test_the_feed_has_the_same_bytes_as_the_webhook(town) -> None:
    await town.issue()
    await town.send()
    pushed = [request.content for request in town.requests if ELM in request.url.host]
    assert (await read(town)).content == b"[" + pushed[0] + b"]"


async def test_paging_by_last_event_id_gives_each_event_once(school) -> None:
    for _ in range(5):
        await school.issue()
    first = await ids(school, limit="2")
    second = await ids(school, limit="2", lastEventId=first[-1])
    third = await ids(school, limit="2", lastEventId=second[-1])
    assert [len(first), len(second), len(third)] == [2, 2, 1]
    assert len({*first, *second, *third}) == 5
    assert await ids(school, lastEventId=third[-1]) == []


async def test_reading_past_an_event_marks_it_delivered_once(school) -> None:
    """I7: whoever asks for what comes after an event has that event."""
    for _ in range(3):
        await school.issue()
    seen = await ids(school)
    assert await statuses(school) == ["available"] * 3
    await ids(school, lastEventId=seen[1])
    assert sorted(await statuses(school)) == ["available", "delivered", "delivered"]
    await ids(school, lastEventId=seen[1])
    await ids(school, lastEventId=seen[0])
    published = await school.published()
    assert [(name, data["channel"]) for name, data in published] == [("notification-delivered", "feed")] * 2


@pytest.mark.parametrize("unknown", ["01920000-0000-7000-8000-000000000000", "latest", "no-such-id"])
async def test_an_unknown_last_event_id_is_a_clear_problem(school, unknown: str) -> None:
    await school.issue()
    answer = await read(school, lastEventId=unknown)
    assert answer.status_code == 400
    assert answer.json()["type"].endswith("/problems/bad-parameter")
    assert answer.json()["errors"][0]["pointer"] in ("/lastEventId", "")
    assert unknown not in answer.text


async def test_the_id_of_another_partners_event_is_just_as_unknown(school) -> None:
    await school.partner("school", OAK, hook=False)
    await school.issue(urn=OAK)
    (foreign,) = await ids(school, OAK)
    missing = await read(school, lastEventId=str(uuid4()))
    answer = await read(school, lastEventId=foreign)
    assert answer.status_code == missing.status_code == 400
    assert answer.json()["errors"] == missing.json()["errors"]


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "201"}, {"timeout": "31"}, {"timeout": "-1"}])
async def test_limits_of_the_parameters(school, query: dict[str, str]) -> None:
    assert (await read(school, **query)).status_code == 400


async def test_an_organisation_that_is_no_partner_has_no_feed(school) -> None:
    assert (await read(school, "900999")).status_code == 404
    assert (await school.officer.get("/v1/events")).status_code == 403


async def test_a_long_poll_ends_with_the_first_event(school, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LOOK_AGAIN", 0.01)
    waiting = asyncio.create_task(read(school, timeout="30"))
    case = await school.issue()
    async with asyncio.timeout(60):
        answer = await waiting
    assert [event["subject"] for event in answer.json()] == [str(case)]


async def test_a_waiting_reader_holds_no_database_connection(school, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it waits, the pool has every connection back."""
    asleep = asyncio.Event()
    awake = asyncio.Event()

    async def sleep(_: float) -> None:
        asleep.set()
        await awake.wait()

    monkeypatch.setattr(feed, "_pause", sleep)
    waiting = asyncio.create_task(read(school, timeout="1"))
    async with asyncio.timeout(60):
        await asleep.wait()
    assert school.app.hub.db.engine.pool.checkedout() == 0
    awake.set()
    waiting.cancel()


async def test_a_school_reads_nothing_more_of_a_pupil_who_has_left_but_the_leaving(school) -> None:
    """S14, F46: also what it had read before."""
    case = await school.issue()
    stays = await school.issue()
    await school.due(case)
    assert len(await ids(school)) == 3
    await school.move(case, OAK)
    shown = (await read(school)).json()
    assert [(event["type"], event["subject"]) for event in shown] == [
        ("ehcp.plan-issued.v1", str(stays)),
        ("ehcp.placement-changed.v1", str(case)),
    ]
    assert OAK not in json.dumps(shown)


async def test_what_was_withdrawn_unread_is_never_marked_delivered(school) -> None:
    case = await school.issue()
    last = await school.issue()
    await school.move(case, OAK)
    events = (await read(school)).json()
    await ids(school, lastEventId=events[-1]["id"])
    by_case = {(d["case_id"], d["event_type"]): d["status"] for d in await school.deliveries()}
    assert by_case == {
        (str(case), "ehcp.plan-issued.v1"): "cancelled",
        (str(case), "ehcp.placement-changed.v1"): "delivered",
        (str(last), "ehcp.plan-issued.v1"): "delivered",
    }


async def _leaves_and_comes_back(school, case) -> None:
    await school.move(case, OAK)
    await school.move(case, ELM, was=OAK)


def names(answer: httpx2.Response) -> list[tuple[str, str]]:
    return [(event["type"].split(".")[1], event["subject"]) for event in answer.json()]


async def test_a_pupil_who_comes_back_brings_back_what_the_school_had_not_read(school) -> None:
    """At a new place: the reader has gone past the old one. Of two dates of one review only the latest."""
    case = await school.issue()
    review = await school.schedule(case)
    await school.schedule(case, review)
    stays = await school.issue()
    await school.move(case, OAK)
    first = (await read(school)).json()
    assert [event["subject"] for event in first] == [str(stays), str(case)]
    await ids(school, lastEventId=first[-1]["id"])
    await school.move(case, ELM, was=OAK)
    again = await read(school, lastEventId=first[-1]["id"])
    assert sorted(names(again)) == sorted(
        (name, str(case)) for name in ("placement-changed", "plan-issued", "review-scheduled")
    )
    last = again.json()[-1]["id"]
    assert await ids(school, lastEventId=last) == []
    assert await ids(school, lastEventId=last) == []
    told = [d["event_id"] for d in await school.deliveries(status="delivered")]
    assert sorted(told) == sorted(event["id"] for event in [*first, *again.json()])


@pytest.mark.parametrize("limit", ["1", "2", "100"])
async def test_a_reader_meets_everything_once_it_was_brought_back_whatever_it_had(school, limit: str) -> None:
    """It had read the event and not yet said so when the pupil left: nothing between the two places is stepped over,
    and no batch comes round for ever."""
    case = await school.issue()
    (had,) = await ids(school)
    await school.move(case, OAK)
    others = [str(await school.issue()) for _ in range(3)]
    await school.move(case, ELM, was=OAK)
    seen: list[tuple[str, str]] = []
    last = had
    for _ in range(12):
        answer = await read(school, lastEventId=last, limit=limit)
        if not answer.json():
            break
        seen += names(answer)
        last = answer.json()[-1]["id"]
    assert answer.json() == []
    moved = ("placement-changed", str(case))
    assert sorted(seen) == sorted([moved, moved, *(("plan-issued", other) for other in others)])


async def test_what_comes_back_is_read_from_the_start_by_a_reader_that_had_nothing(school) -> None:
    case = await school.issue()
    await _leaves_and_comes_back(school, case)
    seen: list[tuple[str, str]] = []
    cursor: dict[str, str] = {}
    for _ in range(12):
        answer = await read(school, limit="1", **cursor)
        if not answer.json():
            break
        seen += names(answer)
        cursor = {"lastEventId": answer.json()[-1]["id"]}
    assert answer.json() == []
    assert {name for name, _ in seen} == {"placement-changed", "plan-issued"}
    assert len(seen) == 3


async def test_a_feed_subscription_narrows_the_feed(school) -> None:
    body = {
        "partner_id": school.partners[ELM],
        "channel": "feed",
        "event_types": ["ehcp.review-due.v1"],
    }
    answer = await school.officer.post("/v1/subscriptions", json=body)
    assert (answer.status_code, answer.json()["secret"]) == (201, None)
    case = await school.issue()
    await school.due(case)
    assert [event["type"] for event in (await read(school)).json()] == ["ehcp.review-due.v1"]


async def test_a_school_of_two_councils_reads_the_feed_of_each(quiet_town) -> None:
    """It is told which feeds it has, and finds each council's pupils in that council's feed only."""
    cases = {}
    for la in ("351", "352"):
        partner = await quiet_town.partner("school", ELM, hook=False, la=la)
        cases[partner] = str(await quiet_town.issue(who=Responsible(responsible_la=la, administering_la=la)))
    which = await read(quiet_town)
    assert which.status_code == 400
    (fault,) = which.json()["errors"]
    assert fault["pointer"] == "/partner"
    for partner, case in cases.items():
        assert partner in fault["message"]
        events = (await read(quiet_town, partner=partner)).json()
        assert [event["subject"] for event in events] == [case]
        assert await ids(quiet_town, partner=partner, lastEventId=events[0]["id"]) == []


async def test_a_speaker_for_several_partners_says_which(quiet_town) -> None:
    await quiet_town.partner("case-system", "mosaic", hook=False)
    other = await quiet_town.partner("case-system", "mosaic", hook=False, la="352")
    adapter = quiet_town.app.as_("adapter", org="mosaic", las=("351", "352"))
    assert (await adapter.get("/v1/events")).status_code == 400
    assert (await adapter.get("/v1/events", params={"partner": other})).status_code == 200
