"""The inbox: what a service does with other services' events, exactly once in effect and in order per case.

An event's effect, the note that it was received, and the events the effect publishes are one transaction; the
position on the bus is committed after it. A batch is taken in one transaction; when anything in it fails, it is taken
again in halves, down to the event at fault: only that one, and the later ones of its case, are parked.

`last_received` (per source and case) is kept for ever: it still recognises a replay when the inbox rows are pruned.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from functools import cache, cached_property
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

import structlog
from pydantic import ValidationError
from sqlalchemy import BigInteger, String, Table, cast, delete, func, null, select, union_all, update
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.envelope import OWN_PREFIX, Envelope
from ehcp_contracts.events import EVENTS, Event
from ehcp_contracts.vocabulary import suspicious_fields
from service_kit.bus.port import Bus, Record
from service_kit.database import (
    KEYS_PER_STATEMENT,
    Unavailable,
    among,
    dialect_of,
    in_chunks,
    insert_all,
    insert_many,
    one_of,
    put_all,
    upsert,
)
from service_kit.failpoints import failpoint
from service_kit.hub import Hub
from service_kit.logs import bind_traceparent
from service_kit.prepared import Prepared

log = structlog.get_logger(__name__)
E = TypeVar("E", bound=Event)
TRIES = 3
HANDLER_BUDGET = 30.0
PATIENCE = timedelta(hours=24)


class Defer(Exception):
    """Raised by a reaction when what it needs has not arrived yet, such as the case itself. The event waits up to
    24 hours and is tried again whenever its case moves."""


@dataclass(frozen=True)
class Received(Generic[E]):
    """A typed event with its envelope: which case, which council, when and where it was sent."""

    event: E
    envelope: Envelope
    raw: bytes

    @property
    def id(self) -> UUID:
        return self.envelope.id

    @cached_property
    def case(self) -> UUID:
        return UUID(self.envelope.subject)

    @property
    def la(self) -> str:
        return self.envelope.lacode

    @property
    def time(self) -> datetime:
        return self.envelope.time

    @property
    def source(self) -> str:
        return self.envelope.source

    @property
    def sequence(self) -> int:
        return self.envelope.sequence


Reaction = Callable[[AsyncSession, Received[Any], Hub], Awaitable[None]]


class Projection(Protocol):
    """A reaction to whole batches: gets every known event in order."""

    def __call__(self, tx: AsyncSession, events: Sequence[Received[Any]]) -> Awaitable[None]: ...


Reactions = Mapping[type[Event], Reaction] | Projection


class State(StrEnum):
    """Why an event is parked. `poison` holds back its whole case, `gap` and `waiting` the events of its source and
    case; `quarantined` is for an operator and holds back nothing."""

    POISON = "poison"
    BEHIND = "behind"
    GAP = "gap"
    WAITING = "waiting"
    QUARANTINED = "quarantined"


class _Fault(Exception):
    """An event that cannot be taken at all; `reason` is one of the codes of bad-inputs.md section 4."""

    def __init__(self, reason: str, state: State = State.POISON) -> None:
        self.reason, self.state = reason, state


class _Retried(Enum):
    """What became of a parked event: `NOT_YET` waits for another one, which may have been parked behind it."""

    APPLIED = auto()
    NOT_YET = auto()
    FAILED = auto()


class _TooSlow(Exception):
    """A reaction used up its budget. Not a `TimeoutError`, which would be taken for an outage of the database."""


@asynccontextmanager
async def _budget() -> AsyncIterator[None]:
    """The time a reaction has, counted from when the database is ours: waiting for it is nobody's fault."""
    try:
        async with asyncio.timeout(HANDLER_BUDGET):
            yield
    except TimeoutError as error:
        raise _TooSlow from error


class _Again(Exception):
    """Another replica took part of this batch at the same time: look again."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A record as read: an envelope and event, or the fault found in it. `digest` tells bytes from others of one id."""

    record: Record
    digest: bytes
    envelope: Envelope | None = None
    event: Event | None = None
    fault: _Fault | None = None

    @property
    def subject(self) -> str:
        if self.envelope:
            return self.envelope.subject
        return (self.record.key or "").replace("\x00", "\ufffd")  # PostgreSQL has no NUL

    @property
    def parked_as(self) -> bytes:
        """What tells a parked record from another: its key as well, for two cases may get the same bytes."""
        return hashlib.sha256((self.record.key or "").encode() + b"\n" + self.digest).digest()

    @property
    def pair(self) -> tuple[str, str]:
        assert self.envelope is not None
        return self.envelope.source, self.envelope.subject


