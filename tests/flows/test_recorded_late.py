"""The everyday case: a review was held and decided in January, and is entered in October, when it has lapsed."""

from __future__ import annotations

from datetime import date
from typing import Any

from flows.house import House
from flows.test_whole_story import SCHOOL, act, load_institutions, push, reviews_of, snapshot


async def figures(house: House) -> dict[str, tuple[int, int]]:
    """What the board sees of 2026/27: numerator and denominator."""
    async with house.as_("board") as board:
        answer = await board.get("/v1/measures", params={"la": "351", "academic_year": "2026/27"})
    measures: list[dict[str, Any]] = answer.raise_for_status().json()["measures"]
    return {m["id"]: (m["numerator"], m["denominator"]) for m in measures if m["id"] in ("K6b", "K7", "K11")}


async def test_a_phase_review_entered_after_the_child_has_moved_up_counts_as_held_when_it_was(
    house: House,
) -> None:
    await load_institutions(house)
    school = await house.partner("school", SCHOOL)
    # Year 6: born 10 May 2016. Last reviewed on 2 March 2026, so the next is due on 1 March 2027.
    child = {"surname": "Canaryworth", "forename": "Ida", "birth_date": "2016-05-10", "sex": "F"}
    plan = {"first_made": "2024-05-20", "last_concluded": "2026-03-02", "status": "active"}
    case = await push(house, "LL-1", snapshot(child=child, plan=plan))
    await house.quiet()
    phase = next(r for r in await reviews_of(house, urn=SCHOOL) if r["kind"] == "phase_transfer")
    assert phase["due_on"] == "2027-02-14"

    # Nobody enters anything. On 1 September the child is in Year 7 and the phase review has lapsed.
    for before, day in ((date(2027, 2, 14), date(2027, 2, 15)), (date(2027, 10, 3), date(2027, 10, 4))):
        house.clock.set(before)
        await house.go_to(day)
    assert await figures(house) == {"K6b": (0, 1), "K7": (0, 0), "K11": (0, 1)}

    # In October the school enters the meeting of 11 January, the officer the decision of 25 January.
    await act(house, "school", SCHOOL, f"/v1/reviews/{phase['id']}/held", {"held_on": "2027-01-11"})
    decision = {"outcome": "maintain", "notified_on": "2027-01-25"}
    await act(house, "officer", None, f"/v1/reviews/{phase['id']}/decision", decision)
    open_now = await reviews_of(house, urn=SCHOOL, status="open")
    assert [(r["kind"], r["due_on"]) for r in open_now] == [("annual", "2028-01-24")]
    async with house.as_("officer") as officer:
        read = (await officer.get(f"/v1/cases/{case}")).raise_for_status().json()
    assert read["plan"]["last_concluded"] == "2027-01-25"
    assert await figures(house) == {"K6b": (1, 1), "K7": (1, 1), "K11": (1, 1)}

    # The school was told of the lapse; then that it is taken back; then what was done, in this order.
    about_it = [
        r.event["type"].removeprefix("ehcp.").removesuffix(".v1")
        for r in sorted(school.verified(), key=lambda r: int(r.event["sequence"]))
        if r.event["data"].get("review_id") == phase["id"]
    ]
    assert about_it[-5:] == [
        "review-overdue",
        "review-withdrawn",
        "review-corrected",
        "review-meeting-held",
        "review-decided",
    ]
    for one in house.running.values():
        assert one.inbox is None or await one.inbox.parked() == {}
