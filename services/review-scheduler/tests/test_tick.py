"""The daily tick: each stage once, however often it runs and whatever the calendar does."""

from datetime import date, timedelta

from sqlalchemy import select, text

from ehcp_contracts.events import CorrectableDate, CorrectionReason, DateCorrected
from review_scheduler import clock
from review_scheduler.tables import CouncilPolicy, StageRow


async def test_each_stage_is_announced_on_its_day(desk):
    """Due 1 March 2027, so L is 1 February 2027."""
    case = await desk.register()
    seen = {}
    day = date(2026, 9, 1)
    while day <= date(2027, 3, 10):
        before = len(await desk.stages(case))
        await desk.day(day)
        for stage in (await desk.stages(case))[before:]:
            seen[stage] = day
        day += timedelta(days=1)
    assert seen == {
        "plan": date(2026, 11, 9),
        "invite": date(2026, 12, 7),
        "last_call": date(2027, 1, 18),
        "due": date(2027, 3, 1),
        "overdue": date(2027, 3, 2),
    }


async def test_a_stage_says_which_review_and_by_when(desk):
    case = await desk.register()
    await desk.day(date(2026, 11, 9))
    review = await desk.review(case)
    assert (await desk.sent(case))[-1] == (
        "review-due",
        {
            "review_id": review["id"],
            "kind": "annual",
            "stage": "plan",
            "due_on": "2027-03-01",
            "latest_meeting_on": "2027-02-01",
        },
    )


async def test_a_second_tick_of_the_same_day_sends_nothing(desk):
    case = await desk.register()
    await desk.day(date(2026, 11, 9))
    await clock.tick(desk.app.hub, date(2026, 11, 9))
    await clock.tick(desk.app.hub, date(2026, 11, 9))
    assert await desk.stages(case) == ["plan"]


async def test_days_that_were_skipped_are_caught_up_in_order(desk):
    case = await desk.register()
    await desk.day(date(2026, 9, 2))
    await desk.day(date(2027, 6, 1))
    assert await desk.stages(case) == ["plan", "invite", "last_call", "due", "overdue"]


async def test_a_clock_that_is_set_back_announces_nothing_twice(desk):
    """F30."""
    case = await desk.register()
    await desk.day(date(2026, 12, 7))
    desk.app.clock.set(date(2026, 9, 1))
    await desk.app.run_daily()
    await desk.day(date(2026, 12, 8))
    assert await desk.stages(case) == ["plan", "invite"]


async def test_a_tick_cut_off_half_way_goes_on_where_it_stopped(desk):
    cases = [await desk.register() for _ in range(5)]
    async with desk.app.hub.db.write() as tx:
        assert await clock.announce_due(tx, date(2026, 11, 9), at_once=2) == 2
    await desk.day(date(2026, 11, 9))
    assert [await desk.stages(case) for case in cases] == [["plan"]] * 5


async def test_a_tick_that_fails_before_its_commit_has_sent_nothing(desk):
    case = await desk.register()
    try:
        async with desk.app.hub.db.write() as tx:
            await clock.announce_due(tx, date(2026, 11, 9), at_once=10)
            raise RuntimeError("the power went")
    except RuntimeError:
        pass
    assert await desk.stages(case) == []
    await desk.day(date(2026, 11, 9))
    assert await desk.stages(case) == ["plan"]


async def test_a_29_february_is_a_day_like_any_other(desk):
    """F31: due 29 February 2028 (R6 four years on), overdue on 1 March."""
    case = await desk.register(last=date(2027, 3, 1))
    review = await desk.review(case)
    assert review["due_on"] == "2028-02-29"
    await desk.day(date(2028, 2, 28))
    assert "due" not in await desk.stages(case)
    await desk.day(date(2028, 2, 29))
    assert (await desk.stages(case))[-1] == "due"
    await desk.day(date(2028, 3, 1))
    assert (await desk.stages(case))[-1] == "overdue"


async def test_the_night_the_clocks_change_neither_skips_nor_repeats_a_day(desk):
    """F31, reliability 6.8: the clocks go back on 25 October 2026 and forward on 28 March 2027."""
    autumn = await desk.register(last=date(2025, 10, 26))  # due 25 October 2026
    spring = await desk.register(last=date(2026, 3, 29))  # due 28 March 2027
    for day in (date(2026, 10, 24), date(2026, 10, 25), date(2026, 10, 26)):
        await desk.day(day)
    assert (await desk.stages(autumn))[-2:] == ["due", "overdue"]
    for day in (date(2027, 3, 27), date(2027, 3, 28), date(2027, 3, 29)):
        await desk.day(day)
    assert (await desk.stages(spring))[-2:] == ["due", "overdue"]


async def test_thousands_due_on_one_day_are_announced_in_portions(desk, monkeypatch):
    monkeypatch.setattr(clock, "AT_ONCE", 7)
    for _ in range(20):
        await desk.register()
    await desk.day(date(2026, 11, 9))
    assert (await desk.names()).count("review-due") == 20


async def test_the_tick_reads_the_index_of_pending_stages_only(desk):
    """Performance 5: the cost follows what is due, not what is stored."""
    query = clock.due_stages(date(2026, 11, 9), 1000)
    plan = text(f"EXPLAIN QUERY PLAN {query.compile(compile_kwargs={'literal_binds': True})}")
    async with desk.app.hub.db.read() as session:
        steps = [row[-1] for row in (await session.execute(plan)).all()]
    assert steps == ["SEARCH stage USING INDEX ix_stage_pending (on<?)"]


async def test_a_held_meeting_silences_the_stages_before_it(desk):
    case = await desk.register()
    review = await desk.review(case)
    await desk.post(review, "held", held_on="2026-09-01")
    await desk.day(date(2027, 3, 10))
    assert await desk.stages(case) == ["due", "overdue"]  # the decision is still owed by the due date


async def test_dates_that_move_ahead_take_their_pending_stages_along(desk):
    case = await desk.register()
    await desk.day(date(2026, 11, 9))
    assert await desk.stages(case) == ["plan"]
    await desk.tell(
        case,
        DateCorrected(
            field=CorrectableDate.LAST_CONCLUDED,
            old=date(2026, 3, 2),
            new=date(2026, 4, 2),
            reason=CorrectionReason.KEYING_ERROR,
        ),
    )
    await desk.day(date(2026, 12, 7))
    assert await desk.stages(case) == [
        "plan"
    ]  # was sent once, and the old day of "invite" has no meaning any more
    await desk.day(date(2027, 1, 8))  # due 1 April, L is 4 March, L - 56 is 7 January
    assert await desk.stages(case) == ["plan", "invite"]


async def test_a_council_sets_its_own_lead_times(desk):
    async with desk.app.hub.db.write() as tx:
        tx.add(CouncilPolicy(la_code="351", settings={"lead_plan_days": 100}, effective_on=date(2026, 9, 1)))
    case = await desk.register()
    async with desk.app.hub.db.read() as session:
        row = (await session.execute(select(StageRow).where(StageRow.stage == "plan"))).scalar_one()
    assert row.on == date(2026, 10, 24)
    await desk.day(date(2026, 10, 24))
    assert await desk.stages(case) == ["plan"]
