"""The load: snapshots of Liquid Logic one by one and as files, reviews from booking to final plan, new secrets, and what
ought to be refused; and what was answered.

Every operation is in the journal before it is sent (`intent`) and again when its outcome is known: `ok`, `fail` (refused:
it must have had no effect) or `info` (no answer, or a 5xx: nobody knows). An `info` is repeated with the same key, or the
same snapshot version, until it is known. All that is refused is kept word for word, to be searched for what was sent.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2

from . import canaries
from .journal import Journal
from .partners import Partner, Receivers
from .stage import BASE_DAY, GO_LIVE, Issuer, Stage

SCHOOLS = ("900001", "900002", "900003", "900004")
ICBS, TEAMS = ("QOP", "QNX"), ("team-a", "team-b")
PARTNERS = (
    *(Partner("school", urn) for urn in SCHOOLS),
    *(Partner("icb", code) for code in ICBS),
    *(Partner("social-care", team) for team in TEAMS),
    Partner("case-system", "liquid-logic"),
)
STRANGERS = (Partner("school", "900009"), Partner("icb", "QXX"), Partner("social-care", "team-z"))
"""Whoever has no case in this run and must never hear anything."""
TIMEOUT = 20.0
KEEP_OPEN = 2.0
"""Seconds for which an idle connection is used again: shorter than a server keeps it (5), or it may close just then."""
FILE = 6
"""Known children in a file of snapshots; mostly a new one comes with them."""
Expected = tuple[str, dict[str, Any]]
"""The type of an event, and what its data must hold."""
HELD, REPORTED, NOTIFIED, NOTICED = ((BASE_DAY - timedelta(days=n)).isoformat() for n in (30, 28, 22, 21))


@dataclass
class Operation:
    """One write. `expect` is the type of the event it must lead to, exactly once, and what that event's data must hold."""

    id: str
    what: str
    service: str
    method: str
    path: str
    body: dict[str, Any]
    role: str = "officer"
    ref: str | None = None
    expect: Expected | None = None
    route: dict[str, Any] | None = None


@dataclass
class Child:
    """A case as Liquid Logic has it, and how far its review has come."""

    ref: str
    snapshot: dict[str, Any]
    case: str | None = None
    review: str | None = None
    stage: str = "new"
    notice: str | None = None
    busy: bool = False

    @property
    def route(self) -> dict[str, Any]:
        """Whose case it is, as pushed."""
        return {
            "school": self.snapshot["placement"]["urn"],
            "icb": self.snapshot["icb"],
            "social-care": self.snapshot["social_care_team"],
            "officer": self.snapshot["officer"],
        }


@dataclass
class Count:
    """What has been done so far."""

    ok: int = 0
    fail: int = 0
    info: int = 0
    replayed: int = 0
    unsettled: int = 0
    refusals: dict[str, int] = field(default_factory=dict)


