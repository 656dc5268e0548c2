"""Liquid Logic: the mapping of its case snapshots. Only what is named here is taken; anything else is refused."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from case_service.bodies import AcademicYear, Child, Need, PartyRef, PlacementIn, Ref, YearGroup
from case_service.domain.snapshot import Snapshot
from ehcp_contracts.events import CeaseReason
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


class SourceCase(Body):
    """One version of a case. The source counts `version` up; it decides which of two snapshots is newer."""

    ref: Ref | None = Field(default=None, description="the reference; in a PUT it may be left to the address")
    version: Annotated[int, BoundedInt(1, 2**53 - 1)]
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


def snapshot_of(source: str, ref: str, body: SourceCase) -> Snapshot:
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
    return Snapshot(source=source, ref=ref, version=body.version, mapped=mapped)
