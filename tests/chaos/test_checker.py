"""The checker turns red for each kind of broken promise. The evidence is made by hand: one pupil, one move, two schools."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from tests.chaos.checker import DOUBLED, LEAKED, LOST, MISORDERED, OTHER, STRANGER, check
from tests.chaos.evidence import (
    SLOW_BROKER,
    Delivery,
    Ending,
    Entry,
    Evidence,
    Outage,
    Parked,
    Sample,
    Written,
)

CASE, OLD, NEW = "case-1", "900001", "900002"
SECRET = "whsec_" + "c2VjcmV0" * 4
BEGAN = 1_800_000_000.0


def event(number: int, wire_type: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"event-{number}",
        "source": "/case-service",
        "type": wire_type,
        "subject": CASE,
        "sequence": f"{number:010d}",
        "data": data,
    }


def place(urn: str) -> dict[str, Any]:
    who = {"responsible_la": "351", "administering_la": "351", "officer": "officer-1"}
    return {"placement": {"urn": urn}, "responsible": who}


ISSUED = event(1, "ehcp.plan-issued.v1", place(OLD))
MOVED = event(2, "ehcp.placement-changed.v1", place(NEW) | {"previous": {"urn": OLD}})


def entry(offset: int, one: dict[str, Any], partition: int = 0) -> Entry:
    return Entry("ehcp.cases", partition, offset, CASE, json.dumps(one).encode())


def pushed(op: str, at: float, urn: str, expect: Any = None) -> list[dict[str, Any]]:
    route = {"school": urn, "icb": None, "social-care": None, "officer": "officer-1"}
    intent = {
        "at": at, "kind": "intent", "op": op, "what": "push", "service": "case", "method": "PUT", "ref": "LL-1",
        "expect": expect, "route": route,
    }  # fmt: skip
    outcome = {
        "at": at + 1, "kind": "outcome", "op": op, "outcome": "ok", "status": 200, "case": CASE, "sent": at,
        "part": "case.serve",
    }  # fmt: skip
    return [intent, outcome]


def request(at: float, urn: str, notice: str, one: dict[str, Any], verdict: Any = 204) -> dict[str, Any]:
    body = json.dumps(one)
    headers = {"webhook-id": notice, "webhook-timestamp": str(int(at))}
    headers["webhook-signature"] = Webhook(SECRET).sign(notice, datetime.fromtimestamp(int(at), UTC), body)
    digest = hashlib.sha256(body.encode()).hexdigest()
    return {
        "at": at,
        "partner": f"school-{urn}",
        "headers": headers,
        "body": body,
        "sha256": digest,
        "verdict": verdict,
    }


def seen_by(urn: str, one: dict[str, Any]) -> dict[str, Any]:
    """A school's own copy: it never learns of the other school."""
    kept = {side: {"urn": urn} for side in ("placement", "previous") if one["data"].get(side) == {"urn": urn}}
    return one | {"data": kept}


def school(urn: str) -> list[dict[str, Any]]:
    name = f"school-{urn}"
    known = {"at": 0, "kind": "partner", "name": name, "partner_kind": "school", "ref": urn, "id": f"p-{urn}"}
    return [known, {"at": 0, "kind": "secret", "name": name, "secret": SECRET}]


AWAY = Outage("the broker is cut off", BEGAN + 50, BEGAN + 60, 9, 1.0, 2.0, 30.0)
STRAY = ("ehcp.cases", "stray-1", hashlib.sha256(b"not json").hexdigest())


