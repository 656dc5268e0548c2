"""Snapshots from a source system, one at a time or in batches: the same set-based way for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID, uuid4

from fastapi import Response
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from case_service import views
from case_service.domain import snapshot as snapshots
from case_service.domain.case import Amendment, Case, Circumstances, Decision
from case_service.domain.identity import Holders
from case_service.domain.snapshot import CONFLICTS, Snapshot
from case_service.sources import SourceCase, SourceLine, snapshot_of
from case_service.store import CASES, QUARANTINE, amendments_of, circumstances, holders, load, save
from case_service.streams import Outcome, Results, process
from service_kit.context import Context
from service_kit.database import among, upsert
from service_kit.ids import uuid7
from service_kit.problems import Fault, Refusal

Key = tuple[str, str]
"""A council's own reference: two councils may use the same system and the same numbers."""


@dataclass
class Known:
    """What the register holds about the snapshots of one chunk."""

    cases: Mapping[Key, Case]
    amendments: Mapping[UUID, Sequence[Amendment]]
    where: Circumstances
    holders: Holders


async def push(ctx: Context, source: str, ref: str, body: SourceCase) -> Response:
    """Take one snapshot. 201 for a new case, 200 otherwise, also when nothing changed; 409 for a contradiction."""
    _own_source(ctx, source)
    if body.ref not in (None, ref):
        fault = Fault("/ref", "ref-mismatch", "This is not the reference in the address.")
        raise Refusal("validation", errors=[fault])
    snapshot = snapshot_of(source, ref, body)
    try:
        outcome = await _take_one(ctx, snapshot)
    except IntegrityError:
        # The same new reference came twice at once: the other one is stored now, so look again.
        outcome = await _take_one(ctx, snapshot)
    if isinstance(outcome, Refusal):
        raise outcome
    view = views.PushResult(ref=ref, **outcome)
    return ctx.answer(201 if view.status == "created" else 200, view, etag=view.version)


async def _take_one(ctx: Context, snapshot: Snapshot) -> Outcome:
    async with ctx.db.write() as session:
        (outcome,) = await _take(ctx, session, [snapshot])
    return outcome


def push_batch(ctx: Context, source: str) -> Results:
    """Take many snapshots, line by line; the results stream back in the order of the lines."""
    _own_source(ctx, source)

    async def take(session: AsyncSession, bodies: list[SourceLine]) -> list[Outcome]:
        return await _take(ctx, session, [snapshot_of(source, body.ref, body) for body in bodies])

    return Results(process(ctx, SourceLine, take, key=_key, named="ref"))


def _key(body: SourceLine) -> Key:
    return (body.administering_la or body.responsible_la, body.ref)


def _own_source(ctx: Context, source: str) -> None:
    """A system pushes under its own name only; another's address is no address for it."""
    if ctx.caller.org_id != source:
        raise Refusal("not-found")


async def _take(ctx: Context, session: AsyncSession, batch: Sequence[Snapshot]) -> list[Outcome]:
    """Decide and store a chunk in the caller's transaction. Refused snapshots are among the outcomes; those that
    contradict the register are kept in quarantine."""
    today = ctx.clock.today()
    known = await _known(session, batch, today)
    decisions: list[Decision] = []
    outcomes: list[Outcome] = []
    refused: list[tuple[Snapshot, Refusal, UUID | None]] = []
    for snapshot in batch:
        case = known.cases.get((snapshot.la, snapshot.ref))
        try:
            decision = _decide(ctx, snapshot, case, known)
        except Refusal as refusal:
            outcomes.append(refusal)
            refused.append((snapshot, refusal, case.id if case else None))
        else:
            decisions.append(decision)
            outcomes.append(_outcome(snapshot, decision))
    await save(session, decisions, who=f"{ctx.caller.role}:{ctx.caller.subject}"[:200], today=today)
    await _settle_quarantine(session, decisions)
    await _quarantine(session, refused)
    return outcomes


