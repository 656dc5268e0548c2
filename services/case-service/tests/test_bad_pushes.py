"""bad-inputs 3, line by line: what a source system may send wrong, and what becomes of it.

Duplicates of a child (3.3) stand in `test_identity`, values that cannot be right (3.5, 3.11) also in `test_push`.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

URL = "/v1/sources/liquid-logic"
ENDED = {"status": "ceased", "ceased_on": "2026-09-01", "cease_reason": "2"}


async def held(hub: Any) -> list[dict[str, Any]]:
    """What the council's officers find in quarantine."""
    return list((await hub.officer.get(f"{URL}/quarantine")).json()["items"])


async def held_as(hub: Any) -> list[tuple[str, int, str, str, int]]:
    return [(k["ref"], k["version"], k["code"], k["pointer"], k["times"]) for k in await held(hub)]


def deletion(ref: str = "LL-1", version: int = 2, **changes: Any) -> dict[str, Any]:
    return {"ref": ref, "version": version, "responsible_la": "351", "deleted": True, **changes}


# -- 3.1, 3.2, 3.9: repeated, reordered, late ----------------------------------------------------------------------


async def test_the_order_of_fields_and_the_spaces_between_them_are_no_content(
    hub: Any, snapshot: Any
) -> None:
    """3.1: the same version in other writing is the same."""
    await hub.batch([snapshot()])
    turned = dict(reversed(snapshot().items()))
    written = json.dumps(turned, indent=None, separators=(" , ", " : ")).encode()
    out = await hub.batch([snapshot(), turned, written])
    assert [line["status"] for line in out] == ["unchanged"] * 3
    assert await held(hub) == []


async def test_versions_decide_and_not_the_order_of_arrival_or_any_clock(hub: Any, snapshot: Any) -> None:
    """3.2, 3.9: versions may leap; what is older than the newest taken is refused and kept."""
    out = await hub.batch([snapshot(version=v, officer=f"officer-{v}") for v in (3, 900, 7, 901)])
    assert [line["status"] for line in out] == ["created", "updated", "rejected", "updated"]
    assert out[2]["problem"]["status"] == 409
    (case,) = (await hub.officer.get("/v1/cases")).json()["items"]
    assert case["responsible"]["officer"] == "officer-901"
    assert await held(hub) == [], "901 has settled 7"


@pytest.mark.parametrize("written", ["2026-05-01T00:00:00", "2026-05-01T00:00:00Z", "1 May 2026", 20260501])
async def test_an_instant_or_another_writing_of_a_day_is_never_turned_into_a_day(
    hub: Any, snapshot: Any, written: Any
) -> None:
    """3.9: no snapshot holds an instant, so no zone and no ambiguous hour is ever guessed."""
    response = await hub.push(snapshot(plan={"last_concluded": written}))
    assert response.json()["errors"][0]["pointer"] == "/plan/last_concluded"


# -- 3.4 -----------------------------------------------------------------------------------------------------------


async def test_a_newer_version_that_is_refused_too_takes_the_place_of_the_older_one(
    hub: Any, snapshot: Any
) -> None:
    """3.4: a person finds each record once, however many nights it has come."""
    await hub.push(snapshot())
    for version in (2, 3, 4):
        other = {"surname": "Nightjar", "birth_date": "2015-01-09"}
        await hub.push(snapshot(version=version, child=other))
    assert await held_as(hub) == [("LL-1", 4, "identity-clash", "/child", 1)]


# -- 3.5, 3.7, 3.11: what the mapping does not know ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"primary_need": "XYZ"}, "choice", "/primary_need"),
        ({"placement": {"urn": None, "setting": "HOME"}}, "choice", "/placement/setting"),
        ({"plan": {"status": "suspended"}}, "choice", "/plan/status"),
        ({"need_description": "long text"}, "unknown-field", "/need_description"),
        ({"officer": "o" * 41}, "too-long", "/officer"),
        ({"placement": {"urn": "999998"}}, "urn-not-in-register", "/placement/urn"),
    ],
)
async def test_a_record_that_cannot_be_mapped_is_held_with_the_place_and_never_the_value(
    hub: Any, snapshot: Any, changes: dict[str, Any], code: str, pointer: str
) -> None:
    """3.5, 3.11: the batch goes on; the list of what is held says what the mapping lacks. One by one as in a batch."""
    bad = snapshot("B-2", **changes)
    out = await hub.batch([snapshot("B-1"), bad, snapshot("B-3")])
    assert [line["status"] for line in out] == ["created", "rejected", "created"]
    assert out[1]["problem"]["status"] == 422
    assert (await hub.push(bad)).status_code == 422
    assert [one[:4] for one in await held_as(hub)] == [("B-2", 1, code, pointer)]
    assert not {"XYZ", "HOME", "suspended", "long text", "999998"} & set(
        json.dumps(await held(hub)).split('"')
    )
    assert (await hub.push(snapshot("B-2"))).status_code == 201, "the same version, put right"
    assert await held(hub) == []


