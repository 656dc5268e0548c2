"""The register of institutions: an upsert by URN; ages decide facts."""

from __future__ import annotations

from typing import Any

LINE = {
    "urn": "900201",
    "name": "Holcombe View Primary (invented)",
    "kind": "primary",
    "low_age": 4,
    "high_age": 11,
    "la_code": "351",
    "section20_12": True,
}


async def test_an_institution_is_created_updated_and_left_alone(hub: Any) -> None:
    statuses = []
    for line in (LINE, LINE, {**LINE, "name": "Holcombe View Academy (invented)"}):
        statuses += [out["status"] for out in await hub.schools([line])]
    assert statuses == ["created", "unchanged", "updated"]
    read = (await hub.officer.get("/v1/imports/institutions/900201")).json()
    assert (read["name"], read["high_age"], read["section20_12"]) == (
        "Holcombe View Academy (invented)",
        11,
        True,
    )


async def test_a_bad_institution_harms_no_other(hub: Any) -> None:
    bad: list[Any] = [
        {**LINE, "kind": "castle"},
        {**LINE, "low_age": 12},
        {**LINE, "urn": "12"},
        {**LINE, "head": "a name"},
        b"[]",
    ]
    out = await hub.schools([*bad, LINE])
    assert [line["status"] for line in out] == ["rejected"] * 5 + ["created"]
    codes = [line["problem"]["errors"][0]["code"] for line in out[:5]]
    assert codes == ["choice", "age-range", "urn-format", "unknown-field", "object"]


async def test_corrected_ages_change_the_facts_of_the_children_there(hub: Any, snapshot: Any) -> None:
    """A Year 2 child at a through primary has no transfer; once the school is known to end at 7, it has."""
    child = {"birth_date": "2020-05-01"}
    await hub.a_plan(snapshot("LL-1", child=child))
    await hub.a_plan(snapshot("LL-2", child=child, placement={"urn": "900104"}))
    out = await hub.schools(
        [
            {
                **LINE,
                "urn": "900101",
                "name": "Larkhill Infant School (invented)",
                "kind": "infant",
                "high_age": 7,
            }
        ]
    )
    assert out[0]["status"] == "updated"
    told = [data for name, data in await hub.events() if name == "case-facts-changed"]
    assert [data["facts"]["phase"] for data in told] == ["infant_to_junior"]


async def test_an_unknown_institution_is_not_found(hub: Any) -> None:
    assert (await hub.officer.get("/v1/imports/institutions/900999")).status_code == 404
    assert (await hub.officer.get("/v1/imports/institutions/nothing")).status_code == 404
