"""The fold: how the log is cut, interleaved or repeated makes no difference, and a rebuild ends with the same tables."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from ehcp_contracts.events import (
    CASES,
    NOTIFICATIONS,
    REVIEWS,
    CaseFactsChanged,
    Phase,
    ReviewKind,
    ReviewWithdrawn,
)
from reporting_service.items import Member, cell
from reporting_service.main import service
from reporting_service.projections import apply
from reporting_service.rebuild import SHADOW, fingerprint, rebuild
from reporting_service.tables import BUSINESS_TABLES, Counter, Item, Notice, Plan, Review
from service_kit import migrate
from service_kit.testing import Harness, running


async def take(app: Harness, events: list[Any], size: int) -> str:
    for i in range(0, len(events), size):
        async with app.hub.db.write() as tx:
            await apply(tx, events[i : i + size])
    return await fingerprint(app.hub.db)


async def rows(app: Harness, table: Any) -> list[Any]:
    async with app.hub.db.read() as session:
        return list((await session.execute(select(table.__table__))).all())


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
async def test_the_tables_do_not_depend_on_how_the_log_is_cut_i9(
    hub: Harness, bury: Any, tmp_path: Path, size: int
) -> None:
    (tmp_path / "other").mkdir()
    async with running(service, tmp_path / "other") as app:
        assert await take(app, bury.received(), size) == await fingerprint(hub.hub.db)


@pytest.mark.parametrize(
    "order",
    [(CASES, REVIEWS, NOTIFICATIONS), (NOTIFICATIONS, REVIEWS, CASES), (REVIEWS, CASES, NOTIFICATIONS)],
)
@pytest.mark.parametrize("size", [3, 1000])
async def test_the_tables_do_not_depend_on_how_the_topics_interleave_i9(
    hub: Harness, bury: Any, tmp_path: Path, order: tuple[str, ...], size: int
) -> None:
    (tmp_path / "other").mkdir()
    events = [r for topic in order for r in bury.received(lambda e, t=topic: type(e).topic == t)]
    async with running(service, tmp_path / "other") as app:
        assert await take(app, events, size) == await fingerprint(hub.hub.db)


async def test_any_interleaving_that_keeps_each_senders_order_ends_the_same_i9(
    hub: Harness, bury: Any, tmp_path: Path
) -> None:
    wanted = await fingerprint(hub.hub.db)
    for seed in range(5):
        place = tmp_path / str(seed)
        place.mkdir()
        async with running(service, place) as app:
            assert await take(app, _shuffled(bury.received(), seed), 4) == wanted


def _shuffled(events: list[Any], seed: int) -> list[Any]:
    dice = random.Random(seed)
    queues: dict[tuple[str, UUID], list[Any]] = {}
    for received in events:
        queues.setdefault((received.source, received.case), []).append(received)
    shuffled = []
    while queues:
        key = dice.choice(list(queues))
        shuffled.append(queues[key].pop(0))
        if not queues[key]:
            del queues[key]
    return shuffled


async def test_counters_are_what_the_items_add_up_to(hub: Harness) -> None:
    counted: dict[Any, int] = {}
    for row in await rows(hub, Item):
        key = cell(Member(*row))
        counted[key] = counted.get(key, 0) + 1
    assert {tuple(row[:-1]): row.n for row in await rows(hub, Counter)} == counted


async def test_duplicates_and_replays_change_nothing_i5(hub: Harness, bury: Any) -> None:
    before = await fingerprint(hub.hub.db)
    for received in bury.received():
        await hub.deliver_raw(type(received.event).topic, str(received.case), received.raw)
    await hub.settle()
    assert await fingerprint(hub.hub.db) == before
    assert await hub.parked() == {}


async def test_a_rebuild_ends_with_identical_tables_f40(hub: Harness, bury: Any) -> None:
    before = await fingerprint(hub.hub.db)
    read = await rebuild(hub.hub, hub.bus, service.listens)
    assert read == len(bury.received())
    assert await fingerprint(hub.hub.db) == before
    assert [len(await rows(hub, table)) for table in (Plan, Review, Notice)] == [7, 10, 1]
    assert not list(Path(str(hub.hub.db.url.database)).parent.glob(f"*.{SHADOW}*"))


async def test_a_phase_review_that_lapsed_counts_as_missed_and_a_rebuild_ends_identical_f40(
    log: Any, tmp_path: Path
) -> None:
    """Year 6 in 2026/27, due 14 February 2027, never held, Year 7 on 1 September 2027: one in the denominator of K11 for
    2026/27, none in time; the annual review is overdue as before."""
    case = log.plan(
        last=date(2026, 3, 2), year_group=6, phase=Phase.PRIMARY_TO_SECONDARY, due=date(2027, 2, 14)
    )
    log.review(case, date(2027, 3, 1))
    phase = log.review(case, date(2027, 2, 14), ReviewKind.PHASE_TRANSFER)
    log.say(case, CaseFactsChanged(facts=log.facts(7, year="2027/28"), responsible=log.responsible()))
    log.say(case, ReviewWithdrawn(review_id=phase, kind=ReviewKind.PHASE_TRANSFER, reason="lapsed"))
    async with running(service, tmp_path, today=date(2027, 9, 1)) as app:
        for received in log.received():
            await app.deliver_raw(type(received.event).topic, str(received.case), received.raw)
        await app.settle()
        before = await fingerprint(app.hub.db)
        for _ in ("live", "rebuilt"):
            answer = await app.as_("officer").get("/v1/measures?academic_year=2026/27&la=351")
            found = {m["id"]: (m["numerator"], m["denominator"]) for m in answer.json()["measures"]}
            assert (found["K11"], found["K11-by"], found["K6b"]) == ((0, 1), (0, 1), (0, 1))
            await rebuild(app.hub, app.bus, service.listens)
            assert await fingerprint(app.hub.db) == before


async def test_a_rebuild_with_duplicates_a_gap_and_poison_on_the_log_equals_the_live_tables_f40(
    hub: Harness, bury: Any
) -> None:
    case = bury.said[0][0]
    for received in bury.received()[:10]:
        await hub.deliver_raw(type(received.event).topic, str(received.case), received.raw)
    await hub.deliver_raw(CASES, str(bury.said[20][0]), b"{not json")
    changed = CaseFactsChanged(facts=bury.facts(9), responsible=bury.responsible())
    await hub.deliver(changed, case=case, source="/case-service", sequence=7)  # after a gap
    await hub.settle()
    parked = await hub.parked()
    assert sum(parked.values()) == 2
    before = await fingerprint(hub.hub.db)
    await rebuild(hub.hub, hub.bus, service.listens)
    assert await fingerprint(hub.hub.db) == before
    assert await hub.parked() == parked


async def test_after_a_rebuild_the_live_consumer_goes_on_where_it_was_f40(hub: Harness, bury: Any) -> None:
    case = bury.said[0][0]
    changed = CaseFactsChanged(facts=bury.facts(9), responsible=bury.responsible())
    await hub.deliver(changed, case=case, source="/case-service", sequence=2)  # on the log, not yet consumed
    await rebuild(hub.hub, hub.bus, service.listens)
    after = await fingerprint(hub.hub.db)
    await hub.settle()
    assert await fingerprint(hub.hub.db) == after
    assert await hub.parked() == {}
    (plan,) = [row for row in await rows(hub, Plan) if row.case_id == case]
    assert plan.year_group == 9


async def test_a_rebuild_repairs_tables_that_were_spoilt_or_lost(hub: Harness) -> None:
    before = await fingerprint(hub.hub.db)
    async with hub.hub.db.write() as tx:
        for table in BUSINESS_TABLES:
            await tx.execute(table.delete())
    assert await fingerprint(hub.hub.db) != before
    await rebuild(hub.hub, hub.bus, service.listens)
    assert await fingerprint(hub.hub.db) == before


async def test_deliveries_follow_their_plan_to_another_council(hub: Harness, bury: Any) -> None:
    case = bury.said[0][0]
    moved = CaseFactsChanged(facts=bury.facts(4), responsible=bury.responsible("355"))
    await hub.deliver(moved, case=case, source="/case-service", sequence=2)
    await hub.settle()
    assert {row.la for row in await rows(hub, Item) if row.case_id == case} == {"355"}


async def test_migrations_and_tables_agree(hub: Harness) -> None:
    assert await migrate.differences(hub.hub.db, service.metadata) == []


def test_what_the_fold_holds_and_what_the_tables_hold_is_the_same() -> None:
    from dataclasses import fields

    from reporting_service.story import NoticeFacts, PlanFacts, ReviewFacts

    for facts, table in ((ReviewFacts, Review), (NoticeFacts, Notice)):
        assert [f.name for f in fields(facts)] == list(table.__table__.columns.keys())
    derived = {"anchor", "year_group", "phase", "status"}
    assert {f.name for f in fields(PlanFacts)} | derived == set(Plan.__table__.columns.keys())
    assert list(Member._fields) == list(Item.__table__.columns.keys())
