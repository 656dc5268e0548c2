"""The invariants of the reliability plan (section 8), held against the evidence of a run.

Written apart from the services, which it does not import: it reads CloudEvents as JSON, judges entitlement by what
Liquid Logic pushed, and verifies signatures with the library that partners use.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, inf
from typing import Any

from standardwebhooks.webhooks import Webhook

from .canaries import Canaries, unseen
from .evidence import SLOW_BROKER, Delivery, Evidence, Sample

LOST, DOUBLED, MISORDERED, STRANGER = "lost", "doubled", "misordered", "to strangers"
LEAKED, OTHER = "leaked", "otherwise"
GRACE = 60.0
"""Seconds after a change in which a partner may still be told (I8)."""
IN_FLIGHT = 5.0
"""Seconds in which a request may still arrive that was begun before the news of a leaving had come."""
HEARD_WITHIN = 45.0
"""Seconds after an outage of the broker in which everybody hears again of what was written meanwhile."""
MOST_REBALANCES = 3
"""In a minute in which the broker is slow."""
ENDS_WITHIN = 15.0
ANSWERED_WITHIN = 6.0
"""Seconds in which an API says that its database does not answer."""
LINES = ("line", "new line")
"""What an operation is called that was a line of a file."""
SAYS_SO = (409, 429, 503)
"""How an API may say that it could not do it now."""
MOST_FILES, MOST_THREADS, MOST_MEMORY = 300, 40, 350.0
"""What one process may hold: open files (a sender has a connection for each of its requests), threads, MB."""
CONNECTIONS_OF_A_PROCESS = 10
"""The pool of this run (5), what it may go beyond it (4), and the relay's lock."""
STEADY_AFTER = 30.0
MORE_FILES, MORE_MEMORY = 30, 40.0
"""How much more a process may hold at the end of its life than when it had become steady: open files, MB."""
TIMESTAMP_TOLERANCE = 300.0
PUSHED_TO_ALL = frozenset(
    {
        "ehcp.plan-issued.v1",
        "ehcp.amendment-notice-sent.v1",
        "ehcp.amendment-issued.v1",
        "ehcp.review-due.v1",
        "ehcp.review-overdue.v1",
        "ehcp.review-meeting-booked.v1",
        "ehcp.review-report-received.v1",
        "ehcp.review-decided.v1",
    }
)
"""What every partner of a case is told by webhook, whatever its kind."""
MOVES = frozenset({"ehcp.placement-changed.v1", "ehcp.case-facts-changed.v1"})
ROUTED = MOVES | {"ehcp.plan-issued.v1", "ehcp.plan-registered.v1"}
NEED = ('"SLCN"', "primary_need")
"""The need of every child of the load, as it would stand in JSON, and the name of the field."""
KINDS = ("school", "icb", "social-care")


@dataclass(frozen=True)
class Violation:
    """One way in which a promise was not kept."""

    invariant: str
    sort: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.sort}: {self.text}"


Found = Iterator[Violation]


def check(evidence: Evidence) -> list[Violation]:
    """All violations of all invariants."""
    return [violation for invariant in INVARIANTS for violation in invariant(evidence)]


# -- what was accepted exists, once --------------------------------------------------------------------------------------


def _operations(evidence: Evidence) -> list[dict[str, Any]]:
    """What was asked for, each with its last known outcome and the case it concerned."""
    asked = {entry["op"]: dict(entry) for entry in evidence.load if entry["kind"] == "intent"}
    for entry in evidence.load:
        if entry["kind"] == "outcome":
            known = {"outcome": entry["outcome"], "done": entry["at"], "status": entry["status"]}
            asked[entry["op"]] |= known | ({"case": entry["case"]} if entry["case"] else {})
    cases = {op["ref"]: op["case"] for op in asked.values() if op.get("case")}
    for op in asked.values():
        op["case"] = cases.get(op["ref"])
    return list(asked.values())


