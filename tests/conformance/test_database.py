"""The contract of the database, outbox, relay and inbox, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiosqlite
import asyncpg
import pytest
from conformance.toy import TOPIC, Toy
from sqlalchemy import Column, Table, func, insert, select, text
from sqlalchemy import event as sql_event

from ehcp_contracts.envelope import Envelope
from ehcp_contracts.events import CeaseReason, PlanCeased
from service_kit.bus import Message, Record
from service_kit.bus.log_bus import LogBus
from service_kit.clock import Clock
from service_kit.database import COPIED, Crossed, Database, Unavailable, add_all, put_all
from service_kit.inbox import Inbox
from service_kit.outbox import Outgoing, publish, publish_all
from service_kit.parked import discard_parked, list_parked, replay_parked
from service_kit.prepared import Prepared
from service_kit.relay import Relay
from service_kit.service import Service
from service_kit.tables import UtcDateTime

ENDED = PlanCeased(ceased_on=date(2026, 8, 31), reason=CeaseReason.NEEDS_MET)


def event(case: UUID, sequence: int, *, source: str = "/other", id: UUID | None = None) -> Record:
    """A record as another service would have sent it."""
    envelope = Envelope(
        id=id or uuid4(),
        source=source,
        type=PlanCeased.wire_type,
        subject=str(case),
        time=datetime(2026, 9, 1, 8, 0, tzinfo=UTC),
        sequence=sequence,
        partitionkey=str(case),
        lacode="351",
        data=ENDED.model_dump(mode="json"),
    )
    return Record(TOPIC, 0, 0, str(case), envelope.to_bytes())


@pytest.fixture
def toy(db: Database) -> Toy:
    return Toy(db, db.clock)


@pytest.fixture
def inbox(toy: Toy, tmp_path: Path) -> Inbox:
    return Inbox(toy.hub, LogBus(tmp_path / "unused.sqlite3"), [TOPIC], toy.reactions)


class RememberingBus(LogBus):
    """A log that can be told to break, and remembers what it was given."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.broken = False
        self.refused: set[UUID] = set()
        self.sent: list[Message] = []

    async def publish(self, messages: Sequence[Message]) -> list[str | None]:
        if self.broken:
            raise ConnectionError("bus away")
        taken = [message for message in messages if UUID(message.key) not in self.refused]
        self.sent += taken
        await super().publish(taken)
        return [None if message in taken else "too large" for message in messages]


# --- transactions and types ------------------------------------------------------------------------------------------


async def test_a_block_that_raises_leaves_nothing_behind(db: Database) -> None:
    with pytest.raises(RuntimeError, match="no"):
        async with db.write() as tx:
            await publish(tx, ENDED, case=uuid4(), la="351")
            raise RuntimeError("no")
    async with db.read() as session:
        assert (await session.execute(select(db.tables["outbox"]))).all() == []
        assert (await session.execute(select(db.tables["sequences"]))).all() == []


async def test_a_write_that_is_cancelled_before_it_began_does_not_spoil_its_connection(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, name = (
        (aiosqlite.Connection, "execute_fetchall") if db.is_sqlite else (asyncpg.Connection, "execute")
    )
    say, cancelled = getattr(driver, name), []

    async def cancelled_once(connection: Any, sql: str, *more: Any, **options: Any) -> Any:
        if sql.startswith("BEGIN") and not cancelled:
            cancelled.append(sql)
            raise asyncio.CancelledError
        return await say(connection, sql, *more, **options)

    monkeypatch.setattr(driver, name, cancelled_once)
    with pytest.raises(asyncio.CancelledError):
        async with db.write():
            raise AssertionError("it never began")
    async with db.write() as tx:
        await publish(tx, ENDED, case=uuid4(), la="351")
    assert len(cancelled) == 1
    async with db.read() as session:
        assert len((await session.execute(select(db.tables["outbox"]))).all()) == 1


async def test_a_write_that_is_cancelled_in_the_middle_ends_as_cancelled_and_the_next_one_is_taken(
    db: Database,
) -> None:
    """At any of its steps: a job that is asked to end must not take it for a failure and go on."""
    table = db.tables["sequences"]
    row, rows = insert(table).values(subject="a", last=1), [(str(n), 1) for n in range(COPIED)]

    async def write() -> None:
        async with db.write() as tx:
            await tx.execute(row)
            await add_all(tx, table, ["subject", "last"], rows)
            await tx.execute(select(table))

    for steps in range(60):
        task = asyncio.create_task(write())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=30)
        assert task.done()
        if not task.cancelled():
            assert task.exception() is None  # it was quicker
        async with db.write() as tx:
            await tx.execute(table.delete())


