"""Rate limits: S80 within one process."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from shared.kit.tests.web.toy import Seen, assert_problem, bearer, make_app, settings, token

from service_kit.access import Caller, counted_as
from service_kit.limits import Limiter, per_minute
from service_kit.policy import ROLES
from service_kit.problems import Refusal
from service_kit.settings import Environment, Settings


class Hand:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def test_a_bucket_holds_one_minute_and_refills_evenly() -> None:
    now = Hand()
    limiter = Limiter(now)
    for _ in range(60):
        limiter.take("a", 60)
    with pytest.raises(Refusal, match="rate-limited") as refused:
        limiter.take("a", 60)
    assert refused.value.headers["Retry-After"] == "1"
    now.time += 1
    limiter.take("a", 60)
    with pytest.raises(Refusal, match="rate-limited"):
        limiter.take("a", 60)
    now.time += 3600
    for _ in range(60):
        limiter.take("a", 60)
    with pytest.raises(Refusal, match="rate-limited"):
        limiter.take("a", 60)


def test_the_wait_that_is_announced_is_enough() -> None:
    now = Hand()
    limiter = Limiter(now)
    for rate in (1, 7, 600):
        for _ in range(rate):
            limiter.take("a", rate)
        with pytest.raises(Refusal) as refused:
            limiter.take("a", rate)
        now.time += int(refused.value.headers["Retry-After"])
        limiter.take("a", rate)


def test_one_client_does_not_use_up_another_and_zero_is_no_limit() -> None:
    limiter = Limiter(Hand())
    limiter.take("a", 1)
    limiter.take("b", 1)
    for _ in range(1000):
        limiter.take("c", 0)
    with pytest.raises(Refusal):
        limiter.take("a", 1)


def test_memory_stays_bounded() -> None:
    limiter = Limiter(Hand())
    for n in range(20_000):
        limiter.take(str(n), 1)
    assert len(limiter._buckets) == 10_000


def test_reads_writes_and_pushes_have_their_own_limits() -> None:
    live = Settings(environment=Environment.embedded)
    assert per_minute(live, "officer", "GET") == 600
    assert per_minute(live, "officer", "POST") == 60
    assert per_minute(live, "adapter", "PUT") == 6000
    assert per_minute(Settings(environment=Environment.test), "officer", "POST") == 0


async def test_s80_the_61st_write_of_a_minute_is_429(tmp_path: Path) -> None:
    app = make_app(settings(tmp_path, environment="embedded"), Seen())
    app.state.limiter = Limiter(Hand())
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="https://hub.test"
    ) as client:
        for _ in range(60):
            assert (await client.post("/v1/cases", json={}, headers=bearer(token()))).status_code == 200
        answer = await client.post("/v1/cases", json={}, headers=bearer(token()))
        assert_problem(answer, 429, "rate-limited")
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["ratelimit-limit"] == "60"
        assert (await client.get("/v1/cases", headers=bearer(token()))).status_code == 200
        other = bearer(token(sub="officer-4"))
        assert (await client.post("/v1/cases", json={}, headers=other)).status_code == 200


async def test_people_of_one_web_client_do_not_share_their_writes(tmp_path: Path) -> None:
    """S80: one write a minute; two officers of one client, then the first once more."""
    app = make_app(settings(tmp_path, environment="embedded", writes_per_minute=1), Seen())
    app.state.limiter = Limiter(Hand())
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="https://hub.test"
    ) as client:
        answers = [
            await client.post("/v1/cases", json={}, headers=bearer(token(client_id="web", sub=person)))
            for person in ("officer-3", "officer-4", "officer-3")
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_system_is_counted_as_one_client_and_people_one_by_one(role: str) -> None:
    one, two = (Caller(name, role, None, frozenset(), "web") for name in ("one", "two"))
    assert (counted_as(one) == counted_as(two)) == (role in ("adapter", "reporting"))
    other = Caller("one", role, None, frozenset(), "other")
    assert counted_as(one) != counted_as(other)