async def _known(session: AsyncSession, batch: Sequence[Snapshot], today: date) -> Known:
    keys = {(s.la, s.ref) for s in batch}
    refs, las = sorted({ref for _, ref in keys}), sorted({la for la, _ in keys})
    sources = {s.source for s in batch}
    found = await load(
        session,
        CASES.c.source.in_(sources) & CASES.c.source_la.in_(las) & among(session, CASES.c.source_ref, refs),
    )
    cases = {(c.source_la or "", c.source_ref or ""): c for c in found}
    moving = _moving(found, batch)
    where = await circumstances(
        session, today, [*(s.mapped["urn"] for s in batch), *(case.urn for case in found)]
    )
    held = await holders(session, [number for snapshot in batch for number in snapshot.numbers])
    return Known(cases, await amendments_of(session, moving), where, held)


def _moving(found: Sequence[Case], batch: Sequence[Snapshot]) -> list[UUID]:
    """The cases whose amendments matter: only where the source's notice date moved. A chunk has each key once."""
    sent = {(s.la, s.ref): s for s in batch}
    pairs = ((case, sent.get((case.source_la or "", case.source_ref or ""))) for case in found)
    return [case.id for case, snapshot in pairs if snapshot and _moves(case, snapshot)]


def _moves(case: Case, snapshot: Snapshot) -> bool:
    before = (case.source_mapped or {}).get("notice_sent_on")
    return bool(snapshot.mapped["notice_sent_on"] != before)


def _decide(ctx: Context, snapshot: Snapshot, case: Case | None, known: Known) -> Decision:
    # The council that keeps the case, for the reference is its own: nobody takes another council's number.
    if ctx.caller.las and snapshot.la not in ctx.caller.las:
        raise Refusal("forbidden", "This system may push cases of its own council only.")
    if case is None:
        decision = snapshots.first(
            snapshot,
            known.where,
            case_id=uuid4(),
            amendment_id=uuid7(),
            go_live=ctx.settings.go_live,
        )
    else:
        own = known.amendments.get(case.id, ())
        decision = snapshots.newer(case, snapshot, own, known.where, amendment_id=uuid7())
    known.holders.claim(case, decision.after)
    return decision


def _outcome(snapshot: Snapshot, decision: Decision) -> Outcome:
    status = "created" if decision.before is None else "updated" if decision.changes else "unchanged"
    return {
        "status": status,
        "case_id": str(decision.after.id),
        "version": decision.after.version,
        "source_version": snapshot.version,
    }


async def _settle_quarantine(session: AsyncSession, accepted: Sequence[Decision]) -> None:
    """A snapshot that fits settles the older ones of its case that did not."""
    taken = {(d.after.source_la, d.after.source_ref): d.after.source_version or 0 for d in accepted}
    held = QUARANTINE.c
    refs = sorted({ref for _, ref in taken if ref})
    query = select(held.id, held.source_la, held.ref, held.version).where(
        held.source.in_(sorted({d.after.source for d in accepted if d.after.source})),
        among(session, held.ref, refs),
        held.settled_at.is_(None),
    )
    rows = (await session.execute(query)).all()
    ids = [row.id for row in rows if row.version < taken.get((row.source_la, row.ref), 0)]
    if ids:
        now = session.info["clock"].now()
        await session.execute(update(QUARANTINE).where(held.id.in_(ids)).values(settled_at=now))


async def _quarantine(
    session: AsyncSession, refused: Sequence[tuple[Snapshot, Refusal, UUID | None]]
) -> None:
    """Keep what contradicts the register; the same snapshot again is counted, not kept twice."""
    now = session.info["clock"].now()
    for snapshot, refusal, case_id in refused:
        code = next((fault.code for fault in refusal.errors), refusal.slug)
        if refusal.slug != "conflict" or code not in CONFLICTS:
            continue
        values = {
            "id": uuid7(),
            "source": snapshot.source,
            "source_la": snapshot.la,
            "la_code": snapshot.mapped["la_code"],
            "ref": snapshot.ref,
            "version": snapshot.version,
            "code": code,
            "digest": snapshot.digest,
            "mapped": dict(snapshot.mapped),
            "case_id": case_id,
            "times": 1,
            "received_at": now,
            "last_at": now,
        }
        statement = upsert(session, QUARANTINE).values(values)
        unique = ["source", "source_la", "ref", "version", "code", "digest"]
        again = {"times": QUARANTINE.c.times + 1, "last_at": now, "settled_at": None}
        await session.execute(statement.on_conflict_do_update(index_elements=unique, set_=again))