@dataclass
class _Picture:
    """What the database knows about the cases of a batch."""

    seen: dict[UUID, bytes]
    last: dict[tuple[str, str], int]
    poisoned: set[str]
    stuck: set[tuple[str, str]]
    waiting: set[str]


class Inbox:
    """Takes records of the bus for one service."""

    def __init__(self, hub: Hub, bus: Bus, topics: Sequence[str], reactions: Reactions) -> None:
        self.hub, self.bus, self.topics, self.reactions = hub, bus, topics, reactions
        tables = hub.db.tables
        self._inbox: Table = tables["inbox"]
        self._last: Table = tables["last_received"]
        self._parked: Table = tables["parked"]
        self._standing = _how_cases_stand(self._last, self._parked, hub.db.engine.dialect.name)
        self.foreign = 0  # events of other systems, counted and ignored
        self.last_fetch: datetime | None = None
        self.reachable = True

    # --- the loop ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Consume for ever."""
        async with self.bus.consumer(self.hub.name, self.topics) as consumer:
            while True:
                records = await consumer.fetch()
                self.last_fetch = self.hub.clock.now()
                if records:
                    failpoint("cons.after_poll")
                    await self.take(records)
                    failpoint("cons.after_commit_before_offset")
                    await consumer.commit(records)
                    failpoint("cons.after_offset")

    async def take(self, records: Sequence[Record]) -> None:
        """Apply or park every record; returns when all of them are safe in the database."""
        await self._take([_read(record) for record in records])

    async def _take(self, items: list[_Item]) -> None:
        if len(items) == 1:
            await self._single(items[0])
        elif items and not await self._whole(items):
            middle = len(items) // 2
            await self._take(items[:middle])
            await self._take(items[middle:])

    async def _whole(self, items: list[_Item]) -> bool:
        """The batch in one transaction; False if it must be taken in parts."""
        try:
            async with self.hub.db.write() as tx, _budget():
                picture = await self._picture(tx, items)
                await self._take_in(tx, items, picture)
                failpoint("cons.after_effect_before_commit")
        except Exception as error:
            log.info("batch not taken as a whole", error=type(error).__name__)
            return False
        self.reachable = True
        await self._let_go({item.subject for item in items} & picture.waiting)
        return True

    async def _single(self, item: _Item) -> None:
        """One event in its own transaction: tried again while the database is away, parked when it is at fault."""
        attempt, again = 0, False
        while True:
            try:
                async with self.hub.db.write() as tx, _budget():
                    picture = await self._picture(tx, [item], every=again)
                    await self._take_in(tx, [item], picture)
                self.reachable = True
                await self._let_go({item.subject} & picture.waiting)
                return
            except Unavailable:
                self.reachable = False
                await asyncio.sleep(0.5)
            except _Again:
                again = True
            except Defer as error:
                await self._park(item, State.WAITING, "waiting", str(error))
                return
            except Exception as error:
                attempt += 1
                if attempt >= TRIES:
                    log.error(
                        "event parked", type=item.envelope and item.envelope.type, error=type(error).__name__
                    )
                    await self._park(item, State.POISON, "handler", type(error).__name__)
                    return
                await asyncio.sleep(0.05 * attempt)

    # --- one transaction -----------------------------------------------------------------------------------------

    async def _picture(self, tx: AsyncSession, items: Sequence[_Item], *, every: bool = False) -> _Picture:
        """An id is looked up only where its case has come as far already, or with `every`: what is next in its case has
        not been seen, and if its id has been, `_note` finds out."""
        picture = _Picture({}, {}, set(), set(), set())
        subjects = {"subjects": sorted({item.subject for item in items})}
        for source, subject, sequence, state in await tx.info["transaction"].fetch(self._standing, subjects):
            match state:
                case None:
                    picture.last[source, subject] = sequence
                case State.POISON | State.BEHIND:
                    picture.poisoned.add(subject)
                case State.GAP | State.WAITING:
                    picture.stuck.add((source, subject))
                    picture.waiting.add(subject)
        known = [
            e
            for item in items
            if (e := item.envelope) and (every or e.sequence <= picture.last.get(item.pair, 0))
        ]
        for some in in_chunks([envelope.id for envelope in known], KEYS_PER_STATEMENT):
            which = among(tx, self._inbox.c.event_id, some)
            rows = await tx.execute(select(self._inbox.c.event_id, self._inbox.c.digest).where(which))
            picture.seen.update({row.event_id: row.digest for row in rows})
        return picture

    async def _take_in(self, tx: AsyncSession, items: Sequence[_Item], picture: _Picture) -> None:
        apply: list[_Item] = []
        for item in items:
            try:
                if self._due(item, picture):
                    apply.append(item)
            except _Fault as fault:
                await self._store(tx, item, fault.state, fault.reason, None)
                if fault.state is State.POISON:
                    picture.poisoned.add(item.subject)
        await self._note(tx, apply)
        await self._react(tx, apply)

    def _due(self, item: _Item, picture: _Picture) -> bool:
        """Whether this event is to be applied now; False if it was before. Raises `_Fault` if it must be parked."""
        if item.fault:
            raise item.fault
        if item.envelope is None:
            return False  # another system's event
        known = picture.seen.get(item.envelope.id)
        if known is not None:
            if known != item.digest:
                raise _Fault("id-reuse", State.QUARANTINED)
            return False
        if item.subject in picture.poisoned:
            raise _Fault("behind", State.BEHIND)
        if item.pair in picture.stuck:
            raise _Fault("gap", State.GAP)
        last = picture.last.get(item.pair, 0)
        if item.envelope.sequence <= last:
            raise _Fault("regression", State.QUARANTINED)
        if item.envelope.sequence > last + 1:
            picture.stuck.add(item.pair)
            raise _Fault("gap", State.GAP)
        picture.last[item.pair] = item.envelope.sequence
        picture.seen[item.envelope.id] = item.digest
        return True

    async def _note(self, tx: AsyncSession, items: Sequence[_Item]) -> None:
        now = self.hub.clock.now()
        rows = [
            {
                "event_id": item.envelope.id,
                "source": item.envelope.source,
                "subject": item.envelope.subject,
                "sequence": item.envelope.sequence,
                "digest": item.digest,
                "received_at": now,
            }
            for item in items
            if item.envelope
        ]
        if not rows:
            return
        fresh = await insert_all(tx, _note_received(self._inbox, dialect_of(tx), *rows[0]), rows)
        if len(fresh) < len(rows):
            raise _Again
        newest = {(row["source"], row["subject"]): row["sequence"] for row in rows}
        values = [{"source": s, "subject": c, "sequence": n} for (s, c), n in sorted(newest.items())]
        await put_all(tx, self._last, values)

    async def _react(self, tx: AsyncSession, items: Sequence[_Item]) -> None:
        received = [
            Received(item.event, item.envelope, item.record.value or b"")
            for item in items
            if item.event and item.envelope
        ]
        if not isinstance(self.reactions, Mapping):
            if received:
                await self.reactions(tx, received)
            return
        for one in received:
            reaction = self.reactions.get(type(one.event))
            if reaction is not None:
                with bind_traceparent(one.envelope.traceparent):
                    await reaction(tx, one, self.hub)

    # --- parking and release -------------------------------------------------------------------------------------

    async def _park(self, item: _Item, state: State, reason: str, detail: str) -> None:
        while True:
            try:
                async with self.hub.db.write() as tx:
                    await self._store(tx, item, state, reason, detail)
                self.reachable = True
                return
            except Unavailable:
                self.reachable = False
                await asyncio.sleep(0.5)

    async def _store(
        self, tx: AsyncSession, item: _Item, state: State, reason: str, detail: str | None
    ) -> None:
        envelope = item.envelope
        await tx.execute(
            upsert(tx, self._parked)
            .values(
                topic=item.record.topic,
                digest=item.parked_as,
                subject=item.subject[:200],
                source=envelope.source if envelope else None,
                event_id=envelope.id if envelope else None,
                sequence=envelope.sequence if envelope else None,
                body=item.record.value or b"",
                state=state,
                reason=reason,
                detail=detail and detail[:200],
                attempts=1,
                parked_at=self.hub.clock.now(),
            )
            .on_conflict_do_nothing()  # redelivered after a crash: parked already
        )

    async def _let_go(self, subjects: set[str]) -> None:
        for subject in sorted(subjects):
            await self.release(subject)

    async def release(self, subject: str, *, poison: bool = False) -> int:
        """Try a case's parked events again in the order they came; returns how many were applied. Poison, and what
        is behind it, only with `poison`: an operator's replay after a fix."""
        applied = 0
        while moved := await self._release_once(subject, poison=poison):
            applied += moved
        return applied

    async def _release_once(self, subject: str, *, poison: bool) -> int:
        """One pass; the sequence check keeps each source's order, whatever the order of arrival was."""
        applied = 0
        for row in await self._parked_rows(subject):
            state = State(row.state)
            holds_all = state in (State.POISON, State.BEHIND)
            if state is State.QUARANTINED:
                continue
            if holds_all and not poison:
                break
            match await self._retry(row):
                case _Retried.APPLIED:
                    applied += 1
                case _Retried.FAILED if holds_all:
                    break
        return applied

    async def _retry(self, row: Any) -> _Retried:
        item = _read(Record(row.topic, 0, 0, row.subject, row.body))
        try:
            async with self.hub.db.write() as tx, _budget():
                gone: Any = await tx.execute(
                    delete(self._parked).where(self._parked.c.position == row.position)
                )
                if gone.rowcount == 0:  # another replica released it
                    return _Retried.APPLIED
                picture = await self._picture(tx, [item], every=True)
                picture.poisoned.clear()
                picture.stuck.clear()
                if self._due(item, picture):
                    await self._note(tx, [item])
                    await self._react(tx, [item])
            return _Retried.APPLIED
        except _Fault as fault:
            if fault.state is State.QUARANTINED:  # its place was taken while it waited: nobody waits for it
                await self._change(row, state=fault.state, reason=fault.reason)
            return _Retried.NOT_YET
        except (Defer, _Again, Unavailable):
            return _Retried.NOT_YET
        except Exception as error:
            log.warning("parked event failed again", error=type(error).__name__)
            await self._change(row, attempts=row.attempts + 1, detail=type(error).__name__)
            return _Retried.FAILED

    async def _change(self, row: Any, **values: Any) -> None:
        async with self.hub.db.write() as tx:
            await tx.execute(
                update(self._parked).where(self._parked.c.position == row.position).values(**values)
            )

    async def _parked_rows(self, subject: str) -> Sequence[Any]:
        async with self.hub.db.read() as session:
            query = (
                select(self._parked)
                .where(self._parked.c.subject == subject)
                .order_by(self._parked.c.position)
            )
            return (await session.execute(query)).all()

    async def sweep(self) -> None:
        """A job: try what waits again; what has waited for 24 hours becomes poison, for an operator to look at."""
        parked = self._parked.c
        too_old = self.hub.clock.now() - PATIENCE
        waits = parked.state.in_([State.WAITING, State.GAP])
        async with self.hub.db.read() as session:
            subjects = (
                (await session.execute(select(parked.subject).where(waits).distinct().limit(500)))
                .scalars()
                .all()
            )
        await self._let_go(set(subjects))
        if subjects:
            async with self.hub.db.write() as tx:
                await tx.execute(
                    update(self._parked).where(waits, parked.parked_at < too_old).values(state=State.POISON)
                )

    async def parked(self) -> dict[str, int]:
        """How many events are parked, by state."""
        async with self.hub.db.read() as session:
            rows = await session.execute(
                select(self._parked.c.state, func.count()).group_by(self._parked.c.state)
            )
            return {row.state: row[1] for row in rows}


