"""What this service does with case and review events: keep whose case it is, and owe each entitled partner its copy.

Batches are taken whole (`apply`), so that thousands of events cost a few statements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.envelope import Envelope
from ehcp_contracts.events import (
    CaseFactsChanged,
    Event,
    Placement,
    PlacementChanged,
    PlanCeased,
    PlanContinued,
    PlanIssued,
    PlanRegistered,
    Responsible,
    ReviewCorrected,
    Setting,
)
from notification_service.channels import AlertKind, Status
from notification_service.desk import Addressee, Desk, Directory, Notice, open_directory
from notification_service.domain import (
    BACKGROUND,
    CLOSES_REVIEW,
    ENTITLEMENTS,
    OPEN_REVIEW,
    Ended,
    Route,
    Side,
    hears,
    is_review_event,
    reach_of,
    side_of,
)
from notification_service.tables import (
    Alert,
    CaseRoute,
    CaseRouteChange,
    Delivery,
    OpenNotice,
    PartnerCopy,
    table_of,
)
from service_kit.database import in_chunks, instant, upsert
from service_kit.ids import uuid7
from service_kit.inbox import Defer, Received


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a case stands: its row of `case_route`."""

    la_code: str
    administering_la: str
    urn: str | None
    setting: str | None
    icb: str | None
    team: str | None
    quiet: bool
    ended_on: date | None
    since: datetime

    @property
    def route(self) -> Route:
        return Route(self.la_code, self.administering_la, self.urn, self.icb, self.team)


ROUTING = ("la_code", "administering_la", "urn", "setting", "icb", "team")
STAND = (*ROUTING, "quiet", "ended_on", "since")


async def apply(tx: AsyncSession, events: Sequence[Received[Any]]) -> None:
    """Take a batch of events in order. Raises `Defer` for a case that is not known yet. What no partner may ever hear
    (a council's policy, which is about no case) is of no concern here."""
    events = [received for received in events if type(received.event) in ENTITLEMENTS]
    stands = await _stands(tx, {received.case for received in events})
    directory = await open_directory(tx, _routes(stands, events))
    batch = _Batch(tx, stands, directory, await instant(tx, tx.info["clock"]))
    for received in events:
        await batch.take(received)
    await batch.write()


def _routes(stands: Mapping[UUID, Stand], events: Sequence[Received[Any]]) -> list[Route]:
    """Every route the cases of a batch have before, during and after it."""
    here = dict(stands)
    routes = [stand.route for stand in stands.values()]
    for received in events:
        if received.case in here or _begins(received.event):
            here[received.case] = _after(here.get(received.case), received)
            routes.append(here[received.case].route)
    return routes


