"""What a council may settle for itself: `send_statute.Policy`, under the name the rest of this service knows it by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from send_statute import DEFAULT_POLICY, Policy

NATIONAL = DEFAULT_POLICY
"""The national defaults, for a council that has settled nothing."""


def policy_from(settings: Mapping[str, Any]) -> Policy:
    """A council's settings. Raises `send_statute.PolicyOutsideLaw` for one that is not a council's to set."""
    return Policy.from_mapping(settings)


__all__ = ["NATIONAL", "Policy", "policy_from"]