def steady(part: str = "case.serve", **more: float) -> list[Sample]:
    """Two minutes of one process that holds what it holds; `more` is what it holds more of with every second."""
    return [
        Sample(
            at=BEGAN + second,
            part=part,
            born=BEGAN,
            files=20 + int(second * more.get("files", 0)),
            threads=4,
            memory=100 + second * more.get("memory", 0),
        )
        for second in range(120)
    ]


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    """A run in which every promise was kept."""
    left = tmp_path / "case.work.log"
    left.write_bytes(b"nothing personal")
    log = [entry(0, ISSUED), entry(1, MOVED), entry(2, MOVED)]  # the second was sent twice
    body = {one["id"]: json.dumps(one).encode() for one in (ISSUED, MOVED)}
    return Evidence(
        load=[
            *school(OLD),
            *school(NEW),
            *school("900009"),
            *pushed("op-1", BEGAN, OLD, ["ehcp.plan-issued.v1", {}]),
            *pushed("op-2", BEGAN + 100, NEW),
            {"at": BEGAN, "kind": "child", "personal": ["Qxsurname00001"]},
            {"at": BEGAN, "kind": "blunder", "what": "date", "status": 422, "ref": None},
            {"at": BEGAN, "kind": "blunder", "what": "twin", "status": 409, "ref": "TW-1"},
        ],
        requests=[
            request(BEGAN + 2, OLD, "n-1", seen_by(OLD, ISSUED), 500),
            request(BEGAN + 8, OLD, "n-1", seen_by(OLD, ISSUED)),
            request(BEGAN + 102, OLD, "n-2", seen_by(OLD, MOVED)),
            request(BEGAN + 103, NEW, "n-3", seen_by(NEW, MOVED)),
        ],
        log=log,
        outbox={
            "case": [
                Written(one["id"], "ehcp.cases", CASE, n, body[one["id"]], True)
                for n, one in enumerate((ISSUED, MOVED), 1)
            ]
        },
        inbox={"reporting": Counter({"event-1": 1, "event-2": 1})},
        listens={"reporting": ("ehcp.cases",)},
        parked={"reporting": [Parked(*STRAY, "poison")]},
        strays=frozenset({STRAY}),
        contradictions=frozenset({"TW-1"}),
        lag={"reporting": 0},
        changes=[(CASE, 1, "event-1"), (CASE, 2, "event-2")],
        versions={CASE: 2},
        deliveries=[
            Delivery("n-1", "event-1", f"p-{OLD}", "webhook", "delivered", None),
            Delivery("n-2", "event-2", f"p-{OLD}", "webhook", "delivered", None),
            Delivery("n-3", "event-2", f"p-{NEW}", "webhook", "delivered", None, BEGAN + 104),
        ],
        attempts=[("n-1", 500), ("n-1", 204), ("n-2", 204), ("n-3", 204)],
        routes={"notification": {CASE: (NEW, None, None)}},
        fingerprints=("same", "same"),
        outages=[AWAY],
        rejoined={"reporting.work": [BEGAN + 51, BEGAN + 53, BEGAN + 55, BEGAN + 61]},
        silences=[(BEGAN + 400, BEGAN + 425)],
        replays=[BEGAN + 110],
        endings=[Ending("case.serve", BEGAN + 200, BEGAN + 203, "exit 0")],
        samples=steady(),
        connections={"case": 20},
        processes={"case": 3},
        left=[left],
    )


def test_a_run_in_which_every_promise_was_kept_is_green(evidence: Evidence) -> None:
    assert check(evidence) == []


def unsure(at: float, status: int | None, took: float = 1.0) -> dict[str, Any]:
    """An answer that says nothing about the push that was repeated later."""
    return pushed("op-1", at, OLD)[1] | {"at": at + took, "outcome": "info", "status": status}


Tamper = Callable[[Evidence], None]


def _without(name: str, index: int) -> Tamper:
    def tamper(evidence: Evidence) -> None:
        kept = list(getattr(evidence, name))
        del kept[index]
        setattr(evidence, name, kept)

    return tamper


def _with(name: str, value: Callable[[Evidence], Any]) -> Tamper:
    return lambda evidence: setattr(evidence, name, value(evidence))


def _changed(name: str, index: int, **changes: Any) -> Tamper:
    def tamper(evidence: Evidence) -> None:
        items = list(getattr(evidence, name))
        one = items[index]
        items[index] = one | changes if isinstance(one, dict) else one._replace(**changes)
        setattr(evidence, name, items)

    return tamper


def _all(evidence: Evidence, *tampers: Tamper) -> None:
    for tamper in tampers:
        tamper(evidence)


FRESH = json.dumps(MOVED | {"id": "event-3", "sequence": "0000000003"}).encode()
SAID_TO_A_STRANGER = request(BEGAN + 4, "900009", "n-4", seen_by("900009", ISSUED))
SAID_TOO_LATE = request(BEGAN + 300, OLD, "n-5", seen_by(OLD, ISSUED))
SAID_AFTER_THE_NEWS = request(BEGAN + 120, OLD, "n-6", seen_by(OLD, ISSUED))
TRIED_AGAIN_AFTER_THE_NEWS = request(BEGAN + 120, OLD, "n-1", seen_by(OLD, ISSUED))
TELLING = request(BEGAN + 102, OLD, "n-2", MOVED)


