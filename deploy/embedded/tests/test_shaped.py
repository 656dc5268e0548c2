"""The invented caseload against the published figures: counted by hand there, counted again here."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date

import pytest

from case_service.sources import SourceLine
from ehcp_embedded.demo import people
from ehcp_embedded.demo.figures import AGES, KINDS, NEEDS, SEXES, YEARS_IN_PLACE, scaled
from ehcp_embedded.demo.register import institutions, open_to
from ehcp_embedded.demo.shaped import caseload
from service_kit.strict import nhs_number_is_valid, upn_is_valid

TODAY = date(2026, 11, 23)
CHILDREN = caseload(TODAY)


def age_at_31_august(snapshot: dict) -> int:
    born = date.fromisoformat(snapshot["child"]["birth_date"])
    return 2026 - born.year - (born > date(born.year, 8, 31))


def kind_of(snapshot: dict) -> str:
    placement = snapshot["placement"]
    by_urn = {i.urn: i.takes for i in institutions()}
    return by_urn[placement["urn"]] if "urn" in placement else placement.get("setting", "unknown")


def test_the_published_tables_add_up_to_the_published_total() -> None:
    """DfE, January 2025: 2,804 plans in Bury, by whatever they are counted."""
    assert sum(map(sum, AGES.values())) == 2_804
    assert sum(YEARS_IN_PLACE.values()) == sum(NEEDS.values()) == sum(SEXES.values()) == 2_804
    columns = dict(zip(KINDS, map(sum, zip(*AGES.values(), strict=True)), strict=True))
    assert columns["mainstream"] == 1_323
    assert columns["special"] == 761
    assert columns["college"] + columns["post16"] == 265
    assert (columns["EHE"], columns["OLA"], columns["NEET"], columns["NIEC"]) == (22, 67, 108, 29)
    assert (columns["EYP"], columns["unknown"]) == (35, 100)


def test_there_are_2850_children_of_whom_38_are_kept_for_other_councils() -> None:
    assert len(CHILDREN) == 2_850
    assert sum(child["responsible_la"] != "351" for child in CHILDREN) == 38
    assert {child["administering_la"] for child in CHILDREN} == {"351"}


def test_ages_and_placements_keep_the_published_proportions() -> None:
    """Scaled from 2,804 to 2,850, no cell may be off by more than the rounding."""
    found = Counter((age_at_31_august(child), kind_of(child)) for child in CHILDREN)
    for age, row in AGES.items():
        for kind, count in zip(KINDS, row, strict=True):
            assert abs(found[age, kind] - count * 2_850 / 2_804) <= 1, (age, kind)


def test_sexes_and_needs_keep_the_published_proportions() -> None:
    assert Counter(child["child"]["sex"] for child in CHILDREN) == {"M": 1_997, "F": 853}
    needs = Counter(child.get("primary_need", "") for child in CHILDREN)
    assert needs["SLCN"] == 825
    assert needs["ASD"] == 665
    assert needs[""] == 2


def test_two_in_five_plans_that_could_be_were_reviewed_within_twelve_months() -> None:
    """Cabinet report of 4 September 2024: 40 % reviewed."""
    old = [c["plan"] for c in CHILDREN if c["plan"]["first_made"] <= "2025-11-17"]
    lately = sum(plan.get("last_concluded", "") > "2025-11-23" for plan in old)
    assert 0.37 < lately / len(old) < 0.43


def test_no_date_lies_ahead_or_in_the_wrong_order() -> None:
    for child in CHILDREN:
        plan = child["plan"]
        born, made = child["child"]["birth_date"], plan["first_made"]
        assert born < made <= "2026-11-23"
        assert made <= plan.get("last_concluded", made) <= "2026-11-23"
        assert made <= plan.get("notice_sent_on", made) <= "2026-11-23"
        assert made <= plan.get("meeting_held_on", made) <= "2026-11-23"
        assert born < child["placement"].get("since", made) <= "2026-11-23"


def test_the_same_seed_and_day_make_the_same_children_and_another_seed_others() -> None:
    assert caseload(TODAY, 200) == caseload(TODAY, 200)
    assert caseload(TODAY, 200) != caseload(TODAY, 200, seed=1)


@pytest.mark.parametrize(
    "today", [date(2026, 8, 31), date(2026, 9, 1), date(2028, 2, 29), date(2027, 12, 31)]
)
@pytest.mark.parametrize("plans", [1, 7, 300])
def test_any_day_and_any_number_will_do(today: date, plans: int) -> None:
    children = caseload(today, plans)
    assert len(children) == plans
    for child in children:
        SourceLine.model_validate(json.loads(json.dumps(child)))


def test_every_child_is_a_snapshot_that_the_source_mapping_accepts() -> None:
    for child in CHILDREN:
        SourceLine.model_validate(json.loads(json.dumps(child)))


def test_identifiers_are_right_in_form_unique_and_nobodys() -> None:
    upns = [child["child"]["upn"] for child in CHILDREN if "upn" in child["child"]]
    assert all(upn_is_valid(upn) and upn[1:8] == "3519999" for upn in upns)
    assert len(set(upns)) == len(upns)
    numbers = [child["child"]["nhs_number"] for child in CHILDREN if "nhs_number" in child["child"]]
    assert all(nhs_number_is_valid(number) and number.startswith("999") for number in numbers)
    assert len(set(numbers)) == len(numbers)
    assert all(child["child"]["postcode"].startswith("ZZ99 ") for child in CHILDREN)


def test_a_upn_has_the_check_letter_of_the_worked_example() -> None:
    """sum 340, modulo 23 = 18: letter V."""
    assert people.upn(2025, 1) == "V351999925001"


def test_an_nhs_number_that_would_need_a_check_digit_of_ten_is_not_made() -> None:
    assert people.nhs_number(0) is None  # 9x10 + 9x9 + 9x8 = 243; 243 mod 11 = 1; 11 - 1 = 10
    assert people.nhs_number(1) == "9990000018"  # 245 mod 11 = 3; 11 - 3 = 8


def test_there_are_seventy_institutions_with_urns_that_are_never_given_out() -> None:
    urns = [institution.urn for institution in institutions()]
    assert len(urns) == len(set(urns)) == 70
    assert (urns[0], urns[-1]) == ("900101", "900170")
    kinds = Counter(institution.kind for institution in institutions())
    assert kinds["infant"] == kinds["junior"] == 4
    assert {"nursery", "primary", "secondary", "special", "college", "sixth-form", "independent"} <= set(
        kinds
    )
    assert sum(institution.la_code != "351" for institution in institutions()) == 10


def test_a_child_is_placed_where_children_of_that_age_are_taught() -> None:
    """Reception (4 at 31 August) begins at an infant or primary school, year 3 (7) at a junior or primary school."""
    assert {i.kind for i in open_to("mainstream", 4)} == {"nursery", "infant", "primary"}
    assert {i.kind for i in open_to("mainstream", 7)} == {"junior", "primary"}
    assert {i.kind for i in open_to("mainstream", 11)} == {"secondary"}


def test_scaling_keeps_the_total() -> None:
    assert scaled({"a": 1, "b": 1, "c": 1}, 10) == {"a": 4, "b": 3, "c": 3}
    assert scaled({"a": 3, "b": 1}, 8) == {"a": 6, "b": 2}
