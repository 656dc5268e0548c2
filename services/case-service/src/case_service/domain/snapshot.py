"""A case as its source system has it, and what a newer snapshot changes here.

The new snapshot is held against the one before it, not against the case: what the source did not change is left as
the hub has it. Details and routing follow the source. A date of the procedure that both sides moved to different days
is a conflict for a person to settle, and so is whatever no event could tell; nothing is guessed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from case_service.domain import amendments as amending
from case_service.domain.case import (
    Amendment,
    AmendmentState,
    Case,
    CaseStatus,
    Change,
    Circumstances,
    Correction,
    Decision,
)
from case_service.domain.ceasing import end
from case_service.domain.facts import FIRST_YEAR, LAST_YEAR, taught_in_year
from case_service.domain.identity import DUPLICATE, NUMBERS, SAME_NUMBER, Number
from case_service.domain.plan import announcement, check_placement, first_event
from case_service.domain.plausible import Day, check, fault, too_old
from case_service.domain.settle import DETAILS, PLACEMENT, ROUTING, settle, with_facts
from ehcp_contracts.events import CeaseReason, CorrectableDate, CorrectionReason, DateCorrected
from service_kit.problems import Fault, Refusal

FOLLOW = (*DETAILS, *PLACEMENT, *ROUTING)
DAYS = frozenset(
    {
        "birth_date",
        "placed_since",
        "plan_first_made",
        "last_concluded",
        "meeting_held_on",
        "notice_sent_on",
        "ceased_on",
    }
)
TWO_WEEKS = timedelta(days=14)  # notice of a review meeting (SEND Regs 2014 reg 20(3), 21(3))
SAME_VERSION = "same-version-other-content"
DELETED = "deleted-at-source"
CONFLICTS = {
    "stale-snapshot": "A newer version of this case has been received.",
    SAME_VERSION: "This version was received before with other content.",
    "identity-clash": "Birth date and surname both differ from the case known under this reference.",
    DUPLICATE: SAME_NUMBER,
    "authority-changed": "A change of the responsible authority is a transfer, not an update.",
    "contradicts-hub": "The hub has recorded another day for this step.",
    "date-removed": "A date on record cannot be taken back by leaving it out.",
    "reopened": "The plan has ended here: a person must look.",
    DELETED: "The source has deleted this record: a person decides what becomes of the case.",
    "ceasing-in-hub": "A decision to cease is running here and the plan is still in force.",
}
QUEUED = frozenset({DUPLICATE, DELETED})
"""Conflicts that are no fault of the source: it is told that somebody will look, not that it was refused."""


@dataclass(frozen=True)
class Snapshot:
    """One version of a case in its source: `mapped` holds the mapped fields as JSON values, under the names of `Case`
    (and `notice_sent_on`, `ended`); `line` is the fingerprint of the line of a batch that said so."""

    source: str
    ref: str
    version: int
    mapped: Mapping[str, Any]
    line: bytes | None = None

    @cached_property
    def digest(self) -> str:
        """Fingerprint of the content, the version left out."""
        return hashlib.sha256(json.dumps(self.mapped, sort_keys=True).encode()).hexdigest()

    @property
    def la(self) -> str:
        """The council in whose system the case is kept."""
        return str(self.mapped["administering_la"])

    @property
    def la_code(self) -> str:
        """The responsible council."""
        return str(self.mapped["la_code"])

    @property
    def numbers(self) -> list[Number]:
        """The numbers of the child, as this council's cases hold them."""
        return [Number(self.la, kind, self.mapped[kind]) for kind in NUMBERS if self.mapped[kind]]

    def typed(self, name: str) -> Any:
        """A field as the case holds it: dates as dates."""
        value = self.mapped[name]
        return date.fromisoformat(value) if name in DAYS and value is not None else value

    def day(self, name: str) -> date | None:
        found = self.typed(name)
        return found if isinstance(found, date) else None


@dataclass(frozen=True, slots=True)
class Deletion:
    """The source has deleted a record. Nothing is deleted here for that."""

    source: str
    ref: str
    version: int
    la: str
    la_code: str
    digest: str = ""
    mapped: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unfit:
    """A version of a record that could not be read or mapped: only why is known, nothing of what it says."""

    source: str
    ref: str
    version: int
    la: str
    la_code: str
    digest: str
    refusal: Refusal
    mapped: Mapping[str, Any] = field(default_factory=dict)


