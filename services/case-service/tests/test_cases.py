"""Registering, reading and listing cases."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

BODY = {
    "child": {"surname": "Quillfeather", "forename": "Ada", "birth_date": "2021-03-02", "sex": "F"},
    "responsible_la": "351",
    "officer": "officer-3",
    "icb": "QOP",
}


async def test_a_registered_case_is_read_back_with_its_etag_and_told_to_nobody(hub: Any) -> None:
    response = await hub.post("/v1/cases", BODY)
    assert response.status_code == 201, response.text
    assert response.headers["ETag"] == '"1"'
    read = await hub.officer.get(response.headers["Location"])
    assert read.json() == response.json()
    case = read.json()
    assert (case["status"], case["facts"], case["responsible"]["administering_la"]) == (
        "registered",
        None,
        "351",
    )
    assert await hub.events() == []
    assert [(h["what"], h["version"]) for h in await hub.history(case["id"])] == [("registered", 1)]


async def test_the_same_key_again_gets_the_stored_answer_and_no_second_case(hub: Any) -> None:
    """bad-inputs 1.13; F02."""
    key = {"Idempotency-Key": "register-ada"}
    first = await hub.post("/v1/cases", BODY, **key)
    again = await hub.post("/v1/cases", BODY, **key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len((await hub.officer.get("/v1/cases")).json()["items"]) == 1
    other = await hub.post("/v1/cases", {**BODY, "officer": "officer-4"}, **key)
    assert other.status_code == 422


async def test_the_year_taught_at_registration_moves_up_each_september(hub: Any) -> None:
    """Taught in Year 5 when registered in 2026/27: in the cohort of reg 18 in 2027/28, whatever the age says."""
    child = {**BODY["child"], "birth_date": "2017-03-02"}  # type: ignore[dict-item]
    registered = await hub.post("/v1/cases", {**BODY, "child": child, "taught_year_group": 5})
    assert registered.json()["taught_in"] == "2026/27"
    plan = {"issued_on": "2026-09-10", "placement": {"urn": "900101"}}
    issued = await hub.post(f"/v1/cases/{registered.json()['id']}/plan", plan)
    assert issued.json()["facts"]["phase"] is None
    hub.app.clock.set(date(2027, 9, 1))
    await hub.app.run_daily()
    facts = (await hub.case(registered.json()["id"]))["facts"]
    assert (facts["year_group"], facts["phase"]) == (6, "primary_to_secondary")


async def test_a_case_that_another_council_administers_cannot_be_registered(hub: Any) -> None:
    """Its number would stand in that council's way."""
    for others in ({"responsible_la": "354"}, {"administering_la": "354"}):
        assert (await hub.post("/v1/cases", {**BODY, **others})).status_code == 403
    kept = await hub.post("/v1/cases", {**BODY, "responsible_la": "354", "administering_la": "351"})
    assert kept.status_code == 201


@pytest.mark.parametrize("field", ["id", "la_code", "version", "status", "consent", "facts"])
async def test_mass_assignment_is_refused(hub: Any, field: str) -> None:
    """S13."""
    response = await hub.post("/v1/cases", {**BODY, field: "351"})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "unknown-field")


async def test_a_list_is_narrowed_by_every_filter(hub: Any, snapshot: Any) -> None:
    await hub.batch(
        [
            snapshot("A"),
            snapshot("B", officer="officer-4", child={"birth_date": "2015-11-20"}),
            snapshot("C", placement={"urn": "900104"}, responsible_la="354", administering_la="351"),
            snapshot("D", placement={"urn": None, "setting": "EHE"}),
        ]
    )
    await hub.post("/v1/cases", BODY)

    async def refs(query: str) -> list[str | None]:
        response = await hub.officer.get(f"/v1/cases?{query}")
        assert response.status_code == 200, response.text
        return sorted((c["source"] or {"ref": "-"})["ref"] for c in response.json()["items"])

    assert await refs("") == ["-", "A", "B", "C", "D"]
    assert await refs("la=354") == ["C"]
    assert await refs("urn=900101") == ["A", "B"]
    assert await refs("officer=officer-4") == ["B"]
    assert await refs("status=registered") == ["-"]
    assert await refs("phase=primary_to_secondary") == ["B"]
    assert await refs("status=active&officer=officer-3&urn=900101") == ["A"]
    assert await refs("updated_since=2026-09-15T00:00:00Z") == []


async def test_changes_since_an_instant_are_found(hub: Any, snapshot: Any) -> None:
    await hub.batch([snapshot("A"), snapshot("B")])
    hub.app.clock.pass_time(timedelta(minutes=5))
    await hub.push(snapshot("B", version=2, officer="officer-9"))
    response = await hub.officer.get("/v1/cases?updated_since=2026-09-14T09:05:00Z")
    assert [c["source"]["ref"] for c in response.json()["items"]] == ["B"]


async def test_pages_follow_one_another_without_gap_or_repeat(hub: Any, snapshot: Any) -> None:
    await hub.batch([snapshot(f"P-{n}") for n in range(7)])
    seen: list[str] = []
    url: str | None = "/v1/cases?limit=3"
    sizes = []
    while url:
        page = (await hub.officer.get(url)).json()
        sizes.append(len(page["items"]))
        seen += [c["source"]["ref"] for c in page["items"]]
        url = f"/v1/cases?limit=3&cursor={page['next']}" if page["next"] else None
    assert (sizes, sorted(seen)) == ([3, 3, 1], [f"P-{n}" for n in range(7)])


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1e9", "cursor=abc", "sort=dob", "urn=12", "status=open", "updated_since=now"]
)
async def test_a_parameter_that_is_not_right_is_refused(hub: Any, query: str) -> None:
    """bad-inputs 1.16."""
    assert (await hub.officer.get(f"/v1/cases?{query}")).status_code == 400


async def test_history_comes_in_pages(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    for version in range(2, 6):
        await hub.push(snapshot(version=version, officer=f"officer-{version + 10}"))
    first = (await hub.officer.get(f"/v1/cases/{case_id}/history?limit=3")).json()
    url = f"/v1/cases/{case_id}/history?limit=3&cursor={first['next']}"
    second = (await hub.officer.get(url)).json()
    assert [h["version"] for h in first["items"] + second["items"]] == [1, 2, 3, 4, 5]
    assert second["next"] is None
