"""One child, one open case within what a council administers; other councils are neither asked nor held up.

bad-inputs 2.9, 3.3; statute `on_behalf_plans`; security 4 (a role learns nothing of what it may not see).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

# Invented: test numbers begin with 999, the last digit is the check.
NHS, ANOTHER_NHS = "9990000018", "9990000026"
ENDED = {"status": "ceased", "ceased_on": "2026-09-01", "cease_reason": "2"}
QUARANTINE = "/v1/sources/liquid-logic/quarantine"


def body_of(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "ref"}


async def held(hub: Any, *las: str) -> list[tuple[str, str]]:
    """What the officers of these councils find in quarantine."""
    answer = await hub.app.as_("officer", las=las).get(QUARANTINE)
    return [(item["ref"], item["code"]) for item in answer.json()["items"]]


@pytest.mark.parametrize("number", ["upn", "nhs_number"])
async def test_two_references_with_one_number_are_left_to_a_person(
    hub: Any, snapshot: Any, upn: Any, number: str
) -> None:
    """bad-inputs 3.3: two source ids, one child: never guessed. Twins with their own numbers are fine (2.9)."""
    mine, other = {"upn": (upn(1), upn(2)), "nhs_number": (NHS, ANOTHER_NHS)}[number]
    await hub.a_plan(snapshot("LL-1", child={number: mine}))
    response = await hub.push(snapshot("LL-2", child={number: mine}))
    assert (response.status_code, response.json()) == (
        202,
        {"ref": "LL-2", "status": "queued", "case_id": None, "version": None, "source_version": 1},
    )
    (kept,) = (await hub.officer.get(QUARANTINE)).json()["items"]
    assert (kept["ref"], kept["code"], kept["pointer"]) == ("LL-2", "duplicate-child", f"/child/{number}")
    assert len((await hub.officer.get("/v1/cases")).json()["items"]) == 1
    assert (await hub.push(snapshot("LL-3", child={"forename": "Ben", number: other}))).status_code == 201


async def test_two_children_with_one_number_in_one_batch_are_not_both_taken(
    hub: Any, snapshot: Any, upn: Any
) -> None:
    child = {"upn": upn(7)}
    out = await hub.batch([snapshot("B-1", child=child), snapshot("B-2", child=child)])
    assert [line["status"] for line in out] == ["created", "queued"]
    assert await held(hub, "351") == [("B-2", "duplicate-child")]


async def test_a_number_put_right_in_one_line_is_free_for_a_later_one(
    hub: Any, snapshot: Any, upn: Any
) -> None:
    """Within one batch as in one push after the other."""
    await hub.a_plan(snapshot("B-1", child={"upn": upn(7)}))
    corrected = snapshot("B-1", version=2, child={"upn": upn(8)})
    out = await hub.batch([corrected, snapshot("B-2", child={"upn": upn(7)})])
    assert [line["status"] for line in out] == ["updated", "created"]


@pytest.mark.parametrize("first", ["351", "354"])
async def test_a_case_kept_for_another_council_does_not_stand_in_its_way(
    hub: Any, snapshot: Any, upn: Any, first: str
) -> None:
    """351 names 354 as responsible and sends the number of a child whom 354 keeps itself. Whoever comes first, both are
    taken, and neither is told of the other."""
    document = snapshot(responsible_la="354", child={"upn": upn(1), "nhs_number": NHS})
    answers = {}
    for la in (first, {"351": "354", "354": "351"}[first]):
        adapter = hub.app.as_("adapter", org="liquid-logic", las=(la,))
        url = "/v1/sources/liquid-logic/cases/LL-1"
        answers[la] = await adapter.put(url, json=body_of(document) | {"administering_la": la})
    assert [answer.status_code for answer in answers.values()] == [201, 201]
    assert answers["351"].json()["case_id"] != answers["354"].json()["case_id"]
    assert await held(hub, "351", "354") == []
    seen = (await hub.app.as_("officer", las=("351",)).get("/v1/cases")).json()["items"]
    assert [case["id"] for case in seen] == [answers["351"].json()["case_id"]]


async def test_a_plan_that_has_ended_holds_no_number(hub: Any, snapshot: Any, upn: Any) -> None:
    """A child may need a plan again; the ended one stays on record under its own reference."""
    child = {"upn": upn(1), "nhs_number": NHS}
    await hub.a_plan(snapshot("LL-1", child=child))
    assert (await hub.push(snapshot("LL-2", child=child))).status_code == 202
    await hub.push(snapshot("LL-1", version=2, child=child, plan=ENDED))
    assert (await hub.push(snapshot("LL-2", child=child))).status_code == 201
    assert await held(hub, "351") == [], "the very version that waited has now been taken"
    assert (await hub.push(snapshot("LL-3", child=child, plan=ENDED))).status_code == 201


async def test_an_officer_cannot_enter_a_child_twice(hub: Any, snapshot: Any) -> None:
    await hub.a_plan(snapshot(child={"nhs_number": NHS}))
    child = {"surname": "A", "forename": "B", "birth_date": "2017-03-02", "sex": "F", "nhs_number": NHS}
    response = await hub.post("/v1/cases", {"child": child, "responsible_la": "351"})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (409, "duplicate-child")
    assert (
        await hub.post("/v1/cases", {"child": child | {"nhs_number": ANOTHER_NHS}, "responsible_la": "351"})
    ).status_code == 201


@pytest.mark.postgres
@pytest.mark.parametrize("hub", ["postgres"], indirect=True)
async def test_the_same_child_entered_twice_at_once_is_entered_once(hub: Any, snapshot: Any) -> None:
    child = {"nhs_number": NHS}
    pushed = [hub.push(snapshot(f"LL-{n}", child=child)) for n in range(3)]
    entered = {"surname": "A", "forename": "B", "birth_date": "2017-03-02", "sex": "F", "nhs_number": NHS}
    posted = [hub.post("/v1/cases", {"child": entered, "responsible_la": "351"}) for _ in range(3)]
    answers = Counter(answer.status_code for answer in await asyncio.gather(*pushed, *posted))
    assert (answers[201], answers[202] + answers[409]) == (1, 5)