class _Batch:
    """One batch in hand: where its cases stand, whom to tell, what has changed."""

    def __init__(
        self, tx: AsyncSession, stands: dict[UUID, Stand], directory: Directory, now: datetime
    ) -> None:
        self.tx, self.stands, self.directory = tx, stands, directory
        self.desk = Desk(tx, now)
        self._changed: set[UUID] = set()
        self._history: list[dict[str, Any]] = []

    async def take(self, received: Received[Any]) -> None:
        before = self.stands.get(received.case)
        if before is None and not _begins(received.event):
            raise Defer("the case is not known yet")
        after = _after(before, received)
        moves = before is not None and before.route != after.route
        if moves and self.desk.holds(received.case):
            # A move withdraws and hands over what is written, whichever batch it came with.
            await self.write()
        self._keep(received, before, after)
        self._note_review(received)
        near = self.directory.near(*([before.route] if before else []), after.route)
        self._tell(received, before or after, after, near)
        if before is not None and moves:
            await self._move(received, before, after, near)
        if isinstance(received.event, PlanCeased):
            await self._end(received.case)

    def _keep(self, received: Received[Any], before: Stand | None, after: Stand) -> None:
        if before == after:
            return
        self.stands[received.case] = after
        self._changed.add(received.case)
        where = {name: getattr(after, name) for name in ROUTING}
        if before is None or where != {name: getattr(before, name) for name in ROUTING}:
            self._history.append(
                {"event_id": received.id, "case_id": received.case, "since": received.time, **where}
            )

    def _note_review(self, received: Received[Any]) -> None:
        event, kind = received.event, received.envelope.type
        corrected = isinstance(event, ReviewCorrected)
        over = corrected and bool(event.concluded_on or event.withdrawn)
        if kind in OPEN_REVIEW or (corrected and not over):
            self.desk.note_open(received.case, event.review_id, received.envelope)
        elif kind in CLOSES_REVIEW or over:
            self.desk.note_closed(received.case, event.review_id)

    def _tell(self, received: Received[Any], before: Stand, after: Stand, near: Iterable[Addressee]) -> None:
        for to in near:
            side = side_of(to.party, before.route, after.route)
            if side is not None:
                self._owe(to, received.envelope, side, after)

    def _owe(self, to: Addressee, envelope: Envelope, side: Side, stand: Stand) -> None:
        cell = hears(to.party.kind, envelope.type, side)
        if cell is not None:
            reach = reach_of(cell, to.party.kind, envelope.type, quiet=stand.quiet)
            self.desk.add(Notice(to, envelope, cell, reach, side, stand.route))

    # --- a case that changes hands -----------------------------------------------------------------------------------

    async def _move(
        self, received: Received[Any], before: Stand, after: Stand, near: Sequence[Addressee]
    ) -> None:
        """Whoever loses the case gets nothing more of it; whoever gains it is told of its open reviews."""
        sides = {to.id: side_of(to.party, before.route, after.route) for to in near}
        lost = [to.id for to in near if sides[to.id] is Side.LEAVES]
        gained = [to for to in near if sides[to.id] is Side.JOINS]
        if lost:
            await self._withdraw(received, lost)
        if gained:
            await self._hand_over(received.case, after, gained)

    async def _withdraw(self, received: Received[Any], lost: Sequence[UUID]) -> None:
        await self._cancel(
            Ended.NOT_ENTITLED,
            col(Delivery.case_id) == received.case,
            col(Delivery.partner_id).in_(lost),
            col(Delivery.side) != Side.LEAVES,
        )
        await self._admit_late_notices(received, lost)

    async def _admit_late_notices(self, received: Received[Any], lost: Sequence[UUID]) -> None:
        """A notice made after the move but consumed before it may have gone to the wrong partner: say so."""
        told = (
            select(col(Delivery.id), col(Delivery.partner_id), col(Delivery.event_type))
            .join(PartnerCopy, col(PartnerCopy.id) == col(Delivery.copy_id))
            .where(
                col(Delivery.case_id) == received.case,
                col(Delivery.partner_id).in_(lost),
                col(Delivery.status) == Status.DELIVERED,
                col(PartnerCopy.event_time) > received.time,
            )
        )
        rows = [
            {
                "id": uuid7(),
                "partner_id": row.partner_id,
                "delivery_id": row.id,
                "kind": AlertKind.TOLD_AFTER_MOVE,
                "raised_at": self.desk.now,
            }
            for row in await self.tx.execute(told)
            if is_review_event(row.event_type)
        ]
        if rows:
            await self.tx.execute(upsert(self.tx, table_of(Alert)), rows)

    async def _hand_over(self, case: UUID, stand: Stand, gained: Sequence[Addressee]) -> None:
        """Whoever gains a case is told of its open reviews; who had it before, also of what it had not read or received
        when it lost it, for no reader comes by its old place again. What a partner may have seen is told under a new
        id: a reader says by an id where it stands, so every id has one place in a feed, for ever."""
        query = (
            select(col(OpenNotice.body))
            .where(col(OpenNotice.case_id) == case)
            .order_by(col(OpenNotice.sequence))
        )
        current = [Envelope.from_bytes(body) for body in (await self.tx.execute(query)).scalars()]
        known = await self._told_before(gained, current)
        missed = await self._withdrawn(case, gained)
        for to in gained:
            for envelope in missed.get(to.id, ()):
                self._owe(to, _anew(envelope), Side.OWN, stand)
            for envelope in current:
                self._owe(to, _anew(envelope) if (to.id, envelope.id) in known else envelope, Side.OWN, stand)

    async def _told_before(
        self, partners: Sequence[Addressee], events: Sequence[Envelope]
    ) -> set[tuple[UUID, UUID]]:
        query = select(col(PartnerCopy.partner_id), col(PartnerCopy.event_id)).where(
            col(PartnerCopy.partner_id).in_([to.id for to in partners]),
            col(PartnerCopy.event_id).in_([envelope.id for envelope in events]),
        )
        return {(row.partner_id, row.event_id) for row in await self.tx.execute(query)}

    async def _withdrawn(self, case: UUID, partners: Sequence[Addressee]) -> dict[UUID, list[Envelope]]:
        """A partner's own copies of what was withdrawn when it lost the case, in their order; noted as told anew.
        Without reminders of reviews: only what is open now counts."""
        again = (
            update(Delivery)
            .where(
                col(Delivery.case_id) == case,
                col(Delivery.partner_id).in_([to.id for to in partners]),
                col(Delivery.status) == Status.CANCELLED,
                col(Delivery.reason) == Ended.NOT_ENTITLED,
                col(Delivery.side) == Side.OWN,
                col(Delivery.event_type).not_in(sorted(OPEN_REVIEW)),
            )
            .values(reason=Ended.TOLD_ANEW, updated_at=self.desk.now)
            .returning(col(Delivery.copy_id))
        )
        copies = set((await self.tx.execute(again)).scalars())
        query = (
            select(col(PartnerCopy.partner_id), col(PartnerCopy.body))
            .where(col(PartnerCopy.id).in_(sorted(copies)))
            .order_by(col(PartnerCopy.position))
        )
        found: dict[UUID, list[Envelope]] = defaultdict(list)
        for row in await self.tx.execute(query):
            found[row.partner_id].append(Envelope.from_bytes(row.body))
        return found

    async def _end(self, case: UUID) -> None:
        """The plan has ended: reminders of its reviews that still wait are moot."""
        await self.write()
        await self.tx.execute(delete(OpenNotice).where(col(OpenNotice.case_id) == case))
        await self._cancel(
            Ended.PLAN_ENDED, col(Delivery.case_id) == case, col(Delivery.event_type).in_(sorted(OPEN_REVIEW))
        )

    async def _cancel(self, reason: Ended, *which: Any) -> None:
        await self.tx.execute(
            update(Delivery)
            .where(col(Delivery.status).in_((Status.PENDING, Status.AVAILABLE)), *which)
            .values(
                status=Status.CANCELLED,
                reason=reason,
                lease_token=None,
                leased_until=None,
                updated_at=self.desk.now,
            )
        )

    # --- writing -----------------------------------------------------------------------------------------------------

    async def write(self) -> None:
        rows = [{"case_id": case, **_row(self.stands[case])} for case in sorted(self._changed)]
        for chunk in in_chunks(rows):
            statement = upsert(self.tx, table_of(CaseRoute)).values(list(chunk))
            changed = {name: getattr(statement.excluded, name) for name in STAND}
            await self.tx.execute(statement.on_conflict_do_update(index_elements=["case_id"], set_=changed))
        for chunk in in_chunks(self._history):
            await self.tx.execute(upsert(self.tx, table_of(CaseRouteChange)), list(chunk))
        self._changed.clear()
        self._history.clear()
        await self.desk.flush()


