"""The sender against fake partners: what each answer leads to, order, leases, bulkheads, replays."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from math import inf
from pathlib import Path
from uuid import UUID, uuid4

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from standardwebhooks.webhooks import Webhook

from ehcp_contracts.envelope import Envelope
from ehcp_contracts.events import (
    Facts,
    NotificationDelivered,
    NotificationFailed,
    Placement,
    PlanIssued,
    Responsible,
)
from notification_service import sender, vault
from notification_service.claims import SLOTS, InFlight, claim
from notification_service.ledger import Result, record
from notification_service.schedule import SCHEDULE
from notification_service.sender import Sender
from notification_service.targets import Answer, Outside
from service_kit.database import Unavailable

from .conftest import echo

ELM, OAK = "900123", "900456"
SCHOOL_HOOK = f"{ELM}.example"


def says(status: int, **headers: str):
    return lambda _: httpx2.Response(status, headers={k.replace("_", "-"): v for k, v in headers.items()})


def fails_with(error: Exception):
    def reply(_: httpx2.Request) -> httpx2.Response:
        raise error

    return reply


@pytest.fixture
async def school(quiet_town):
    """Only the school is registered, with a webhook."""
    await quiet_town.partner("school", ELM)
    return quiet_town


async def the_push(town) -> dict:
    (push,) = await town.pushes(ELM)
    return push


# --- one delivery ----------------------------------------------------------------------------------------------------


async def test_a_notice_is_signed_sent_marked_and_published(school) -> None:
    """I7, I15: the third-party library agrees on the signature; the ledger and the topic know."""
    case = await school.issue()
    assert await school.send() == 1
    (request,) = school.requests
    secret = school.subscriptions[ELM]["secret"]
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), school.app.clock.now().tzinfo)
    expected = Webhook(secret).sign(request.headers["webhook-id"], at, request.content.decode())
    assert request.headers["webhook-signature"] == expected
    assert request.headers["content-type"] == "application/cloudevents+json"

    push = await the_push(school)
    assert (push["status"], push["attempts"], push["id"]) == ("delivered", 1, request.headers["webhook-id"])
    (attempt,) = await school.attempts(push["id"])
    assert (attempt["outcome"], attempt["status_code"], attempt["late"]) == ("delivered", 204, False)
    (published,) = await school.app.sent()
    assert (published.type, published.subject) == (NotificationDelivered.wire_type, str(case))
    assert published.data == {
        "delivery_id": push["id"],
        "event_id": json.loads(request.content)["id"],
        "event_type": "ehcp.plan-issued.v1",
        "partner_id": school.partners[ELM],
        "partner_kind": "school",
        "channel": "webhook",
        "attempts": 1,
    }


async def test_the_trace_of_the_cause_goes_with_the_notice_and_with_what_is_published(school) -> None:
    case = uuid4()
    await school.app.deliver_raw("ehcp.cases", str(case), _issued(case).to_bytes())
    await school.app.settle()
    await school.send()
    assert school.requests[0].headers["traceparent"] == TRACE
    assert (await school.app.sent())[0].traceparent == TRACE


async def test_every_attempt_has_the_same_id_and_bytes_and_its_own_time(school) -> None:
    """B09, I7."""
    school.reply = says(500)
    await school.issue()
    await school.send()
    await school.send_after(5)
    first, second = school.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.content == second.content
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]


async def test_the_schedule_is_followed_and_then_the_notice_is_quarantined_and_said(school) -> None:
    """F36, F39: ten attempts at their times, then NotificationFailed and an alert; nothing is forgotten."""
    school.reply = says(503)
    await school.issue()
    assert await school.send() == 1
    for pause in SCHEDULE[1:]:
        assert await school.send_after(pause - 1) == 0
        assert await school.send_after(1) == 1
    push = await the_push(school)
    assert (push["status"], push["reason"], push["attempts"]) == ("quarantined", "server-error", 10)
    assert [a["outcome"] for a in await school.attempts(push["id"])] == ["server-error"] * 10
    assert await school.alerts(ELM) == ["quarantined"]
    (published,) = await school.app.sent()
    assert published.type == NotificationFailed.wire_type
    assert (published.data["failure"], published.data["attempts"]) == ("server-error", 10)
    assert await school.send_after(7 * 86400) == 0


@pytest.mark.parametrize(
    ("reply", "outcome", "pause"),
    [
        (says(302, location="https://elsewhere.example/"), "redirect", 5),
        (says(400), "refused", 5),
        (says(401), "credentials", 5),
        (says(404), "refused", 5),
        (says(422), "refused", 5),
        (says(408), "throttled", 60),
        (says(425), "throttled", 60),
        (says(429), "throttled", 60),
        (says(429, retry_after="90"), "throttled", 90),
        (says(429, retry_after="7"), "throttled", 60),
        (says(503, retry_after="7"), "server-error", 7),
        (says(503, retry_after="1000000000"), "server-error", 5),
        (says(503, retry_after="-1"), "server-error", 5),
        (says(503, retry_after="soon"), "server-error", 5),
        (fails_with(httpx2.ConnectError("refused")), "network", 5),
        (fails_with(httpx2.ReadTimeout("slow")), "timeout", 60),
        (fails_with(httpx2.RemoteProtocolError("empty")), "protocol", 5),
    ],
)
async def test_what_a_failure_leads_to(school, reply, outcome: str, pause: int) -> None:
    """bad-inputs 5.3-5.6, 5.8: the pause is the schedule's, a minute at least after a timeout or 429, or Retry-After
    where it lies within [base, 2 x base]."""
    school.reply = reply
    await school.issue()
    sent_at = school.app.clock.now()
    await school.send()
    push = await the_push(school)
    assert (push["status"], push["reason"]) == ("pending", outcome)
    assert datetime.fromisoformat(push["next_attempt_at"]) - sent_at == timedelta(seconds=pause)


@pytest.mark.parametrize(("status", "kind"), [(401, "credentials"), (403, "credentials"), (404, "refused")])
async def test_three_refusals_in_a_row_are_told_to_the_officer_and_trying_goes_on(
    school, status: int, kind: str
) -> None:
    """bad-inputs 5.4, 5.5."""
    school.reply = says(status)
    await school.issue()
    await school.send()
    await school.send_after(5)
    assert await school.alerts(ELM) == []
    await school.send_after(300)
    assert await school.alerts(ELM) == [kind]
    await school.send_after(1800)
    assert await school.alerts(ELM) == [kind]
    school.reply = says(204)
    await school.send_after(7200)
    assert (await the_push(school))["status"] == "delivered"
    assert await school.alerts(ELM) == []


async def test_gone_disables_the_address_and_keeps_the_notices(school) -> None:
    """bad-inputs 5.7: the one that was told is failed, the others wait, and all go once the address is mended."""
    cases = [await school.issue() for _ in range(3)]
    school.reply = says(410)
    async with school.app.hub.db.write() as tx:  # a failing endpoint is tried one at a time
        await tx.execute(text("UPDATE subscription SET failing_since = '2026-09-01 00:00:00'"))
    assert await school.send() == 1
    subscription = f"/v1/subscriptions/{school.subscriptions[ELM]['id']}"
    state = (await school.officer.get(subscription)).json()
    assert (state["status"], state["disabled_reason"]) == ("disabled", "gone")
    assert await school.alerts(ELM) == ["gone"]
    assert Counter(push["status"] for push in await school.pushes(ELM)) == {"quarantined": 1, "pending": 2}
    assert await school.send_after(86400) == 0
    await school.issue()
    assert len(await school.pushes(ELM)) == 4

    school.reply = says(204)
    change = {"url": "https://900123.example/new", "status": "active"}
    changed = await school.officer.patch(subscription, json=change, headers={"If-Match": "*"})
    assert changed.json()["status"] == "disabled"  # the old address is gone; the new one has to be confirmed
    await school.approve(school.subscriptions[ELM]["id"], change["url"])
    await school.challenge(echo)
    await school.officer.post(f"/v1/partners/{school.partners[ELM]}/replay")
    await school.send()
    assert {push["status"] for push in await school.pushes(ELM)} == {"delivered"}
    assert await school.alerts(ELM) == []
    assert len(cases) == 3


# --- order, leases, bulkheads ----------------------------------------------------------------------------------------


async def test_the_notices_of_a_case_reach_an_address_in_order(school) -> None:
    """The second waits while the first is in retry, and its own schedule does not begin meanwhile."""
    school.reply = says(500)
    case = await school.issue()
    await school.due(case)
    other = await school.issue()
    assert await school.send() == 2  # the first of each case
    assert [b["subject"] for b in school.received(ELM)] == [str(case), str(other)]
    school.reply = says(204)
    await school.send_after(5)
    assert [b["type"].split(".")[1] for b in school.received(ELM) if b["subject"] == str(case)] == [
        "plan-issued",
        "plan-issued",
        "review-due",
    ]
    by_type = {push["event_type"]: push["attempts"] for push in await school.pushes(ELM)}
    assert by_type["ehcp.review-due.v1"] == 1


async def test_two_senders_never_claim_the_same_notice(school) -> None:
    await school.issue()
    now = school.app.clock.now()
    async with school.app.hub.db.write() as tx:
        first = await claim(tx, now, InFlight(), school.app.hub.settings)
    async with school.app.hub.db.write() as tx:
        second = await claim(tx, now, InFlight(), school.app.hub.settings)
    assert (len(first), len(second)) == (1, 0)


async def test_the_late_mark_of_a_frozen_sender_is_a_no_op(school) -> None:
    """F19, B10: it lost its lease, another sender delivered; its request is on record, its verdict is not taken."""
    await school.issue()
    hub, start = school.app.hub, school.app.clock.now()
    async with hub.db.write() as tx:
        (frozen,) = await claim(tx, start, InFlight(), school.app.hub.settings)
    assert await school.send_after(59) == 0
    assert await school.send_after(2) == 1
    async with hub.db.write() as tx:
        later = school.app.clock.now()
        await record(tx, [Result(frozen, Answer(status=500), start)], later, sender.random.Random(1))
    push = await the_push(school)
    assert (push["status"], push["attempts"]) == ("delivered", 1)
    assert sorted((a["outcome"], a["late"]) for a in await school.attempts(push["id"])) == [
        ("delivered", False),
        ("server-error", True),
    ]
    assert len(await school.app.sent()) == 1


async def test_a_request_under_way_while_the_pupil_moves_is_admitted(school) -> None:
    """The old school took a notice in the very moment of the move: nothing is marked, and an alert says so."""
    case = await school.issue()
    hub, now = school.app.hub, school.app.clock.now()
    async with hub.db.write() as tx:
        (under_way,) = await claim(tx, now, InFlight(), school.app.hub.settings)
    await school.move(case, OAK)
    async with hub.db.write() as tx:
        await record(tx, [Result(under_way, Answer(status=200), now)], now, sender.random.Random(1))
    assert await school.alerts(ELM) == ["told-after-move"]
    assert (await school.pushes(ELM))[0]["status"] == "cancelled"


async def test_entitlement_is_asked_again_at_each_attempt(school) -> None:
    """B03: here nothing cancelled the notice before; only the check at sending stands in the way."""
    school.reply = says(500)
    await school.issue()
    await school.send()
    async with school.app.hub.db.write() as tx:
        await tx.execute(text("UPDATE case_route SET urn = :oak"), {"oak": OAK})
    assert await school.send_after(5) == 0
    push = await the_push(school)
    assert (push["status"], push["reason"]) == ("cancelled", "no-longer-entitled")


async def _switch(school, active: bool) -> None:
    partner = f"/v1/partners/{school.partners[ELM]}"
    answer = await school.officer.patch(partner, json={"active": active}, headers={"If-Match": "*"})
    assert answer.status_code == 200


async def test_a_partner_that_is_switched_off_gets_nothing_until_it_is_switched_on_again(school) -> None:
    """F47: nothing is lost by it, neither what waited nor what happens meanwhile."""
    waited = await school.issue()
    await _switch(school, False)
    assert await school.send() == 0
    meanwhile = await school.issue()
    assert await school.send() == 0
    assert [d["status"] for d in await school.pushes(ELM)] == ["pending", "pending"]
    await _switch(school, True)
    assert await school.send() == 2
    assert [body["subject"] for body in school.received(ELM)] == [str(waited), str(meanwhile)]


async def test_a_pupil_who_leaves_while_the_school_is_switched_off_is_not_told_afterwards(school) -> None:
    case = await school.issue()
    await _switch(school, False)
    await school.due(case)
    await school.move(case, OAK)
    await _switch(school, True)
    await school.send()
    assert school.heard(ELM) == ["placement-changed"]


class _Gate(httpx2.AsyncBaseTransport):
    """A network where one host never answers until it is opened."""

    def __init__(self, slow: str) -> None:
        self.slow, self.open = slow, asyncio.Event()
        self.arrived: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        host = request.url.host
        self.arrived[host] += 1
        if host == self.slow:
            self.under_way[host] += 1
            await self.open.wait()
        return httpx2.Response(204)


async def test_a_dead_partner_does_not_delay_the_others(town) -> None:
    """S74, F35: with the school hanging, everybody else is served in full; the school holds its own slots only."""
    for _ in range(SLOTS + 5):
        await town.issue()
    gate = _Gate(slow=SCHOOL_HOOK)
    async with Outside(transport=gate) as outside:
        working = Sender(town.app.hub, outside, start_within=inf)
        now = town.app.clock.now()
        while await working.turn(now) or gate.arrived["qop.example"] < SLOTS + 5:
            await asyncio.sleep(0)
        assert gate.under_way == {SCHOOL_HOOK: SLOTS}
        assert gate.arrived["qop.example"] == gate.arrived["team-a.example"] == SLOTS + 5
        gate.open.set()
        await asyncio.gather(*working._tasks)
        await working.drain(now)
    assert gate.arrived[SCHOOL_HOOK] == SLOTS + 5


async def test_a_failing_endpoint_is_tried_one_request_at_a_time(school) -> None:
    for _ in range(5):
        await school.issue()
    async with school.app.hub.db.write() as tx:
        await tx.execute(text("UPDATE subscription SET failing_since = '2026-09-01 00:00:00'"))
        assert len(await claim(tx, school.app.clock.now(), InFlight(), school.app.hub.settings)) == 1


async def test_a_sender_that_dies_leaves_the_notice_to_the_next(school) -> None:
    """F11-F13: the lease runs out, the notice is sent again with the same id."""
    await school.issue()
    async with school.app.hub.db.write() as tx:
        (lost,) = await claim(tx, school.app.clock.now(), InFlight(), school.app.hub.settings)
    assert await school.send_after(61) == 1
    assert school.requests[0].headers["webhook-id"] == str(lost.id)


async def test_when_the_database_is_away_results_are_kept_for_the_next_turn(
    school, monkeypatch: pytest.MonkeyPatch
) -> None:
    await school.issue()
    async with Outside(transport=httpx2.MockTransport(school.answer)) as outside:
        working = Sender(school.app.hub, outside, start_within=inf)
        now = school.app.clock.now()
        assert await working.turn(now) == 1
        await asyncio.gather(*working._tasks)
        with monkeypatch.context() as away:
            away.setattr(sender, "record", _away)
            with pytest.raises(Unavailable):
                await working.turn(now)
        await working.turn(now)
    assert (await the_push(school))["status"] == "delivered"


async def _away(*_: object) -> None:
    raise ConnectionError


async def test_the_job_sends_what_is_committed_and_stops_when_it_is_told(school) -> None:
    await school.issue()
    done = asyncio.Event()

    def reply(request: httpx2.Request) -> httpx2.Response:
        done.set()
        return httpx2.Response(204)

    async with Outside(transport=httpx2.MockTransport(reply)) as outside:
        job = asyncio.create_task(Sender(school.app.hub, outside, start_within=inf).run())
        async with asyncio.timeout(60):
            await done.wait()
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job


# --- secrets ---------------------------------------------------------------------------------------------------------


async def test_during_a_rotation_both_secrets_verify_each_notice(school) -> None:
    """S70, S62."""
    old = school.subscriptions[ELM]["secret"]
    answer = await school.officer.post(f"/v1/subscriptions/{school.subscriptions[ELM]['id']}/rotate-secret")
    new = answer.json()["secret"]
    await school.issue()
    await school.send()
    assert [_signs(secret, school.requests[0]) for secret in (old, new)] == [True, True]
    school.app.clock.pass_time(timedelta(hours=25))
    await school.issue()
    await school.send()
    assert [_signs(secret, school.requests[1]) for secret in (old, new)] == [False, True]


def _signs(secret: str, request: httpx2.Request) -> bool:
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), tz=None).astimezone()
    expected = Webhook(secret).sign(request.headers["webhook-id"], at, request.content.decode())
    return expected in request.headers["webhook-signature"].split(" ")


# --- secrets at rest -------------------------------------------------------------------------------------------------


async def _kept(school) -> str:
    async with school.app.hub.db.read() as session:
        return str((await session.execute(text("SELECT keys FROM subscription"))).scalar_one())


async def test_the_database_holds_no_secret_that_can_be_read(school) -> None:
    """Who has the database or a backup of it cannot sign in our name (13.3, S61); the sender, who has the key, can."""
    shown = school.subscriptions[ELM]["secret"]
    assert shown.removeprefix("whsec_") not in await _kept(school)
    assert "whsec_" not in await _kept(school)
    await school.issue()
    await school.send()
    assert _signs(shown, school.requests[0])


def _with_keys(school, *keys: bytes) -> None:
    """The same hub with another ring of keys, as after a restart."""
    ring = tuple(SecretStr(base64.b64encode(key).decode()) for key in keys)
    hub = school.app.hub
    object.__setattr__(hub, "settings", hub.settings.model_copy(update={"sealing_keys": ring}))


async def test_keys_are_changed_without_a_notice_failing(school) -> None:
    """S62: the new key comes first, secrets are sealed anew, then the old key goes."""
    first = base64.b64decode((school.app.hub.settings.data_dir / "sealing.key").read_bytes())
    second = bytes(range(32))
    secret = school.subscriptions[ELM]["secret"]
    for ring in ((second, first), (second,)):
        _with_keys(school, *ring)
        await school.issue()
        await school.send()
        await vault.seal_anew(school.app.hub)
    assert [_signs(secret, request) for request in school.requests] == [True, True]


async def test_with_the_key_lost_nothing_goes_out_unsigned_and_the_ledger_says_why(school) -> None:
    _with_keys(school, bytes(range(32)))
    await vault.seal_anew(school.app.hub)
    await school.issue()
    await school.send()
    assert school.requests == []
    push = await the_push(school)
    assert (push["status"], push["reason"], push["attempts"]) == ("pending", "no-key", 1)


async def test_a_secret_that_was_kept_before_there_were_keys_is_sealed(school) -> None:
    secret = school.subscriptions[ELM]["secret"]
    async with school.app.hub.db.write() as tx:
        plain = json.dumps([{"secret": secret, "until": None}])
        await tx.execute(text("UPDATE subscription SET keys = :plain"), {"plain": plain})
    await vault.seal_anew(school.app.hub)
    assert "whsec_" not in await _kept(school)
    await school.issue()
    await school.send()
    assert _signs(secret, school.requests[0])


# --- replays ---------------------------------------------------------------------------------------------------------


async def _exhaust(town) -> None:
    town.reply = says(500)
    await town.send()
    for pause in SCHEDULE[1:]:
        await town.send_after(pause)
    town.requests.clear()
    town.reply = says(204)


async def test_replaying_a_partner_sends_each_given_up_notice_once(school) -> None:
    """F39, bad-inputs 7.3: pressing it again adds nothing."""
    for _ in range(3):
        await school.issue()
    await _exhaust(school)
    assert {push["status"] for push in await school.pushes(ELM)} == {"quarantined"}
    replay = f"/v1/partners/{school.partners[ELM]}/replay"
    assert (await school.officer.post(replay)).json() == {"replayed": 3}
    assert (await school.officer.post(replay)).json() == {"replayed": 0}
    assert await school.send() == 3
    assert (await school.officer.post(replay)).json() == {"replayed": 0}
    assert await school.send() == 0
    assert len({request.headers["webhook-id"] for request in school.requests}) == 3
    assert await school.alerts(ELM) == []


async def test_a_replayed_notice_has_its_whole_schedule_before_it(school) -> None:
    await school.issue()
    await _exhaust(school)
    push = await the_push(school)
    await school.officer.post(f"/v1/deliveries/{push['id']}/replay")
    school.reply = says(500)
    assert await school.send() == 1
    push = await the_push(school)
    assert (push["status"], push["attempts"]) == ("pending", 11)


async def test_a_delivered_notice_can_be_sent_again_and_is_not_announced_twice(school) -> None:
    await school.issue()
    await school.send()
    push = await the_push(school)
    answer = await school.officer.post(f"/v1/deliveries/{push['id']}/replay")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    await school.send()
    assert school.requests[0].headers["webhook-id"] == school.requests[1].headers["webhook-id"]
    assert len(await school.app.sent()) == 1


async def test_a_withdrawn_notice_is_not_replayed(school) -> None:
    case = await school.issue()
    await school.move(case, OAK)
    (withdrawn,) = [p for p in await school.pushes(ELM) if p["status"] == "cancelled"]
    answer = await school.officer.post(f"/v1/deliveries/{withdrawn['id']}/replay")
    assert (answer.status_code, answer.json()["type"].split("/")[-1]) == (409, "conflict")


async def test_after_a_new_subscription_given_up_notices_go_to_its_address(school) -> None:
    await school.issue()
    await _exhaust(school)
    await school.officer.delete(f"/v1/subscriptions/{school.subscriptions[ELM]['id']}")
    push = await the_push(school)
    assert (await school.officer.post(f"/v1/deliveries/{push['id']}/replay")).status_code == 409
    await school.subscribe(ELM)
    assert (await school.officer.post(f"/v1/deliveries/{push['id']}/replay")).status_code == 202
    await school.send()
    assert _signs(school.subscriptions[ELM]["secret"], school.requests[0])


async def test_ending_a_subscription_withdraws_what_waits_for_it(school) -> None:
    await school.issue()
    answer = await school.officer.delete(f"/v1/subscriptions/{school.subscriptions[ELM]['id']}")
    assert answer.status_code == 204
    assert await school.send() == 0
    push = await the_push(school)
    assert (push["status"], push["reason"]) == ("cancelled", "unsubscribed")


def test_no_other_module_of_this_service_opens_a_connection() -> None:
    """S75: the guard is the only way out."""
    package = Path(sender.__file__).parent
    found = [
        path.name
        for path in sorted(package.glob("*.py"))
        if path.name != "targets.py"
        and any(word in path.read_text() for word in ("httpx", "httpcore", "socket"))
    ]
    assert found == []


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _issued(case: UUID) -> Envelope:
    event = PlanIssued(
        issued_on=date(2026, 9, 1),
        placement=Placement(urn=ELM),
        responsible=Responsible(responsible_la="351", administering_la="351"),
        facts=Facts(academic_year="2026/27", year_group=5),
    )
    return Envelope(
        id=uuid4(),
        source="/case-service",
        type=event.wire_type,
        subject=str(case),
        time=datetime(2026, 9, 1, 9, 0, tzinfo=UTC),
        sequence=1,
        partitionkey=str(case),
        traceparent=TRACE,
        lacode="351",
        data=event.model_dump(mode="json"),
    )
