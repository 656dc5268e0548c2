"""S73: the address of a webhook needs a second person and an echo before anything is sent to it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from standardwebhooks.webhooks import Webhook

from notification_service import addresses
from notification_service.channels import Outcome, echoes
from notification_service.targets import Answer

from .conftest import Middle, Town, echo, says_as_a_server

ELM = "900123"
FIRST, OTHER = "https://hooks.elm.example/ehcp", "https://new.elm.example/ehcp"


@pytest.fixture
async def school(quiet_town: Town) -> Town:
    """The school is registered and has no webhook."""
    await quiet_town.partner("school", ELM, hook=False)
    return quiet_town


async def propose(town: Town, url: str = FIRST) -> dict[str, Any]:
    body = {"partner_id": town.partners[ELM], "channel": "webhook", "url": url}
    answer = await town.officer.post("/v1/subscriptions", json=body)
    assert answer.status_code == 201
    made: dict[str, Any] = answer.json()
    return made


async def change(town: Town, subscription: str, **body: str) -> httpx2.Response:
    return await town.officer.patch(f"/v1/subscriptions/{subscription}", json=body, headers={"If-Match": "*"})


async def read(town: Town, subscription: str) -> dict[str, Any]:
    found: dict[str, Any] = (await town.officer.get(f"/v1/subscriptions/{subscription}")).json()
    return found


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].split("/")[-1]


# --- four eyes -------------------------------------------------------------------------------------------------------


async def test_an_address_that_nobody_approved_gets_nothing_at_all(school: Town) -> None:
    """Not even a challenge: whoever may propose must not be able to make us speak to a place of theirs."""
    made = await propose(school)
    assert (made["status"], made["url"]) == ("proposed", None)
    assert (made["proposed_url"], made["proposal"]) == (FIRST, "proposed")
    await school.issue()
    assert await school.challenge(school.answer) == 0
    assert await school.send() == 0
    assert school.requests == []
    assert await school.alerts(ELM) == ["approval-needed"]


async def test_what_a_new_webhook_is_owed_waits_and_is_sent_once_the_address_is_confirmed(
    school: Town,
) -> None:
    made = await propose(school)
    case = await school.issue()
    approved = await school.approve(made["id"], FIRST)
    assert (approved.status_code, approved.json()["proposal"]) == (200, "approved")
    assert await school.alerts(ELM) == []
    assert await school.send() == 0
    assert await school.challenge(echo) == 1
    confirmed = await read(school, made["id"])
    assert (confirmed["status"], confirmed["url"], confirmed["proposed_url"]) == ("active", FIRST, None)
    assert await school.send() == 1
    assert json.loads(school.requests[0].content)["subject"] == str(case)
    assert await school.challenge(school.answer) == 0


async def test_who_proposed_an_address_cannot_approve_it(school: Town) -> None:
    made = await propose(school)
    assert code(await school.approve(made["id"], FIRST, role="officer")) == (409, "conflict")
    assert (await read(school, made["id"]))["proposal"] == "proposed"


async def test_a_partner_proposes_and_only_the_council_approves(school: Town) -> None:
    partner = school.app.as_("school", org=ELM, las=())
    body = {"partner_id": school.partners[ELM], "channel": "webhook", "url": FIRST}
    made = (await partner.post("/v1/subscriptions", json=body)).json()
    place = f"/v1/subscriptions/{made['id']}/approval"
    assert code(await partner.post(place, json={"url": FIRST})) == (403, "forbidden")
    assert (await school.approve(made["id"], FIRST, la="352")).status_code == 404
    assert (await school.approve(made["id"], FIRST, role="officer")).status_code == 200


@pytest.mark.parametrize("url", [OTHER, FIRST + "/", "http://10.0.0.1/", "no address"])
async def test_the_address_is_restated_by_who_approves_it(school: Town, url: str) -> None:
    """Another one may have been put in its place since it was read."""
    made = await propose(school)
    assert code(await school.approve(made["id"], url)) == (409, "conflict")


async def test_an_address_that_was_put_in_place_of_the_one_approved_needs_an_approval_of_its_own(
    school: Town,
) -> None:
    made = await propose(school)
    await school.approve(made["id"], FIRST)
    assert (await change(school, made["id"], url=OTHER)).json()["proposal"] == "proposed"
    assert await school.challenge(school.answer) == 0
    assert code(await school.approve(made["id"], FIRST)) == (409, "conflict")
    assert await school.alerts(ELM) == ["approval-needed"]


async def test_an_echo_that_comes_after_another_address_was_proposed_counts_for_nothing(school: Town) -> None:
    made = await propose(school)
    await school.approve(made["id"], FIRST)
    async with school.app.hub.db.read() as session:
        late = await addresses.open_address(session, addresses.UUID(made["id"]))
    assert late is not None
    await change(school, made["id"], url=OTHER)
    answer = Answer(200, body=late.challenge.encode())
    await addresses._conclude(school.app.hub, late, answer, Middle())
    assert (await read(school, made["id"]))["url"] is None


async def test_who_answered_for_which_address_is_kept(school: Town) -> None:
    made = await propose(school)
    await change(school, made["id"], url=OTHER)
    await school.approve(made["id"], OTHER)
    await school.challenge(echo)
    async with school.app.hub.db.read() as session:
        query = text("SELECT url, state, proposed_by, approved_by FROM address ORDER BY proposed_at, rowid")
        rows = [tuple(row) for row in await session.execute(query)]
    assert rows == [
        (FIRST, "superseded", "officer-x", None),
        (OTHER, "confirmed", "officer-x", "manager-x"),
    ]


# --- the echo --------------------------------------------------------------------------------------------------------


async def test_the_challenge_is_signed_like_a_notice_and_tells_nothing(school: Town) -> None:
    made = await propose(school)
    await school.issue()
    await school.approve(made["id"], FIRST)
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return echo(request)

    await school.challenge(answer)
    (request,) = asked
    assert str(request.url) == FIRST
    assert json.loads(request.content).keys() == {"type", "challenge"}
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    signed = Webhook(made["secret"]).sign(request.headers["webhook-id"], at, request.content.decode())
    assert request.headers["webhook-signature"] == signed


CHALLENGE = "mKq0Vx0Zl7c3"


@pytest.mark.parametrize(
    ("answer", "is_echo"),
    [
        (Answer(200, body=b"mKq0Vx0Zl7c3"), True),
        (Answer(200, body=b" mKq0Vx0Zl7c3\n"), True),
        (Answer(200, body=b'{"challenge": "mKq0Vx0Zl7c3"}'), True),
        (Answer(200, body=b'{"challenge": "another"}'), False),
        (Answer(200, body=b'{"type": "ehcp.challenge", "challenge": "mKq0Vx0Zl7c3"}'), False),
        (Answer(200, body=b"you said mKq0Vx0Zl7c3"), False),
        (Answer(200, body=b"\xff"), False),
        (Answer(200, body=b"[" * 100_000), False),
        (Answer(200), False),
        (Answer(204), False),
        (Answer(302, body=b"mKq0Vx0Zl7c3"), False),
        (Answer(404, body=b"mKq0Vx0Zl7c3"), False),
        (Answer(failure="timeout"), False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_an_echo(answer: Answer, is_echo: bool) -> None:
    """A server that sends back whatever it gets has not read it."""
    assert echoes(answer, CHALLENGE) is is_echo


async def test_without_an_echo_it_is_tried_five_times_and_then_said(school: Town) -> None:
    made = await propose(school)
    await school.approve(made["id"], FIRST)

    def thanks(_: httpx2.Request) -> httpx2.Response:
        return says_as_a_server(b"thank you")

    for pause in (0, 5, 300, 1800, 7200):
        school.app.clock.pass_time(timedelta(seconds=pause - 1))
        assert await school.challenge(thanks) == 0 or pause == 0
        school.app.clock.pass_time(timedelta(seconds=1))
        await school.challenge(thanks)
    school.app.clock.pass_time(timedelta(days=1))
    assert await school.challenge(thanks) == 0
    failed = await read(school, made["id"])
    assert (failed["proposal"], failed["proposal_failure"], failed["url"]) == (
        "failed",
        Outcome.NO_ECHO,
        None,
    )
    assert await school.alerts(ELM) == ["address-failed"]

    await school.approve(made["id"], FIRST)
    await school.challenge(echo)
    assert (await read(school, made["id"]))["url"] == FIRST
    assert await school.alerts(ELM) == []


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (lambda _: httpx2.Response(302, headers={"location": OTHER}), "redirect"),
        (lambda _: httpx2.Response(401), "credentials"),
        (lambda _: httpx2.Response(503), "server-error"),
    ],
)
async def test_why_an_address_is_not_confirmed_can_be_read(school: Town, reply: Any, failure: str) -> None:
    made = await propose(school)
    await school.approve(made["id"], FIRST)
    await school.challenge(reply)
    shown = await read(school, made["id"])
    assert (shown["proposal"], shown["proposal_failure"]) == ("approved", failure)


# --- changing and ending ---------------------------------------------------------------------------------------------


@pytest.fixture
async def subscribed(school: Town) -> str:
    """A webhook in use."""
    made = await propose(school)
    await school.approve(made["id"], FIRST)
    await school.challenge(echo)
    return str(made["id"])


async def test_the_old_address_is_in_use_until_the_new_one_is_confirmed(
    school: Town, subscribed: str
) -> None:
    changed = (await change(school, subscribed, url=OTHER)).json()
    assert (changed["status"], changed["url"], changed["proposed_url"]) == ("active", FIRST, OTHER)
    await school.issue()
    await school.send()
    await school.approve(subscribed, OTHER)
    await school.challenge(echo)
    await school.issue()
    await school.send()
    assert [str(request.url) for request in school.requests] == [FIRST, OTHER]


async def test_the_address_in_use_said_again_is_no_proposal(school: Town, subscribed: str) -> None:
    answer = (await change(school, subscribed, url=FIRST)).json()
    assert (answer["url"], answer["proposed_url"]) == (FIRST, None)
    assert await school.alerts(ELM) == []


async def test_a_paused_webhook_stays_paused_at_its_new_address(school: Town, subscribed: str) -> None:
    await change(school, subscribed, status="disabled", url=OTHER)
    await school.approve(subscribed, OTHER)
    await school.challenge(echo)
    paused = await read(school, subscribed)
    assert (paused["status"], paused["url"]) == ("disabled", OTHER)
    assert (await change(school, subscribed, status="active")).json()["status"] == "active"


async def test_one_that_has_no_address_yet_cannot_be_switched_on(school: Town) -> None:
    made = await propose(school)
    assert code(await change(school, made["id"], status="active")) == (409, "conflict")


async def test_with_the_subscription_its_proposal_ends(school: Town) -> None:
    made = await propose(school)
    await school.approve(made["id"], FIRST)
    await school.officer.delete(f"/v1/subscriptions/{made['id']}")
    assert await school.challenge(school.answer) == 0
    assert await school.alerts(ELM) == []
    assert (await school.approve(made["id"], FIRST)).status_code == 404