Sent = Snapshot | Deletion | Unfit
"""What a source may say of one of its records."""


def conflict(code: str, pointer: str = "") -> Refusal:
    """A refusal for a person to settle, by its code."""
    return Refusal("conflict", errors=[Fault(pointer, code, CONFLICTS[code])])


def first(
    snapshot: Snapshot, where: Circumstances, *, case_id: UUID, amendment_id: UUID, go_live: date
) -> Decision:
    """The first snapshot of a case. A plan that had ended before it came here is kept and told to nobody."""
    case = _new_case(snapshot, case_id, where)
    _check(snapshot, case, where)
    if case.status is CaseStatus.CEASED:
        return Decision(before=None, after=case, changes=(Change("registered"),))
    notice = _notice_of(snapshot, case, amendment_id)
    case = with_facts(case, where)
    event = first_event(case, go_live, notice_sent_on=notice.sent_on if notice else None)
    return Decision(
        before=None,
        after=case,
        changes=(Change(announcement(event), event=event),),
        amendments=(notice,) if notice else (),
    )


def newer(
    case: Case,
    snapshot: Snapshot,
    amendments: Sequence[Amendment],
    where: Circumstances,
    *,
    amendment_id: UUID,
    go_live: date,
) -> Decision:
    """A further snapshot of a known case. Raises Refusal("conflict") with one of `CONFLICTS`.

    The same content changes nothing: the decision has no changes, at most a newer source version to remember.
    """
    known = case.source_version or 0
    if snapshot.version < known:
        raise conflict("stale-snapshot", "/version")
    if snapshot.digest == case.source_digest:
        kept = case.source_line if snapshot.version == known else None
        after = replace(case, source_version=snapshot.version, source_line=snapshot.line or kept)
        return Decision(before=case, after=after, changes=())
    if snapshot.version == known:
        raise conflict(SAME_VERSION, "/version")
    previous = case.source_mapped or {}
    moved = frozenset(name for name, value in snapshot.mapped.items() if value != previous.get(name))
    _same_child(snapshot, moved)
    after = _followed(case, snapshot, moved, where)
    _check(snapshot, after, where)
    steps = _Steps(case, after, snapshot, moved, amendments, where, amendment_id, go_live)
    return steps.decide()


def deleted(case: Case | None, deletion: Deletion) -> None:
    """A record deleted in the source is a proposal to a person, never a deletion here. Raises Refusal("conflict") for an
    open case; an unknown or an ended one needs nothing."""
    if case is None or case.status is CaseStatus.CEASED:
        return
    if deletion.version < (case.source_version or 0):
        raise conflict("stale-snapshot", "/version")
    raise conflict(DELETED)


