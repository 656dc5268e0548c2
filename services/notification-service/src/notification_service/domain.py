"""Who may be told what: the entitlement table, whose case it is, and a partner's own copy of an event.

The table says which kind of partner hears which event, with which fields of `data`. Nothing that is not named there
leaves: an event type or a field added to the contract stays inside until somebody enters it here. Sources: the
notification matrix (statute.md, section 8), users-and-peers.md 1.5-1.8, security.md section 4; decision record
`docs/decisions/notifications-who-hears-what.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ehcp_contracts.envelope import Envelope
from ehcp_contracts.events import (
    REVIEWS,
    AmendmentDropped,
    AmendmentIssued,
    AmendmentNoticeSent,
    CaseFactsChanged,
    CeaseNotified,
    DateCorrected,
    Event,
    PartnerKind,
    PlacementChanged,
    PlanCeased,
    PlanContinued,
    PlanIssued,
    PlanRegistered,
    ReviewConcluded,
    ReviewCorrected,
    ReviewDecided,
    ReviewDue,
    ReviewMeetingBooked,
    ReviewMeetingHeld,
    ReviewOverdue,
    ReviewReportReceived,
    ReviewScheduled,
    ReviewWithdrawn,
)

SCHOOL, ICB, SOCIAL_CARE, CASE_SYSTEM = (
    PartnerKind.SCHOOL,
    PartnerKind.ICB,
    PartnerKind.SOCIAL_CARE,
    PartnerKind.CASE_SYSTEM,
)


class Reach(StrEnum):
    """How far a notice goes: into the feed only, or to the partner's webhook as well."""

    FEED = "feed"
    PUSH = "push"


class When(StrEnum):
    """Whether a partner hears of every such event of its cases, or only of one that brings or takes a case."""

    ALWAYS = "always"
    ON_MOVE = "on-move"


class Side(StrEnum):
    """How an event stands to a partner: the case is and stays the partner's, becomes so, or stops being so."""

    OWN = "own"
    JOINS = "joins"
    LEAVES = "leaves"


class Ended(StrEnum):
    """Why a waiting notice is no longer sent."""

    NOT_ENTITLED = "no-longer-entitled"
    PLAN_ENDED = "plan-ended"
    UNSUBSCRIBED = "unsubscribed"
    TOLD_ANEW = "told-anew"  # the partner has the case again, and hears of it under a new id


Fields = Mapping[str, "Fields | None"]
"""Allow-list of `data`: None takes a value whole, a mapping goes into an object and keeps it even when empty."""


@dataclass(frozen=True, slots=True)
class Hears:
    """One cell of the table."""

    fields: Fields
    reach: Reach = Reach.PUSH
    when: When = When.ALWAYS


@dataclass(frozen=True, slots=True)
class Party:
    """A partner as the rules see it. `ref`: URN, ODS code, team or system name; `la_code`: the council that registered
    it and whose cases alone it hears of."""

    kind: PartnerKind
    ref: str
    la_code: str


@dataclass(frozen=True, slots=True)
class Route:
    """Whose case it is now."""

    la: str
    administering_la: str
    urn: str | None = None
    icb: str | None = None
    team: str | None = None
    councils: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "councils", frozenset({self.la, self.administering_la}))


def _take(*names: str, **objects: Fields) -> Fields:
    return {**dict.fromkeys(names), **objects}


_COUNCILS = _take("responsible_la", "administering_la")
_WHERE = _take("urn", "setting", "since")
_NOTHING = _take()
_SCHOOL_FACTS = _take(
    "academic_year",
    "year_group",
    "phase",
    "transfer_on",
    "phase_due",
    "phase_by",
    "phase_deadline_impossible",
    "under5_interims",
    "adulthood_preparation",
    "addressee",
)
_PARTNER_FACTS = _take("academic_year", "year_group", "phase", "transfer_on", "phase_due", "phase_by")
_RESPONSIBLE: Mapping[PartnerKind, Fields] = {
    SCHOOL: _COUNCILS,
    ICB: _take(*_COUNCILS, "icb"),
    SOCIAL_CARE: _take(*_COUNCILS, "social_care_team"),
    CASE_SYSTEM: _take(*_COUNCILS, "icb", "social_care_team", "officer"),
}
_PLACEMENT: Mapping[PartnerKind, Fields] = {
    SCHOOL: _take("urn", "since"),
    # Where a child goes to school is never in a notice to health or social care (security.md section 1).
    ICB: _NOTHING,
    SOCIAL_CARE: _NOTHING,
    CASE_SYSTEM: _WHERE,
}
_FACTS: Mapping[PartnerKind, Fields] = {
    SCHOOL: _SCHOOL_FACTS,
    ICB: _PARTNER_FACTS,
    SOCIAL_CARE: _take(*_PARTNER_FACTS, "adulthood_preparation"),
    CASE_SYSTEM: _SCHOOL_FACTS,
}