async def test_of_two_writers_that_wait_for_each_other_one_is_told_to_try_again(db: Database) -> None:
    """PostgreSQL ends one of them; SQLite has one writer, so that they take turns."""
    table, both_hold_one = db.tables["sequences"], asyncio.Barrier(2)
    async with db.write() as tx:
        await add_all(tx, table, ["subject", "last"], [("a", 1), ("b", 1)])

    async def move(*subjects: str) -> None:
        async with db.write() as tx:
            for subject in subjects:
                await tx.execute(table.update().where(table.c.subject == subject).values(last=2))
                if not db.is_sqlite and subject == subjects[0]:
                    await both_hold_one.wait()

    found = await asyncio.gather(move("a", "b"), move("b", "a"), return_exceptions=True)
    failed = [type(error) for error in found if error]
    assert failed == ([] if db.is_sqlite else [Crossed])


@pytest.mark.parametrize("rows", [1, COPIED])
async def test_a_value_that_no_database_takes_is_no_outage(db: Database, rows: int) -> None:
    """As one it would be tried again for ever, and hold up everything behind it."""
    with pytest.raises(Exception) as found:  # noqa: PT011 - each driver has its own
        async with db.write() as tx:
            await add_all(tx, db.tables["sequences"], ["subject", "last"], [("a", 2**70)] * rows)
    assert not isinstance(found.value, Unavailable)