async def test_a_known_case_stays_as_it_was_while_its_newer_version_is_held(hub: Any, snapshot: Any) -> None:
    case_id = await hub.a_plan(snapshot())
    await hub.push(snapshot(version=2, primary_need="XYZ", officer="officer-9"))
    assert (await hub.case(case_id))["responsible"]["officer"] == "officer-3"
    (kept,) = await held(hub)
    assert (kept["code"], kept["case_id"]) == ("choice", case_id)


@pytest.mark.parametrize(
    "line", [{"version": 1}, {"ref": "LL-1"}, {"ref": "Ada Quillfeather", "version": 1}, 7, []]
)
async def test_a_line_that_names_no_record_is_refused_and_not_held(hub: Any, line: Any) -> None:
    (out,) = await hub.batch([line])
    assert (out["status"], out["ref"]) == ("rejected", line.get("ref") if line == {"ref": "LL-1"} else None)
    assert await held(hub) == []


async def test_of_5000_lines_three_bad_ones_are_held_and_the_others_taken(hub: Any, snapshot: Any) -> None:
    """3.7."""
    lines = [snapshot(f"B-{n}") for n in range(5000)]
    for n in (7, 2500, 4999):
        lines[n] = snapshot(f"B-{n}", primary_need="XYZ")
    out = await hub.batch(lines)
    assert Counter(line["status"] for line in out) == {"created": 4997, "rejected": 3}
    assert sorted(kept["ref"] for kept in await held(hub)) == ["B-2500", "B-4999", "B-7"]


async def test_another_councils_record_is_neither_taken_nor_held(hub: Any, snapshot: Any) -> None:
    """Readable or not: a mistake of one council's system is not put before another council."""
    bad = snapshot("B-2", responsible_la="354", primary_need="XYZ")
    out = await hub.batch([snapshot("B-1", responsible_la="354"), bad])
    assert [line["problem"]["status"] for line in out] == [403, 403]
    both = hub.app.as_("officer", las=("351", "354"))
    assert (await both.get(f"{URL}/quarantine")).json()["items"] == []


async def test_only_the_council_that_keeps_the_record_finds_it_in_quarantine(hub: Any, snapshot: Any) -> None:
    """351 keeps a plan for 354: what its system sent wrong is for 351 to put right."""
    kept_for = {"responsible_la": "354", "administering_la": "351"}
    await hub.push(snapshot(version=2, **kept_for))
    await hub.push(snapshot(version=1, **kept_for))
    assert len(await held(hub)) == 1
    assert (await hub.app.as_("officer", las=("354",)).get(f"{URL}/quarantine")).json()["items"] == []


# -- 3.6: deleted at source ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["line", "DELETE"])
async def test_a_record_deleted_in_the_source_is_a_proposal_to_a_person(
    hub: Any, snapshot: Any, way: str
) -> None:
    """3.6: never a deletion here. Ending the plan answers it, and so does the source by sending the record again."""
    case_id = await hub.a_plan(snapshot())

    async def gone(version: int) -> dict[str, Any]:
        if way == "line":
            (out,) = await hub.batch([deletion(version=version)])
            return {name: value for name, value in out.items() if name != "line"}
        answer = await hub.adapter.delete(f"{URL}/cases/LL-1?la=351&version={version}")
        assert answer.status_code == 202
        return dict(answer.json())

    queued = {"ref": "LL-1", "status": "queued", "case_id": case_id, "version": 1, "source_version": 2}
    assert [await gone(2), await gone(2)] == [queued, queued]
    assert await held_as(hub) == [("LL-1", 2, "deleted-at-source", "", 2)]
    assert (await hub.case(case_id))["status"] == "active"
    assert len(await hub.events()) == 1
    await hub.push(snapshot(version=3))
    assert await held(hub) == []
    await gone(4)
    body = {"stage": "notify", "notified_on": "2026-09-14", "reason": "8", "effective_now": True}
    assert (await hub.post(f"/v1/cases/{case_id}/cease", body)).json()["status"] == "ceased"
    assert await held(hub) == []


async def test_a_deletion_of_what_is_not_here_or_has_ended_changes_nothing(hub: Any, snapshot: Any) -> None:
    await hub.push(snapshot("LL-1", plan=ENDED))
    await hub.push(snapshot("LL-2", primary_need="XYZ"))
    out = await hub.batch([deletion("LL-1"), deletion("LL-2"), deletion("LL-3")])
    assert [(line["status"], line["case_id"]) for line in out] == [("unchanged", None)] * 3
    assert await held(hub) == [], "LL-2 need not be put right any more"


async def test_a_late_deletion_is_as_stale_as_any_other_old_version(hub: Any, snapshot: Any) -> None:
    await hub.push(snapshot(version=5))
    (out,) = await hub.batch([deletion(version=4)])
    assert out["problem"]["errors"][0]["code"] == "stale-snapshot"


