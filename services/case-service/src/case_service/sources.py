"""Liquid Logic: the mapping of its case snapshots. Only what is named here is taken; anything else is refused, and the
record it was about stays known, so that somebody can see what is missing from the register."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, WrapValidator, model_validator

from case_service.bodies import AcademicYear, Child, Need, PartyRef, PlacementIn, Ref, YearGroup
from case_service.domain.snapshot import Deletion, Sent, Snapshot, Unfit
from ehcp_contracts.events import CeaseReason
from service_kit.problems import Refusal, faults
from service_kit.strict import Body, BoundedInt, IsoDate, LaCode, OdsCode, StrictEnum, fault

LIQUID_LOGIC = "liquid-logic"
SOURCES = (LIQUID_LOGIC,)


class PlanStatus(StrEnum):
    """Whether the plan is in force."""

    ACTIVE = "active"
    CEASED = "ceased"


class SourcePlan(Body):
    """The plan as the source has it. `last_concluded` is the day the last review's decision was notified;
    `meeting_held_on` and `notice_sent_on` describe a step that is open now."""

    first_made: IsoDate
    last_concluded: IsoDate | None = None
    meeting_held_on: IsoDate | None = None
    notice_sent_on: IsoDate | None = None
    status: StrictEnum[PlanStatus]
    ceased_on: IsoDate | None = None
    cease_reason: StrictEnum[CeaseReason] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        ended = self.status is PlanStatus.CEASED
        if ended != (self.ceased_on is not None) or ended != (self.cease_reason is not None):
            raise fault("ceased-incomplete", "A ceased plan, and no other, has ceased_on and cease_reason.")
        return self


Version = Annotated[int, BoundedInt(1, 2**53 - 1)]


class SourceCase(Body):
    """One version of a case. The source counts `version` up; it decides which of two snapshots is newer."""

    ref: Ref | None = Field(default=None, description="the reference; in a PUT it may be left to the address")
    version: Version
    child: Child
    responsible_la: LaCode
    administering_la: LaCode | None = None
    plan: SourcePlan
    placement: PlacementIn
    taught_year_group: YearGroup | None = None
    taught_in: AcademicYear | None = None
    primary_need: StrictEnum[Need] | None = None
    icb: OdsCode | None = None
    social_care_team: PartyRef | None = None
    officer: PartyRef | None = None


class SourceLine(SourceCase):
    """A line of a batch: the same, with its reference."""

    ref: Ref


class SourceRecord(Body):
    """Which version of which record something is about, whatever else is said of it."""

    model_config = ConfigDict(extra="ignore")

    ref: Ref
    version: Version
    responsible_la: LaCode
    administering_la: LaCode | None = None

    @property
    def la(self) -> str:
        return self.administering_la or self.responsible_la


class SourceDeletion(SourceRecord):
    """A line of a batch about a record that the source has deleted."""

    model_config = ConfigDict(extra="forbid")

    deleted: Literal[True]


@dataclass(frozen=True, slots=True)
class NotRead:
    """A document that the mapping refuses, and why."""

    document: Any
    refusal: Refusal


def attempt(document: Any, read: Callable[[Any], Any]) -> Any:
    """What `read` makes of a document, or why it cannot."""
    try:
        return read(document)
    except ValidationError as error:
        found = faults(error.errors(include_input=False, include_url=False))
        return NotRead(document, Refusal("validation", errors=found))


PushedCase = Annotated[SourceCase, WrapValidator(attempt)]
"""The body of a push: what cannot be read arrives as `NotRead`, so that it is kept as a line of a batch would be."""


# A line is the same as before only under the same mapping: what a new release reads otherwise is read anew.
_MAPPING = hashlib.sha256(json.dumps(SourceLine.model_json_schema()).encode())


def fingerprint(source: str, line: bytes) -> bytes:
    """A fingerprint of a line of a batch as it was sent, with the source and the mapping by which it is read."""
    found = _MAPPING.copy()
    found.update(source.encode() + b"\n" + line)
    return found.digest()


def read_line(source: str, document: Any, line: bytes) -> Sent:
    """What a line of a batch says. Raises Refusal if it cannot be read and does not say which record it is about."""
    deletion = isinstance(document, dict) and "deleted" in document
    body = attempt(document, (SourceDeletion if deletion else SourceLine).model_validate)
    if isinstance(body, SourceDeletion):
        return Deletion(source, body.ref, body.version, body.la, body.responsible_la)
    return sent(source, body, line=fingerprint(source, line))


def sent(
    source: str, body: SourceCase | NotRead, *, ref: str | None = None, line: bytes | None = None
) -> Sent:
    """What was pushed, under the reference of the address if there is one. Raises Refusal as `read_line` does."""
    if isinstance(body, SourceCase):
        return snapshot_of(source, ref or body.ref or "", body, line)
    if not isinstance(body.document, dict):
        raise body.refusal
    which = attempt(body.document | ({"ref": ref} if ref else {}), SourceRecord.model_validate)
    if isinstance(which, NotRead):
        raise body.refusal
    content = {name: value for name, value in body.document.items() if name not in ("ref", "version")}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return Unfit(source, which.ref, which.version, which.la, which.responsible_la, digest, body.refusal)


def snapshot_of(source: str, ref: str, body: SourceCase, line: bytes | None) -> Snapshot:
    """The mapped fields under the names of the case, as JSON values."""
    sent = body.model_dump(mode="json", exclude={"ref", "version"})
    child, plan, placement = sent.pop("child"), sent.pop("plan"), sent.pop("placement")
    la = sent.pop("responsible_la")
    mapped: dict[str, Any] = {
        **child,
        **sent,
        "la_code": la,
        "administering_la": sent["administering_la"] or la,
        "urn": placement["urn"],
        "setting": placement["setting"],
        "placed_since": placement["since"],
        "plan_first_made": plan["first_made"],
        "last_concluded": plan["last_concluded"],
        "meeting_held_on": plan["meeting_held_on"],
        "notice_sent_on": plan["notice_sent_on"],
        "ended": plan["status"] == PlanStatus.CEASED.value,
        "ceased_on": plan["ceased_on"],
        "cease_reason": plan["cease_reason"],
    }
    return Snapshot(source=source, ref=ref, version=body.version, mapped=mapped, line=line)
