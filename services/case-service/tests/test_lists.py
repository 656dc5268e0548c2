"""A list is written by the database, a single case by Python: nobody can tell which, on either database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

BOTH = pytest.mark.parametrize(
    "hub", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
SCHOOL = "900101"


async def some_cases(hub: Any, snapshot: Any, upn: Any) -> None:
    """One with everything, one at no school, one that is to end, and one entered by hand before any plan."""
    child = {"surname": "O'Hara-Ngô 陳", "upn": upn(1), "nhs_number": "9990000018", "postcode": "BL9 0SW"}
    everything = snapshot("LL-1", child=child)
    elsewhere = snapshot("LL-2", placement={"urn": None, "setting": "EHE", "since": None})
    _, _, ending = [await hub.a_plan(one) for one in (everything, elsewhere, snapshot("LL-3"))]
    await hub.post(f"/v1/cases/{ending}/cease", {"stage": "consult", "notified_on": "2026-09-01"})
    await hub.post(f"/v1/cases/{ending}/cease", {"notified_on": "2026-09-14", "reason": "2"})
    entered = {"surname": "Vale", "forename": "Theo", "birth_date": "2023-02-28", "sex": "M"}
    answer = await hub.post("/v1/cases", {"child": entered, "responsible_la": "351"})
    assert answer.status_code == 201, answer.text


@BOTH
@pytest.mark.parametrize("role", ["officer", "school"])
async def test_a_case_stands_in_a_list_as_it_is_read_by_itself(
    hub: Any, snapshot: Any, upn: Any, role: str
) -> None:
    await some_cases(hub, snapshot, upn)
    client = hub.app.as_(role, org=SCHOOL if role == "school" else None)
    items = (await client.get("/v1/cases")).json()["items"]
    read = [(await client.get(f"/v1/cases/{item['id']}")).json() for item in items]
    assert len(items) == {"officer": 4, "school": 2}[role]
    assert items == read
    assert [list(item) for item in items] == [list(one) for one in read]


@BOTH
async def test_a_case_kept_for_another_council_is_listed_once_and_in_its_place(
    hub: Any, snapshot: Any
) -> None:
    rochdale = hub.app.as_("adapter", org="liquid-logic", las=("354",))
    for ref, la, kept_by in (
        ("a", "351", "351"),
        ("b", "354", "351"),
        ("c", "354", "354"),
        ("d", "351", "354"),
    ):
        body = snapshot(responsible_la=la, administering_la=kept_by)
        del body["ref"]
        adapter = hub.adapter if kept_by == "351" else rochdale
        answer = await adapter.put(f"/v1/sources/liquid-logic/cases/{ref}", json=body)
        assert answer.status_code == 201, answer.text
        hub.app.clock.pass_time(timedelta(seconds=1))
    seen = {}
    for las in (("351",), ("354",), ("351", "354")):
        items = (await hub.app.as_("officer", las=las).get("/v1/cases")).json()["items"]
        seen[las] = "".join(item["source"]["ref"] for item in items)
    assert seen == {("351",): "abd", ("354",): "bcd", ("351", "354"): "abcd"}