async def test_a_system_deletes_nothing_of_another_council(hub: Any, snapshot: Any) -> None:
    await hub.push(snapshot())
    rochdale = hub.app.as_("adapter", org="liquid-logic", las=("354",))
    assert (await rochdale.delete(f"{URL}/cases/LL-1?la=351&version=2")).status_code == 403
    assert (await rochdale.delete(f"{URL}/cases/LL-1?la=354&version=2")).json()["status"] == "unchanged"
    other = hub.app.as_("adapter", org="other-system")
    assert (await other.delete(f"{URL}/cases/LL-1?la=351&version=2")).status_code == 404
    assert await held(hub) == []


@pytest.mark.parametrize("query", ["", "?la=351", "?version=2", "?la=Bury&version=2", "?la=351&version=0"])
async def test_a_deletion_says_whose_record_and_which_version(hub: Any, query: str) -> None:
    assert (await hub.adapter.delete(f"{URL}/cases/LL-1{query}")).status_code == 400


# -- 3.8, 3.13: parts of an extract --------------------------------------------------------------------------------


async def test_what_an_extract_leaves_out_is_not_touched(hub: Any, snapshot: Any) -> None:
    """3.8: absence is never a deletion, so half an extract cannot shrink the register; no guard is needed."""
    await hub.batch(snapshot(f"B-{n}") for n in range(10))
    await hub.batch(snapshot(f"B-{n}", version=2) for n in range(5))
    cases = (await hub.officer.get("/v1/cases")).json()["items"]
    assert Counter(case["status"] for case in cases) == {"active": 10}


async def test_a_batch_cut_off_in_a_line_takes_the_whole_lines(hub: Any, snapshot: Any) -> None:
    """3.13: the rest comes with the repetition, which takes it and changes nothing else."""
    lines = [snapshot(f"B-{n}") for n in range(3)]
    cut = json.dumps(lines[2]).encode()[:-20]
    assert [line["status"] for line in await hub.batch([*lines[:2], cut])] == [
        "created",
        "created",
        "rejected",
    ]
    assert [line["status"] for line in await hub.batch(lines)] == ["unchanged", "unchanged", "created"]


# -- 3.10: what is no snapshot at all ------------------------------------------------------------------------------

HTML = b"<!DOCTYPE html>\n<html><body>Sign in to Liquid Logic</body></html>\n"
XML = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>\n<soap:Fault>&e;</soap:Fault>\n'


@pytest.mark.parametrize("page", [HTML, XML])
async def test_a_login_page_or_a_soap_fault_is_refused_line_by_line_and_not_repeated(
    hub: Any, page: bytes
) -> None:
    """3.10."""
    headers = {"Content-Type": "application/x-ndjson"}
    answer = await hub.adapter.post(f"{URL}/batches", content=page, headers=headers)
    problems = [json.loads(line)["problem"]["type"] for line in answer.text.splitlines()]
    assert [kind.rpartition("/")[2] for kind in problems] == ["malformed-json"] * 2
    assert not {"Sign in", "passwd", "soap"} & set(answer.text.split())
    for kind, status in (("application/json", 400), ("text/html", 415), ("text/xml", 415)):
        put = await hub.adapter.put(f"{URL}/cases/LL-1", content=page, headers={"Content-Type": kind})
        assert put.status_code == status
    assert await held(hub) == []


async def test_a_line_in_another_encoding_is_refused_and_the_others_are_taken(
    hub: Any, snapshot: Any
) -> None:
    """bad-inputs 1.1: a file put together from several systems. Accents in UTF-8 are taken as they are."""
    named = snapshot("B-2", child={"surname": "Brontë-Żak"})
    written = json.dumps(named, ensure_ascii=False)
    out = await hub.batch(
        [
            b"\xef\xbb\xbf" + json.dumps(snapshot("B-1")).encode(),
            written.encode("cp1252", "replace"),
            written.encode("utf-16"),
            written.encode(),
            json.dumps(snapshot("B-3")).encode() + b"\r",
        ]
    )
    assert Counter(line["status"] for line in out) == {"rejected": len(out) - 2, "created": 2}
    assert [line["ref"] for line in out if line["status"] == "created"] == ["B-2", "B-3"]
    cases = (await hub.officer.get("/v1/cases")).json()["items"]
    assert "Brontë-Żak" in [case["child"]["surname"] for case in cases]


# -- 3.14 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["school", "officer", "icb"])
async def test_the_token_of_anybody_else_pushes_and_deletes_nothing(
    hub: Any, snapshot: Any, role: str
) -> None:
    """3.14."""
    body = {name: value for name, value in snapshot().items() if name != "ref"}
    other = hub.app.as_(role, org="900101")
    assert (await other.put(f"{URL}/cases/LL-1", json=body)).status_code == 403
    assert (await other.delete(f"{URL}/cases/LL-1?la=351&version=1")).status_code == 403
