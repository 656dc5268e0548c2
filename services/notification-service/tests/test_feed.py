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


def names(answer: httpx2.Response) -> list[tuple[str, str]]:
    return [(event["type"].split(".")[1], event["subject"]) for event in answer.json()]


# --- any number of readers, from any place ---------------------------------------------------------------------------


async def follow(town, since: str | None = None, *, limit: int = 100) -> list[dict]:
    """Read on to the end as a reader does: from the last event it has."""
    seen: list[dict] = []
    for _ in range(50):
        cursor = {"lastEventId": since} if since else {}
        events = (await read(town, limit=str(limit), **cursor)).json()
        if not events:
            return seen
        seen += events
        since = events[-1]["id"]
    raise AssertionError("this feed has no end")


async def test_a_reader_that_lost_our_answer_gets_it_again_as_often_as_it_asks(school) -> None:
    """It died before it had stored what it got, or after it had asked beyond: its own cursor alone counts."""
    for _ in range(5):
        await school.issue()
    everything = [event["id"] for event in await follow(school)]
    await ids(school, lastEventId=everything[-1])
    for place, cursor in enumerate(everything):
        for _ in range(2):
            assert await ids(school, lastEventId=cursor) == everything[place + 1 :]
    assert await ids(school) == everything


async def test_two_readers_of_one_feed_do_not_disturb_each_other(school) -> None:
    """The second has read nothing while the first is far ahead; what the ledger says of the partner is not its place."""
    first = [str(await school.issue()) for _ in range(3)]
    fast = await follow(school)
    later = [str(await school.issue()) for _ in range(3)]
    fast += await follow(school, fast[-1]["id"])
    slow = await follow(school, limit=1)
    assert [event["subject"] for event in slow] == [event["subject"] for event in fast] == first + later
    assert await statuses(school) == ["delivered"] * 6


async def _leaves_and_comes_back(school, case) -> None:
    await school.move(case, OAK)
    await school.move(case, ELM, was=OAK)


async def test_a_school_that_has_a_pupil_again_is_told_what_it_missed_and_the_open_reviews(school) -> None:
    """Behind the news of the return, for no reader comes by the old places again; of two dates of a review the latest."""
    case = await school.issue()
    review = await school.schedule(case)
    await school.schedule(case, review)
    stays = await school.issue()
    await school.move(case, OAK)
    before = await follow(school)
    assert [event["subject"] for event in before] == [str(stays), str(case)]
    await school.move(case, ELM, was=OAK)
    after = await follow(school, before[-1]["id"])
    assert [(event["type"].split(".")[1], event["subject"]) for event in after] == [
        ("placement-changed", str(case)),
        ("plan-issued", str(case)),
        ("review-scheduled", str(case)),
    ]
    assert await follow(school, after[-1]["id"]) == []
    told = [d["event_id"] for d in await school.deliveries(status="delivered")]
    assert sorted(told) == sorted(event["id"] for event in [*before, *after])


async def test_what_is_told_anew_has_a_new_id_and_is_otherwise_the_same(school) -> None:
    """An id has one place in a feed: otherwise a reader who stands at it could mean either."""
    case = await school.issue()
    (had,) = (await read(school)).json()
    await _leaves_and_comes_back(school, case)
    again = [event for event in await follow(school) if event["type"] == had["type"]]
    assert len(again) == 1
    assert again[0]["id"] != had["id"]
    assert again[0] | {"id": had["id"]} == had


async def test_it_is_told_once_however_often_the_pupil_comes_and_goes(school) -> None:
    case = await school.issue()
    for _ in range(3):
        await _leaves_and_comes_back(school, case)
    seen = await follow(school)
    assert [event["type"].split(".")[1] for event in seen].count("plan-issued") == 1
    told_anew = [d for d in await school.deliveries() if d["reason"] == "told-anew"]
    assert len(told_anew) == 3


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_nothing_is_stepped_over_by_a_reader_who_stands_at_an_event_that_was_told_anew(
    school, limit: int
) -> None:
    """It had the event before the pupil left, and another reader has read far beyond since."""
    case = await school.issue()
    (had,) = await ids(school)
    await school.move(case, OAK)
    others = [str(await school.issue()) for _ in range(3)]
    await school.move(case, ELM, was=OAK)
    await follow(school)
    seen = await follow(school, had, limit=limit)
    assert len({event["id"] for event in seen}) == len(seen)
    told = sorted((event["type"].split(".")[1], event["subject"]) for event in seen)
    mine = [("placement-changed", str(case)), ("placement-changed", str(case)), ("plan-issued", str(case))]
    assert told == sorted([*mine, *(("plan-issued", other) for other in others)])


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