@dataclass
class _Steps:
    """The dates of the procedure in a newer snapshot, one after the other: each either agrees, moves or conflicts."""

    before: Case
    after: Case
    snapshot: Snapshot
    moved: frozenset[str]
    amendments: Sequence[Amendment]
    where: Circumstances
    amendment_id: UUID
    go_live: date

    def __post_init__(self) -> None:
        self.changes: list[Change] = []
        self.touched: list[Amendment] = []
        self.corrections: list[Correction] = []

    def decide(self) -> Decision:
        self._moved_date("plan_first_made", CorrectableDate.PLAN_FIRST_MADE)
        self._moved_date("last_concluded", CorrectableDate.LAST_CONCLUDED)
        self._meeting()
        self._notice()
        ended = self._ended()
        return settle(
            self.before,
            self.after,
            self.where,
            *self.changes,
            *ended,
            amendments=self.touched,
            corrections=self.corrections,
        )

    def _moved_date(self, name: str, field: CorrectableDate) -> None:
        here, there = getattr(self.before, name), self.snapshot.day(name)
        if name not in self.moved or there == here:
            return
        if there is None:
            raise conflict("date-removed", _POINTERS[name])
        if here != self._previous(name):
            raise conflict("contradicts-hub", _POINTERS[name])
        moved: dict[str, Any] = {name: there}
        self.after = replace(self.after, **moved)
        self._correct(field, here, there)

    def _meeting(self) -> None:
        """A meeting known from the review itself stands; else the source's is kept for the twelve weeks."""
        if "meeting_held_on" in self.moved and self.before.meeting_review_id is None:
            self.after = replace(self.after, meeting_held_on=self.snapshot.day("meeting_held_on"))

    def _notice(self) -> None:
        """A notice the source has sent opens the amendment here. One it no longer shows stays open: whether the
        final plan was issued or the amendment dropped must be said by an officer."""
        sent_on = self.snapshot.day("notice_sent_on")
        if "notice_sent_on" not in self.moved or sent_on is None:
            return
        running = next((a for a in self.amendments if a.state is AmendmentState.OPEN), None)
        if running is None:
            self._open_notice(sent_on)
        elif running.sent_on == self._previous("notice_sent_on"):
            self.touched.append(amending.with_dates(replace(running, sent_on=sent_on)))
            self._correct(CorrectableDate.NOTICE_SENT, running.sent_on, sent_on, running.id)
        elif running.sent_on != sent_on:
            raise conflict("contradicts-hub", _POINTERS["notice_sent_on"])

    def _open_notice(self, sent_on: date) -> None:
        if any(a.sent_on == sent_on for a in self.amendments):
            return
        waiting = [a for a in self.amendments if a.state is AmendmentState.DECIDED]
        if len(waiting) > 1:
            raise conflict("contradicts-hub", _POINTERS["notice_sent_on"])
        review = waiting[0].review_id if waiting else None
        meeting_on = None if waiting else self.after.meeting_held_on
        sent = amending.send_notice(
            self.after,
            self.amendments,
            self.where,
            notice_id=self.amendment_id,
            sent_on=sent_on,
            review_id=review,
            meeting_on=meeting_on,
        )
        self.after = replace(self.after, status=sent.after.status)
        self.changes += [change for change in sent.changes if change.what == "amendment_notice_sent"]
        self.touched += sent.amendments

    def _ended(self) -> list[Change]:
        if not self.moved & {"ended", "ceased_on"}:
            return []  # the hub may have ended the plan, or taken an end back, and the source has not heard of it
        if self.before.status is CaseStatus.CEASED:
            if not self.snapshot.mapped["ended"]:
                raise conflict("reopened", "/plan/status")
            return []
        on = self.snapshot.day("ceased_on")
        if not self.snapshot.mapped["ended"] or on is None:
            return []
        running = self.before.status in (CaseStatus.CEASE_CONSULT, CaseStatus.CEASE_NOTIFIED)
        if running and (self.before.in_force_to is None or on <= self.before.in_force_to):
            raise conflict("ceasing-in-hub", "/plan/status")
        reason = CeaseReason(self.snapshot.mapped["cease_reason"])
        ended = end(self.after, self.where, ceased_on=on, reason=reason)
        self.after = ended.after
        return [change for change in ended.changes if change.what == "plan_ceased"]

    def _previous(self, name: str) -> date | None:
        value = (self.before.source_mapped or {}).get(name)
        return date.fromisoformat(value) if value else None

    def _correct(
        self, field: CorrectableDate, old: date | None, new: date, notice_id: UUID | None = None
    ) -> None:
        """A later conclusion is news from the source; any other move puts an error there right. Since the go-live it is
        that of a later review: one within two weeks there cannot be, for each meeting needs two weeks' notice."""
        forwards = field is CorrectableDate.LAST_CONCLUDED and (old is None or new > old)
        later = forwards and new >= self.go_live and (old is None or new - old > TWO_WEEKS)
        reason = CorrectionReason.EVIDENCE_FOUND if forwards else CorrectionReason.SOURCE_ERROR
        event = DateCorrected(
            field=field, old=old, new=new, reason=reason, notice_id=notice_id, later_review=later or None
        )
        self.changes.append(
            Change("date_corrected", (field.value,), event if self.before.announced else None)
        )
        note = f"{self.snapshot.source}, version {self.snapshot.version}"
        self.corrections.append(
            Correction(field=field, old=old, new=new, reason=reason, note=note, notice_id=notice_id)
        )


_POINTERS = {
    "plan_first_made": "/plan/first_made",
    "last_concluded": "/plan/last_concluded",
    "notice_sent_on": "/plan/notice_sent_on",
}


