"""Who may do what: one table of action × role × predicate. What is not in it is forbidden.

A predicate narrows an allowed action to the rows of the caller; each service turns it into SQL (its
`SCOPES`), so it becomes part of the WHERE and a foreign row looks like a missing one.
"""

from __future__ import annotations

from enum import StrEnum


class Predicate(StrEnum):
    """Which rows of an allowed action are the caller's own."""

    own_la = "own_la"  # the responsible or administering council is one of the caller's
    own_school = "own_school"  # the caller's organisation is the school (URN)
    own_area = "own_area"  # the caller's organisation is the ICB (ODS code)
    own_team = "own_team"  # the caller's organisation is the social care team
    own_partner = "own_partner"  # the caller's organisation is the partner itself
    own_source = "own_source"  # the caller's organisation is the pushing system
    everyone = "everyone"  # every row


ROLES = frozenset(
    {"officer", "senior", "manager", "board", "school", "icb", "social-care"}
    | {"adapter", "reporting", "operator", "auditor"}
)

_Row = dict[str, Predicate]

_STAFF: _Row = dict.fromkeys(("officer", "senior", "manager"), Predicate.own_la)
_MANAGER: _Row = {"manager": Predicate.own_la}
_SCHOOL: _Row = {"school": Predicate.own_school}
_ICB: _Row = {"icb": Predicate.own_area}
_TEAM: _Row = {"social-care": Predicate.own_team}
_PARTNERS: _Row = dict.fromkeys(("school", "icb", "social-care", "adapter"), Predicate.own_partner)
_SOURCE: _Row = {"adapter": Predicate.own_source}
_BOARD: _Row = {"board": Predicate.own_la}
_REPORTING: _Row = {"reporting": Predicate.own_la}
_OPERATOR: _Row = {"operator": Predicate.everyone}
_STAFF_EVERYWHERE: _Row = dict.fromkeys(("officer", "senior", "manager"), Predicate.everyone)

POLICY: dict[str, dict[str, Predicate]] = {
    # cases
    "cases.list": _STAFF | _SCHOOL,
    "cases.read": _STAFF | _SCHOOL,
    "cases.register": _STAFF,
    "cases.push": _SOURCE,
    "cases.push-batch": _SOURCE,
    "sources.quarantine": _STAFF,
    "cases.issue-plan": _STAFF,
    "cases.send-amendment-notice": _STAFF,
    "cases.issue-amended-plan": _STAFF,
    "cases.drop-amendment": _STAFF,
    "cases.cease": _STAFF,
    "cases.correct-date": _STAFF,
    "cases.change-placement": _STAFF,
    # institutions
    "institutions.load": _STAFF | _SOURCE | _OPERATOR,
    "institutions.read": _STAFF | _OPERATOR,
    # reviews
    "reviews.list": _STAFF | _SCHOOL | _ICB | _TEAM,
    "reviews.read": _STAFF | _SCHOOL | _ICB | _TEAM,
    "reviews.explain": _STAFF | _SCHOOL | _ICB | _TEAM,
    "reviews.book": _STAFF | _SCHOOL,
    "reviews.hold": _STAFF | _SCHOOL,
    "reviews.report": _STAFF | _SCHOOL,
    "reviews.decide": _STAFF,
    "reviews.enter": _STAFF,
    "reviews.correct-date": _STAFF,
    "officers.list": _STAFF,
    # what a council settles for itself
    "policies.read": _STAFF,
    "policies.change": _MANAGER,
    "calendars.read": _STAFF,
    "calendars.change": _STAFF,
    # partners, subscriptions, deliveries
    "partners.create": _STAFF,
    "partners.list": _STAFF,
    "partners.change": _STAFF,
    "partners.read": _STAFF | _PARTNERS,
    "subscriptions.create": _STAFF | _PARTNERS,
    "subscriptions.approve": _STAFF,
    "subscriptions.list": _STAFF | _PARTNERS,
    "subscriptions.read": _STAFF | _PARTNERS,
    "subscriptions.change": _STAFF | _PARTNERS,
    "subscriptions.delete": _STAFF | _PARTNERS,
    "subscriptions.rotate-secret": _STAFF | _PARTNERS,
    "deliveries.list": _STAFF | _PARTNERS | _OPERATOR,
    "deliveries.read": _STAFF | _PARTNERS | _OPERATOR,
    "deliveries.replay": _STAFF | _PARTNERS | _OPERATOR,
    "events.feed": _PARTNERS,
    # figures
    "measures.read": _STAFF | _BOARD | _REPORTING,
    "measures.cases": _STAFF,
    "dashboard.view": _STAFF | _BOARD,
    # the business date of the embedded process
    "clock.read": _STAFF_EVERYWHERE | _OPERATOR,
    "clock.move": _STAFF_EVERYWHERE | _OPERATOR,
}
