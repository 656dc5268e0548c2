"""The desk: takes the notices of a batch of events and writes copies and deliveries with a few statements.

Everything here happens in the transaction of the inbox: an event and the deliveries it owes are noted together, or
neither is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, or_, select, update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.envelope import Envelope
from ehcp_contracts.events import PartnerKind
from notification_service.channels import Channel, Status, SubscriptionStatus, route
from notification_service.domain import Hears, Party, Reach, Route, Side, render
from notification_service.tables import Delivery, OpenNotice, Partner, PartnerCopy, Subscription, table_of
from service_kit.database import in_chunks, upsert
from service_kit.ids import uuid7


@dataclass(frozen=True, slots=True)
class Addressee:
    """A partner with what it subscribed to."""

    id: UUID
    party: Party
    wishes: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """One event for one partner, not yet written."""

    to: Addressee
    envelope: Envelope
    cell: Hears
    reach: Reach
    side: Side
    route: Route


class Directory:
    """The partners that the routes of one batch name."""

    def __init__(self, addressees: Iterable[Addressee]) -> None:
        self._by_place: dict[tuple[PartnerKind, str], list[Addressee]] = defaultdict(list)
        for one in addressees:
            key = one.party.la_code if one.party.kind is PartnerKind.CASE_SYSTEM else one.party.ref
            self._by_place[one.party.kind, key].append(one)

    def near(self, *routes: Route) -> list[Addressee]:
        """Whoever may be concerned by these routes, each once, in the order of their ids."""
        keys = [
            key
            for r in routes
            for key in (
                (PartnerKind.SCHOOL, r.urn),
                (PartnerKind.ICB, r.icb),
                (PartnerKind.SOCIAL_CARE, r.team),
                *((PartnerKind.CASE_SYSTEM, la) for la in r.councils),
            )
        ]
        found = {one.id: one for kind, ref in keys if ref for one in self._by_place.get((kind, ref), ())}
        return [found[key] for key in sorted(found)]


async def open_directory(tx: AsyncSession, routes: Iterable[Route]) -> Directory:
    """Read the partners of these routes with their subscriptions, and hold their feeds until the batch is written: a batch
    writes several times, and two that took their partners little by little would come to wait for each other. A partner
    that is switched off still counts: what it is owed is kept until it is switched on again."""
    known = list(routes)
    places = (
        (PartnerKind.SCHOOL, Partner.ref, {r.urn for r in known if r.urn}),
        (PartnerKind.ICB, Partner.ref, {r.icb for r in known if r.icb}),
        (PartnerKind.SOCIAL_CARE, Partner.ref, {r.team for r in known if r.team}),
        (PartnerKind.CASE_SYSTEM, Partner.la_code, {la for r in known for la in r.councils}),
    )
    somebody = or_(
        *(and_(col(Partner.kind) == kind, col(column).in_(sorted(refs))) for kind, column, refs in places)
    )
    query = select(col(Partner.id), col(Partner.kind), col(Partner.ref), col(Partner.la_code)).where(somebody)
    held = query.order_by(col(Partner.id)).with_for_update(key_share=True)
    partners = (await tx.execute(held)).all()
    wishes = await _wishes(tx, [partner.id for partner in partners])
    return Directory(
        Addressee(p.id, Party(PartnerKind(p.kind), p.ref, p.la_code), tuple(wishes.get(p.id, ())))
        for p in partners
    )


async def _wishes(tx: AsyncSession, partners: Sequence[UUID]) -> dict[UUID, list[Any]]:
    """Subscriptions, oldest first. A disabled one still counts: its notices are kept until it is mended."""
    table = table_of(Subscription).c
    found: dict[UUID, list[Any]] = defaultdict(list)
    for some in in_chunks(partners):
        query = (
            select(table.id, table.partner_id, table.channel, table.event_types)
            .where(
                col(Subscription.partner_id).in_(some), col(Subscription.status) != SubscriptionStatus.DELETED
            )
            .order_by(col(Subscription.id))
        )
        for row in await tx.execute(query):
            found[row.partner_id].append(row)
    return found


class Desk:
    """Collects the notices and open reviews of a batch; `flush` writes them."""

    def __init__(self, tx: AsyncSession, now: datetime) -> None:
        self.tx, self.now = tx, now
        self._notices: list[Notice] = []
        self._cases: set[UUID] = set()
        self._open: dict[tuple[UUID, UUID, str], dict[str, Any]] = {}
        self._closed: set[tuple[UUID, UUID]] = set()

    def add(self, notice: Notice) -> None:
        self._notices.append(notice)
        self._cases.add(UUID(notice.envelope.subject))

    def holds(self, case: UUID) -> bool:
        """Whether anything of a case has been collected and not yet written."""
        return case in self._cases

    def note_open(self, case: UUID, review: UUID, envelope: Envelope) -> None:
        """Remember the latest event of its type about an open review."""
        self._cases.add(case)
        self._open[case, review, envelope.type] = {
            "case_id": case,
            "review_id": review,
            "event_type": envelope.type,
            "sequence": envelope.sequence,
            "body": envelope.to_bytes(),
        }

    def note_closed(self, case: UUID, review: UUID) -> None:
        """Forget a review that is over."""
        self._cases.add(case)
        for key in [key for key in self._open if key[:2] == (case, review)]:
            del self._open[key]
        self._closed.add((case, review))

    async def flush(self) -> None:
        """Write what was collected."""
        notices, self._notices = self._notices, []
        self._cases.clear()
        await self._write_reviews()
        if notices:
            rows = await self._write_copies(notices)
            for chunk in in_chunks(rows):
                await self.tx.execute(upsert(self.tx, table_of(Delivery)), list(chunk))

    async def _write_reviews(self) -> None:
        for case, review in sorted(self._closed):
            await self.tx.execute(
                delete(OpenNotice).where(col(OpenNotice.case_id) == case, col(OpenNotice.review_id) == review)
            )
        for chunk in in_chunks(list(self._open.values())):
            statement = upsert(self.tx, table_of(OpenNotice)).values(list(chunk))
            latest = {"sequence": statement.excluded.sequence, "body": statement.excluded.body}
            keys = ["case_id", "review_id", "event_type"]
            await self.tx.execute(statement.on_conflict_do_update(index_elements=keys, set_=latest))
        self._open.clear()
        self._closed.clear()

    async def _write_copies(self, notices: Sequence[Notice]) -> list[dict[str, Any]]:
        """Write copies, each once, and return the rows of the deliveries they owe."""
        places = await self._places(notices)
        copies = [self._copy(notice, next(places[notice.to.id])) for notice in notices]
        owed: list[dict[str, Any]] = []
        for chunk in in_chunks(list(zip(notices, copies, strict=True))):
            table = table_of(PartnerCopy)
            statement = upsert(self.tx, table).values([copy for _, copy in chunk]).on_conflict_do_nothing()
            written = set((await self.tx.execute(statement.returning(table.c.id))).scalars())
            for notice, copy in chunk:
                if copy["id"] in written:
                    owed += self._deliveries(notice, copy)
        return owed

    async def _places(self, notices: Sequence[Notice]) -> dict[UUID, Iterator[int]]:
        """Reserve feed positions. The row's lock (`open_directory`) makes positions of a partner visible in their order."""
        wanted: dict[UUID, int] = defaultdict(int)
        for notice in notices:
            wanted[notice.to.id] += 1
        places = {}
        for partner, count in wanted.items():
            raised = {"feed_position": Partner.feed_position + count}
            statement = update(Partner).where(col(Partner.id) == partner).values(raised)
            last = (await self.tx.execute(statement.returning(col(Partner.feed_position)))).scalar_one()
            places[partner] = iter(range(last - count + 1, last + 1))
        return places

    def _copy(self, notice: Notice, position: int) -> dict[str, Any]:
        envelope = notice.envelope
        return {
            "id": uuid7(),
            "event_id": envelope.id,
            "partner_id": notice.to.id,
            "case_id": UUID(envelope.subject),
            "event_type": envelope.type,
            "event_time": envelope.time,
            "side": notice.side,
            "position": position,
            "body": render(envelope, notice.cell, notice.to.party, notice.side),
        }

    def _deliveries(self, notice: Notice, copy: dict[str, Any]) -> list[dict[str, Any]]:
        routed = route(notice.to.wishes, notice.envelope.type, notice.reach)
        base = {
            name: copy[name]
            for name in ("event_id", "partner_id", "case_id", "event_type", "side", "position")
        }
        base |= {
            "copy_id": copy["id"],
            "la_code": notice.route.la,
            "tries": 0,
            "attempts": 0,
            "created_at": self.now,
            "updated_at": self.now,
        }
        rows = []
        if routed.feed:
            feed = {"channel": Channel.FEED, "status": Status.AVAILABLE}
            rows.append({"id": uuid7(), "subscription_id": None, "next_attempt_at": None, **feed, **base})
        if routed.webhook is not None:
            push = {"channel": Channel.WEBHOOK, "status": Status.PENDING}
            target = routed.webhook.id
            rows.append(
                {"id": uuid7(), "subscription_id": target, "next_attempt_at": self.now, **push, **base}
            )
        return rows
