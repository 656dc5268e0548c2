"""What a council may settle for itself: `send_statute.Policy`, under the name the rest of this service knows it by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from ehcp_contracts.events import ReviewKind
from send_statute import DEFAULT_POLICY, Policy, PolicyOutsideLaw
from service_kit.problems import Fault, Refusal

NATIONAL = DEFAULT_POLICY
"""The national defaults, for a council that has settled nothing."""

SETTINGS: Mapping[str, str] = {
    "basis": "strict or anniversary: the reading by which reviews are planned. Both dates are always shown.",
    "under5_interval_months": "0 for no interim reviews, or 3 to 11 months: 12 months are law.",
    "notice_clear_days": "0 to 28 days on top of the two weeks' notice that are law.",
    "advice_request_days": "15 to 365 days before the meeting: by law advice is circulated 14 days before.",
    "lead_plan_days": "At most 365 days before the latest safe meeting.",
    "lead_invite_days": "Not before the review is planned, and early enough for the two weeks' notice.",
    "lead_last_call_days": "Between the invitations and the meeting.",
}
"""The settings that are a council's, each with the bounds that law and sense put to it."""


_BY_DATE = {
    "latest_meeting_on": "basis",
    "plan_meeting_by": "basis",
    "notice_plan": "notice_clear_days",
    "advice_request_by": "advice_request_days",
}


def setting_behind(kind: str, name: str) -> str | None:
    """The setting that a reckoned date of a review hangs on, if it is a council's policy and not law alone."""
    if kind == ReviewKind.UNDER5_INTERIM and name in ("due_on", "latest_meeting_on", "plan_meeting_by"):
        return "under5_interval_months"
    return _BY_DATE.get(name)


@dataclass(frozen=True, slots=True)
class InForce:
    """A council's policy: its settings, its version (0: the national defaults), and since when."""

    policy: Policy = NATIONAL
    version: int = 0
    effective_on: date | None = None


def policy_from(settings: Mapping[str, Any]) -> Policy:
    """A council's settings. Raises `send_statute.PolicyOutsideLaw` for one that is not a council's to set."""
    return Policy.from_mapping(settings)


def check_policy(settings: Mapping[str, Any]) -> Policy:
    """The policy that a council asks for. Raises `Refusal` validation where law or sense forbid it."""
    try:
        return policy_from(settings)
    except PolicyOutsideLaw as outside:
        found = Fault(f"/{outside.setting}", "outside-law", SETTINGS[outside.setting])
        raise Refusal("validation", errors=[found]) from None


def of_council(policy: Policy) -> dict[str, Any]:
    """The settings of a policy that are a council's."""
    return {name: getattr(policy, name) for name in SETTINGS}


def own_settings(policy: Policy) -> dict[str, Any]:
    """Those that differ from the national defaults: what is kept."""
    return {name: value for name, value in of_council(policy).items() if value != getattr(NATIONAL, name)}


__all__ = [
    "NATIONAL",
    "SETTINGS",
    "InForce",
    "Policy",
    "check_policy",
    "of_council",
    "own_settings",
    "policy_from",
    "setting_behind",
]
