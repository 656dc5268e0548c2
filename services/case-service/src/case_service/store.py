"""Loading cases as values and storing decisions: one way for a single command, a batch of 500 and the daily job.

`save` writes the case, its history, its amendments and corrections, and the events, in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Date,
    RowMapping,
    bindparam,
    cast,
    insert,
    null,
    select,
    union_all,
    update,
)
from sqlmodel.ext.asyncio.session import AsyncSession

from case_service.domain.case import (
    Ages,
    Amendment,
    AmendmentState,
    Case,
    CaseStatus,
    Change,
    Circumstances,
    Decision,
)
from case_service.domain.identity import NUMBERS, Holders, Number
from case_service.tables import (
    OPEN,
    AmendmentRow,
    CaseRow,
    ChangeRow,
    CorrectionRow,
    InstitutionRow,
    IntervalRow,
    QuarantineRow,
)
from ehcp_contracts.events import Facts
from service_kit.database import add_all, among, in_chunks, upsert
from service_kit.ids import uuid7
from service_kit.outbox import Outgoing, publish_all

CASES = CaseRow.__table__  # type: ignore[attr-defined]
AMENDMENTS = AmendmentRow.__table__  # type: ignore[attr-defined]
CHANGES = ChangeRow.__table__  # type: ignore[attr-defined]
CORRECTIONS = CorrectionRow.__table__  # type: ignore[attr-defined]
INSTITUTIONS = InstitutionRow.__table__  # type: ignore[attr-defined]
INTERVALS = IntervalRow.__table__  # type: ignore[attr-defined]
QUARANTINE = QuarantineRow.__table__  # type: ignore[attr-defined]

_FIELDS = tuple(field.name for field in fields(Case))
_AMENDMENT_FIELDS = tuple(field.name for field in fields(Amendment))


async def load(session: AsyncSession, where: ColumnElement[bool], *, lock: bool = True) -> list[Case]:
    """Cases as values. `lock` holds the rows until the transaction ends, in one order for everybody."""
    query = select(CASES).where(where).order_by(CASES.c.id)
    rows = await session.execute(query.with_for_update() if lock else query)
    return [case_of(row) for row in rows.mappings()]


def case_of(row: RowMapping) -> Case:
    """A row of `cases` as the domain knows it."""
    values = {name: row[name] for name in _FIELDS}
    values["status"] = CaseStatus(values["status"])
    values["facts"] = Facts.model_validate(values["facts"]) if values["facts"] else None
    return Case(**values)


async def amendments_of(session: AsyncSession, case_ids: Sequence[UUID]) -> dict[UUID, list[Amendment]]:
    """The amendments of some cases, oldest first."""
    found: dict[UUID, list[Amendment]] = {case_id: [] for case_id in case_ids}
    for ids in in_chunks(case_ids):
        rows = await session.execute(
            select(AMENDMENTS).where(AMENDMENTS.c.case_id.in_(ids)).order_by(AMENDMENTS.c.id)
        )
        for row in rows.mappings():
            found[row["case_id"]].append(amendment_of(row))
    return found


def amendment_of(row: RowMapping) -> Amendment:
    """A row of `amendments` as the domain knows it."""
    values = {name: row[name] for name in _AMENDMENT_FIELDS}
    return Amendment(**{**values, "state": AmendmentState(values["state"])})


async def circumstances(session: AsyncSession, today: date, urns: Iterable[str | None]) -> Circumstances:
    """Today, the ages of these institutions (of one batch) as far as the register has them, and the intervals that
    councils have settled: one statement, for every command asks."""
    wanted = sorted({urn for urn in urns if urn})
    known, settled = INSTITUTIONS.c, INTERVALS.c
    rows = await session.execute(
        union_all(
            select(settled.la_code, settled.policy_version, settled.months, settled.effective_on),
            select(known.urn, known.low_age, known.high_age, cast(null(), Date)).where(
                among(session, known.urn, wanted)
            ),
        )
    )
    ages: dict[str, Ages] = {}
    intervals: dict[str, list[tuple[int, date, int]]] = {}
    for code, first, second, effective_on in rows:
        if effective_on is None:
            ages[code] = Ages(first, second)
        else:
            intervals.setdefault(code, []).append((first, effective_on, second))
    in_order = {la: tuple((on, months) for _, on, months in sorted(own)) for la, own in intervals.items()}
    return Circumstances(today, ages, in_order)


async def settle_interval(
    session: AsyncSession, la_code: str, *, version: int, effective_on: date, months: int
) -> None:
    """Remember a council's interval from a day on; told again, it is the same."""
    row = {"la_code": la_code, "policy_version": version, "effective_on": effective_on, "months": months}
    await session.execute(upsert(session, INTERVALS).on_conflict_do_nothing(), row)


