"""Published figures that give the invented caseload its shape. No figure here is about any one child.

Sources, both public:
* Department for Education, "Education, health and care plans", reporting year 2025 (plans in January 2025),
local authority Bury (351 / E08000002). Contains public sector information licensed under the Open Government
Licence v3.0.
* Bury Council, cabinet report of 4 September 2024: 2,850 plans, of them 38 for other authorities; 40 %
reviewed and 22 % in time in 2023/24; six officers.
"""

from __future__ import annotations

PLANS = 2_850
FOR_OTHER_COUNCILS = 38
OFFICERS = 6
REVIEWED_IN_12_MONTHS = 0.40
REVIEWED_IN_TIME = 0.22
DECIDED_IN_FOUR_WEEKS = 0.498
AMENDED = 0.45
"""Of reviews held: decision within four weeks of the meeting, and outcome "amend" (DfE, annual reviews,
January 2026 revision: Bury 49.8 % of 2,119; 45 % amended, 55 % maintained)."""

INSTITUTIONS = ("mainstream", "special", "ap", "college", "post16")
SETTINGS = ("EHE", "OLA", "OPA", "NIEO", "NEET", "NIEC", "EYP")
UNRECORDED = "unknown"
KINDS = (*INSTITUTIONS, *SETTINGS, UNRECORDED)
"""Where children are: kinds of institution, then settings by their SEN2 code, then not recorded.

From DfE's columns: special = maintained + academy and free + independent + non-maintained; NIEO = Welsh,
other schools, other and compulsory-school-age children out of education; NIEC = notice to cease issued."""

AGES: dict[int, tuple[int, ...]] = {
    3: (8, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 18, 2),
    4: (84, 7, 0, 0, 0, 0, 3, 0, 3, 0, 0, 10, 8),
    5: (107, 32, 0, 0, 0, 0, 1, 0, 2, 0, 0, 1, 4),
    6: (119, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0),
    7: (119, 41, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0),
    8: (129, 46, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 1),
    9: (110, 27, 0, 0, 0, 4, 0, 1, 0, 1, 0, 0, 1),
    10: (139, 33, 2, 0, 0, 3, 1, 1, 0, 0, 0, 0, 0),
    11: (67, 67, 1, 0, 0, 3, 0, 0, 0, 3, 0, 0, 10),
    12: (109, 96, 9, 0, 0, 0, 2, 2, 1, 0, 0, 0, 1),
    13: (92, 80, 6, 0, 0, 3, 3, 0, 2, 1, 0, 0, 2),
    14: (95, 85, 9, 0, 0, 0, 1, 3, 1, 2, 0, 0, 6),
    15: (101, 99, 24, 0, 0, 1, 10, 3, 0, 0, 0, 0, 1),
    16: (23, 50, 2, 57, 5, 4, 12, 6, 1, 13, 1, 0, 38),
    17: (13, 32, 1, 75, 2, 0, 13, 1, 0, 20, 4, 0, 5),
    18: (7, 29, 2, 37, 0, 0, 8, 1, 2, 23, 5, 0, 4),
    19: (1, 8, 0, 26, 6, 0, 4, 0, 2, 18, 8, 0, 8),
    20: (0, 0, 0, 20, 6, 1, 5, 1, 1, 17, 8, 0, 9),
    21: (0, 4, 0, 15, 3, 0, 1, 0, 0, 6, 3, 0, 0),
    22: (0, 0, 0, 5, 3, 0, 1, 1, 0, 3, 0, 0, 0),
    23: (0, 0, 0, 1, 1, 0, 2, 0, 0, 1, 0, 0, 0),
    24: (0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0),
}
"""Plans by age at 31 August before the count, and by `KINDS` (DfE, "Child or young person's age")."""

YEARS_IN_PLACE = {0: 18, 1: 364, 2: 451, 3: 437, 4: 255, 5: 277, 6: 176, 7: 263, 8: 351, 9: 136, 10: 76}
"""Plans by the calendar years since they were made (DfE, "Years EHC plan in place"; 0: less than a year, that
is made in the January of the count)."""

NEVER_REVIEWED = {2: 152 / 451, 3: 64 / 437, 4: 25 / 255, 5: 30 / 277, 6: 9 / 176, 8: 5 / 351, 9: 2 / 136}
"""Share of plans with no review meeting on record, by years in place (DfE, annual reviews, January 2026
revision)."""

NEEDS = {
    "SLCN": 812,
    "SEMH": 686,
    "ASD": 654,
    "MLD": 325,
    "PD": 132,
    "SLD": 52,
    "PMLD": 48,
    "HI": 41,
    "SPLD": 28,
    "VI": 15,
    "MSI": 6,
    "OTH": 3,
    "": 2,
}
"""Plans by primary need, by SEN2 code (empty: not recorded)."""

SEXES = {"M": 1_965, "F": 839}


def scaled(counts: dict[str, int], total: int) -> dict[str, int]:
    """The counts in the same proportions, adding up to `total` exactly (largest remainders get the odd
    ones)."""
    whole = sum(counts.values())
    shares = {key: count * total / whole for key, count in counts.items()}
    result = {key: int(share) for key, share in shares.items()}
    odd = sorted(shares, key=lambda key: (result[key] - shares[key], key))
    for key in odd[: total - sum(result.values())]:
        result[key] += 1
    return result
