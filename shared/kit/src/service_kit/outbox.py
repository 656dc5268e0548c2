"""The outbox: a change and its event are one transaction.

`publish` numbers the event within its case (gapless per source and case; the counter row is the case's lock), builds
the envelope once and stores its bytes; the relay sends exactly those bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Table
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.envelope import MAX_EVENT_BYTES, Envelope
from ehcp_contracts.events import Event
from service_kit.database import Transaction, add_all, dialect_of, insert_all, insert_many
from service_kit.ids import uuid7
from service_kit.logs import traceparent

Open = AsyncSession | Transaction
_COLUMNS = ("event_id", "topic", "subject", "sequence", "body", "written_at")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event to send: which case it is about, which council (DfE code), and where its detail can be fetched."""

    event: Event
    case: UUID
    la: str
    dataref: str | None = None
    traceparent: str | None = None


async def publish(tx: Open, event: Event, *, case: UUID, la: str, dataref: str | None = None) -> UUID:
    """Write one event to the outbox in the transaction `tx`; returns its id."""
    (event_id,) = await publish_all(tx, [Outgoing(event, case, la, dataref)])
    return event_id


async def publish_all(tx: Open, items: Sequence[Outgoing]) -> list[UUID]:
    """Write many events in their order, with one statement per table; returns their ids.

    Raises ValueError for an event over 16 KiB, or of a topic that is not this service's own.
    """
    if not items:
        return []
    tables = _tables(tx)
    now = tx.info["clock"].now()
    numbers = await _next_sequences(tx, tables["sequences"], Counter(str(item.case) for item in items))
    rows = [_row(tx, item, numbers, now) for item in items]
    await add_all(tx, tables["outbox"], _COLUMNS, rows)
    tx.info["transaction"].published = True
    return [event_id for event_id, *_ in rows]


def _tables(tx: Open) -> dict[str, Table]:
    return dict(tx.info["tables"])


async def _next_sequences(tx: Open, table: Table, counts: Counter[str]) -> dict[str, int]:
    """Reserve `counts` numbers per subject; returns the last one used so far. Sorted, so that two writers of the same
    cases cannot wait for each other."""
    statement = _reserve(table, dialect_of(tx))
    wanted = [{"subject": subject, "last": number} for subject, number in sorted(counts.items())]
    return {subject: last - counts[subject] for subject, last in await insert_all(tx, statement, wanted)}


@cache
def _reserve(table: Table, dialect: str) -> Any:
    statement = insert_many(table, dialect, "subject", "last")
    return statement.on_conflict_do_update(
        index_elements=["subject"], set_={"last": table.c.last + statement.excluded.last}
    ).returning(table.c.subject, table.c.last)


def _row(tx: Open, item: Outgoing, numbers: dict[str, int], now: datetime) -> tuple[Any, ...]:
    subject = str(item.case)
    if item.event.topic != tx.info["topic"]:
        raise ValueError(f"{item.event.wire_type} is not sent by {tx.info['source']}")
    numbers[subject] += 1
    envelope = Envelope(
        id=uuid7(),
        source=tx.info["source"],
        type=item.event.wire_type,
        subject=subject,
        time=now,
        dataschema=f"{tx.info['public_url']}/schemas/{item.event.wire_type}.json",
        sequence=numbers[subject],
        partitionkey=subject,
        dataref=item.dataref,
        traceparent=item.traceparent or traceparent(),
        lacode=item.la,
        data=item.event.model_dump(mode="json", exclude_none=True),
    )
    body = envelope.to_bytes()
    if len(body) > MAX_EVENT_BYTES:
        raise ValueError(f"{item.event.wire_type}: an event holds at most {MAX_EVENT_BYTES} bytes")
    return envelope.id, item.event.topic, subject, envelope.sequence, body, now