def _plan(kind: PartnerKind, *names: str, reach: Reach = Reach.PUSH) -> Hears:
    about = {"placement": _PLACEMENT[kind], "responsible": _RESPONSIBLE[kind], "facts": _FACTS[kind]}
    return Hears(_take(*names, **about), reach)


def _move(kind: PartnerKind, when: When) -> Hears:
    sides = {"placement": _PLACEMENT[kind], "previous": _PLACEMENT[kind], "responsible": _RESPONSIBLE[kind]}
    return Hears(sides, when=when)


def _facts(kind: PartnerKind, when: When) -> Hears:
    return Hears({"facts": _FACTS[kind], "responsible": _RESPONSIBLE[kind]}, when=when)


def _all(*names: str) -> Mapping[PartnerKind, Hears]:
    return {kind: Hears(_take(*names)) for kind in PartnerKind}


_REVIEW = ("review_id", "kind")
_REGISTERED = ("origin", "plan_first_made", "last_concluded", "meeting_held_on", "notice_sent_on")
_NOTICE = ("notice_id", "review_id")
_HELD = Hears(_take(*_REVIEW, "held_on", "report_due", "decision_due"))
_CONCLUDED = _take(
    *_REVIEW, "outcome", "concluded_on", "due_on", "meeting_on", "decision_due", "counts_as_statutory"
)

ENTITLEMENTS: Mapping[type[Event], Mapping[PartnerKind, Hears]] = {
    # Plans that existed before the hub are no news: they wait in the feed, and the case system that pushed its own
    # snapshot does not get it back.
    PlanRegistered: {
        kind: _plan(kind, *_REGISTERED, reach=Reach.FEED) for kind in (SCHOOL, ICB, SOCIAL_CARE)
    },
    PlanIssued: {kind: _plan(kind, "issued_on") for kind in PartnerKind},
    AmendmentNoticeSent: _all(*_NOTICE, "sent_on", "representations_close", "earliest_final", "final_due"),
    AmendmentIssued: _all(*_NOTICE, "issued_on", "plan_version"),
    AmendmentDropped: _all(*_NOTICE, "decided_on"),
    PlacementChanged: {
        SCHOOL: _move(SCHOOL, When.ALWAYS),
        ICB: _move(ICB, When.ON_MOVE),
        SOCIAL_CARE: _move(SOCIAL_CARE, When.ON_MOVE),
        CASE_SYSTEM: _move(CASE_SYSTEM, When.ALWAYS),
    },
    # Birthdays and 1 September change facts of every case at once: only case systems hear each of them.
    CaseFactsChanged: {
        ICB: _facts(ICB, When.ON_MOVE),
        SOCIAL_CARE: _facts(SOCIAL_CARE, When.ON_MOVE),
        CASE_SYSTEM: _facts(CASE_SYSTEM, When.ALWAYS),
    },
    DateCorrected: _all("field", "old", "new", "reason", "notice_id", "later_review"),
    CeaseNotified: _all("notified_on", "in_force_to", "reason", "review_id"),
    PlanCeased: _all("ceased_on", "reason"),
    PlanContinued: _all("reason", "in_force_to"),
    ReviewScheduled: _all(
        *_REVIEW,
        "due_on",
        "alternative_due_on",
        "latest_meeting_on",
        "rule_id",
        "citation",
        "counts_as_statutory",
    ),
    ReviewDue: _all(*_REVIEW, "stage", "due_on", "latest_meeting_on"),
    ReviewOverdue: _all(*_REVIEW, "due_on"),
    ReviewMeetingBooked: _all(*_REVIEW, "meeting_on", "notice_due", "advice_due", "previous_meeting_on"),
    ReviewMeetingHeld: {SCHOOL: _HELD, CASE_SYSTEM: _HELD},
    ReviewReportReceived: _all(*_REVIEW, "received_on"),
    ReviewDecided: _all(*_REVIEW, "outcome", "notified_on", "meeting_on", "decision_due"),
    # The decision was the news; that it concluded the review is for the record.
    ReviewConcluded: {
        SCHOOL: Hears(_CONCLUDED, Reach.FEED),
        ICB: Hears(_CONCLUDED, Reach.FEED),
        SOCIAL_CARE: Hears(_CONCLUDED, Reach.FEED),
        CASE_SYSTEM: Hears(_CONCLUDED),
    },
    ReviewWithdrawn: _all(*_REVIEW, "reason", "satisfied_on"),
    ReviewCorrected: _all(
        *_REVIEW,
        "reason",
        "due_on",
        "alternative_due_on",
        "latest_meeting_on",
        "held_on",
        "received_on",
        "outcome",
        "notified_on",
        "concluded_on",
        "decision_due",
        "counts_as_statutory",
        "withdrawn",
        "satisfied_on",
    ),
}
_BY_TYPE = {event.wire_type: (event, row) for event, row in ENTITLEMENTS.items()}