def _how_cases_stand(last: Table, parked: Table, dialect: str) -> Prepared:
    """What is known of `subjects`: how far each source has come, and what is parked."""
    nothing = cast(null(), String)
    received = select(last.c.source, last.c.subject, last.c.sequence, nothing)
    held = select(parked.c.source, parked.c.subject, cast(null(), BigInteger), parked.c.state)
    return Prepared(
        union_all(
            received.where(one_of(dialect, last.c.subject, "subjects")),
            held.where(one_of(dialect, parked.c.subject, "subjects")),
        )
    )


@cache
def _note_received(table: Table, dialect: str, *names: str) -> Any:
    return insert_many(table, dialect, *names).on_conflict_do_nothing().returning(table.c.event_id)


def _read(record: Record) -> _Item:
    """Parse a record, tolerantly; what cannot be read becomes a fault, never an exception."""
    digest = hashlib.sha256(record.value or b"").digest()

    def faulty(reason: str, envelope: Envelope | None = None) -> _Item:
        return _Item(record, digest, envelope, fault=_Fault(reason))

    if record.value is None:
        return faulty("tombstone")
    try:
        envelope = Envelope.from_bytes(record.value)
    except ValidationError as error:
        unreadable = any(
            e["type"] in ("json_invalid", "json_type") for e in error.errors(include_input=False)
        )
        return faulty("unparseable" if unreadable else "envelope")
    if not envelope.type.startswith(OWN_PREFIX):
        return _Item(record, digest)
    if record.key != envelope.subject:
        return faulty("key-mismatch")
    if envelope.type not in EVENTS:
        return faulty("unknown-type", envelope)
    if suspicious_fields(envelope.data):
        return faulty("schema", envelope)
    try:
        return _Item(record, digest, envelope, envelope.event())
    except ValidationError:
        return faulty("schema", envelope)
