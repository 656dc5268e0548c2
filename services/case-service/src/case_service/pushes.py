"""What a source system says of its records, one at a time or in batches: the same set-based way for both."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from fastapi import Response
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from case_service import quarantine, views
from case_service.domain import snapshot as snapshots
from case_service.domain.case import Amendment, Case, Circumstances, Decision
from case_service.domain.identity import Holders
from case_service.domain.snapshot import QUEUED, Deletion, Sent, Snapshot, Unfit
from case_service.quarantine import Refused
from case_service.sources import NotRead, SourceCase, fingerprint, read_line, sent
from case_service.store import CASES, QUARANTINE, amendments_of, circumstances, holders, load, save
from case_service.streams import Intake, Outcome, Recognised, Results, process
from service_kit.api import Line
from service_kit.context import Context
from service_kit.database import among
from service_kit.ids import uuid7
from service_kit.problems import Fault, Refusal

Key = tuple[str, str]
"""A council's own reference: two councils may use the same system and the same numbers."""


@dataclass
class Known:
    """What the register holds about the records of one chunk."""

    cases: Mapping[Key, Case]
    amendments: Mapping[UUID, Sequence[Amendment]]
    where: Circumstances
    holders: Holders


async def push(ctx: Context, source: str, ref: str, body: SourceCase | NotRead) -> Response:
    """Take one snapshot. 201 for a new case, 200 otherwise, also when nothing changed; 202 for one that waits for a
    person; 409 for a contradiction."""
    _own_source(ctx, source)
    if isinstance(body, SourceCase) and body.ref not in (None, ref):
        fault = Fault("/ref", "ref-mismatch", "This is not the reference in the address.")
        raise Refusal("validation", errors=[fault])
    return await _push(ctx, sent(source, body, ref=ref))


async def delete(ctx: Context, source: str, ref: str, *, la: str, version: int) -> Response:
    """The source has deleted a record: 202 when a person must decide what becomes of the case, 200 when there is none
    that is open."""
    _own_source(ctx, source)
    return await _push(ctx, Deletion(source, ref, version, la, la))


async def _push(ctx: Context, one: Sent) -> Response:
    try:
        outcome = await _take_one(ctx, one)
    except IntegrityError:
        # The same new reference came twice at once: the other one is stored now, so look again.
        outcome = await _take_one(ctx, one)
    if isinstance(outcome, Refusal):
        raise outcome
    view = views.PushResult(ref=one.ref, **outcome)
    status = {"created": 201, "queued": 202}.get(view.status, 200)
    return ctx.answer(status, view, etag=view.version)


async def _take_one(ctx: Context, one: Sent) -> Outcome:
    async with ctx.db.write() as session:
        (outcome,) = await _take(ctx, session, [one])
    return outcome


def push_batch(ctx: Context, source: str) -> Results:
    """Take many lines; the results stream back in the order of the lines."""
    _own_source(ctx, source)

    def read(document: Any, line: Line) -> Sent:
        return read_line(source, document, line.raw)

    async def recognise(lines: Sequence[Line]) -> dict[int, Recognised]:
        return await _recognised(ctx, source, lines)

    return Results(process(ctx, Intake("ref", read, _key, partial(_take, ctx), recognise)))


async def _recognised(ctx: Context, source: str, lines: Sequence[Line]) -> dict[int, Recognised]:
    """The lines that are, byte for byte, the last one taken of their case: they say nothing new, whatever they say. A
    record of which something waits in quarantine is looked at properly."""
    prints = {fingerprint(source, line.raw): line.number for line in lines}
    async with ctx.read() as session:
        rows = await session.execute(_unchanged(session, ctx.caller.las, list(prints)))
    return {
        prints[row.source_line]: Recognised(
            (row.source_la, row.source_ref),
            row.source_ref,
            _result("unchanged", row.id, row.version, row.source_version),
        )
        for row in rows
    }


def _unchanged(session: AsyncSession, las: Collection[str], prints: Sequence[bytes]) -> Any:
    case, held = CASES.c, QUARANTINE.c
    waits = (
        (held.source == case.source)
        & (held.source_la == case.source_la)
        & (held.ref == case.source_ref)
        & held.settled_at.is_(None)
    )
    query = select(
        case.source_line, case.id, case.version, case.source_version, case.source_la, case.source_ref
    ).where(among(session, case.source_line, prints), ~select(held.id).where(waits).exists())
    return query.where(case.source_la.in_(sorted(las))) if las else query