# Said about a plan that existed before the hub until something happens to it: no webhook (nobody is flooded on day one).
BACKGROUND = frozenset(
    {e.wire_type for e in (PlanRegistered, CaseFactsChanged, ReviewScheduled, ReviewWithdrawn)}
)
# What a partner that gains a case is told of its open reviews, and what is moot once the plan has ended.
OPEN_REVIEW = frozenset(
    {e.wire_type for e in (ReviewScheduled, ReviewDue, ReviewOverdue, ReviewMeetingBooked, ReviewMeetingHeld)}
)
CLOSES_REVIEW = frozenset({ReviewConcluded.wire_type, ReviewWithdrawn.wire_type})


def entitled_types(kind: PartnerKind) -> frozenset[str]:
    """The event types a kind of partner may ever hear."""
    return frozenset(wire for wire, (_, row) in _BY_TYPE.items() if kind in row)


def is_review_event(event_type: str) -> bool:
    """Whether the event comes from review-scheduler, so that it may overtake a move told on the other topic."""
    return event_type in _BY_TYPE and _BY_TYPE[event_type][0].topic == REVIEWS


def concerns(party: Party, route: Route) -> bool:
    """Whether a case is the partner's own: a school's pupil, an ICB's area, a team's child, a council's case; always
    of the council that registered the partner, for no other council has approved its address."""
    if party.la_code not in route.councils:
        return False
    match party.kind:
        case PartnerKind.SCHOOL:
            return party.ref == route.urn
        case PartnerKind.ICB:
            return party.ref == route.icb
        case PartnerKind.SOCIAL_CARE:
            return party.ref == route.team
        case PartnerKind.CASE_SYSTEM:
            return True


def side_of(party: Party, before: Route, after: Route) -> Side | None:
    """How a change of routing stands to a partner; None when the case is not its own before or after."""
    was, remains = concerns(party, before), concerns(party, after)
    if was and remains:
        return Side.OWN
    if remains:
        return Side.JOINS
    return Side.LEAVES if was else None


def hears(kind: PartnerKind, event_type: str, side: Side = Side.OWN) -> Hears | None:
    """The cell of the table, or None: denied by default."""
    row = _BY_TYPE.get(event_type, (None, {}))[1]
    cell = row.get(kind)
    if cell is None or (cell.when is When.ON_MOVE and side is Side.OWN):
        return None
    return cell


def reach_of(cell: Hears, kind: PartnerKind, event_type: str, *, quiet: bool) -> Reach:
    """How far a notice goes; `quiet`: nothing has happened yet to a plan that existed before the hub."""
    if quiet and event_type in BACKGROUND and kind is not CASE_SYSTEM:
        return Reach.FEED
    return cell.reach


def obstacle(party: Party, route: Route, event_type: str, side: Side, *, plan_ended: bool) -> Ended | None:
    """Why a waiting notice must not be sent any more (F46); None when it may go. Asked again at each attempt."""
    if side is not Side.LEAVES and not concerns(party, route):
        return Ended.NOT_ENTITLED
    if plan_ended and event_type in OPEN_REVIEW:
        return Ended.PLAN_ENDED
    return None


def render(envelope: Envelope, cell: Hears, party: Party, side: Side = Side.OWN) -> bytes:
    """A partner's own copy: same id, type, schema, source, time and sequence; `data` cut to the allow-list and to the
    partner's own side of a move."""
    data = _cut(_own_side(envelope.data, party, side), cell.fields)
    return envelope.model_copy(update={"data": data}).to_bytes()


def _cut(data: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    return {
        name: value if inner is None else _cut(value, inner)
        for name, inner in fields.items()
        if (value := data.get(name)) is not None
    }


def _own_side(data: Mapping[str, Any], party: Party, side: Side) -> Mapping[str, Any]:
    """Take out the other side of a move: where a leaver goes, where a joiner comes from, whose area it is now."""
    if "responsible" not in data:
        return data
    shown = dict(data)
    if "previous" in data:
        shown["placement"] = _placement(data["placement"], party, hidden=side is Side.LEAVES, keep=("since",))
        shown["previous"] = _placement(data["previous"], party, hidden=side is Side.JOINS, keep=())
    if side is Side.LEAVES:
        shown["responsible"] = {name: data["responsible"][name] for name in _COUNCILS}
    return shown


def _placement(
    place: Mapping[str, Any], party: Party, *, hidden: bool, keep: tuple[str, ...]
) -> Mapping[str, Any]:
    foreign = party.kind is SCHOOL and place.get("urn") != party.ref
    return {name: place[name] for name in keep if name in place} if hidden or foreign else place
