"""What the API takes: strict bodies, mapped to values the domain knows. No table is ever built from input directly."""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, model_validator

from ehcp_contracts.events import CeaseReason, CorrectableDate, CorrectionReason, Setting
from service_kit.strict import (
    Body,
    BoundedInt,
    Id,
    IsoDate,
    LaCode,
    Name,
    NhsNumber,
    OdsCode,
    StrictEnum,
    Text,
    Upn,
    Urn,
    fault,
)


class Sex(StrEnum):
    """As recorded in SEN2 item 1.4."""

    MALE = "M"
    FEMALE = "F"


class Need(StrEnum):
    """Primary need: the codes of SEN2 item 5.8. No free text."""

    SPECIFIC_LEARNING = "SPLD"
    MODERATE_LEARNING = "MLD"
    SEVERE_LEARNING = "SLD"
    PROFOUND_LEARNING = "PMLD"
    SOCIAL_EMOTIONAL_MENTAL = "SEMH"
    SPEECH_LANGUAGE = "SLCN"
    HEARING = "HI"
    VISION = "VI"
    MULTI_SENSORY = "MSI"
    PHYSICAL = "PD"
    AUTISTIC_SPECTRUM = "ASD"
    DOWN_SYNDROME = "DS"
    OTHER = "OTH"


def _matching(form: re.Pattern[str], code: str, message: str) -> AfterValidator:
    def check(value: str) -> str:
        if not form.fullmatch(value):
            raise fault(code, message)
        return value

    return AfterValidator(check)


REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_POSTCODE = re.compile(r"[A-Z]{1,2}[0-9][A-Z0-9]? [0-9][A-Z]{2}")
_ACADEMIC_YEAR = re.compile("|".join(f"{y}/{(y + 1) % 100:02d}" for y in range(2014, 2100)))

Ref = Annotated[
    str, Text(64), _matching(REF, "ref-format", "This must be a reference of letters and digits.")
]
"""A source's own opaque reference: never a name."""

PARTY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}")
PartyRef = Annotated[
    str, Text(40), _matching(PARTY, "ref-format", "This must be a reference of letters, digits and hyphens.")
]
"""A council's reference of a team or an officer, as events carry it (`ehcp_contracts.fields.OpaqueRef`)."""

Postcode = Annotated[
    str, Text(8), _matching(_POSTCODE, "postcode-format", "This must be a postcode such as BL9 0SW.")
]
AcademicYear = Annotated[
    str,
    Text(7),
    _matching(_ACADEMIC_YEAR, "academic-year-format", "This must be an academic year such as 2026/27."),
]
YearGroup = Annotated[int, BoundedInt(-4, 21)]


class Child(Body):
    """Who the case is about. These never leave this service."""

    surname: Name
    forename: Name
    birth_date: IsoDate
    sex: StrictEnum[Sex]
    upn: Upn | None = None
    nhs_number: NhsNumber | None = None
    postcode: Postcode | None = None


class PlacementIn(Body):
    """Where the child is placed: an institution of the register or a setting code, never both; neither if unknown."""

    urn: Urn | None = None
    setting: StrictEnum[Setting] | None = None
    since: IsoDate | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.urn is not None and self.setting is not None:
            raise fault("one-place", "Give a URN or a setting, not both.")
        return self

    def values(self) -> dict[str, Any]:
        """Under the names of `Case`."""
        setting = self.setting.value if self.setting else None
        return {"urn": self.urn, "setting": setting, "placed_since": self.since}


class RegisterCase(Body):
    """A new case: the child, the councils and who is to be told."""

    child: Child
    responsible_la: LaCode
    administering_la: LaCode | None = None
    placement: PlacementIn = PlacementIn()
    primary_need: StrictEnum[Need] | None = None
    taught_year_group: YearGroup | None = None
    icb: OdsCode | None = None
    social_care_team: PartyRef | None = None
    officer: PartyRef | None = None

    @property
    def administered_by(self) -> str:
        return self.administering_la or self.responsible_la


class IssuePlan(Body):
    """The first plan. With the day the draft was served, the family's 15 days to comment are checked as well."""

    issued_on: IsoDate
    placement: PlacementIn
    draft_served_on: IsoDate | None = None


class SendNotice(Body):
    """An amendment notice. `review_id` for a review decided "amend"; its meeting is needed if not known here yet."""

    sent_on: IsoDate
    served_on: IsoDate | None = None
    review_id: Id | None = None
    meeting_on: IsoDate | None = None


class IssueFinal(Body):
    """The final amended plan."""

    issued_on: IsoDate


class DropAmendment(Body):
    """The decision not to amend after all, with its reasons, which stay in this service."""

    decided_on: IsoDate
    reasons: Annotated[str, Text(4000, lines=True)]


class CeaseStep(StrEnum):
    """Steps on the way to the end of a plan (SEND Regs 2014 reg 31, CFA 2014 s.45)."""

    CONSULT = "consult"
    NOTIFY = "notify"
    CERTIFICATE = "certificate"
    APPEAL = "appeal"
    APPEAL_ALLOWED = "appeal_allowed"
    WITHDRAW = "withdraw"


class Cease(Body):
    """One step: `notified_on` is the day the family was told (or the certificate issued); `reason` for the decision.
    `effective_now` ends the plan on that day: death, left England, another authority, maximum age, appeal dismissed.
    A certificate or an appeal that was recorded only after the plan had ended takes that back; `withdraw` takes back the
    decision, and an end that was recorded in error."""

    stage: StrictEnum[CeaseStep] = CeaseStep.NOTIFY
    notified_on: IsoDate | None = None
    reason: StrictEnum[CeaseReason] | None = None
    review_id: Id | None = None
    effective_now: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Self:
        dated = self.stage in (CeaseStep.CONSULT, CeaseStep.NOTIFY, CeaseStep.CERTIFICATE)
        if dated and self.notified_on is None:
            raise fault("day-required", "This step needs its day in notified_on.")
        if self.stage is CeaseStep.NOTIFY and self.reason is None:
            raise fault("reason-required", "This step needs the reason.")
        if self.effective_now and self.stage is not CeaseStep.NOTIFY:
            raise fault("stage-mismatch", "Only the decision itself can end a plan at once.")
        return self


class CorrectDate(Body):
    """A recorded date that was wrong. The note stays here; only the coded reason goes out."""

    field: StrictEnum[CorrectableDate]
    new: IsoDate
    reason: StrictEnum[CorrectionReason]
    note: Annotated[str, Text(1000, lines=True)]
    notice_id: Id | None = None


class ChangePlacement(Body):
    """What changes in the placement or the routing. A field left out stays; null takes it away."""

    placement: PlacementIn | None = None
    icb: OdsCode | None = None
    social_care_team: PartyRef | None = None
    officer: PartyRef | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise fault("nothing-to-change", "Give at least one field.")
        return self

    def values(self) -> dict[str, Any]:
        """The changed fields under the names of `Case`."""
        names = self.model_fields_set - {"placement"}
        routing = {name: getattr(self, name) for name in names}
        return routing | (self.placement.values() if self.placement else {})


def day_of(step: Cease) -> date:
    """The day of a step that has one (the model has checked it)."""
    assert step.notified_on is not None
    return step.notified_on
