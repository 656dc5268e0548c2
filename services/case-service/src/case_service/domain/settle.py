"""The end of every decision: what differs between before and after becomes history and events.

Placement, routing and facts are compared here and nowhere else, so whatever moved them (an officer, the source, a
birthday, a concluded review) tells the same story, and nothing is told when nothing differs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from case_service.domain.case import Amendment, Case, CaseStatus, Change, Circumstances, Correction, Decision
from case_service.domain.facts import facts_of, next_change
from ehcp_contracts.events import CaseFactsChanged, PlacementChanged

DETAILS = ("surname", "forename", "birth_date", "sex", "upn", "nhs_number", "postcode", "primary_need")
TAUGHT = ("taught_year_group", "taught_in")
PLACEMENT = ("urn", "setting", "placed_since")
ROUTING = ("administering_la", "icb", "social_care_team", "officer")


def settle(
    before: Case,
    after: Case,
    where: Circumstances,
    *changes: Change,
    amendments: Iterable[Amendment] = (),
    corrections: Iterable[Correction] = (),
) -> Decision:
    """Complete a decision: the given changes, then details, placement, routing and facts wherever they differ."""
    after = with_facts(after, where)
    found = [*changes, *_details(before, after), *_moves(before, after)]
    after = replace(after, version=before.version + len(found))
    return Decision(
        before=before,
        after=after,
        changes=tuple(found),
        amendments=tuple(amendments),
        corrections=tuple(corrections),
    )


def with_facts(case: Case, where: Circumstances) -> Case:
    """The case with the facts of today and the day they may next differ; none before a plan and after its end."""
    if case.status is CaseStatus.CEASED or case.plan_first_made is None:
        return replace(case, next_facts_change=None)
    intervals = where.intervals_of(case.administering_la)
    facts = facts_of(case, where.ages_at(case.urn), where.today, intervals)
    return replace(
        case,
        facts=facts,
        phase=facts.phase.value if facts.phase else None,
        next_facts_change=next_change(case.birth_date, where.today),
    )


def _details(before: Case, after: Case) -> list[Change]:
    moved = _differing(before, after, (*DETAILS, *TAUGHT))
    return [Change("details_changed", moved)] if moved else []


def _moves(before: Case, after: Case) -> list[Change]:
    told = after.announced and after.status is not CaseStatus.CEASED and before.announced
    placed, routed = _differing(before, after, (*PLACEMENT, "icb")), _differing(before, after, ROUTING)
    facts = _facts_moved(before, after)
    changes = []
    if placed:
        event = PlacementChanged(
            placement=after.placement, previous=before.placement, responsible=after.responsible
        )
        moved = tuple(dict.fromkeys((*placed, *routed)))
        changes.append(Change("placement_changed", moved, event if told else None))
    if facts or (routed and not placed):
        assert after.facts is not None or not told
        tell = (
            CaseFactsChanged(facts=after.facts, responsible=after.responsible)
            if told and after.facts
            else None
        )
        changes.append(Change("facts_changed" if facts else "routing_changed", (*facts, *routed), tell))
    return changes


def _facts_moved(before: Case, after: Case) -> tuple[str, ...]:
    if before.facts is None or after.facts is None or before.facts == after.facts:
        return ()
    old, new = before.facts.model_dump(), after.facts.model_dump()
    return tuple(name for name in new if new[name] != old[name])


def _differing(before: Case, after: Case, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if getattr(before, name) != getattr(after, name))
