"""What a council may settle for itself. Law is not in here, so no setting can touch it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from send_statute.errors import PolicyOutsideLaw

Basis = Literal["strict", "anniversary"]


@dataclass(frozen=True, slots=True)
class Policy:
    """A council's overlay of planning settings. Days are calendar days. The defaults are the national defaults."""

    basis: Basis = "strict"
    """Reading used to *plan*: "strict" (last day of the 12 months; before 15 February) or "anniversary" (CoP 9.169;
    by 15 February). Both dates are always reported, and measures stay on the strict one."""
    under5_interval_months: int = 6
    """Months between interim reviews of a child under five (CoP 9.178): 3 to 11, or 0 for none."""
    notice_clear_days: int = 1
    """Days planned on top of the two weeks' notice of a meeting, so that the notice is clear days. 0 or more."""
    advice_request_days: int = 56
    """Days before the meeting by which advice is asked for; more than the 14 by which it must be circulated."""
    lead_plan_days: int = 84
    """Days before the latest safe meeting at which a review is to be planned."""
    lead_invite_days: int = 56
    """Days before the latest safe meeting at which invitations are to be prepared."""
    lead_last_call_days: int = 14
    """Days before the latest safe meeting of the last reminder."""
    icb_counts_awareness_day: bool = True
    """Whether the 15 working days of reg 16 begin with the day of awareness (open point)."""
    reassessment_resets: bool = False
    """Whether a plan replaced after re-assessment restarts the 12 months (open point)."""
    y11_own_sixth_form: bool = True
    """Whether Year 11 staying in its own school's sixth form belongs to the 31 March cohort (open point)."""

    def __post_init__(self) -> None:
        for setting in fields(self):
            value, default = getattr(self, setting.name), setting.default
            if type(value) is not type(default):
                raise PolicyOutsideLaw(setting.name, f"must be a {type(default).__name__}, not {value!r}")
        if self.basis not in ("strict", "anniversary"):
            raise PolicyOutsideLaw("basis", f"must be 'strict' or 'anniversary', not {self.basis!r}")
        check_under5_interval(self.under5_interval_months)
        if not 0 <= self.notice_clear_days <= 28:
            raise PolicyOutsideLaw("notice_clear_days", "must be 0 to 28: the two weeks' notice is law")
        if not 14 < self.advice_request_days <= 365:
            raise PolicyOutsideLaw(
                "advice_request_days",
                "must be 15 to 365: advice is circulated 14 days before the meeting by law",
            )
        if self.lead_plan_days > 365:
            raise PolicyOutsideLaw("lead_plan_days", "must be at most 365 days")
        if self.lead_invite_days > self.lead_plan_days:
            raise PolicyOutsideLaw("lead_invite_days", "must not come before the review is planned")
        if self.lead_invite_days < 14 + self.notice_clear_days:
            raise PolicyOutsideLaw("lead_invite_days", "must leave the two weeks' notice that is law")
        if not 0 <= self.lead_last_call_days <= self.lead_invite_days:
            raise PolicyOutsideLaw("lead_last_call_days", "must lie between the invitations and the meeting")

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Policy:
        """From a mapping; a name that is no setting is refused, so that law cannot be smuggled in."""
        known = {setting.name for setting in fields(cls)}
        for name in settings:
            if name not in known:
                raise PolicyOutsideLaw(name, "is not a council's to set")
        return cls(**settings)

    @classmethod
    def from_toml(cls, source: str | Path) -> Policy:
        """From a TOML file (a `Path`) or TOML text (a `str`); a `[policy]` table is used if there is one."""
        try:
            document = tomllib.loads(
                source.read_text(encoding="utf-8") if isinstance(source, Path) else source
            )
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
            raise PolicyOutsideLaw("file", f"is not TOML: {problem}") from None
        table = document.get("policy", document)
        if not isinstance(table, dict):
            raise PolicyOutsideLaw("policy", "must be a table of settings")
        return cls.from_mapping(table)

    @property
    def leads(self) -> dict[str, int]:
        """Days before the latest safe meeting at which each stage falls."""
        return {
            "plan": self.lead_plan_days,
            "invite": self.lead_invite_days,
            "last_call": self.lead_last_call_days,
        }


def check_under5_interval(months: int) -> None:
    """Refuse an interval outside the guidance: at least every 3 to 6 months is asked for, 12 is law; 0 is off."""
    if months != 0 and not 3 <= months <= 11:
        raise PolicyOutsideLaw("under5_interval_months", f"must be 0 (off) or 3 to 11 months, not {months}")


DEFAULT_POLICY = Policy()