def every_write_is_known_and_kept(evidence: Evidence) -> Found:
    """I1: an accepted write left its key with its answer, a refused one left nothing, and none is unknown."""
    for op in _operations(evidence):
        kept = evidence.keys.get(op["op"])
        match op.get("outcome"):
            case "ok" if op["method"] == "POST" and kept != op["status"]:
                yield Violation("I1", LOST, f"{op['op']} {op['what']}: answered {op['status']}, kept {kept}")
            case "fail" if kept is not None:
                yield Violation("I1", DOUBLED, f"{op['op']} {op['what']}: refused and yet done")
            case None | "info":
                yield Violation("I1", OTHER, f"{op['op']} {op['what']}: outcome never known")


def every_write_has_its_event(evidence: Evidence) -> Found:
    """Each accepted write led to its event in the log, exactly once; what was refused led to none."""
    by_case: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for event in evidence.events:
        by_case[event["subject"], event["type"]].append(event["data"])
    for op in _operations(evidence):
        if not op["expect"] or op.get("outcome") != "ok":
            continue
        wire_type, wanted = op["expect"]
        found = [data for data in by_case[op["case"], wire_type] if _holds(data, wanted)]
        if len(found) != 1:
            sort = DOUBLED if found else LOST
            yield Violation("I1", sort, f"{op['op']} {op['what']}: {len(found)} × {wire_type}")


