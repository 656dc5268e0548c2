"""What a source said and the register could not take: kept for a person, until the source says something newer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from case_service.domain.snapshot import DELETED, SAME_VERSION, Sent
from case_service.store import QUARANTINE
from service_kit.database import among, upsert
from service_kit.ids import uuid7
from service_kit.problems import Fault, Refusal

NOWHERE = Fault("", "", "")
STAYS = (SAME_VERSION, DELETED)
"""What the version itself does not settle when it comes again and fits."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What was not taken, why, and the case it is about if there is one."""

    sent: Sent
    refusal: Refusal
    case_id: UUID | None


async def keep(session: AsyncSession, taken: Iterable[Sent], refused: Iterable[Refused]) -> None:
    """Settle what the source has gone past, and hold what was refused; one of each record at most. What the caller may
    not send at all is not kept."""
    held = [one for one in refused if one.refusal.slug in ("conflict", "validation")]
    newest = {_record(sent): (sent.version, True) for sent in taken}
    newest |= {_record(one.sent): (one.sent.version, False) for one in held}
    if newest:
        await _settle(session, newest)
    if held:
        await _hold(session, held)


def _record(sent: Sent) -> tuple[str, str, str]:
    return (sent.source, sent.la, sent.ref)


async def _settle(session: AsyncSession, newest: dict[tuple[str, str, str], tuple[int, bool]]) -> None:
    """Older versions are settled by any newer one; the version that now fits, by itself."""
    held = QUARANTINE.c
    sources, las, refs = (sorted(set(part)) for part in zip(*newest, strict=True))
    query = select(held.id, held.source, held.source_la, held.ref, held.version, held.code).where(
        held.source.in_(sources),
        held.source_la.in_(las),
        among(session, held.ref, refs),
        held.settled_at.is_(None),
    )
    past = []
    for row in (await session.execute(query)).all():
        version, fits = newest.get((row.source, row.source_la, row.ref), (0, False))
        if row.version < version or (fits and row.version == version and row.code not in STAYS):
            past.append(row.id)
    if past:
        now = session.info["clock"].now()
        await session.execute(update(QUARANTINE).where(held.id.in_(past)).values(settled_at=now))


async def _hold(session: AsyncSession, refused: Sequence[Refused]) -> None:
    """The same again is counted, not kept twice."""
    statement = upsert(session, QUARANTINE).values([_row(session, one) for one in refused])
    unique = ["source", "source_la", "ref", "version", "code", "digest"]
    again = {
        "times": QUARANTINE.c.times + 1,
        "last_at": statement.excluded.last_at,
        "case_id": statement.excluded.case_id,
        "settled_at": None,
    }
    await session.execute(statement.on_conflict_do_update(index_elements=unique, set_=again))


def _row(session: AsyncSession, one: Refused) -> dict[str, Any]:
    sent, now = one.sent, session.info["clock"].now()
    reason = next(iter(one.refusal.errors), NOWHERE)
    return {
        "id": uuid7(),
        "source": sent.source,
        "source_la": sent.la,
        "la_code": sent.la_code,
        "ref": sent.ref,
        "version": sent.version,
        "code": reason.code or one.refusal.slug,
        "pointer": reason.pointer,
        "digest": sent.digest,
        "mapped": dict(sent.mapped),
        "case_id": one.case_id,
        "times": 1,
        "received_at": now,
        "last_at": now,
    }
