"""The end of a plan, as pure rules: CFA 2014 s.45(4), appeal time to 16 November 2026."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest

from case_service.domain.case import Case, CaseStatus, Circumstances
from case_service.domain.ceasing import end_if_due
from ehcp_contracts.events import CeaseReason, PlanCeased

NOTIFIED = Case(
    id=UUID(int=1),
    la_code="351",
    administering_la="351",
    surname="Quillfeather",
    forename="Ada",
    birth_date=date(2017, 3, 2),
    sex="F",
    status=CaseStatus.CEASE_NOTIFIED,
    announced=True,
    plan_first_made=date(2024, 5, 20),
    cease_notified_on=date(2026, 9, 14),
    in_force_to=date(2026, 11, 16),
    cease_reason="2",
)


def test_the_plan_ends_on_the_first_day_it_is_no_longer_in_force() -> None:
    decision = end_if_due(NOTIFIED, Circumstances(date(2026, 11, 20)))
    assert decision is not None
    assert decision.events == [PlanCeased(ceased_on=date(2026, 11, 17), reason=CeaseReason.NEEDS_MET)]
    assert (decision.after.status, decision.after.next_facts_change) == (CaseStatus.CEASED, None)


@pytest.mark.parametrize(
    ("case", "today"),
    [
        (NOTIFIED, date(2026, 11, 16)),
        (replace(NOTIFIED, appeal_open=True), date(2027, 3, 1)),
        (replace(NOTIFIED, status=CaseStatus.ACTIVE), date(2027, 3, 1)),
    ],
)
def test_it_does_not_end_before_that_nor_while_an_appeal_runs(case: Case, today: date) -> None:
    assert end_if_due(case, Circumstances(today)) is None
