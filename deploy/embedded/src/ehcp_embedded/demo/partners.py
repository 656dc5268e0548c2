"""Who is told in the demonstration: every school, the ICB, the social care teams, and Liquid Logic.

Three of them have a webhook receiver on this machine, so that a person can see what arrives; the others read
the feed.
"""

from __future__ import annotations

from dataclasses import dataclass

from ehcp_embedded.demo.register import BURY, institutions
from ehcp_embedded.demo.shaped import ICB, TEAMS

SCHOOL = "900123"


@dataclass(frozen=True)
class PartnerPlan:
    """A partner to register; `receiver` is the name of its webhook receiver, if it has one here."""

    kind: str
    ref: str
    name: str
    la_code: str = BURY
    receiver: str | None = None


RECEIVERS = {"school": SCHOOL, "icb": ICB, "social-care": TEAMS[0]}
"""Receiver -> reference of the partner that it belongs to."""


def partners() -> list[PartnerPlan]:
    """All of them."""
    schools = [
        PartnerPlan("school", i.urn, i.name, receiver="school" if i.urn == SCHOOL else None)
        for i in institutions()
    ]
    icb = PartnerPlan("icb", ICB, "Greater Manchester ICB (invented desk)", receiver="icb")
    teams = [
        PartnerPlan("social-care", t, f"Social care {t}", receiver="social-care" if t == TEAMS[0] else None)
        for t in TEAMS
    ]
    return [*schools, icb, *teams, PartnerPlan("case-system", "liquid-logic", "Liquid Logic")]