async def holders(session: AsyncSession, numbers: Sequence[Number]) -> Holders:
    """Which open cases of these councils have these numbers."""
    held: list[tuple[Number, UUID]] = []
    las = sorted({number.la for number in numbers})
    for kind in NUMBERS:
        column = CASES.c[kind]
        for some in in_chunks(sorted({number.value for number in numbers if number.kind == kind})):
            query = select(CASES.c.administering_la, column, CASES.c.id)
            rows = await session.execute(
                query.where(among(session, column, some), among(session, CASES.c.administering_la, las), OPEN)
            )
            held += [(Number(la, kind, value), case_id) for la, value, case_id in rows]
    return Holders(held)


async def save(session: AsyncSession, decisions: Sequence[Decision], *, who: str, today: date) -> None:
    """Store decisions and publish their events: a handful of statements however many there are."""
    now = session.info["clock"].now()
    # First what changed: a new case may have a number that an old one gave up.
    await _update_cases(session, [d for d in decisions if d.before is not None and d.after != d.before], now)
    # In one order for everybody: two batches with the same new records would wait for each other.
    new = sorted((d.after for d in decisions if d.before is None), key=_reference)
    rows = [(*_row(case).values(), now, now) for case in new]
    await add_all(session, CASES, (*_FIELDS, "created_at", "updated_at"), rows)
    await _record(session, decisions, who, now, today)
    await _save_amendments(session, [a for d in decisions for a in d.amendments])
    await _save_corrections(session, decisions, who, now)


def _reference(case: Case) -> tuple[str, str]:
    return case.source_la or "", case.source_ref or ""


def _row(case: Case) -> dict[str, Any]:
    row = {name: getattr(case, name) for name in _FIELDS}
    row["status"] = case.status.value
    row["facts"] = case.facts.model_dump(mode="json") if case.facts else None
    return row


async def _update_cases(session: AsyncSession, decisions: Sequence[Decision], now: Any) -> None:
    """Everything but what never changes; `updated_at` moves only with the version, so readers see real changes."""
    changed = [_row(d.after) | {"updated_at": now, "which": d.after.id} for d in decisions if d.changes]
    silent = [_row(d.after) | {"which": d.after.id} for d in decisions if not d.changes]
    for rows, extra in ((changed, ("updated_at",)), (silent, ())):
        if rows:
            columns = [name for name in (*_FIELDS, *extra) if name != "id"]
            statement = update(CASES).where(CASES.c.id == bindparam("which"))
            await session.execute(statement.values({c: bindparam(c) for c in columns}), rows)


async def _record(
    session: AsyncSession, decisions: Sequence[Decision], who: str, now: Any, today: date
) -> None:
    steps = [(d, number, change) for d in decisions for number, change in _numbered(d)]
    told = [
        Outgoing(change.event, d.after.id, d.after.la_code, f"/v1/cases/{d.after.id}")
        for d, _, change in steps
        if change.event is not None
    ]
    ids = iter(await publish_all(session, told))
    rows = [
        (
            d.after.id,
            number,
            change.what,
            list(change.fields),
            next(ids) if change.event is not None else None,
            change.event.wire_type if change.event is not None else None,
            who,
            now,
            today,
        )
        for d, number, change in steps
    ]
    await add_all(session, CHANGES, CHANGES.columns.keys(), rows)


def _numbered(decision: Decision) -> Iterable[tuple[int, Change]]:
    first = decision.after.version - len(decision.changes) + 1
    return enumerate(decision.changes, first)


async def _save_amendments(session: AsyncSession, amendments: Sequence[Amendment]) -> None:
    for some in in_chunks(amendments):
        rows = [asdict(amendment) | {"state": amendment.state.value} for amendment in some]
        statement = upsert(session, AMENDMENTS).values(rows)
        replaced: Mapping[str, Any] = {
            name: statement.excluded[name] for name in _AMENDMENT_FIELDS if name not in ("id", "case_id")
        }
        await session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=replaced))


async def _save_corrections(session: AsyncSession, decisions: Sequence[Decision], who: str, now: Any) -> None:
    rows = [
        asdict(correction)
        | {
            "id": uuid7(),
            "case_id": d.after.id,
            "version": d.after.version,
            "field": correction.field.value,
            "reason": correction.reason.value,
            "who": who,
            "at": now,
        }
        for d in decisions
        for correction in d.corrections
    ]
    if rows:
        await session.execute(insert(CORRECTIONS), rows)