class Load:
    """Seeded users of the API. `pace` is the pause of each of the `hands` between two operations, in seconds."""

    def __init__(
        self,
        stage: Stage,
        journal: Journal,
        answers: Journal,
        seed: int,
        *,
        cases: int,
        hands: int = 6,
        pace: float = 0.35,
    ) -> None:
        self.stage, self.journal, self.answers = stage, journal, answers
        self.most, self.hands, self.pace = cases, hands, pace
        self.children: list[Child] = []
        self.partners: dict[str, str] = {}
        self.subscriptions: dict[str, str] = {}
        self.count = Count()
        self.going = True
        self._dice = random.Random(seed)
        self._number = 0
        self._tokens = _tokens(stage.issuer)
        self._clients = {
            part.name: httpx2.AsyncClient(
                base_url=part.url,
                timeout=TIMEOUT,
                trust_env=False,
                limits=httpx2.Limits(keepalive_expiry=KEEP_OPEN),
            )
            for part in stage.of_role("serve")
        }
        self._rotating: set[str] = set()

    # -- before the storm ---------------------------------------------------------------------------------------

    async def furnish(self, receivers: Receivers) -> None:
        """Institutions, partners and their webhooks; done once, before anything is killed."""
        lines = "".join(_institution(urn) for urn in (*SCHOOLS, "900009"))
        headers = self._headers("operator") | {"content-type": "application/x-ndjson"}
        client = self._clients["case.serve"]
        answer = await client.post("/v1/imports/institutions", content=lines, headers=headers)
        assert answer.text.count('"created"') == len(SCHOOLS) + 1, answer.text
        for partner in (*PARTNERS, *STRANGERS):
            made = await self._must(
                "/v1/partners",
                {
                    "kind": partner.kind,
                    "ref": partner.ref,
                    "la_code": "351",
                    "name": f"Invented {partner.kind} {partner.ref}",
                },
            )
            hook = {"partner_id": made["id"], "channel": "webhook", "url": receivers.url(partner)}
            subscribed = await self._must("/v1/subscriptions", hook)
            approval = f"/v1/subscriptions/{subscribed['id']}/approval"
            await self._must(approval, {"url": hook["url"]}, role="manager")
            self.partners[partner.name], self.subscriptions[partner.name] = made["id"], subscribed["id"]
            self.journal.write(
                kind="partner",
                name=partner.name,
                partner_kind=partner.kind,
                ref=partner.ref,
                id=made["id"],
                subscription=subscribed["id"],
            )
            self.journal.write(kind="secret", name=partner.name, secret=subscribed["secret"])

    async def _must(self, path: str, body: dict[str, Any], *, role: str = "officer") -> Any:
        headers = self._headers(role) | {"idempotency-key": f"setup-{self._next()}"}
        answer = await self._clients["notification.serve"].post(path, json=body, headers=headers)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    # -- the load -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until `going` is false, then until everything begun is known."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.hands):
                group.create_task(self._work())
            group.create_task(self._look_for_reviews())
        for client in self._clients.values():
            await client.aclose()

    async def _work(self) -> None:
        while self.going:
            await asyncio.sleep(self._dice.uniform(0.5, 1.5) * self.pace)
            chance = self._dice.random()
            if chance < 0.02:
                await self._rotate()
            elif chance < 0.06:
                await self._blunder()
            elif chance < 0.075:
                await self._send_file()
            else:
                await self._with_a_child()

    async def _with_a_child(self) -> None:
        child = self._choose()
        child.busy = True
        try:
            await self._step(child)
        finally:
            child.busy = False

    def _choose(self) -> Child:
        idle = [child for child in self.children if not child.busy]
        if not idle or (len(self.children) < self.most and self._dice.random() < 0.4):
            self.children.append(self._new_child())
            return self.children[-1]
        return self._dice.choice(idle)

    async def _step(self, child: Child) -> None:
        if child.stage == "new":
            await self._create(child)
        elif self._dice.random() < 0.45 or child.review is None:
            await self._push(child)
        else:
            await self._go_on(child)

    # -- what Liquid Logic pushes --------------------------------------------------------------------------------

    def _new_child(self) -> Child:
        dice, number = self._dice, len(self.children)
        first_made = BASE_DAY - timedelta(days=dice.choice([dice.randint(60, 170), dice.randint(190, 330)]))
        snapshot = {
            "version": 1,
            "child": canaries.child(number) | {"sex": dice.choice("MF")},
            "responsible_la": "351",
            "plan": {"first_made": first_made.isoformat(), "status": "active"},
            "placement": {"urn": dice.choice(SCHOOLS)},
            "primary_need": "SLCN",
            "icb": dice.choice(ICBS),
            "social_care_team": dice.choice(TEAMS),
            "officer": "officer-1",
        }
        self.journal.write(kind="child", personal=list(canaries.child(number).values()))
        return Child(f"LL-{number}", snapshot)

    async def _create(self, child: Child) -> None:
        answer = await self._do(self._pushing(child, child.snapshot, "create", _announced(child)))
        child.case, child.stage = answer and answer["case_id"], "idle" if answer else "new"

    def _change(self, child: Child) -> dict[str, Any]:
        """What Liquid Logic might change next about a child: another school, team or officer."""
        here, team = child.snapshot["placement"]["urn"], child.snapshot["social_care_team"]
        return self._dice.choice(
            [
                {"placement": {"urn": self._dice.choice([urn for urn in SCHOOLS if urn != here])}},
                {"placement": {"urn": self._dice.choice([urn for urn in SCHOOLS if urn != here])}},
                {"social_care_team": next(other for other in TEAMS if other != team)},
                {"officer": f"officer-{self._next()}"},
            ]
        )

    async def _push(self, child: Child) -> None:
        """A newer snapshot, or the same once more."""
        if self._dice.random() < 0.2:
            await self._do(self._pushing(child, child.snapshot, "repeat", None))
        else:
            await self._do(self._pushing(child, _newer(child, self._change(child)), "push", None))

    def _pushing(
        self, child: Child, snapshot: dict[str, Any], what: str, expect: Expected | None
    ) -> Operation:
        child.snapshot = snapshot
        return Operation(
            id=f"op-{self._next()}",
            what=what,
            service="case",
            method="PUT",
            path=f"/v1/sources/liquid-logic/cases/{child.ref}",
            body=snapshot,
            role="adapter",
            ref=child.ref,
            expect=expect,
            route=child.route if what != "repeat" else None,
        )

    async def _send_file(self) -> None:
        """A file of snapshots, of known children and of new ones, sent again from its first line until every line has its
        answer (F44). A line that comes again begins a new transaction: so the file has several."""
        known = [child for child in self.children if child.case and not child.busy]
        children = self._dice.sample(known, min(FILE, len(known)))
        for child in children:
            child.busy = True
        operations = [
            self._pushing(child, _newer(child, self._change(child)), "line", None) for child in children
        ]
        if len(self.children) < self.most:
            child = self._new_child()
            child.busy = True
            self.children.append(child)
            children.append(child)
            operations.append(self._pushing(child, child.snapshot, "new line", _announced(child)))
        try:
            results = await self._do_all(operations)
        finally:
            for child in children:
                child.busy = False
        for child, result in zip(children, results, strict=True):
            if child.stage == "new" and result:
                child.case, child.stage = result["case_id"], "idle"

    # -- what schools and officers do ----------------------------------------------------------------------------

    async def _go_on(self, child: Child) -> None:
        """The next step of the child's review."""
        meeting = (BASE_DAY + timedelta(days=self._dice.randint(14, 60))).isoformat()
        at, about = f"/v1/reviews/{child.review}", {"review_id": child.review}
        match child.stage:
            case "idle":
                await self._post(
                    child, "booked", "book", "scheduler", f"{at}/meeting", {"meeting_on": meeting},
                    ("ehcp.review-meeting-booked.v1", about | {"meeting_on": meeting}),
                )  # fmt: skip
            case "booked":
                await self._post(
                    child, "held", "hold", "scheduler", f"{at}/held", {"held_on": HELD},
                    ("ehcp.review-meeting-held.v1", about),
                )  # fmt: skip
            case "held":
                await self._post(
                    child, "reported", "report", "scheduler", f"{at}/report", {"received_on": REPORTED},
                    ("ehcp.review-report-received.v1", about),
                )  # fmt: skip
            case "reported":
                outcome = self._dice.choice(["amend", "amend", "maintain"])
                await self._post(
                    child, "decided" if outcome == "amend" else "done", "decide", "scheduler", f"{at}/decision",
                    {"outcome": outcome, "notified_on": NOTIFIED}, ("ehcp.review-decided.v1", about),
                )  # fmt: skip
            case "decided":
                done = await self._post(
                    child, "noticed", "notice", "case", f"/v1/cases/{child.case}/amendment-notices",
                    {"sent_on": NOTICED, "review_id": child.review}, ("ehcp.amendment-notice-sent.v1", about),
                )  # fmt: skip
                child.notice = done and done["id"]
            case "noticed" if self._dice.random() < 0.3:
                number = self.children.index(child)
                await self._post(
                    child, "done", "drop", "case",
                    f"/v1/cases/{child.case}/amendment-notices/{child.notice}/drop",
                    {"decided_on": BASE_DAY.isoformat(), "reasons": canaries.reasons(number)},
                    ("ehcp.amendment-dropped.v1", {"notice_id": child.notice}),
                )  # fmt: skip
                self.journal.write(kind="child", personal=[canaries.reasons(number).split()[0]])
            case "noticed":
                await self._post(
                    child, "done", "final", "case",
                    f"/v1/cases/{child.case}/amendment-notices/{child.notice}/final",
                    {"issued_on": BASE_DAY.isoformat()},
                    ("ehcp.amendment-issued.v1", {"notice_id": child.notice}),
                )  # fmt: skip
            case _:
                await self._push(child)

    async def _post(
        self,
        child: Child,
        then: str,
        what: str,
        service: str,
        path: str,
        body: dict[str, Any],
        expect: Expected,
    ) -> Any:
        operation = Operation(
            f"op-{self._next()}", what, service, "POST", path, body, ref=child.ref, expect=expect
        )
        answer = await self._do(operation)
        if answer is not None:
            child.stage = then
        return answer

    async def _rotate(self) -> None:
        """A partner gets a new secret; the old one goes on signing beside it."""
        idle = [name for name in sorted(self.subscriptions) if name not in self._rotating]
        name = self._dice.choice(idle)
        self._rotating.add(name)
        path = f"/v1/subscriptions/{self.subscriptions[name]}/rotate-secret"
        done = await self._do(Operation(f"op-{self._next()}", "rotate", "notification", "POST", path, {}))
        if done and done["secret"]:  # a repeated answer holds none: the old secret signs for a day
            self.journal.write(kind="secret", name=name, secret=done["secret"])
        self._rotating.discard(name)

    async def _blunder(self) -> None:
        """What no careful sender would send, full of what must not come back: each time the hub must refuse it."""
        if not self.children:
            return
        child = self._dice.choice(self.children)
        own, path = child.snapshot["child"], f"/v1/sources/liquid-logic/cases/{child.ref}"
        name, upn = own["surname"], own["upn"]
        at_once = child.snapshot | {"version": 10**9}
        what, service, method, path, body = self._dice.choice(
            [
                ("field", "case", "PUT", path, json.dumps(at_once | {name: own})),
                ("type", "case", "PUT", path, json.dumps(at_once | {"version": name})),
                ("date", "case", "PUT", path, json.dumps(at_once | {"plan": {"first_made": upn}})),
                ("text", "case", "PUT", path, f'{{"child": {name}'),
                ("key", "case", "PUT", path, f'{{"{name}": 1, "{name}": "{upn}"}}'),
                ("path", "case", "GET", f"/v1/cases/{name}", ""),
                ("query", "scheduler", "GET", f"/v1/reviews?due_before={name}&{upn}={name}", ""),
                ("twin", "case", "PUT", f"/v1/sources/liquid-logic/cases/TW-{self._next()}", _twin(child)),
            ]
        )
        if what == "twin" and (child.case is None or child.busy):
            return
        ref = path.rpartition("/")[2] if what == "twin" else None
        headers = self._headers("adapter" if method == "PUT" else "officer")
        try:
            answer = await self._client(service)[1].request(
                method, path, content=body, headers=headers | {"content-type": "application/json"}
            )
        except httpx2.HTTPError:
            return
        self._keep(answer)
        self.journal.write(kind="blunder", what=what, status=answer.status_code, ref=ref)

    async def _look_for_reviews(self) -> None:
        """Learn which review is open for each case, as an officer's list shows it."""
        cursor: str | None = None
        while self.going:
            await asyncio.sleep(0.5)
            params = {"kind": "annual", "status": "open", "limit": "200"} | (
                {"cursor": cursor} if cursor else {}
            )
            try:
                found = await self._client("scheduler")[1].get(
                    "/v1/reviews", params=params, headers=self._headers("officer")
                )
            except httpx2.HTTPError:
                continue
            if found.status_code != 200:
                continue
            page = found.json()
            cursor = page.get("next")
            open_now = {item["case_id"]: item["id"] for item in page["items"] if item["status"] == "due"}
            for child in self.children:
                if child.stage == "idle" and child.case in open_now:
                    child.review = open_now[child.case]

    # -- one operation -------------------------------------------------------------------------------------------

    async def _do(self, operation: Operation) -> Any:
        """Carry it out until its outcome is known; the answer's document, or None if it was refused."""
        self._intend(operation)
        unsure = 0
        while True:
            sent = time.time()
            part, status, document, replayed = await self._send(operation)
            outcome = self._note(operation, part, sent, status, document, replayed, first=not unsure)
            if outcome == "ok":
                return document
            if outcome == "fail":
                return None
            unsure += 1
            await asyncio.sleep(_pause(unsure) * self._dice.uniform(0.8, 1.2))

    async def _do_all(self, operations: Sequence[Operation]) -> list[Any]:
        """Carry out the lines of one file: the result of each, or None if it was refused."""
        for operation in operations:
            self._intend(operation)
        lines = [operation.body | {"ref": operation.ref} for operation in operations]
        half = len(lines) // 2
        numbers = [*range(half + 1), 0, *range(half + 1, len(lines))] if half else [*range(len(lines))]
        known: dict[int, Any] = {}
        unsure = 0
        while len(known) < len(operations):
            sent = time.time()
            part, status, results = await self._send_lines([lines[number] for number in numbers])
            for place, number in enumerate(numbers):
                if number in known or place in numbers[:place]:
                    continue
                result = results.get(place + 1, {})
                problem = result.get("problem", {})
                said = problem.get("status", status) if result or status != 200 else None
                outcome = self._note(
                    operations[number], part, sent, said, problem or result, False, first=not unsure
                )
                if outcome != "info":
                    known[number] = result if outcome == "ok" else None
            unsure += 1
            if len(known) < len(operations):
                await asyncio.sleep(_pause(unsure) * self._dice.uniform(0.8, 1.2))
        return [known[number] for number in range(len(operations))]

    def _intend(self, operation: Operation) -> None:
        self.journal.write(
            kind="intent",
            op=operation.id,
            what=operation.what,
            service=operation.service,
            method=operation.method,
            ref=operation.ref,
            version=operation.body.get("version"),
            expect=operation.expect,
            route=operation.route,
        )

    def _note(
        self,
        operation: Operation,
        part: str,
        sent: float,
        status: int | None,
        document: Mapping[str, Any],
        replayed: bool,
        *,
        first: bool,
    ) -> str:
        """Write down what was answered, and return what is now known."""
        outcome = _outcome(status, document)
        pushed = outcome == "ok" and operation.role == "adapter"
        self.journal.write(
            kind="outcome",
            op=operation.id,
            outcome=outcome,
            status=status,
            sent=sent,
            part=part,
            ref=operation.ref,
            code=_code(document) if status is not None and status >= 400 else None,
            case=document.get("case_id") if pushed else None,
            push=document.get("status") if pushed else None,
            replayed=replayed,
        )
        self._tally(operation, outcome, replayed, document, first=first)
        return outcome

    def _tally(
        self, operation: Operation, outcome: str, replayed: bool, document: Mapping[str, Any], *, first: bool
    ) -> None:
        self.count.replayed += replayed
        match outcome:
            case "ok":
                self.count.ok += 1
            case "fail":
                self.count.fail += 1
                name = f"{operation.what}: {_code(document)}"
                self.count.refusals[name] = self.count.refusals.get(name, 0) + 1
            case _ if first:
                self.count.info += 1
        if outcome == "info" and first:
            self.count.unsettled += 1
        elif outcome != "info" and not first:
            self.count.unsettled -= 1

    async def _send(self, operation: Operation) -> tuple[str, int | None, dict[str, Any], bool]:
        """Ask one of the replicas: which one, status, document, and whether the answer is one given before."""
        part, client = self._client(operation.service)
        headers = self._headers(operation.role)
        if operation.method == "POST":
            headers["idempotency-key"] = operation.id
        try:
            answer = await client.request(
                operation.method, operation.path, json=operation.body, headers=headers
            )
            self._keep(answer)
            document = answer.json() if answer.content else {}
            return part, answer.status_code, document, "idempotent-replayed" in answer.headers
        except (httpx2.HTTPError, ValueError):
            return part, None, {}, False

    async def _send_lines(
        self, lines: Sequence[Mapping[str, Any]]
    ) -> tuple[str, int | None, dict[int, dict[str, Any]]]:
        """Send a file: by which replica, the status, and the results that came, by the number of their line."""
        part, client = self._client("case")
        headers = self._headers("adapter") | {"content-type": "application/x-ndjson"}
        results: dict[int, dict[str, Any]] = {}
        status: int | None = None
        try:
            async with client.stream(
                "POST", "/v1/sources/liquid-logic/batches", content=_streamed(lines), headers=headers
            ) as answer:
                status = answer.status_code
                async for line in answer.aiter_lines():
                    result = json.loads(line)
                    if status == 200:
                        results[result["line"]] = result
                    if status != 200 or "problem" in result:
                        self.answers.write(text=line)
        except (httpx2.HTTPError, ValueError):
            status = None if status == 200 else status
        return part, status, results

    def _client(self, service: str) -> tuple[str, httpx2.AsyncClient]:
        """One of the replicas of an API."""
        names = [name for name in self._clients if name.startswith(f"{service}.")]
        name = self._dice.choice(names)
        return name, self._clients[name]

    def _keep(self, answer: httpx2.Response) -> None:
        if answer.status_code >= 400:
            self.answers.write(text=f"{answer.headers.raw}\n{answer.text}")

    def _headers(self, role: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._tokens[role]}"}

    def _next(self) -> int:
        self._number += 1
        return self._number