def _row(stand: Stand) -> dict[str, Any]:
    return {name: getattr(stand, name) for name in STAND}


async def _stands(tx: AsyncSession, cases: set[UUID]) -> dict[UUID, Stand]:
    table = table_of(CaseRoute)
    stands = {}
    for some in in_chunks(sorted(cases)):
        for row in await tx.execute(select(table).where(table.c.case_id.in_(some))):
            stands[row.case_id] = Stand(*(getattr(row, name) for name in STAND))
    return stands


def _anew(envelope: Envelope) -> Envelope:
    return envelope.model_copy(update={"id": uuid7()})


def _begins(event: Event) -> bool:
    return isinstance(event, PlanRegistered | PlanIssued)


def _after(before: Stand | None, received: Received[Any]) -> Stand:
    """Where the case stands after an event; `before` is None only for the first."""
    match received.event:
        case PlanRegistered() as event:
            quiet = before.quiet if before else True
            return _stand(event.placement, event.responsible, quiet, None, received.time)
        case PlanIssued() as event:
            return _stand(event.placement, event.responsible, False, None, received.time)
        case PlacementChanged() as event if before:
            return _stand(event.placement, event.responsible, False, before.ended_on, received.time)
        case CaseFactsChanged() as event if before:
            here = Placement(urn=before.urn, setting=Setting(before.setting) if before.setting else None)
            after = _stand(here, event.responsible, before.quiet, before.ended_on, received.time)
            return after if after.route != before.route else before
        case PlanCeased() as event if before:
            return replace(before, ended_on=event.ceased_on, quiet=False)
        case PlanContinued() if before:
            return replace(before, ended_on=None, quiet=False)
    assert before is not None
    return before if received.envelope.type in BACKGROUND else replace(before, quiet=False)


def _stand(place: Placement, who: Responsible, quiet: bool, ended_on: date | None, since: datetime) -> Stand:
    return Stand(
        who.responsible_la,
        who.administering_la,
        place.urn,
        place.setting,
        who.icb,
        who.social_care_team,
        quiet,
        ended_on,
        since,
    )