@pytest.mark.parametrize(
    ("invariant", "sort", "tamper"),
    [
        ("I1", LOST, _changed("load", 6, expect=["ehcp.plan-registered.v1", {}])),
        ("I1", LOST, _changed("load", 6, method="POST")),
        ("I1", OTHER, _changed("load", 7, outcome="info")),
        ("I1", DOUBLED, lambda e: _all(e, _changed("load", 9, outcome="fail"), _with("keys", lambda _: {"op-2": 200}))),
        ("I2", LOST, _without("changes", 0)),
        ("I2", LOST, _changed("load", 8, route={"school": "900003", "icb": None, "social-care": None, "officer": "x"})),
        ("I3", LOST, _with("log", lambda e: e.log[:1])),
        ("I3", OTHER, _with("log", lambda e: [*e.log, Entry("ehcp.cases", 0, 3, CASE, FRESH)])),
        ("I3", DOUBLED, _changed("log", 2, value=json.dumps(MOVED, indent=1).encode())),
        ("I4", MISORDERED, _with("log", lambda e: [e.log[1], e.log[0], e.log[2]])),
        ("I4", MISORDERED, _changed("log", 2, partition=1)),
        ("I5", LOST, _with("inbox", lambda _: {"reporting": Counter({"event-1": 1})})),
        ("I5", DOUBLED, _with("inbox", lambda _: {"reporting": Counter({"event-1": 1, "event-2": 2})})),
        ("I5", LOST, _with("routes", lambda _: {"notification": {CASE: (OLD, None, None)}})),
        ("I6", LOST, _without("deliveries", 2)),
        ("I6", DOUBLED, _with("deliveries", lambda e: [*e.deliveries, e.deliveries[2]._replace(id="n-9")])),
        ("I6", LOST, _changed("deliveries", 2, status="quarantined")),
        ("I7", LOST, _without("requests", 3)),
        ("I7", DOUBLED, _changed("requests", 0, sha256="0" * 64)),
        ("I7", STRANGER, _changed("deliveries", 0, partner_id=f"p-{NEW}")),
        ("I7", OTHER, _with("requests", lambda e: [*e.requests, SAID_TO_A_STRANGER])),
        ("I8", STRANGER, _with("requests", lambda e: [*e.requests, SAID_TO_A_STRANGER])),
        ("I8", STRANGER, _with("requests", lambda e: [*e.requests, SAID_TOO_LATE])),
        ("I8", STRANGER, _with("requests", lambda e: [*e.requests, SAID_AFTER_THE_NEWS])),
        ("I8", STRANGER, _with("requests", lambda e: [*e.requests, TRIED_AGAIN_AFTER_THE_NEWS])),
        ("I8", STRANGER, _with("requests", lambda e: [*e.requests, TELLING])),
        ("I9", OTHER, _with("fingerprints", lambda _: ("live", "rebuilt"))),
        ("I13", LOST, _with("lag", lambda _: {"reporting": 1})),
        ("I13", LOST, _with("parked", lambda e: {"reporting": [*e.parked["reporting"], Parked("ehcp.cases", CASE, "0", "gap")]})),
        ("I13", LOST, lambda e: setattr(e, "outbox", {"case": [row._replace(published=False) for row in e.outbox["case"]]})),
        ("I15", OTHER, _changed("requests", 0, headers={"webhook-id": "n-1", "webhook-timestamp": "1800000002", "webhook-signature": "v1,AAAA"})),
        ("I10", LEAKED, lambda e: e.left[0].write_bytes(b'{"error": "Qxsurname00001"}')),
        ("I10", LEAKED, lambda e: e.left[0].write_bytes(base64.b64encode(b"of Qxsurname00001"))),
        ("I10", LEAKED, lambda e: e.left[0].write_bytes(b'{"need": "SLCN"}')),
        ("I11", OTHER, _with("attempts", lambda e: [*e.attempts, ("n-3", 204)])),
        ("I11", OTHER, _with("attempts", lambda e: [("n-1", 503), *e.attempts[1:]])),
        ("I11", LOST, _without("attempts", 3)),
        ("I12", LOST, _with("parked", lambda _: {})),
        ("I12", DOUBLED, _with("parked", lambda e: {"reporting": [*e.parked["reporting"]] * 2})),
        ("I12", LOST, _with("contradictions", lambda _: frozenset())),
        ("I12", OTHER, _changed("load", 11, status=200)),
        ("I12", OTHER, _changed("load", 11, status=500)),
        ("I14", OTHER, _with("samples", lambda _: steady(files=1))),
        ("I14", OTHER, _with("samples", lambda _: steady(memory=1))),
        ("I14", OTHER, _with("samples", lambda _: [steady()[0]._replace(memory=400)])),
        ("I14", OTHER, _with("samples", lambda _: [steady()[0]._replace(threads=50)])),
        ("I14", OTHER, _with("samples", lambda _: [steady()[0]._replace(files=350)])),
        ("I14", OTHER, _with("connections", lambda _: {"case": 31})),
        ("F18", OTHER, _with("endings", lambda _: [Ending("case.serve", BEGAN, BEGAN + 16, "exit 0")])),
        ("F18", OTHER, _with("endings", lambda _: [Ending("case.serve", BEGAN, None, None)])),
        ("F18", OTHER, _with("load", lambda e: [*e.load, unsure(BEGAN + 202, 503)])),
        ("F20", OTHER, _with("outages", lambda _: [AWAY._replace(sent=31.0)])),
        ("F20", OTHER, _with("outages", lambda _: [AWAY._replace(sent=None)])),
        ("F20", OTHER, _with("outages", lambda _: [AWAY._replace(heard=46.0)])),
        ("F23", OTHER, _with("outages", lambda _: [AWAY._replace(what=SLOW_BROKER, began=BEGAN + 50, ended=BEGAN + 62)])),
        ("F23", OTHER, _with("rejoined", lambda _: {"reporting.work": []})),
        ("F25", OTHER, _with("load", lambda e: [*e.load, unsure(BEGAN + 10, 500)])),
        ("F26", OTHER, _with("load", lambda e: [*e.load, unsure(BEGAN + 401, 503, took=13)])),
        ("F26", OTHER, _with("load", lambda e: [*e.load, unsure(BEGAN + 401, None, took=2)])),
        ("F40", DOUBLED, _with("requests", lambda e: [*e.requests, request(BEGAN + 111, NEW, "n-3", seen_by(NEW, MOVED))])),
    ],
)  # fmt: skip
def test_a_broken_promise_is_found(evidence: Evidence, invariant: str, sort: str, tamper: Tamper) -> None:
    tamper(evidence)
    assert (invariant, sort) in {(found.invariant, found.sort) for found in check(evidence)}


