"""The entitlement table as data: who may hear which event, own and foreign, and which fields leave."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator

from ehcp_contracts.envelope import Envelope
from ehcp_contracts.events import EVENTS, NOTIFICATIONS, CouncilPolicyChanged, Event, PartnerKind
from ehcp_contracts.schemas import closed, event_schema
from notification_service.domain import (
    ENTITLEMENTS,
    Ended,
    Party,
    Reach,
    Route,
    Side,
    concerns,
    entitled_types,
    hears,
    obstacle,
    reach_of,
    render,
    side_of,
)

HOME = Route("351", "351", urn="900123", icb="QOP", team="team-a")
AWAY = Route("352", "352", urn="900456", icb="QWE", team="team-b")
SCHOOL = Party(PartnerKind.SCHOOL, "900123", "351")
ICB = Party(PartnerKind.ICB, "QOP", "351")
TEAM = Party(PartnerKind.SOCIAL_CARE, "team-a", "351")
SYSTEM = Party(PartnerKind.CASE_SYSTEM, "liquid-logic", "351")
EVERYBODY = (SCHOOL, ICB, TEAM, SYSTEM)

# school, ICB, social care, case system; P pushed, f feed only, m only when it brings or takes the case, - never
TABLE = {
    "ehcp.plan-registered.v1": "fff-",
    "ehcp.plan-issued.v1": "PPPP",
    "ehcp.amendment-notice-sent.v1": "PPPP",
    "ehcp.amendment-issued.v1": "PPPP",
    "ehcp.amendment-dropped.v1": "PPPP",
    "ehcp.placement-changed.v1": "PmmP",
    "ehcp.case-facts-changed.v1": "-mmP",
    "ehcp.date-corrected.v1": "PPPP",
    "ehcp.cease-notified.v1": "PPPP",
    "ehcp.plan-ceased.v1": "PPPP",
    "ehcp.plan-continued.v1": "PPPP",
    "ehcp.review-scheduled.v1": "PPPP",
    "ehcp.review-due.v1": "PPPP",
    "ehcp.review-overdue.v1": "PPPP",
    "ehcp.review-meeting-booked.v1": "PPPP",
    "ehcp.review-meeting-held.v1": "P--P",
    "ehcp.review-report-received.v1": "PPPP",
    "ehcp.review-decided.v1": "PPPP",
    "ehcp.review-concluded.v1": "fffP",
    "ehcp.review-withdrawn.v1": "PPPP",
    "ehcp.review-corrected.v1": "PPPP",
}


def _mark(party: Party, event_type: str) -> str:
    cell = hears(party.kind, event_type)
    if cell is None:
        return "m" if hears(party.kind, event_type, Side.JOINS) else "-"
    return "P" if cell.reach is Reach.PUSH else "f"


@pytest.mark.parametrize("event_type", sorted(EVENTS))
def test_the_table_says_who_hears_what(event_type: str) -> None:
    """S10: every kind × event; what the hub says about deliveries, or councils about themselves, goes to nobody."""
    inside = EVENTS[event_type].topic == NOTIFICATIONS or EVENTS[event_type] is CouncilPolicyChanged
    expected = "----" if inside else TABLE[event_type]
    assert "".join(_mark(party, event_type) for party in EVERYBODY) == expected


def test_an_unknown_event_type_is_denied() -> None:
    assert all(hears(party.kind, "ehcp.new-thing.v1") is None for party in EVERYBODY)
    assert "ehcp.new-thing.v1" not in entitled_types(PartnerKind.CASE_SYSTEM)


@pytest.mark.parametrize("party", EVERYBODY, ids=lambda party: party.kind.value)
def test_each_kind_has_its_own_cases_only(party: Party) -> None:
    assert concerns(party, HOME)
    assert not concerns(party, AWAY)
    assert not concerns(party, Route("352", "352"))


@pytest.mark.parametrize("party", EVERYBODY, ids=lambda party: party.kind.value)
def test_a_partner_hears_of_cases_of_the_council_that_registered_it_only(party: Party) -> None:
    """The same school, ICB area or team reference in a case of another council is not enough."""
    assert not concerns(party, replace(HOME, la="352", administering_la="352"))


@pytest.mark.parametrize("party", EVERYBODY, ids=lambda party: party.kind.value)
@pytest.mark.parametrize(("la", "administering"), [("352", "351"), ("351", "352")])
def test_a_council_s_cases_are_those_it_is_responsible_for_or_administers(
    party: Party, la: str, administering: str
) -> None:
    assert concerns(party, replace(HOME, la=la, administering_la=administering))


@pytest.mark.parametrize("party", EVERYBODY, ids=lambda party: party.kind.value)
def test_sides_of_a_move(party: Party) -> None:
    assert side_of(party, HOME, HOME) is Side.OWN
    assert side_of(party, AWAY, HOME) is Side.JOINS
    assert side_of(party, HOME, AWAY) is Side.LEAVES
    assert side_of(party, AWAY, AWAY) is None


@pytest.mark.parametrize(
    ("event_type", "party", "reach"),
    [
        ("ehcp.review-scheduled.v1", SCHOOL, Reach.FEED),
        ("ehcp.review-scheduled.v1", ICB, Reach.FEED),
        ("ehcp.review-scheduled.v1", SYSTEM, Reach.PUSH),
        ("ehcp.review-due.v1", SCHOOL, Reach.PUSH),
    ],
)
def test_a_plan_from_before_the_hub_is_quiet_until_something_happens(
    event_type: str, party: Party, reach: Reach
) -> None:
    cell = hears(party.kind, event_type)
    assert cell is not None
    assert reach_of(cell, party.kind, event_type, quiet=True) is reach


def test_what_stands_in_the_way_of_a_waiting_notice() -> None:
    """F46, B03."""
    due = "ehcp.review-due.v1"
    assert obstacle(SCHOOL, HOME, due, Side.OWN, plan_ended=False) is None
    assert obstacle(SCHOOL, AWAY, due, Side.OWN, plan_ended=False) is Ended.NOT_ENTITLED
    assert obstacle(SCHOOL, HOME, due, Side.OWN, plan_ended=True) is Ended.PLAN_ENDED
    assert obstacle(SCHOOL, HOME, "ehcp.plan-ceased.v1", Side.OWN, plan_ended=True) is None
    assert obstacle(SCHOOL, AWAY, "ehcp.placement-changed.v1", Side.LEAVES, plan_ended=False) is None


# --- copies ----------------------------------------------------------------------------------------------------------

CASE = "11111111-2222-4333-8444-555555555555"
WHO = {
    "responsible_la": "351",
    "administering_la": "351",
    "icb": "QOP",
    "social_care_team": "team-a",
    "officer": "officer-3",
}
MOVE = {
    "placement": {"urn": "900456", "since": "2026-09-01"},
    "previous": {"urn": "900123", "since": "2022-09-01"},
    "responsible": WHO,
}


def _envelope(event_type: str, data: dict[str, Any]) -> Envelope:
    return Envelope.model_validate(
        {
            "id": UUID(int=7),
            "source": "/case-service",
            "type": event_type,
            "subject": CASE,
            "time": "2026-09-01T09:00:00Z",
            "dataschema": f"/schemas/{event_type}.json",
            "sequence": 3,
            "partitionkey": CASE,
            "dataref": f"/v1/cases/{CASE}",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "lacode": "351",
            "data": data,
        }
    )


def _copy(event_type: str, data: dict[str, Any], party: Party, side: Side = Side.OWN) -> dict[str, Any]:
    cell = hears(party.kind, event_type, side)
    assert cell is not None
    return Envelope.from_bytes(render(_envelope(event_type, data), cell, party, side)).data


def test_the_old_school_hears_that_the_pupil_left_and_never_where_to() -> None:
    copy = _copy("ehcp.placement-changed.v1", MOVE, SCHOOL, Side.LEAVES)
    assert copy == {
        "placement": {"since": "2026-09-01"},
        "previous": {"urn": "900123", "since": "2022-09-01"},
        "responsible": {"responsible_la": "351", "administering_la": "351"},
    }


def test_the_new_school_hears_its_own_side_only() -> None:
    new = Party(PartnerKind.SCHOOL, "900456", "351")
    copy = _copy("ehcp.placement-changed.v1", MOVE, new, Side.JOINS)
    assert copy["placement"] == {"urn": "900456", "since": "2026-09-01"}
    assert copy["previous"] == {}


def test_health_and_social_care_never_learn_the_school() -> None:
    for party, own in ((ICB, {"icb": "QOP"}), (TEAM, {"social_care_team": "team-a"})):
        copy = _copy("ehcp.placement-changed.v1", MOVE, party, Side.JOINS)
        assert copy == {
            "placement": {},
            "previous": {},
            "responsible": {"responsible_la": "351", "administering_la": "351", **own},
        }


def test_an_icb_that_loses_the_case_does_not_learn_which_one_has_it_now() -> None:
    changed = {"facts": {"academic_year": "2026/27", "year_group": 5}, "responsible": WHO | {"icb": "QWE"}}
    copy = _copy("ehcp.case-facts-changed.v1", changed, ICB, Side.LEAVES)
    assert copy["responsible"] == {"responsible_la": "351", "administering_la": "351"}


def test_a_case_system_that_loses_a_case_does_not_learn_the_new_school() -> None:
    copy = _copy("ehcp.placement-changed.v1", MOVE, SYSTEM, Side.LEAVES)
    assert copy["placement"] == {"since": "2026-09-01"}


def test_the_envelope_of_a_copy_is_the_event_s_own() -> None:
    """Same id, type, schema, source, time, subject and sequence; the trace goes along."""
    cell = hears(PartnerKind.SCHOOL, "ehcp.placement-changed.v1")
    assert cell is not None
    original = _envelope("ehcp.placement-changed.v1", MOVE)
    copy = Envelope.from_bytes(render(original, cell, SCHOOL, Side.LEAVES))
    assert copy.model_copy(update={"data": original.data}) == original


def test_a_field_that_is_not_in_the_table_never_leaves() -> None:
    """S20, S21: even if it slipped into an event."""
    due = {
        "review_id": CASE,
        "kind": "annual",
        "stage": "plan",
        "due_on": "2027-03-01",
        "latest_meeting_on": "2027-02-01",
        "surname": "Zebrafinch",
    }
    for party in EVERYBODY:
        assert set(_copy("ehcp.review-due.v1", due, party)) == set(due) - {"surname"}


def _sample(cls: type[Event]) -> dict[str, Any]:
    """A full event of a class: every field of its schema with a fitting value."""
    return {name: _value(name, field.annotation) for name, field in cls.model_fields.items()}


SAMPLES: dict[str, Any] = {
    "origin": "import",
    "placement": {"urn": "900123", "since": "2026-09-01"},
    "previous": {"urn": "900123", "since": "2022-09-01"},
    "responsible": WHO,
    "facts": {
        "academic_year": "2026/27",
        "year_group": 6,
        "phase": "primary_to_secondary",
        "transfer_on": "2027-09-01",
        "phase_due": "2027-02-14",
        "phase_by": "2027-02-15",
        "phase_deadline_impossible": False,
        "under5_interims": [],
        "adulthood_preparation": False,
        "addressee": "parent",
    },
    "kind": "annual",
    "stage": "plan",
    "outcome": "amend",
    "field": "last_concluded",
    "rule_id": "review_12m",
    "citation": "CFA 2014 s.44(1)",
    "counts_as_statutory": True,
    "plan_version": 2,
    "withdrawn": "satisfied",
    "later_review": True,
}
REASONS = {
    "ehcp.date-corrected.v1": "keying_error",
    "ehcp.review-withdrawn.v1": "satisfied",
    "ehcp.cease-notified.v1": "2",
    "ehcp.plan-ceased.v1": "2",
    "ehcp.plan-continued.v1": "appeal_lodged",
    "ehcp.review-corrected.v1": "recorded_late",
}


def _value(name: str, annotation: Any) -> Any:
    if name in SAMPLES:
        return SAMPLES[name]
    return CASE if "UUID" in str(annotation) else "2026-09-01"


def _full(event_type: str) -> dict[str, Any]:
    data = _sample(EVENTS[event_type])
    if "reason" in data:
        data["reason"] = REASONS[event_type]
    return data


@pytest.mark.parametrize("event_type", sorted(e.wire_type for e in ENTITLEMENTS))
def test_every_copy_fits_the_published_schema_of_its_event(event_type: str) -> None:
    schema = Draft202012Validator(closed(event_schema(EVENTS[event_type])))
    for party in EVERYBODY:
        for side in Side:
            if hears(party.kind, event_type, side):
                schema.validate(_copy(event_type, _full(event_type), party, side))


@pytest.mark.parametrize("event_type", sorted(e.wire_type for e in ENTITLEMENTS))
def test_a_case_system_gets_every_field_of_the_contract(event_type: str) -> None:
    """Liquid Logic is inside the council's trust. A field added to the contract makes this fail, so that somebody
    decides who may see it."""
    if hears(PartnerKind.CASE_SYSTEM, event_type):
        assert _copy(event_type, _full(event_type), SYSTEM) == _full(event_type)
