"""Events become tables: a batch is folded in memory and written back with one statement per table.

The effect of a batch is the difference it makes: a case's items before and after, and the counters by what came and
went. So it does not matter how the log is cut into batches, nor how the topics interleave: the tables come out the same
(reliability I9). Nothing here reads a clock.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Table, bindparam, delete, select, text
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.events import NotificationDelivered, NotificationFailed
from reporting_service.items import ANY_YEAR, ENDED, MET, NO_DAY, Member, cell, items
from reporting_service.story import (
    NO_PHASE,
    NoticeFacts,
    PlanFacts,
    ReviewFacts,
    Story,
    Year,
    acted_on,
    changes,
    fold,
)
from reporting_service.tables import UNSTATED, metadata
from service_kit.database import (
    KEYS_PER_STATEMENT,
    add_all,
    among,
    dialect_of,
    in_chunks,
    insert_all,
    insert_many,
    put_all,
)
from service_kit.inbox import Received

Place = tuple[str, str]  # responsible and administering council
Rows = dict[Any, tuple[Any, ...]]  # key -> row, columns in table order
T = TypeVar("T")

PLAN, REVIEW, NOTICE, ITEM, COUNTER, PROGRESS = (
    metadata.tables[name] for name in ("plan", "review", "notice", "item", "counter", "progress")
)
TOLD = "told-"
_PLAN_COLUMNS = [c.name for c in PLAN.columns]
_BY_NUMBER = attrgetter("int")  # the order of UUIDs, compared in C
_plan_facts = attrgetter(*(f.name for f in fields(PlanFacts)))
_review_row = attrgetter(*(f.name for f in fields(ReviewFacts)))
_notice_row = attrgetter(*(f.name for f in fields(NoticeFacts)))


async def apply(tx: AsyncSession, events: Sequence[Received[Any]]) -> None:
    """Apply a batch of new events, in order, within the transaction `tx`."""
    await _alone(tx)
    deliveries = {
        r.event.delivery_id: r
        for r in events
        if isinstance(r.event, NotificationDelivered | NotificationFailed)
    }
    moving = [r for r in events if changes(r.event)]
    batch = await _load(tx, {r.case for r in moving}, {r.case for r in deliveries.values()})
    for received in moving:
        fold(batch.stories[received.case], received.event)
    members = {(m.measure, m.key): m for case in batch.whole for m in items(batch.stories[case])}
    await _tell(tx, batch, members, deliveries)
    await _save(tx, batch, members)
    await _progress(tx, events)


async def _alone(tx: AsyncSession) -> None:
    """One writer at a time: two replicas may hold events of one case from different topics, and both would count
    from the same picture. (SQLite has one writer anyway.)"""
    if dialect_of(tx) == "postgresql":
        await tx.execute(text("SELECT pg_advisory_xact_lock(7266002)"))


# --- loading ------------------------------------------------------------------------------------------------------


@dataclass
class _Batch:
    """What the database holds of the cases concerned: stories to change, and the rows they were made of. `whole`:
    cases whose story is complete; of the others only the plan is needed."""

    whole: list[UUID]
    stories: dict[UUID, Story]
    plans: Rows = field(default_factory=dict)
    reviews: Rows = field(default_factory=dict)
    notices: Rows = field(default_factory=dict)
    members: dict[tuple[str, str], Member] = field(default_factory=dict)
    places: dict[UUID, Place] = field(default_factory=dict)


async def _load(tx: AsyncSession, moving: set[UUID], told: set[UUID]) -> _Batch:
    batch = _Batch(sorted(moving, key=_BY_NUMBER), {case: Story(case) for case in moving | told})
    for row in await _of_cases(tx, PLAN, moving | told):
        batch.plans[row.case_id] = tuple(row)
        batch.stories[row.case_id].plan = _plan(row)
        batch.places[row.case_id] = (row.la, row.administering_la)
    for row in await _of_cases(tx, REVIEW, moving):
        batch.reviews[row.review_id] = tuple(row)
        batch.stories[row.case_id].reviews[row.review_id] = ReviewFacts(*row)
    for row in await _of_cases(tx, NOTICE, moving):
        batch.notices[row.notice_id] = tuple(row)
        batch.stories[row.case_id].notices[row.notice_id] = NoticeFacts(*row)
    batch.members = {(m.measure, m.key): m for case in batch.whole for m in items(batch.stories[case])}
    return batch


async def _of_cases(tx: AsyncSession, table: Table, cases: Iterable[UUID]) -> list[Any]:
    # A fixed order of rows, so that nothing downstream depends on the database's.
    rows: list[Any] = []
    for some in in_chunks(sorted(cases, key=_BY_NUMBER), KEYS_PER_STATEMENT):
        query = select(table).where(among(tx, table.c.case_id, some)).order_by(*table.primary_key)
        rows += (await tx.execute(query)).all()
    return rows


def _plan(row: Any) -> PlanFacts:
    plan = PlanFacts(*_plan_facts(row))
    plan.years = {year: _year(facts) for year, facts in row.years.items()}
    return plan


def _year(facts: Mapping[str, Any]) -> Year:
    due, by = facts["due"], facts["by"]
    return Year(
        facts["year_group"],
        facts["phase"],
        date.fromisoformat(due) if due else None,
        date.fromisoformat(by) if by else None,
        facts["impossible"],
    )


# --- partners told ------------------------------------------------------------------------------------------------


async def _tell(
    tx: AsyncSession,
    batch: _Batch,
    members: dict[tuple[str, str], Member],
    deliveries: Mapping[UUID, Received[Any]],
) -> None:
    """An item per delivery: what happened last counts. Deliveries go where their plan is."""
    places = {case: (s.plan.la, s.plan.administering_la) for case, s in batch.stories.items() if s.plan}
    moved = [case for case, place in places.items() if batch.places.get(case) != place]
    before = await _deliveries(tx, deliveries, moved)
    batch.members |= before
    for key, member in before.items():
        la, administering = places.get(member.case_id, (member.la, member.administering_la))
        members[key] = member._replace(la=la, administering_la=administering)
    for received in deliveries.values():
        member = _delivery(received, places.get(received.case, (received.la, received.la)))
        members[member.measure, member.key] = member


async def _deliveries(
    tx: AsyncSession, keys: Iterable[UUID], cases: Iterable[UUID]
) -> dict[tuple[str, str], Member]:
    found: dict[tuple[str, str], Member] = {}
    for column, values in ((ITEM.c.key, sorted(map(str, keys))), (ITEM.c.case_id, sorted(cases))):
        for some in in_chunks(values, KEYS_PER_STATEMENT):
            query = select(ITEM).where(
                among(tx, column, some), ITEM.c.measure.startswith(TOLD, autoescape=True)
            )
            found |= {(row.measure, row.key): Member(*row) for row in await tx.execute(query)}
    return found


def _delivery(received: Received[Any], place: Place) -> Member:
    event = received.event
    state = MET if isinstance(event, NotificationDelivered) else ENDED
    return Member(
        str(event.delivery_id),
        f"{TOLD}{event.partner_kind.value}",
        received.case,
        *place,
        ANY_YEAR,
        UNSTATED,
        NO_PHASE,
        None,
        None,
        None,
        state,
        None,
    )


# --- saving -------------------------------------------------------------------------------------------------------


async def _save(tx: AsyncSession, batch: _Batch, members: Mapping[tuple[str, str], Member]) -> None:
    stories = [batch.stories[case] for case in batch.whole]
    plans = {s.case_id: _plan_row(s, s.plan) for s in stories if s.plan}
    reviews = {r.review_id: _review_row(r) for s in stories for r in s.reviews.values()}
    notices = {n.notice_id: _notice_row(n) for s in stories for n in s.notices.values()}
    told_only = {case: row for case, row in batch.plans.items() if case not in plans}
    await _replace(tx, PLAN, batch.plans, plans | told_only)
    await _replace(tx, REVIEW, batch.reviews, reviews)
    await _replace(tx, NOTICE, batch.notices, notices)
    await _replace(tx, ITEM, batch.members, members)
    await _count(tx, batch.members, members)


def _plan_row(story: Story, plan: PlanFacts) -> tuple[Any, ...]:
    now = plan.year(plan.academic_year)
    status = "ended" if plan.ended_on else "ceasing" if plan.in_force_to else "in_force"
    years = {year: _plain(facts) for year, facts in sorted(plan.years.items())}
    derived = {
        "anchor": story.anchor,
        "year_group": now.year_group,
        "phase": now.phase,
        "status": status,
        "years": years,
    }
    return tuple(derived[name] if name in derived else getattr(plan, name) for name in _PLAN_COLUMNS)


def _plain(facts: Year) -> dict[str, Any]:
    return {
        "year_group": facts.year_group,
        "phase": facts.phase,
        "due": facts.due.isoformat() if facts.due else None,
        "by": facts.by.isoformat() if facts.by else None,
        "impossible": facts.impossible,
    }


async def _replace(
    tx: AsyncSession, table: Table, before: Mapping[Any, Any], after: Mapping[Any, Any]
) -> None:
    """Write the rows that differ, those that are new, and remove those that are gone: one statement each."""
    names = [column.name for column in table.columns]
    changed = [row for key, row in after.items() if before.get(key, row) != row]
    await put_all(tx, table, [dict(zip(names, row, strict=True)) for row in changed])
    await add_all(tx, table, names, [row for key, row in after.items() if key not in before])
    gone = [before[key] for key in before if key not in after]
    if gone:
        key_columns = list(table.primary_key.columns)
        where = [column == bindparam(f"old_{column.name}", type_=column.type) for column in key_columns]
        places = [names.index(column.name) for column in key_columns]
        values = [{f"old_{names[p]}": row[p] for p in places} for row in gone]
        await (await tx.connection()).execute(delete(table).where(*where), values)


async def _count(tx: AsyncSession, before: Mapping[Any, Member], after: Mapping[Any, Member]) -> None:
    """Move the counters by what came and what went; one that comes to nought goes, as if it had never been."""
    moves: Tally[tuple[Any, ...]] = Tally(cell(m) for key, m in after.items() if before.get(key) != m)
    moves.subtract(cell(m) for key, m in before.items() if after.get(key) != m)
    names = COUNTER.columns.keys()
    rows = [dict(zip(names, (*key, n), strict=True)) for key, n in sorted(moves.items()) if n]
    if rows:
        await insert_all(tx, _add(dialect_of(tx)), rows)
        await tx.execute(delete(COUNTER).where(COUNTER.c.n == 0))


@cache
def _add(dialect: str) -> Any:
    statement = insert_many(COUNTER, dialect, *COUNTER.columns.keys())
    added = {"n": COUNTER.c.n + statement.excluded.n}
    return statement.on_conflict_do_update(index_elements=list(COUNTER.primary_key.columns), set_=added)


async def _progress(tx: AsyncSession, events: Sequence[Received[Any]]) -> None:
    last = (await tx.execute(select(PROGRESS))).first()
    days = [day for day in (acted_on(r.event) for r in events) if day]
    times = [r.time for r in events]
    row = {
        "id": 1,
        "last_event_at": max([*times, last.last_event_at] if last else times),
        "events": len(events) + (last.events if last else 0),
        "horizon": max([*days, last.horizon if last else NO_DAY]),
    }
    await put_all(tx, PROGRESS, [row])