async def _streamed(lines: Sequence[Mapping[str, Any]]) -> AsyncIterator[bytes]:
    for line in lines:
        yield json.dumps(line).encode() + b"\n"


def _pause(unsure: int) -> float:
    return min(2.0, 0.2 * 2.0**unsure)


def _newer(child: Child, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {**child.snapshot, "version": child.snapshot["version"] + 1, **changes}


def _announced(child: Child) -> Expected:
    """The event that a new plan leads to: issued since the hub went live, or before."""
    issued = child.snapshot["plan"]["first_made"] >= GO_LIVE.isoformat()
    return ("ehcp.plan-issued.v1" if issued else "ehcp.plan-registered.v1", {})


def _twin(child: Child) -> str:
    """Another reference for the same child: a contradiction that a person must settle."""
    return json.dumps(child.snapshot | {"version": 1})


def _outcome(status: int | None, document: Mapping[str, Any]) -> str:
    if status is None or status >= 500:
        return "info"
    if status < 300:
        return "ok"
    # Another try of the same request is still under way, so nothing is known.
    return "info" if "in-progress" in str(document.get("type", "")) else "fail"


def _code(document: Mapping[str, Any]) -> str:
    errors = document.get("errors") or [{}]
    return f"{str(document.get('type', '')).rpartition('/')[2]} {errors[0].get('code', '')}".strip()


def _tokens(issuer: Issuer) -> dict[str, str]:
    tokens = {role: issuer.token(role) for role in ("officer", "manager", "operator")}
    return tokens | {"adapter": issuer.token("adapter", "liquid-logic")}


def _institution(urn: str) -> str:
    return (
        f'{{"urn":"{urn}","name":"Invented School {urn}","kind":"all-through","low_age":4,"high_age":16,'
        f'"la_code":"351","section20_12":true}}\n'
    )