def _key(one: Sent) -> Key:
    return (one.la, one.ref)


def _own_source(ctx: Context, source: str) -> None:
    """A system pushes under its own name only; another's address is no address for it."""
    if ctx.caller.org_id != source:
        raise Refusal("not-found")


async def _take(ctx: Context, session: AsyncSession, batch: Sequence[Sent]) -> list[Outcome]:
    """Decide and store a chunk, in which each record comes once, in the caller's transaction. What is refused is among
    the outcomes, and kept for a person."""
    today = ctx.clock.today()
    known = await _known(session, batch, today)
    decisions: list[Decision] = []
    outcomes: list[Outcome] = []
    taken: list[Sent] = []
    refused: list[Refused] = []
    for one in batch:
        case = known.cases.get(_key(one))
        try:
            decision = _decide(ctx, one, case, known)
        except Refusal as refusal:
            outcomes.append(_queued(one, case) if _code(refusal) in QUEUED else refusal)
            refused.append(Refused(one, refusal, case.id if case else None))
        else:
            taken.append(one)
            outcomes.append(_outcome(one, decision))
            if decision is not None:
                decisions.append(decision)
    await save(session, decisions, who=f"{ctx.caller.role}:{ctx.caller.subject}"[:200], today=today)
    await quarantine.keep(session, taken, refused)
    return outcomes


async def _known(session: AsyncSession, batch: Sequence[Sent], today: date) -> Known:
    refs, las = sorted({one.ref for one in batch}), sorted({one.la for one in batch})
    sources = sorted({one.source for one in batch})
    found = await load(
        session,
        CASES.c.source.in_(sources) & CASES.c.source_la.in_(las) & among(session, CASES.c.source_ref, refs),
    )
    cases = {(c.source_la or "", c.source_ref or ""): c for c in found}
    arrived = [one for one in batch if isinstance(one, Snapshot)]
    moving = [case.id for one in arrived if (case := cases.get(_key(one))) and _moves(case, one)]
    urns = [*(one.mapped["urn"] for one in arrived), *(case.urn for case in found)]
    return Known(
        cases,
        await amendments_of(session, moving),
        await circumstances(session, today, urns),
        await holders(session, [number for one in arrived for number in one.numbers]),
    )


def _moves(case: Case, snapshot: Snapshot) -> bool:
    """Whether the amendments of the case matter: only where the source's notice date moved."""
    before = (case.source_mapped or {}).get("notice_sent_on")
    return bool(snapshot.mapped["notice_sent_on"] != before)


def _decide(ctx: Context, one: Sent, case: Case | None, known: Known) -> Decision | None:
    """What follows from what was sent; None where nothing does."""
    # The council that keeps the case, for the reference is its own: nobody takes another council's number.
    if ctx.caller.las and one.la not in ctx.caller.las:
        raise Refusal("forbidden", "This system may push cases of its own council only.")
    if isinstance(one, Unfit):
        raise one.refusal
    if isinstance(one, Deletion):
        snapshots.deleted(case, one)
        return None
    if case is None:
        decision = snapshots.first(
            one,
            known.where,
            case_id=uuid4(),
            amendment_id=uuid7(),
            go_live=ctx.settings.go_live,
        )
    else:
        own = known.amendments.get(case.id, ())
        decision = snapshots.newer(
            case, one, own, known.where, amendment_id=uuid7(), go_live=ctx.settings.go_live
        )
    known.holders.claim(case, decision.after)
    return decision


def _code(refusal: Refusal) -> str:
    return next((fault.code for fault in refusal.errors), refusal.slug)


def _outcome(one: Sent, decision: Decision | None) -> Outcome:
    if decision is None:
        return _result("unchanged", None, None, one.version)
    status = "created" if decision.before is None else "updated" if decision.changes else "unchanged"
    return _result(status, decision.after.id, decision.after.version, one.version)


def _queued(one: Sent, case: Case | None) -> Outcome:
    return _result("queued", case.id if case else None, case.version if case else None, one.version)


def _result(status: str, case_id: UUID | None, version: int | None, source_version: int) -> Outcome:
    return {
        "status": status,
        "case_id": str(case_id) if case_id else None,
        "version": version,
        "source_version": source_version,
    }
