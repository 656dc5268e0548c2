"""Loading the register of institutions: an upsert by URN, and the facts of the children there where ages moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlmodel.ext.asyncio.session import AsyncSession

from case_service.bulk import decide_all
from case_service.domain import plan
from case_service.institutions import InstitutionLine
from case_service.store import CASES, INSTITUTIONS
from case_service.streams import Intake, Outcome, Results, process
from service_kit.api import Line
from service_kit.context import Context
from service_kit.database import upsert
from service_kit.problems import Refusal, faults

_VALUES = ("name", "kind", "low_age", "high_age", "la_code", "section20_12")


def load_institutions(ctx: Context) -> Results:
    """Take the register line by line; the results stream back in the order of the lines."""

    async def take(session: AsyncSession, bodies: Sequence[InstitutionLine]) -> list[Outcome]:
        statuses = await _upsert(ctx, session, bodies)
        return [{"status": statuses[body.urn]} for body in bodies]

    return Results(process(ctx, Intake("urn", _read, lambda body: body.urn, take)))


def _read(document: Any, _: Line) -> InstitutionLine:
    try:
        return InstitutionLine.model_validate(document)
    except ValidationError as error:
        raise Refusal(
            "validation", errors=faults(error.errors(include_input=False, include_url=False))
        ) from None


async def _upsert(ctx: Context, session: AsyncSession, bodies: Sequence[InstitutionLine]) -> dict[str, str]:
    """Store what is new or differs; returns the status of each URN."""
    sent = {body.urn: body.model_dump(mode="json") for body in bodies}
    query = select(INSTITUTIONS).where(INSTITUTIONS.c.urn.in_(sorted(sent)))
    known = {row["urn"]: row for row in (await session.execute(query)).mappings()}
    statuses = {
        urn: "created" if urn not in known else "unchanged" if _same(known[urn], values) else "updated"
        for urn, values in sent.items()
    }
    rows = [
        sent[urn] | {"loaded_at": session.info["clock"].now()}
        for urn, status in statuses.items()
        if status != "unchanged"
    ]
    if rows:
        statement = upsert(session, INSTITUTIONS).values(rows)
        replaced = {name: statement.excluded[name] for name in (*_VALUES, "loaded_at")}
        await session.execute(statement.on_conflict_do_update(index_elements=["urn"], set_=replaced))
    aged = [urn for urn, row in known.items() if any(row[a] != sent[urn][a] for a in ("low_age", "high_age"))]
    if aged:
        who = f"{ctx.caller.role}:{ctx.caller.subject}"[:200]
        placed = CASES.c.urn.in_(aged) & CASES.c.next_facts_change.is_not(None)
        await decide_all(session, placed, ctx.clock.today(), plan.refresh, who=who)
    return statuses


def _same(row: object, values: dict[str, object]) -> bool:
    return all(row[name] == values[name] for name in _VALUES)  # type: ignore[index]