def _holds(data: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(data.get(name) == value for name, value in wanted.items())


def snapshots_are_told_in_their_order(evidence: Evidence) -> Found:
    """The routes that Liquid Logic pushed for a case are the routes its events tell: all of them, in that order."""
    pushed: dict[str, list[Any]] = defaultdict(list)
    for op in sorted(_operations(evidence), key=lambda op: op["at"]):
        if op["route"] and op.get("outcome") == "ok" and op["case"]:
            pushed[op["case"]].append(tuple(op["route"].values()))
    told: dict[str, list[Any]] = {case: [] for case in pushed}
    for event in evidence.events:
        if event["type"] in ROUTED:
            told.setdefault(event["subject"], []).append(_route_after(event, told.get(event["subject"], [])))
    for case, routes in told.items():
        wanted, found = _without_repeats(pushed.get(case, [])), _without_repeats(routes)
        if wanted != found:
            missing, extra = Counter(wanted) - Counter(found), Counter(found) - Counter(wanted)
            sort = LOST if missing else DOUBLED if extra else MISORDERED
            yield Violation("I2", sort, f"case {case}: pushed {wanted}, told {found}")


def _route_after(event: Mapping[str, Any], before: list[Any]) -> tuple[Any, ...]:
    """School, ICB, team and officer as an event leaves them."""
    data = event["data"]
    urn = data["placement"].get("urn") if "placement" in data else before[-1][0] if before else None
    who = data["responsible"]
    return urn, who.get("icb"), who.get("social_care_team"), who.get("officer")


def _without_repeats(values: Iterable[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if not kept or kept[-1] != value:
            kept.append(value)
    return kept


def changes_and_events_belong_together(evidence: Evidence) -> Found:
    """I2: the changes of a case are numbered 1 to its version, and each event of case-service belongs to one of them."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for case, version, _ in evidence.changes:
        numbers[case].append(version)
    for case, version in evidence.versions.items():
        if numbers[case] != list(range(1, version + 1)):
            yield Violation("I2", LOST, f"case {case}: version {version}, changes {numbers[case]}")
    told = Counter(event for _, _, event in evidence.changes if event)
    written = {row.event_id for row in evidence.outbox.get("case", ())}
    for event in written ^ set(told):
        yield Violation("I2", LOST, f"event {event}: in one of outbox and history only")
    for event, times in told.items():
        if times > 1:
            yield Violation("I2", DOUBLED, f"event {event}: {times} changes")


# -- the log --------------------------------------------------------------------------------------------------------------


def log_equals_outbox(evidence: Evidence) -> Found:
    """I3: the log holds what the outboxes hold, byte for byte; what it holds twice is the same twice."""
    written = {row.event_id: row for rows in evidence.outbox.values() for row in rows}
    logged: dict[str, set[bytes]] = defaultdict(set)
    for entry in evidence.log:
        event = entry.event
        logged[event["id"]].add(entry.value)
        row = written.get(event["id"])
        if row is None:
            yield Violation("I3", OTHER, f"event {event['id']} of {event['type']}: in the log only")
        elif (row.topic, row.subject, row.body) != (entry.topic, entry.key, entry.value):
            yield Violation("I3", OTHER, f"event {event['id']}: changed on its way")
    for event_id, bodies in logged.items():
        if len(bodies) > 1:
            yield Violation("I3", DOUBLED, f"event {event_id}: {len(bodies)} contents under one id")
    for event_id in written.keys() - logged.keys():
        yield Violation("I3", LOST, f"event {event_id}: in the outbox only")


def order_is_kept(evidence: Evidence) -> Found:
    """I4: per source and case, first occurrences count 1, 2, 3 …, all in one partition."""
    next_number: Counter[tuple[str, str]] = Counter()
    seen: set[str] = set()
    homes: dict[tuple[str, str], int] = {}
    for entry in evidence.log:
        event = entry.event
        pair = (event["source"], event["subject"])
        home = homes.setdefault((entry.topic, entry.key), entry.partition)
        if home != entry.partition:
            yield Violation("I4", MISORDERED, f"case {entry.key}: partitions {home} and {entry.partition}")
        if event["id"] in seen:
            continue
        seen.add(event["id"])
        next_number[pair] += 1
        if int(event["sequence"]) != next_number[pair]:
            yield Violation(
                "I4", MISORDERED, f"{pair}: {event['sequence']} where {next_number[pair]} belongs"
            )


def each_consumer_applied_each_event_once(evidence: Evidence) -> Found:
    """I5, I12: what a service listens to and what it has received are the same events, each once."""
    for service, topics in evidence.listens.items():
        owed = {event["id"] for event in evidence.events if event["topic"] in topics}
        received = evidence.inbox.get(service, Counter())
        for event_id in owed - received.keys():
            yield Violation("I5", LOST, f"{service}: never received {event_id}")
        for event_id in received.keys() - owed:
            yield Violation("I5", OTHER, f"{service}: received {event_id}, which is not in the log")
        for event_id, times in received.items():
            if times > 1:
                yield Violation("I5", DOUBLED, f"{service}: received {event_id} {times} times")


def state_is_the_fold_of_the_log(evidence: Evidence) -> Found:
    """I5: where the services believe a case to be is where its events put it."""
    routes: dict[str, tuple[Any, ...]] = {}
    for event in evidence.events:
        if event["type"] in ROUTED:
            before = routes.get(event["subject"])
            routes[event["subject"]] = _route_after(event, [before] if before else [])
    for service, held in evidence.routes.items():
        for case, route in routes.items():
            if held.get(case) != route[:3]:
                yield Violation(
                    "I5", LOST, f"{service}: case {case} at {held.get(case)}, should be {route[:3]}"
                )


# -- notices -------------------------------------------------------------------------------------------------------------


def owed_notices_are_delivered(evidence: Evidence) -> Found:
    """I6: whoever was a case's partner throughout, or at the moment of a case event, has a delivery, and it went out."""
    by_place: dict[tuple[str, str], list[Delivery]] = defaultdict(list)
    for delivery in evidence.deliveries:
        if delivery.channel == "webhook":
            by_place[delivery.event_id, delivery.partner_id].append(delivery)
    for event, partner, may_have_left in _owed(evidence):
        found = by_place[event["id"], partner["id"]]
        fine = ("delivered", "cancelled") if may_have_left else ("delivered",)
        if len(found) != 1:
            sort = DOUBLED if found else LOST
            yield Violation("I6", sort, f"{event['type']} {event['id']} for {partner['name']}: {len(found)}")
        elif found[0].status not in fine:
            yield Violation("I6", LOST, f"{event['type']} for {partner['name']}: {found[0].status}")


def _owed(evidence: Evidence) -> Iterator[tuple[dict[str, Any], dict[str, Any], bool]]:
    """Which event is owed to which partner, and whether the partner has lost the case since (then it may go unsent)."""
    places = {(p["partner_kind"], p["ref"]): p for p in evidence.load if p["kind"] == "partner"}
    system = next((p for p in places.values() if p["partner_kind"] == "case-system"), None)
    routes: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    held: dict[str, tuple[Any, ...]] = {}
    for event in evidence.events:
        if event["type"] in ROUTED:
            routes[event["subject"]].append(_route_after(event, routes[event["subject"]][-1:]))
    step: Counter[str] = Counter()
    for event in evidence.events:
        case = event["subject"]
        before = held.get(case)
        if event["type"] in ROUTED:
            held[case] = routes[case][step[case]]
            step[case] += 1
        if event["topic"] == "ehcp.notifications":
            continue
        if system and (event["type"] in PUSHED_TO_ALL or event["type"] in MOVES):
            yield event, system, False
        if event["type"] == "ehcp.placement-changed.v1" and before:
            yield from _owed_by_a_move(event, places, before[0], held[case][0], routes[case])
        if event["type"] in PUSHED_TO_ALL:
            yield from _owed_to_all(event, places, routes[case], held.get(case))


def _owed_by_a_move(
    event: dict[str, Any],
    places: Mapping[tuple[str, str], dict[str, Any]],
    old: str,
    new: str,
    later: list[tuple[Any, ...]],
) -> Iterator[tuple[dict[str, Any], dict[str, Any], bool]]:
    for urn in {old, new}:
        if ("school", urn) in places:
            yield event, places["school", urn], urn == new and any(route[0] != urn for route in later)


def _owed_to_all(
    event: dict[str, Any],
    places: Mapping[tuple[str, str], dict[str, Any]],
    routes: list[tuple[Any, ...]],
    here: tuple[Any, ...] | None,
) -> Iterator[tuple[dict[str, Any], dict[str, Any], bool]]:
    for index, kind in enumerate(KINDS):
        values = {route[index] for route in routes}
        # A review event may cross a move on its way: only whoever had the case throughout is certain to be told.
        sure = len(values) == 1
        ref = next(iter(values)) if sure else here[index] if here and event["topic"] == "ehcp.cases" else None
        if ref and (kind, ref) in places:
            yield event, places[kind, ref], not sure


def accepted_requests_match_deliveries(evidence: Evidence) -> Found:
    """I7: a delivered notice was accepted by its partner; one webhook-id is one notice with one body on every attempt."""
    names = {p["id"]: p["name"] for p in evidence.load if p["kind"] == "partner"}
    notices = {d.id: d for d in evidence.deliveries}
    accepted: Counter[str] = Counter()
    bodies: dict[str, set[str]] = defaultdict(set)
    for request in evidence.requests:
        notice = request["headers"].get("webhook-id", "")
        bodies[notice].add(request["sha256"])
        accepted[notice] += request["verdict"] == 204
        known = notices.get(notice)
        if known is None:
            yield Violation("I7", OTHER, f"{request['partner']}: webhook-id {notice} is no delivery")
        elif (names[known.partner_id], known.event_id) != (request["partner"], _event_id(request)):
            yield Violation("I7", STRANGER, f"webhook-id {notice} is another's or another event's")
    for notice, hashes in bodies.items():
        if len(hashes) > 1:
            yield Violation("I7", DOUBLED, f"webhook-id {notice}: {len(hashes)} bodies")
    for delivery in evidence.deliveries:
        if delivery.channel == "webhook" and delivery.status == "delivered" and not accepted[delivery.id]:
            yield Violation("I7", LOST, f"{delivery.id}: marked delivered, never accepted")


def _event_id(request: Mapping[str, Any]) -> str:
    return str(json.loads(request["body"])["id"])


def nobody_else_was_told(evidence: Evidence) -> Found:
    """I8: no request to a partner that was not entitled then, by what Liquid Logic had pushed, 60 s after a change at
    the most, whatever had become of the change on its way."""
    partners = {p["name"]: p for p in evidence.load if p["kind"] == "partner"}
    entitled = _entitled(evidence)
    moves = {event["id"]: event for event in evidence.events if event["type"] in MOVES}
    for request in evidence.requests:
        partner, body = partners[request["partner"]], json.loads(request["body"])
        if partner["partner_kind"] == "case-system":
            continue
        spans = entitled[body["subject"], partner["partner_kind"], partner["ref"]]
        if body["id"] in moves and any(begins <= request["at"] for begins, _ in spans):
            yield from _tells_no_more_than_it_may(partner, body)  # the news that the case has left
        elif not any(begins <= request["at"] <= ends + GRACE for begins, ends in spans):
            yield Violation("I8", STRANGER, f"{partner['name']} heard {body['type']} of {body['subject']}")


def _tells_no_more_than_it_may(partner: Mapping[str, Any], body: Mapping[str, Any]) -> Found:
    """A school never learns where a pupil goes, or came from."""
    if partner["partner_kind"] != "school":
        return
    for side in ("placement", "previous"):
        urn = body["data"].get(side, {}).get("urn")
        if urn not in (None, partner["ref"]):
            yield Violation("I8", STRANGER, f"{partner['name']} was told of school {urn}")


def _entitled(
    evidence: Evidence, *, known: bool = False
) -> dict[tuple[str, str, str], list[tuple[float, float]]]:
    """When a case was whose: from the moment a snapshot may have taken effect until the next one certainly has; with
    `known`, until notification-service has received that, if it was later."""
    spans: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    by_case: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for op in sorted(_operations(evidence), key=lambda op: op["at"]):
        if op["route"] and op["case"] and op.get("outcome") != "fail":
            by_case[op["case"]].append(op)
    learned = _learned(evidence) if known else {}
    for case, pushes in by_case.items():
        news = iter(learned.get(case, [])[1:])  # of every route but the first
        for push, following in zip(pushes, [*pushes[1:], None], strict=True):
            ends = following.get("done", float("inf")) if following else float("inf")
            if following and following["route"] != push["route"]:
                ends = max(ends, next(news, 0))
            for kind in KINDS:
                spans[case, kind, push["route"][kind]].append((push["at"], ends))
    return spans


def _learned(evidence: Evidence) -> dict[str, list[float]]:
    """When notification-service received the news of each route of a case, in their order."""
    last: dict[str, list[Any]] = defaultdict(list)
    learned: dict[str, list[float]] = defaultdict(list)
    for event in evidence.events:
        if event["type"] in ROUTED:
            case = event["subject"]
            route = _route_after(event, last[case])
            if [route] != last[case]:
                last[case] = [route]
                learned[case].append(evidence.learned.get(event["id"], 0))
    return learned


def who_is_known_to_have_lost_a_case_hears_no_more(evidence: Evidence) -> Found:
    """I8, without the minute's grace: once notification-service has received the news that a partner has lost a case, the
    partner is told no more than that news, whatever waited for it or is tried again (F46)."""
    partners = {p["name"]: p for p in evidence.load if p["kind"] == "partner"}
    entitled = _entitled(evidence, known=True)
    moves = {event["id"] for event in evidence.events if event["type"] in MOVES}
    for request in evidence.requests:
        partner, body = partners[request["partner"]], json.loads(request["body"])
        if partner["partner_kind"] == "case-system" or body["id"] in moves:
            continue
        spans = entitled[body["subject"], partner["partner_kind"], partner["ref"]]
        if not any(begins <= request["at"] <= ends + IN_FLIGHT for begins, ends in spans):
            yield Violation(
                "I8", STRANGER, f"{partner['name']} heard {body['type']} after the news of its loss"
            )


def signatures_verify(evidence: Evidence) -> Found:
    """I15: every request carries a signature that the partner's library accepts."""
    secrets: dict[str, list[Webhook]] = defaultdict(list)
    for entry in evidence.load:
        if entry["kind"] == "secret":
            secrets[entry["name"]].append(Webhook(entry["secret"]))
    for request in evidence.requests:
        if hashlib.sha256(request["body"].encode()).hexdigest() != request["sha256"]:
            yield Violation("I15", OTHER, f"{request['partner']}: the body is no text")
        elif not any(_verifies(webhook, request) for webhook in secrets[request["partner"]]):
            yield Violation("I15", OTHER, f"{request['partner']}: signature does not verify")


def _verifies(webhook: Webhook, request: Mapping[str, Any]) -> bool:
    """As the partner would have judged it when it came; the library's own check of the age would look at the clock."""
    headers = request["headers"]
    sent = int(headers["webhook-timestamp"])
    made = webhook.sign(headers["webhook-id"], datetime.fromtimestamp(sent, UTC), request["body"])
    return abs(sent - request["at"]) <= TIMESTAMP_TOLERANCE and made in headers["webhook-signature"].split(
        " "
    )


# -- afterwards -----------------------------------------------------------------------------------------------------------


def everything_has_settled(evidence: Evidence) -> Found:
    """I13: outbox 0, lag 0, parked 0, and no delivery waits."""
    for service, rows in evidence.outbox.items():
        if left := sum(not row.published for row in rows):
            yield Violation("I13", LOST, f"{service}: {left} events never sent")
    for service, behind in evidence.lag.items():
        if behind:
            yield Violation("I13", LOST, f"{service}: {behind} events not read")
    for service, parked in evidence.parked.items():
        own = [one for one in parked if (one.topic, one.key, one.digest) not in evidence.strays]
        if own:
            states = Counter(one.state for one in own)
            yield Violation("I13", LOST, f"{service}: {dict(states)} events parked")
    waiting = Counter(d.status for d in evidence.deliveries if d.status in ("pending", "quarantined"))
    for status, left in waiting.items():
        yield Violation("I13", LOST, f"{left} deliveries {status}")


def rebuilt_equals_live(evidence: Evidence) -> Found:
    """I9: the read models, rebuilt from the first event, are the live ones bit for bit."""
    if len(set(evidence.fingerprints)) > 1:
        yield Violation("I9", OTHER, "the rebuilt read models differ from the live ones")


def no_canary_has_left_case_service(evidence: Evidence) -> Found:
    """I10: nothing personal in the log, in another service's database, in a log line, a webhook or an answer of refusal;
    nor the need, whose code and name are the same for every child."""
    personal = {value for entry in evidence.load if entry["kind"] == "child" for value in entry["personal"]}
    canaries = Canaries([*personal, *NEED])
    seen: set[bytes] = set()
    for path in evidence.left:
        for value in sorted(canaries.found_in(unseen(path.read_bytes(), seen))):
            yield Violation("I10", LEAKED, f"{value} in {path.name}")


def the_ledger_tells_what_happened(evidence: Evidence) -> Found:
    """I11: no attempt in the ledger that its partner did not see so answered, and one for every delivered notice."""
    answered = Counter((r["headers"].get("webhook-id", ""), r["verdict"]) for r in evidence.requests)
    told = Counter((notice, status) for notice, status in evidence.attempts if status is not None)
    for (notice, status), times in (told - answered).items():
        yield Violation("I11", OTHER, f"{notice}: {times} attempts answered {status} that nobody saw")
    for delivery in evidence.deliveries:
        delivered = delivery.channel == "webhook" and delivery.status == "delivered"
        if delivered and not told[delivery.id, 204]:
            yield Violation("I11", LOST, f"{delivery.id}: delivered, and no attempt says so")


def what_went_in_came_out(evidence: Evidence) -> Found:
    """I12: what cannot be applied is kept for an operator by each who listens, once, and nothing else is; a snapshot that
    contradicts the register is kept for a person; and nonsense is refused."""
    for service, topics in evidence.listens.items():
        owed = {stray for stray in evidence.strays if stray[0] in topics}
        kept = Counter((one.topic, one.key, one.digest) for one in evidence.parked.get(service, ()))
        for topic, key, _ in owed - kept.keys():
            yield Violation("I12", LOST, f"{service}: {key} of {topic} neither applied nor parked")
        for (topic, key, _), times in kept.items():
            if times > 1:
                yield Violation("I12", DOUBLED, f"{service}: {key} of {topic} parked {times} times")
    for entry in evidence.load:
        if entry["kind"] != "blunder":
            continue
        set_aside = entry["ref"] and entry["status"] in (202, 409)
        if set_aside and entry["ref"] not in evidence.contradictions:
            yield Violation("I12", LOST, f"{entry['ref']}: a contradiction, set aside and not kept")
        elif not set_aside and (entry["status"] < 400 or entry["status"] == 500):
            yield Violation("I12", OTHER, f"{entry['what']}: nonsense, answered {entry['status']}")


def nobody_holds_ever_more(evidence: Evidence) -> Found:
    """I14: open files, threads, memory and connections are bounded, and do not grow over the life of a process."""
    lives: dict[tuple[str, float], list[Sample]] = defaultdict(list)
    for sample in evidence.samples:
        lives[sample.part, sample.born].append(sample)
    for (part, _), samples in lives.items():
        files, threads, memory = (max(held) for held in zip(*(sample[3:] for sample in samples), strict=True))
        if files > MOST_FILES or threads > MOST_THREADS or memory > MOST_MEMORY:
            yield Violation("I14", OTHER, f"{part}: {files} files, {threads} threads, {memory:.0f} MB")
        yield from _grows(part, [s for s in samples if s.at > s.born + STEADY_AFTER])
    for service, held in evidence.connections.items():
        if held > CONNECTIONS_OF_A_PROCESS * evidence.processes[service]:
            yield Violation("I14", OTHER, f"{service}: {held} connections to its database")


def _grows(part: str, samples: Sequence[Sample]) -> Found:
    third = len(samples) // 3
    if third < 10:
        return
    first, last = samples[:third], samples[-third:]
    # The least of them: a burst of notices needs connections for a while, what leaks is never given back.
    files = min(s.files for s in last) - min(s.files for s in first)
    memory = min(s.memory for s in last) - min(s.memory for s in first)
    if files > MORE_FILES or memory > MORE_MEMORY:
        seconds = samples[-1].at - samples[0].at
        yield Violation(
            "I14", OTHER, f"{part}: {files:.0f} files and {memory:.0f} MB more in {seconds:.0f} s"
        )


# -- while something is away ----------------------------------------------------------------------------------------------


def an_outage_is_said_as_such(evidence: Evidence) -> Found:
    """F25: who cannot do it now says so; an internal error is an error of the hub."""
    for entry in evidence.load:
        unsure = entry["kind"] == "outcome" and entry["outcome"] == "info"
        if unsure and entry["status"] not in (None, *SAYS_SO):
            yield Violation("F25", OTHER, f"{entry['part']}: {entry['op']} answered {entry['status']}")


def a_silent_database_is_said_in_time(evidence: Evidence) -> Found:
    """F26: an API whose database does not answer says so within seconds, to whoever asks. A file whose results had begun
    to come is broken off: its answer was begun with 200."""
    streamed = {e["op"] for e in evidence.load if e["kind"] == "intent" and e["what"] in LINES}
    for began, ended in evidence.silences:
        for entry in evidence.load:
            if entry["kind"] != "outcome" or not began <= entry["sent"] <= ended - ANSWERED_WITHIN:
                continue
            took = entry["at"] - entry["sent"]
            silent = entry["status"] is None and entry["op"] not in streamed
            if silent or took > ANSWERED_WITHIN:
                yield Violation("F26", OTHER, f"{entry['part']}: {entry['status']} after {took:.1f} s")


def a_process_that_is_asked_to_end_ends_in_order(evidence: Evidence) -> Found:
    """F18: within 15 s, and what it had accepted until then is answered, if not well, then with the way to go on."""
    for part, asked, ended, cause in evidence.endings:
        if ended is None or ended > asked + ENDS_WITHIN:
            yield Violation(
                "F18", OTHER, f"{part}: asked to end, gone after {(ended or inf) - asked:.1f} s ({cause})"
            )
        for entry in evidence.load:
            if entry["kind"] == "outcome" and entry["outcome"] == "info" and entry["part"] == part:
                failed = (entry["status"] or 0) >= 500 and asked <= entry["at"] <= (ended or inf)
                if failed and not _within(evidence.database_away, entry):
                    yield Violation("F18", OTHER, f"{part}: {entry['status']} while it ended")


def a_broker_outage_is_no_outage_of_the_api(evidence: Evidence) -> Found:
    """F20 to F24: no request failed because the broker was away or slow; soon after, what was written had been sent, and
    heard."""
    for outage in evidence.outages:
        if outage.sent is None or outage.sent > outage.within:
            yield Violation("F20", OTHER, f"{outage.what}: the backlog needed {outage.sent} s")
        if outage.heard is None or outage.heard > HEARD_WITHIN:
            yield Violation("F20", OTHER, f"{outage.what}: heard of after {outage.heard} s")
        for entry in evidence.load:
            unsure = entry["kind"] == "outcome" and entry["outcome"] == "info" and entry["status"] != 409
            inside = unsure and outage.began <= entry["sent"] and entry["at"] <= outage.ended
            if inside and not _excused(evidence, entry):
                yield Violation("F20", OTHER, f"{entry['part']}: {entry['status']} while {outage.what}")


def a_slow_broker_is_no_storm_of_rebalances(evidence: Evidence) -> Found:
    """F23: whoever waits for an answer stays in the group."""
    if evidence.outages and not any(evidence.rejoined.values()):
        yield Violation(
            "F23", OTHER, "no consumer has said that it joined its group: rebalances cannot be counted"
        )
    for outage in (one for one in evidence.outages if one.what == SLOW_BROKER):
        most = MOST_REBALANCES * ceil((outage.ended - outage.began) / 60)
        for part, times in evidence.rejoined.items():
            count = sum(outage.began <= at <= outage.ended for at in times)
            if count > most:
                yield Violation("F23", OTHER, f"{part}: {count} rebalances while {outage.what}")


def _excused(evidence: Evidence, entry: Mapping[str, Any]) -> bool:
    """Whether the API process or the database was away at that time."""
    return _within((*evidence.absences.get(entry["part"], ()), *evidence.database_away), entry)


def _within(spans: Iterable[tuple[float, float]], entry: Mapping[str, Any]) -> bool:
    return any(begins <= entry["at"] and entry["sent"] <= ends for begins, ends in spans)


def reading_everything_again_tells_nobody_anything(evidence: Evidence) -> Found:
    """F40: a notice that was delivered before all was read again is not sent once more."""
    delivered = {d.id: d.delivered for d in evidence.deliveries if d.delivered}
    for replayed in evidence.replays:
        for request in evidence.requests:
            notice = request["headers"].get("webhook-id", "")
            if delivered.get(notice, inf) < replayed < request["at"]:
                yield Violation("F40", DOUBLED, f"{request['partner']}: {notice} once more")


INVARIANTS: tuple[Callable[[Evidence], Found], ...] = (
    every_write_is_known_and_kept,
    every_write_has_its_event,
    snapshots_are_told_in_their_order,
    changes_and_events_belong_together,
    log_equals_outbox,
    order_is_kept,
    each_consumer_applied_each_event_once,
    state_is_the_fold_of_the_log,
    owed_notices_are_delivered,
    accepted_requests_match_deliveries,
    nobody_else_was_told,
    who_is_known_to_have_lost_a_case_hears_no_more,
    signatures_verify,
    everything_has_settled,
    rebuilt_equals_live,
    no_canary_has_left_case_service,
    the_ledger_tells_what_happened,
    what_went_in_came_out,
    nobody_holds_ever_more,
    an_outage_is_said_as_such,
    a_silent_database_is_said_in_time,
    a_process_that_is_asked_to_end_ends_in_order,
    a_broker_outage_is_no_outage_of_the_api,
    a_slow_broker_is_no_storm_of_rebalances,
    reading_everything_again_tells_nobody_anything,
)
