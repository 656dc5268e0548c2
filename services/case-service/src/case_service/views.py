"""What the API answers. A school sees the minimum for its own pupils; nothing here is ever put into an event."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ColumnElement

from case_service.domain import amendments as amending
from case_service.domain.case import Amendment, AmendmentState, Case
from case_service.store import CASES
from ehcp_contracts.events import Facts, Placement, Responsible
from service_kit.shape import Shape
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


CASE = Shape(
    CaseView,
    child=Shape(ChildView),
    responsible=Shape(Responsible, responsible_la="la_code"),
    placement=Shape(Placement, since="placed_since"),
    plan=Shape(PlanView, first_made="plan_first_made", version="plan_version"),
    source=Shape(SourceView, name="source", ref="source_ref", version="source_version", unless_null="source"),
)
"""From a `Case`, or from the columns of `cases`, which have the same names."""

_NOT_FOR_SCHOOLS = (
    *("child.nhs_number", "child.postcode", "primary_need", "source"),
    *(f"responsible.{name}" for name in UNTOLD),
)


def _hidden(role: str) -> tuple[str, ...]:
    return _NOT_FOR_SCHOOLS if role == "school" else ()


def case_view(case: Case, updated_at: datetime, *, role: str) -> CaseView:
    """A case as this role sees it."""
    return CASE.view(case, hidden=_hidden(role), updated_at=updated_at)


def case_json(role: str) -> ColumnElement[str]:
    """The same, written by the database."""
    return CASE.json(CASES.c, hidden=_hidden(role))


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
