"""Schools and officers at work: the course of a review, computed by hand, and the proportions of many."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from uuid import UUID

from ehcp_contracts.events import ReviewDue, ReviewKind, ReviewStage
from ehcp_embedded.demo.life import Act, Rates, course

CASE = "3f0c6d1e-8b7a-4c52-9e41-d2a5b6c7f801"
DUE, LATEST = date(2027, 2, 26), date(2027, 1, 29)


def due(n: int) -> ReviewDue:
    return ReviewDue(
        review_id=UUID(int=n),
        kind=ReviewKind.ANNUAL,
        stage=ReviewStage.INVITE,
        due_on=DUE,
        latest_meeting_on=LATEST,
    )


def acts(n: int, rates: Rates) -> dict[str, Act]:
    return {act.path.rsplit("/", 1)[-1]: act for act in course(due(n), CASE, rates)}


def test_a_review_in_time_is_met_decided_and_amended_by_its_dates() -> None:
    for n in range(200):
        found = acts(n, Rates(in_time=1, late=0))
        met, decided = found["held"].body["held_on"], found["decision"].body["notified_on"]
        assert found["meeting"].on < met <= LATEST.isoformat()
        assert date.fromisoformat(met).weekday() < 5
        assert met < found["report"].body["received_on"] <= decided <= DUE.isoformat()
        assert decided <= (date.fromisoformat(met) + timedelta(days=28)).isoformat()
        if "amendment-notices" in found:
            sent = found["amendment-notices"].body["sent_on"]
            assert sent <= DUE.isoformat()
            assert sent <= (date.fromisoformat(met) + timedelta(days=28)).isoformat()


def test_a_late_review_is_decided_after_its_due_date() -> None:
    assert all(acts(n, Rates(in_time=0, late=1))["decision"].on > DUE.isoformat() for n in range(200))


def test_reviews_take_their_courses_in_the_published_proportions() -> None:
    """Cabinet report: 40 % reviewed, 22 % in time; the other 60 % are left lying."""
    fates = Counter(
        "none" if not found else "late" if found["decision"].on > DUE.isoformat() else "in time"
        for found in (acts(n, Rates()) for n in range(4_000))
    )
    assert abs(fates["in time"] / 4_000 - 0.22) < 0.02
    assert abs(fates["late"] / 4_000 - 0.18) < 0.02


def test_a_review_takes_the_same_course_again() -> None:
    assert acts(7, Rates(in_time=1, late=0)) == acts(7, Rates(in_time=1, late=0))