def _new_case(snapshot: Snapshot, case_id: UUID, where: Circumstances) -> Case:
    status = _status_of(snapshot)
    follow = {name: snapshot.typed(name) for name in FOLLOW}
    return Case(
        id=case_id,
        version=1,
        status=status,
        announced=status is not CaseStatus.CEASED,
        la_code=snapshot.mapped["la_code"],
        source=snapshot.source,
        source_la=snapshot.la,
        source_ref=snapshot.ref,
        plan_version=1,
        plan_first_made=snapshot.day("plan_first_made"),
        last_concluded=snapshot.day("last_concluded"),
        meeting_held_on=snapshot.day("meeting_held_on"),
        ceased_on=snapshot.day("ceased_on"),
        cease_reason=snapshot.mapped["cease_reason"],
        **_taught(snapshot, where),
        **_received(snapshot),
        **follow,
    )


def _status_of(snapshot: Snapshot) -> CaseStatus:
    if snapshot.mapped["ended"]:
        return CaseStatus.CEASED
    return CaseStatus.AMENDING if snapshot.mapped["notice_sent_on"] else CaseStatus.ACTIVE


def _received(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "source_version": snapshot.version,
        "source_digest": snapshot.digest,
        "source_mapped": dict(snapshot.mapped),
        "source_line": snapshot.line,
    }


def _taught(snapshot: Snapshot, where: Circumstances) -> dict[str, Any]:
    """A year group without its academic year is a statement about the present one."""
    group = snapshot.mapped["taught_year_group"]
    stated = snapshot.mapped["taught_in"] or where.academic_year
    return {"taught_year_group": group, "taught_in": stated if group is not None else None}


def _followed(case: Case, snapshot: Snapshot, moved: frozenset[str], where: Circumstances) -> Case:
    """The case with the details and the routing that the source changed."""
    if "la_code" in moved:
        raise conflict("authority-changed", "/responsible_la")
    values: dict[str, Any] = {name: snapshot.typed(name) for name in FOLLOW if name in moved}
    if moved & set(PLACEMENT):
        values |= {name: snapshot.typed(name) for name in PLACEMENT}
    if moved & {"taught_year_group", "taught_in"}:
        values |= _taught(snapshot, where)
    return replace(case, **values, **_received(snapshot))


def _same_child(snapshot: Snapshot, moved: frozenset[str]) -> None:
    if {"birth_date", "surname"} <= moved:
        raise conflict("identity-clash", "/child")


def _notice_of(snapshot: Snapshot, case: Case, amendment_id: UUID) -> Amendment | None:
    """The amendment that was open in the source when the case came here."""
    sent_on = snapshot.day("notice_sent_on")
    if sent_on is None:
        return None
    return amending.with_dates(
        Amendment(
            id=amendment_id,
            case_id=case.id,
            state=AmendmentState.OPEN,
            meeting_on=case.meeting_held_on,
            sent_on=sent_on,
        )
    )


def _check(snapshot: Snapshot, case: Case, where: Circumstances) -> None:
    """The dates of a snapshot, held against the calendar and one another."""
    day, made = snapshot.day, snapshot.day("plan_first_made")
    birth_date = case.birth_date
    days = [
        Day("/child/birth_date", birth_date, None),
        Day("/plan/first_made", made),
        Day("/plan/last_concluded", day("last_concluded"), made, "review-before-plan"),
        Day("/plan/meeting_held_on", day("meeting_held_on"), made, "meeting-before-plan"),
        Day(
            "/plan/notice_sent_on",
            day("notice_sent_on"),
            day("meeting_held_on") or made,
            "notice-before-meeting",
        ),
        Day("/plan/ceased_on", day("ceased_on"), made, "ceased-before-plan"),
    ]
    check(days, birth_date=birth_date, today=where.today)
    if not snapshot.mapped["ended"] and too_old(birth_date, where.today):
        raise Refusal("validation", errors=[Fault("/child/birth_date", "age25", _TOO_OLD)])
    taught = taught_in_year(case, where.today)
    if taught is not None and not FIRST_YEAR <= taught <= LAST_YEAR:
        raise Refusal("validation", errors=[fault("/taught_in", "taught-year")])
    check_placement(case, where, "/placement")


_TOO_OLD = "A plan cannot be in force at this age."