def test_an_api_error_while_the_broker_is_away_is_the_hubs_fault_unless_the_process_was_dead(
    evidence: Evidence,
) -> None:
    evidence.load = [*evidence.load[:7], unsure(BEGAN + 52, 503), *evidence.load[7:]]
    assert [found.invariant for found in check(evidence)] == ["F20"]
    evidence.absences = {"case.serve": [(BEGAN + 51, BEGAN + 54)]}
    assert check(evidence) == []


@pytest.mark.parametrize(
    ("learned_at", "found"), [(BEGAN + 112, ["I8"]), (BEGAN + 118, [])], ids=["known", "still on its way"]
)
def test_what_is_said_before_the_news_of_a_leaving_has_come_is_forgiven_and_not_afterwards(
    evidence: Evidence, learned_at: float, found: list[str]
) -> None:
    evidence.learned = {"event-2": learned_at}
    evidence.requests = [*evidence.requests, TRIED_AGAIN_AFTER_THE_NEWS]
    assert [one.invariant for one in check(evidence)] == found


def test_a_school_whose_pupil_has_come_back_may_hear_of_the_pupil_again(evidence: Evidence) -> None:
    evidence.load = [*evidence.load, *pushed("op-3", BEGAN + 115, OLD)]
    evidence.requests = [*evidence.requests, TRIED_AGAIN_AFTER_THE_NEWS]
    assert not [found for found in check(evidence) if found.invariant == "I8"]


def test_a_file_that_is_broken_off_in_time_has_said_that_the_database_is_away(evidence: Evidence) -> None:
    intent = pushed("op-9", BEGAN + 401, OLD)[0] | {"what": "line"}
    evidence.load = [*evidence.load, intent, unsure(BEGAN + 401, None, took=2) | {"op": "op-9"}]
    assert "F26" not in {found.invariant for found in check(evidence)}
    evidence.load = [*evidence.load, unsure(BEGAN + 401, None, took=7) | {"op": "op-9"}]
    assert "F26" in {found.invariant for found in check(evidence)}