async def test_an_instant_comes_back_aware_in_utc_whatever_zone_it_went_in_with(db: Database) -> None:
    summer = datetime(2026, 7, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    row = {
        "subject": "x",
        "source": "s",
        "event_id": uuid4(),
        "sequence": 1,
        "digest": b"",
        "received_at": summer,
    }
    async with db.write() as tx:
        await tx.execute(insert(db.tables["inbox"]).values(row))
    async with db.read() as session:
        found = (await session.execute(select(db.tables["inbox"].c.received_at))).scalar_one()
    assert found == datetime(2026, 6, 30, 23, 30, tzinfo=UTC)
    assert found.utcoffset() == timedelta(0)


def test_a_naive_instant_is_refused() -> None:
    kind = UtcDateTime()
    column: Column[datetime] = Column("at", kind)
    with pytest.raises(ValueError, match="time zone"):
        column.type.process_bind_param(datetime(2026, 7, 1, 10, 0), None)  # type: ignore[attr-defined]  # noqa: DTZ001


async def test_writers_of_one_case_number_its_events_without_gap_or_double(db: Database) -> None:
    case = uuid4()

    async def one() -> None:
        async with db.write() as tx:
            await publish(tx, ENDED, case=case, la="351")

    await asyncio.gather(*(one() for _ in range(20)))
    async with db.read() as session:
        numbers = (await session.execute(select(db.tables["outbox"].c.sequence))).scalars().all()
    assert sorted(numbers) == list(range(1, 21))


async def test_many_events_are_numbered_per_case_in_their_order(db: Database) -> None:
    a, b = uuid4(), uuid4()
    async with db.write() as tx:
        await publish_all(tx, [Outgoing(ENDED, case, "351") for case in (a, b, a, a)])
    outbox: Table = db.tables["outbox"]
    async with db.read() as session:
        rows = await session.execute(select(outbox.c.subject, outbox.c.sequence).order_by(outbox.c.position))
        assert [tuple(row) for row in rows] == [(str(a), 1), (str(b), 1), (str(a), 2), (str(a), 3)]


async def test_rows_written_together_come_back_as_they_were_lists_and_nulls_included(db: Database) -> None:
    answers = db.tables["idempotency"]
    at = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
    common = {"caller": "officer", "digest": b"", "status": 200, "answered_at": at}
    rows = [
        common | {"key": "list", "headers": [["etag", "1"], []], "body": b"1"},
        common | {"key": "object", "headers": {"etag": "2"}, "body": b"2"},
        common | {"key": "list", "headers": [], "body": b"3"},
    ]
    names = answers.columns.keys()
    async with db.write() as tx:
        await put_all(tx, answers, rows[:2])
        await put_all(tx, answers, rows[2:])
    async with db.read() as session:
        found = [tuple(row) for row in await session.execute(select(answers).order_by(answers.c.key))]
    assert found == [tuple(row[name] for name in names) for row in (rows[2], rows[1])]


FULL = {
    "postgresql": (
        "CREATE FUNCTION full_up() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END$$",
        "CREATE TRIGGER full_up BEFORE INSERT ON heard EXECUTE FUNCTION full_up()",
    ),
    "sqlite": (
        "CREATE TABLE much (bytes BLOB)",
        "CREATE TRIGGER full_up BEFORE INSERT ON heard BEGIN INSERT INTO much VALUES (zeroblob(5000000)); END",
    ),
}
"""What makes a database say that its disk is full: PostgreSQL raises it, SQLite has no room for five megabytes."""


async def test_f28_a_full_disk_is_an_outage_in_which_nothing_is_kept_and_nobody_is_blamed(
    toy: Toy, inbox: Inbox, db: Database
) -> None:
    """On PostgreSQL it was an internal error, and events were parked as poison one after the other."""
    case = uuid4()
    if db.is_sqlite:
        await db.engine.dispose()
        sql_event.listen(
            db.engine.sync_engine, "connect", lambda c, _: c.execute("PRAGMA max_page_count = 500")
        )
    async with db.engine.begin() as connection:
        for statement in FULL[db.url.get_backend_name()]:
            await connection.exec_driver_sql(statement)
    taking = asyncio.create_task(inbox.take([event(case, 1), event(case, 2)]))
    await until(lambda: not inbox.reachable or taking.done())
    assert not taking.done()
    with pytest.raises(Unavailable):
        async with db.write() as tx:
            await publish(tx, ENDED, case=case, la="351")
            await tx.execute(insert(db.tables["heard"]).values(subject="x", sequence=1, event_id="y"))
    async with db.engine.begin() as connection:
        await connection.exec_driver_sql(f"DROP TRIGGER full_up{'' if db.is_sqlite else ' ON heard'}")
    async with asyncio.timeout(20):
        await taking
    assert await toy.heard(case) == [1, 2]
    assert await inbox.parked() == {}
    async with db.read() as session:
        assert (await session.execute(select(db.tables["outbox"]))).all() == []


# --- relay -----------------------------------------------------------------------------------------------------------


async def test_the_relay_sends_each_event_once_and_in_order(db: Database, tmp_path: Path) -> None:
    bus, case = RememberingBus(tmp_path / "bus.sqlite3"), uuid4()
    relay = Relay(db, bus, db.tables["outbox"])
    for _ in range(3):
        async with db.write() as tx:
            await publish(tx, ENDED, case=case, la="351")
    assert await relay.drain() == 3
    assert await relay.drain() == 0
    assert [Envelope.from_bytes(m.value).sequence for m in bus.sent] == [1, 2, 3]
    assert await relay.backlog() == 0
    await bus.close()


async def test_b02_an_event_that_commits_late_is_sent_although_later_ones_were_sent_before(
    db: Database, tmp_path: Path
) -> None:
    """Positions become visible out of order; a relay that pages by position would lose the late one."""
    bus = RememberingBus(tmp_path / "bus.sqlite3")
    relay = Relay(db, bus, db.tables["outbox"])
    rows = [
        {"position": position, "event_id": uuid4(), "topic": TOPIC, "subject": str(uuid4()), "sequence": 1}
        for position in (7, 9)
    ]
    for row in reversed(rows):
        async with db.write() as tx:
            await tx.execute(insert(db.tables["outbox"]).values(**row, body=b"{}", written_at=db.clock.now()))
        assert await relay.drain() == 1
    assert len(bus.sent) == 2
    await bus.close()


async def test_an_outage_of_the_bus_leaves_everything_in_the_outbox(db: Database, tmp_path: Path) -> None:
    bus = RememberingBus(tmp_path / "bus.sqlite3")
    relay = Relay(db, bus, db.tables["outbox"])
    async with db.write() as tx:
        await publish(tx, ENDED, case=uuid4(), la="351")
    bus.broken = True
    with pytest.raises(ConnectionError):
        await relay.drain()
    assert await relay.backlog() == 1
    bus.broken = False
    assert await relay.drain() == 1
    await bus.close()


async def test_f22_what_the_bus_has_lost_is_sent_again_in_its_order_and_nothing_older(
    db: Database, tmp_path: Path
) -> None:
    bus, case = RememberingBus(tmp_path / "bus.sqlite3"), uuid4()
    relay = Relay(db, bus, db.tables["outbox"])
    hours = iter((8, 9, 10, 11))
    db.clock = Clock(date(2026, 9, 1), lambda: datetime(2026, 9, 1, hour, 0, tzinfo=UTC))
    for hour in hours:
        async with db.write() as tx:
            await publish(tx, ENDED, case=case, la="351")
        if hour < 11:
            await relay.drain()
    first = list(bus.sent)
    assert await relay.republish(datetime(2026, 9, 1, 9, 0, tzinfo=UTC)) == 2
    assert await relay.drain() == 3
    again = bus.sent[len(first) :]
    assert [message.value for message in again[:2]] == [message.value for message in first[1:]]
    assert [Envelope.from_bytes(message.value).sequence for message in again] == [2, 3, 4]
    await bus.close()


async def test_b08_of_two_relays_one_is_active_and_the_other_takes_over(db: Database, tmp_path: Path) -> None:
    bus = RememberingBus(tmp_path / "bus.sqlite3")
    other = Database(
        db.url.render_as_string(hide_password=False),
        toy_tables(db),
        source="/toy",
        topic=TOPIC,
        clock=db.clock,
    )
    first, second = Relay(db, bus, db.tables["outbox"]), Relay(other, bus, db.tables["outbox"])
    one = asyncio.create_task(first.run())
    await until(lambda: first.leading)
    two = asyncio.create_task(second.run())
    async with db.write() as tx:
        await publish(tx, ENDED, case=uuid4(), la="351")
    await until(lambda: len(bus.sent) == 1)
    assert not second.leading
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    await until(lambda: second.leading)
    async with db.write() as tx:
        await publish(tx, ENDED, case=uuid4(), la="351")
    # By case: what the first had sent and not yet marked when it ended is sent again.
    await until(lambda: len({message.key for message in bus.sent}) == 2)
    two.cancel()
    await asyncio.gather(two, return_exceptions=True)
    await other.close()
    await bus.close()


async def test_the_relay_hears_of_a_commit_in_another_process_without_waiting_for_its_poll(
    db: Database, tmp_path: Path
) -> None:
    """On SQLite the poll is the wake-up, so the pause is short there; on PostgreSQL it is a NOTIFY."""
    bus = RememberingBus(tmp_path / "bus.sqlite3")
    relay = Relay(db, bus, db.tables["outbox"], poll=0.05 if db.is_sqlite else 60)
    api = Database(
        db.url.render_as_string(hide_password=False),
        toy_tables(db),
        source="/toy",
        topic=TOPIC,
        clock=db.clock,
    )
    work = asyncio.create_task(relay.run())
    await until(lambda: relay.leading)
    for number in (1, 2, 3):
        async with api.write() as tx:
            await publish(tx, ENDED, case=uuid4(), la="351")
        await until(lambda number=number: len(bus.sent) == number)  # type: ignore[misc]
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await api.close()
    await bus.close()


async def test_the_relay_vouches_for_what_was_committed_and_sent_and_for_no_more(
    db: Database, tmp_path: Path
) -> None:
    """What is committed and not sent makes it wait; what becomes visible meanwhile at a higher place does not."""
    bus = RememberingBus(tmp_path / "bus.sqlite3")
    relay = Relay(db, bus, db.tables["outbox"], poll=0.01)
    before = db.clock.now()
    async with db.write() as tx:
        await publish(tx, ENDED, case=uuid4(), la="351")
    vouching = asyncio.create_task(relay.vouch())
    await until_waiting(relay, vouching)
    assert await bus.vouched(TOPIC) is None
    first = await relay._unpublished()
    async with db.write() as tx:
        await publish(tx, ENDED, case=uuid4(), la="351")
    await relay._mark(*await relay._send(first))
    async with asyncio.timeout(60):
        await vouching
    mark = await bus.vouched(TOPIC)
    assert mark is not None
    assert mark.until >= before
    assert await relay.backlog() == 1
    await bus.close()


async def until_waiting(relay: Relay, task: asyncio.Task[None]) -> None:
    """Until the task has looked at least once and waits."""
    looked = asyncio.Event()
    right = relay._waits

    async def waits(last: int) -> bool:
        found = await right(last)
        looked.set()
        return found

    relay._waits = waits  # type: ignore[method-assign]
    async with asyncio.timeout(60):
        await looked.wait()
    assert not task.done()


async def test_after_a_burst_a_relay_does_not_read_the_whole_outbox_for_one_event(
    db: Database, tmp_path: Path
) -> None:
    """Though the statistics still say that most of it waits. (SQLite keeps none.)"""
    bus = RememberingBus(tmp_path / "bus.sqlite3")
    relay = Relay(db, bus, db.tables["outbox"])
    async with db.write() as tx:
        await publish_all(tx, [Outgoing(ENDED, uuid4(), "351") for _ in range(2000)])
    async with db.write() as tx:
        await tx.execute(text("ANALYZE"))
    assert await relay.drain() == 2000
    async with db.write() as tx:
        await publish(tx, ENDED, case=uuid4(), la="351")
    before = await whole_reads(db)
    async with db.leader("relay", relay.wake) as fetch:
        assert await relay.drain(fetch) == 1
        if not db.is_sqlite:
            await fetch(Prepared(select(func.pg_stat_force_next_flush())), {})
    assert await whole_reads(db) == before
    await bus.close()


async def whole_reads(db: Database) -> int:
    """How often the outbox has been read as a whole since it was made, as PostgreSQL counts."""
    if db.is_sqlite:
        return 0
    query = text("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'outbox'")
    async with db.write() as tx:
        await tx.execute(select(func.pg_stat_force_next_flush()))
    async with db.read() as session:
        return int((await session.execute(query)).scalar_one())


async def test_what_the_bus_refused_is_held_with_the_later_events_of_its_case_until_an_operator_lets_it_go(
    db: Database, tmp_path: Path
) -> None:
    """By the relay that was told so, and by one that starts later; other cases are sent meanwhile."""
    bus, outbox = RememberingBus(tmp_path / "bus.sqlite3"), db.tables["outbox"]
    relay = Relay(db, bus, outbox)
    sick, well = uuid4(), uuid4()
    for one in (relay, relay, Relay(db, bus, outbox)):
        bus.refused = {sick} if not bus.sent else set()
        async with db.write() as tx:
            await publish_all(tx, [Outgoing(ENDED, sick, "351"), Outgoing(ENDED, well, "351")])
        assert await one.drain() == 1
    assert [UUID(message.key) for message in bus.sent] == [well] * 3
    async with db.write() as tx:
        await tx.execute(outbox.update().values(held_reason=None))
    assert await relay.drain() == 3
    sent = [Envelope.from_bytes(message.value) for message in bus.sent if message.key == str(sick)]
    assert [envelope.sequence for envelope in sent] == [1, 2, 3]
    await bus.close()


async def test_an_event_that_the_bus_refused_does_not_hold_up_the_marks(db: Database, tmp_path: Path) -> None:
    """Its case is held, and said in /ready; all others are vouched for."""
    bus = RememberingBus(tmp_path / "bus.sqlite3")
    relay = Relay(db, bus, db.tables["outbox"])
    case = uuid4()
    for _ in range(2):
        async with db.write() as tx:
            await publish(tx, ENDED, case=case, la="351")
    outbox = db.tables["outbox"]
    async with db.write() as tx:
        await tx.execute(outbox.update().where(outbox.c.sequence == 1).values(held_reason="too large"))
    async with asyncio.timeout(60):
        await relay.vouch()
    assert await bus.vouched(TOPIC) is not None
    await bus.close()


def toy_tables(db: Database) -> object:
    return next(iter(db.tables.values())).metadata


async def until(condition: object) -> None:
    """Wait for a condition, with the deadline that a broken build deserves."""
    async with asyncio.timeout(20):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


# --- inbox -----------------------------------------------------------------------------------------------------------


async def test_an_event_is_applied_once_however_often_it_comes(toy: Toy, inbox: Inbox) -> None:
    case = uuid4()
    record = event(case, 1)
    await inbox.take([record, record])
    await inbox.take([record])
    assert await toy.heard(case) == [1]
    assert await inbox.parked() == {}


async def test_the_order_of_a_case_is_kept_when_events_arrive_out_of_order(toy: Toy, inbox: Inbox) -> None:
    case, other = uuid4(), uuid4()
    await inbox.take([event(case, 3), event(other, 1)])
    await inbox.take([event(case, 2)])
    assert await toy.heard(case) == []
    assert await toy.heard(other) == [1]
    assert await inbox.parked() == {"gap": 2}
    await inbox.take([event(case, 1)])
    assert await toy.heard(case) == [1, 2, 3]
    assert await inbox.parked() == {}


async def test_sources_count_their_sequences_apart(toy: Toy, inbox: Inbox) -> None:
    case = uuid4()
    await inbox.take([event(case, 1, source="/a"), event(case, 1, source="/b"), event(case, 2, source="/a")])
    assert len(await toy.heard(case)) == 3


async def test_b12_a_poison_event_is_parked_with_the_later_ones_of_its_case_and_others_flow(
    toy: Toy, inbox: Inbox
) -> None:
    sick, well = uuid4(), uuid4()
    toy.fail.add((sick, 2))
    await inbox.take([event(sick, 1), event(well, 1), event(sick, 2), event(sick, 3), event(well, 2)])
    assert await toy.heard(sick) == [1]
    assert await toy.heard(well) == [1, 2]
    assert await inbox.parked() == {"poison": 1, "behind": 1}
    await inbox.take([event(sick, 4), event(well, 3)])
    assert await toy.heard(well) == [1, 2, 3]
    assert await inbox.parked() == {"poison": 1, "behind": 2}


async def test_a_large_batch_is_applied_like_small_ones_in_the_order_of_each_case(
    toy: Toy, inbox: Inbox
) -> None:
    """However it is taken: 20 cases, of which one has an event at fault, and all of it comes a second time."""
    cases = [uuid4() for _ in range(20)]
    sick = cases[7]
    toy.fail.add((sick, 5))
    records = [event(case, sequence) for sequence in range(1, 21) for case in cases]
    for _ in range(2):
        await inbox.take(records)
    for case in cases:
        assert await toy.heard(case) == list(range(1, 5 if case == sick else 21))
    assert await inbox.parked() == {"poison": 1, "behind": 15}


async def test_replay_after_a_fix_restores_the_order_of_the_case(toy: Toy, inbox: Inbox) -> None:
    case = uuid4()
    toy.fail.add((case, 1))
    await inbox.take([event(case, n) for n in (1, 2, 3)])
    assert await inbox.release(str(case), poison=True) == 0
    toy.fail.clear()
    assert await inbox.release(str(case), poison=True) == 3
    assert await toy.heard(case) == [1, 2, 3]
    assert await inbox.release(str(case), poison=True) == 0
    assert await inbox.parked() == {}


async def test_a_gap_that_became_poison_closes_when_what_was_missing_came_behind_it(
    toy: Toy, inbox: Inbox
) -> None:
    """Event 1 was lost and republished a day later: parked behind 2, it is what 2 waits for."""
    case = uuid4()
    await inbox.take([event(case, 2), event(case, 3)])
    parked = toy.hub.db.tables["parked"]
    async with toy.hub.db.write() as tx:
        await tx.execute(parked.update().values(parked_at=datetime(2026, 8, 31, 7, 59, tzinfo=UTC)))
    await inbox.sweep()
    await inbox.take([event(case, 1)])
    assert await inbox.parked() == {"poison": 2, "behind": 1}
    assert await inbox.release(str(case), poison=True) == 3
    assert await toy.heard(case) == [1, 2, 3]


async def test_an_event_that_waits_for_its_case_is_applied_when_the_case_moves(
    toy: Toy, inbox: Inbox
) -> None:
    case = uuid4()
    toy.wait.add((case, 1))
    await inbox.take([event(case, 1, source="/reviews"), event(case, 2, source="/reviews")])
    assert await inbox.parked() == {"waiting": 1, "gap": 1}
    toy.wait.clear()
    await inbox.take([event(case, 1, source="/cases")])
    assert await toy.heard(case) == [1, 1, 2]
    assert await inbox.parked() == {}


async def test_f34_what_cannot_be_read_is_parked_with_its_reason_and_stops_nobody(
    toy: Toy, inbox: Inbox
) -> None:
    well = uuid4()
    whole = event(well, 1)
    assert whole.value is not None
    await inbox.take(
        [
            Record(TOPIC, 0, 1, "k1", b"not json"),
            Record(TOPIC, 0, 2, "k2", b"\xff\xfe"),
            Record(TOPIC, 0, 3, "k3", None),
            Record(TOPIC, 0, 4, "k4", b"{}"),
            Record(TOPIC, 0, 5, "another-case", whole.value),
            Record(TOPIC, 0, 6, str(well), whole.value),
            Record(TOPIC, 0, 7, "k\x007", b"not json"),
        ]
    )
    assert await toy.heard(well) == [1]
    assert await inbox.parked() == {"poison": 6}


async def test_f34_two_cases_whose_records_have_the_same_bytes_are_both_held(toy: Toy, inbox: Inbox) -> None:
    """The record of the second one was taken for that of the first, come again after a crash, and dropped."""
    one, other = uuid4(), uuid4()
    await inbox.take([Record(TOPIC, 0, 0, str(one), None), Record(TOPIC, 0, 1, str(other), None)])
    assert await inbox.parked() == {"poison": 2}
    await inbox.take([Record(TOPIC, 0, 1, str(other), None), event(one, 1), event(other, 1)])
    assert await inbox.parked() == {"poison": 2, "behind": 2}
    assert await toy.heard() == []


@pytest.mark.parametrize("same_id", [True, False])
async def test_an_event_whose_place_was_taken_while_it_waited_is_quarantined(
    toy: Toy, inbox: Inbox, same_id: bool
) -> None:
    """It waited on, became poison after a day and held back its case for ever: no replay could apply it."""
    case, id = uuid4(), uuid4()
    toy.wait.add((case, 1))
    await inbox.take([event(case, 1, id=id)])
    again = event(case, 1, id=id if same_id else uuid4())
    assert again.value is not None
    await inbox.take([Record(TOPIC, 0, 1, str(case), again.value.replace(b"2026-08-31", b"2026-08-30"))])
    toy.wait.clear()
    await inbox.sweep()
    assert await toy.heard(case) == [1]
    assert await inbox.parked() == {"quarantined": 1}
    await inbox.take([event(case, 2)])
    assert await toy.heard(case) == [1, 2]


async def test_f50_what_a_restored_source_numbers_anew_is_quarantined_until_it_has_caught_up(
    toy: Toy, inbox: Inbox
) -> None:
    """Its database came from last night's backup, the log is ahead: other events under numbers that were heard."""
    case = uuid4()
    await inbox.take([event(case, n) for n in (1, 2, 3)])
    await inbox.take([event(case, 2), event(case, 3), event(case, 4)])
    assert await toy.heard(case) == [1, 2, 3, 4]
    assert await inbox.parked() == {"quarantined": 2}


async def test_the_same_id_with_another_body_is_quarantined_and_holds_back_nothing(
    toy: Toy, inbox: Inbox
) -> None:
    case, id = uuid4(), uuid4()
    await inbox.take([event(case, 1, id=id)])
    await inbox.take([event(case, 2, id=id)])
    await inbox.take([event(case, 2)])
    assert await toy.heard(case) == [1, 2]
    assert await inbox.parked() == {"quarantined": 1}


async def test_b11_a_replay_is_recognised_after_the_inbox_was_pruned(toy: Toy, inbox: Inbox) -> None:
    case = uuid4()
    await inbox.take([event(case, 1), event(case, 2)])
    async with toy.hub.db.write() as tx:
        await tx.execute(toy.hub.db.tables["inbox"].delete())
    await inbox.take([event(case, 1)])
    assert await toy.heard(case) == [1, 2]


async def test_b07_effect_and_inbox_row_stand_or_fall_together(toy: Toy, inbox: Inbox) -> None:
    case = uuid4()
    toy.fail.add((case, 1))
    await inbox.take([event(case, 1)])
    async with toy.hub.db.read() as session:
        assert (await session.execute(select(toy.hub.db.tables["inbox"]))).all() == []
    assert await toy.heard() == []
    assert toy.calls == 3  # tried three times, and nothing of any of them was kept


async def test_what_has_waited_for_a_day_becomes_poison_for_an_operator_to_see(
    toy: Toy, inbox: Inbox
) -> None:
    case = uuid4()
    toy.wait.add((case, 1))
    await inbox.take([event(case, 1)])
    parked = toy.hub.db.tables["parked"]
    async with toy.hub.db.write() as tx:
        await tx.execute(parked.update().values(parked_at=datetime(2026, 8, 31, 7, 59, tzinfo=UTC)))
    await inbox.sweep()
    assert await inbox.parked() == {"poison": 1}


async def test_an_unreadable_record_set_aside_by_an_operator_no_longer_holds_back_its_case(
    toy: Toy, inbox: Inbox, tmp_path: Path
) -> None:
    case = uuid4()
    await inbox.take([Record(TOPIC, 0, 0, str(case), b"not json"), event(case, 1), event(case, 2)])
    assert await inbox.parked() == {"poison": 1, "behind": 2}
    running = _Opened(toy.hub, inbox)
    unreadable, first, _ = await list_parked(running)
    assert not await discard_parked(running, first.position, "not this one: it has its place in the case")
    assert await discard_parked(running, unreadable.position, "sent by a broken tool, nothing in it")
    assert await replay_parked(running, str(case)) == 2
    assert await toy.heard(case) == [1, 2]
    assert await inbox.parked() == {"quarantined": 1}


async def test_a_worker_is_ready_again_with_the_first_thing_that_is_stored(inbox: Inbox) -> None:
    """A whole batch, or an event that is parked; it waited for one that came alone and was applied."""
    case = uuid4()
    for records in ([event(case, 1), event(case, 2)], [Record(TOPIC, 0, 0, str(uuid4()), b"not json")]):
        inbox.reachable = False
        await inbox.take(records)
        assert inbox.reachable


async def test_a_reaction_that_never_ends_is_parked_and_not_taken_for_an_outage(
    toy: Toy, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service_kit.inbox.HANDLER_BUDGET", 0.05)
    toy.hang = True
    await inbox.take([event(uuid4(), 1)])
    assert await inbox.parked() == {"poison": 1}
    assert inbox.reachable


class _Opened:
    """As much of a running service as an operator's command uses."""

    def __init__(self, hub: Any, inbox: Inbox) -> None:
        self.hub, self.inbox, self.service = (
            hub,
            inbox,
            Service("toy", "toy", hub.db.tables["inbox"].metadata, "/toy"),
        )
