"""Reading cases, their history, their amendments, the register of institutions and the quarantine."""

from __future__ import annotations

from uuid import UUID

from fastapi import Response
from sqlalchemy import ColumnElement, RowMapping, and_, bindparam, false, or_, select, true

from case_service import views
from case_service.domain.snapshot import DELETED
from case_service.store import (
    AMENDMENTS,
    CASES,
    CHANGES,
    CORRECTIONS,
    INSTITUTIONS,
    QUARANTINE,
    amendment_of,
    case_of,
)
from case_service.tables import OPEN, CaseRow, InstitutionRow, QuarantineRow
from service_kit.access import Caller, Predicate, Scopes, either_council
from service_kit.context import Context
from service_kit.lists import Listing
from service_kit.paging import PageRequest
from service_kit.problems import Refusal


def _own_la(caller: Caller) -> tuple[ColumnElement[bool], ...]:
    return either_council(CASES.c.la_code, CASES.c.administering_la, sorted(caller.las))


def _own_school(caller: Caller) -> ColumnElement[bool]:
    """The child is placed there now: access ends with a move."""
    return and_(CASES.c.urn == caller.org_id, CASES.c.urn.is_not(None))


def _nothing(_: Caller) -> ColumnElement[bool]:
    return false()


def _everything(_: Caller) -> ColumnElement[bool]:
    return true()


SCOPES: Scopes = {
    CaseRow: {
        Predicate.own_la: _own_la,
        Predicate.own_school: _own_school,
        # A source writes its own records and reads none.
        Predicate.own_source: _nothing,
    },
    # The register of institutions is public knowledge.
    InstitutionRow: dict.fromkeys(Predicate, _everything),
    # Held for the council in whose system the record is kept: nobody else can put it right, or need know of it.
    QuarantineRow: {
        Predicate.own_la: lambda caller: QUARANTINE.c.source_la.in_(sorted(caller.las)),
        Predicate.own_school: _nothing,
    },
}


LIST = Listing(
    SCOPES,
    CaseRow,
    views.case_json,
    order=(CASES.c.updated_at, CASES.c.id),
    filters={
        "la": CASES.c.la_code == bindparam("la"),
        "urn": CASES.c.urn == bindparam("urn"),
        "officer": CASES.c.officer == bindparam("officer"),
        "status": CASES.c.status == bindparam("status"),
        "phase": CASES.c.phase == bindparam("phase"),
        "updated_since": CASES.c.updated_at >= bindparam("updated_since"),
    },
)
"""Cases, the one changed longest ago first."""


async def read_case(ctx: Context, case_id: UUID) -> Response:
    """One case with its ETag."""
    row = await _row(ctx, case_id)
    return ctx.answer(200, _case(ctx, row), etag=row["version"])


async def read_history(ctx: Context, case_id: UUID, paging: PageRequest) -> Response:
    """Every version of a case in order. Who did it is shown to the council only."""
    await _row(ctx, case_id)
    query = select(CHANGES).where(CHANGES.c.case_id == case_id, paging.after(CHANGES.c.version))
    async with ctx.read() as session:
        rows = (await session.execute(query.order_by(CHANGES.c.version).limit(paging.fetch))).mappings().all()
    page = paging.page(rows, lambda row: (row["version"],), lambda row: _entry(ctx, row))
    return ctx.answer(200, page)


def _entry(ctx: Context, row: RowMapping) -> views.HistoryEntry:
    entry = views.HistoryEntry(**row)
    if ctx.caller.role != "school":
        return entry
    fields = [name for name in entry.fields if name not in views.UNTOLD]
    return entry.model_copy(update={"who": None, "fields": fields})


async def list_corrections(ctx: Context, case_id: UUID, paging: PageRequest) -> Response:
    """The corrections of a case, oldest first."""
    await _row(ctx, case_id)
    query = select(CORRECTIONS).where(CORRECTIONS.c.case_id == case_id, paging.after(CORRECTIONS.c.id))
    async with ctx.read() as session:
        rows = (await session.execute(query.order_by(CORRECTIONS.c.id).limit(paging.fetch))).mappings().all()
    return ctx.answer(
        200, paging.page(rows, lambda row: (row["id"],), lambda row: views.CorrectionView(**row))
    )


async def list_amendments(ctx: Context, case_id: UUID, paging: PageRequest) -> Response:
    """The amendments of a case, oldest first; the reasons for dropping one are the council's own."""
    case = await _row(ctx, case_id)
    query = select(AMENDMENTS).where(AMENDMENTS.c.case_id == case_id, paging.after(AMENDMENTS.c.id))
    async with ctx.read() as session:
        rows = (await session.execute(query.order_by(AMENDMENTS.c.id).limit(paging.fetch))).mappings().all()
    hidden = {"reasons": None} if ctx.caller.role == "school" else {}

    def view(row: RowMapping) -> views.NoticeView:
        shown = views.notice_view(amendment_of(row), case_version=case["version"])
        return shown.model_copy(update=hidden)

    return ctx.answer(200, paging.page(rows, lambda row: (row["id"],), view))


async def read_institution(ctx: Context, urn: str) -> Response:
    """One institution of the register."""
    query = select(INSTITUTIONS).where(INSTITUTIONS.c.urn == urn, ctx.visible(InstitutionRow))
    async with ctx.read() as session:
        row = (await session.execute(query)).mappings().first()
    if row is None:
        raise Refusal("not-found")
    return ctx.answer(200, views.InstitutionView(**row))


async def list_quarantine(ctx: Context, source: str, paging: PageRequest) -> Response:
    """What a source said and was not taken, oldest first, until it is settled: by something newer from the source, or, of
    a record deleted there, by the end of the plan."""
    order = (QUARANTINE.c.received_at, QUARANTINE.c.id)
    query = select(QUARANTINE).where(
        QUARANTINE.c.source == source,
        QUARANTINE.c.settled_at.is_(None),
        or_(QUARANTINE.c.code != DELETED, QUARANTINE.c.case_id.in_(select(CASES.c.id).where(OPEN))),
        ctx.visible(QuarantineRow),
        paging.after(*order),
    )
    async with ctx.read() as session:
        rows = (await session.execute(query.order_by(*order).limit(paging.fetch))).mappings().all()
    page = paging.page(
        rows,
        lambda row: (row["received_at"], row["id"]),
        lambda row: views.QuarantineView.model_validate(row),
    )
    return ctx.answer(200, page)


async def _row(ctx: Context, case_id: UUID) -> RowMapping:
    query = select(CASES).where(CASES.c.id == case_id, ctx.visible(CaseRow))
    async with ctx.read() as session:
        row = (await session.execute(query)).mappings().first()
    if row is None:
        raise Refusal("not-found")
    return row


def _case(ctx: Context, row: RowMapping) -> views.CaseView:
    return views.case_view(case_of(row), row["updated_at"], role=ctx.caller.role)
