"""What the API answers. A school sees the minimum for its own pupils; nothing here is ever put into an event."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from case_service.domain import amendments as amending
from case_service.domain.case import Amendment, AmendmentState, Case
from ehcp_contracts.events import Facts, Placement, Responsible
from service_kit.strict import View


class ChildView(View):
    """The child; for a school without NHS number and postcode."""

    surname: str
    forename: str
    birth_date: date
    sex: str
    upn: str | None
    nhs_number: str | None = None
    postcode: str | None = None


class PlanView(View):
    """The plan: its anchor dates, how often it was issued, and where ceasing stands."""

    first_made: date | None
    version: int
    last_concluded: date | None
    cease_considered_on: date | None
    cease_notified_on: date | None
    in_force_to: date | None
    appeal_open: bool
    ceased_on: date | None
    cease_reason: str | None


class SourceView(View):
    """Which record of which source the case is."""

    name: str
    ref: str
    version: int


class CaseView(View):
    """A case. `version` is also its ETag; `facts` are those published in events."""

    id: UUID
    version: int
    updated_at: datetime
    status: str
    child: ChildView
    responsible: Responsible
    placement: Placement
    plan: PlanView
    facts: Facts | None
    taught_year_group: int | None
    taught_in: str | None
    primary_need: str | None = None
    source: SourceView | None = None


class CitedView(View):
    """A date with the rule it stands on: law, guidance or policy."""

    name: str
    date: date
    rule_id: str
    citation: str
    force: str
    text: str


class NoticeView(View):
    """An amendment: its state, its days, why each is what it is, and whether they can all be kept (`conflict`)."""

    id: UUID
    case_id: UUID
    case_version: int
    review_id: UUID | None
    state: str
    meeting_on: date | None
    decided_on: date | None
    notice_due: date | None
    sent_on: date | None
    served_on: date | None
    representations_close: date | None
    earliest_final: date | None
    final_due: date | None
    conflict: bool
    issued_on: date | None
    plan_version: int | None
    dropped_on: date | None
    reasons: str | None
    why: list[CitedView]


class HistoryEntry(View):
    """One version of a case: what happened, which fields, what was told outside, who did it and when."""

    version: int
    what: str
    fields: list[str]
    event_type: str | None
    event_id: UUID | None
    who: str | None
    at: datetime
    business_date: date


class CorrectionView(View):
    """A corrected date: what stood there, what stands there now, why, by whom."""

    id: UUID
    version: int
    field: str
    old: date | None
    new: date
    reason: str
    note: str
    notice_id: UUID | None
    who: str
    at: datetime


class InstitutionView(View):
    """An institution of the register."""

    urn: str
    name: str
    kind: str
    low_age: int | None
    high_age: int | None
    la_code: str
    section20_12: bool
    loaded_at: datetime


class QuarantineView(View):
    """A snapshot that a person must look at: which record, why (`code`) and where in it (`pointer`), how often it came."""

    id: UUID
    source: str
    ref: str
    version: int
    code: str
    pointer: str
    case_id: UUID | None
    times: int
    received_at: datetime
    last_at: datetime


class PushResult(View):
    """What became of a snapshot: `created`, `updated`, `unchanged`, or `queued` for a person to settle."""

    ref: str
    status: str
    case_id: UUID | None
    version: int | None
    """The version of the case, as in its ETag; none where there is no case."""
    source_version: int


UNTOLD = ("icb", "social_care_team")
"""What a school is not told, here as in its notices: who else works with the family."""


def case_view(case: Case, updated_at: datetime, *, role: str) -> CaseView:
    """A case as this role sees it."""
    school = role == "school"
    return CaseView(
        id=case.id,
        version=case.version,
        updated_at=updated_at,
        status=case.status.value,
        child=_child_view(case, school),
        responsible=case.responsible.model_copy(update=dict.fromkeys(UNTOLD)) if school else case.responsible,
        placement=case.placement,
        plan=_plan_view(case),
        facts=case.facts,
        taught_year_group=case.taught_year_group,
        taught_in=case.taught_in,
        primary_need=None if school else case.primary_need,
        source=None if school else _source_view(case),
    )


def notice_view(amendment: Amendment, *, case_version: int) -> NoticeView:
    """An amendment with the reasons for its days."""
    values = {name: getattr(amendment, name, None) for name in NoticeView.model_fields}
    values |= {"state": amendment.state.value, "case_version": case_version, "why": _why(amendment)}
    return NoticeView(**values)


def _why(amendment: Amendment) -> list[CitedView]:
    if amendment.state is AmendmentState.DECIDED or amendment.sent_on is None:
        return []
    cited = amending.why(amendment).cited
    return [CitedView(name=name, **found.to_dict()) for name, found in cited.items()]


def _child_view(case: Case, school: bool) -> ChildView:
    return ChildView(
        surname=case.surname,
        forename=case.forename,
        birth_date=case.birth_date,
        sex=case.sex,
        upn=case.upn,
        nhs_number=None if school else case.nhs_number,
        postcode=None if school else case.postcode,
    )


def _plan_view(case: Case) -> PlanView:
    return PlanView(
        first_made=case.plan_first_made,
        version=case.plan_version,
        last_concluded=case.last_concluded,
        cease_considered_on=case.cease_considered_on,
        cease_notified_on=case.cease_notified_on,
        in_force_to=case.in_force_to,
        appeal_open=case.appeal_open,
        ceased_on=case.ceased_on,
        cease_reason=case.cease_reason,
    )


def _source_view(case: Case) -> SourceView | None:
    if case.source is None or case.source_ref is None or case.source_version is None:
        return None
    return SourceView(name=case.source, ref=case.source_ref, version=case.source_version)
