"""What the fill of the demonstration does beside loading: a first invitation."""

from __future__ import annotations

import json
from datetime import date

import httpx2
import pytest

from ehcp_embedded.demo.seed import Way, invite_to_a_first_review

TODAY = date(2026, 11, 14)


def _review(review: str, latest: str) -> dict[str, str]:
    return {"id": review, "latest_meeting_on": latest}


async def _booked(*reviews: dict[str, str]) -> list[tuple[str, dict[str, str]]]:
    """What is posted when the school has these reviews."""
    posted: list[tuple[str, dict[str, str]]] = []

    def hub(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            assert request.url.params["urn"] == "900123"
            return httpx2.Response(200, json={"items": reviews, "next": None})
        posted.append((request.url.path, json.loads(request.content)))
        return httpx2.Response(200, json={})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(hub), base_url="http://hub.test") as client:
        await invite_to_a_first_review(
            Way("http://hub.test", client, "adapter", "officer", "manager"), "900123", TODAY
        )
    return posted


async def test_the_next_review_that_leaves_time_for_notice_is_invited_to() -> None:
    posted = await _booked(
        _review("long-overdue", "2024-02-11"),
        _review("in-spring", "2027-03-01"),
        _review("by-the-sunday-of-the-fourth-week", "2026-12-13"),
        _review("by-the-saturday-of-the-third-week", "2026-12-05"),  # its Friday is too soon
    )
    path = "/v1/reviews/by-the-sunday-of-the-fourth-week/meeting"
    assert posted == [(path, {"meeting_on": "2026-12-11"})]


@pytest.mark.parametrize("reviews", [[], [_review("long-overdue", "2024-02-11")]])
async def test_a_school_without_such_a_review_is_left_alone(reviews: list[dict[str, str]]) -> None:
    assert await _booked(*reviews) == []
