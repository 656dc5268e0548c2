"""About seventy invented institutions with URNs that are never given out (9xxxxx), as a register would list
them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

BURY = "351"
NEIGHBOURS = {"350": "Bolton", "352": "Manchester", "354": "Rochdale", "355": "Salford", "888": "Lancashire"}


@dataclass(frozen=True)
class Institution:
    """A line of the import. `takes` says which kind of placement it offers, to children from `low_age` to
    `high_age`."""

    urn: str
    name: str
    kind: str
    low_age: int
    high_age: int
    la_code: str
    section20_12: bool
    takes: str

    def line(self) -> dict[str, Any]:
        """As the import endpoint takes it."""
        return {key: value for key, value in asdict(self).items() if key != "takes"}


@dataclass(frozen=True)
class _Group:
    """Institutions alike but for their names, which follow; a code after "@" is the council one lies in, if
    not Bury. Section 20(12) of the Regulations does not apply to independent institutions and colleges."""

    kind: str
    takes: str
    low_age: int
    high_age: int
    names: str
    section20_12: bool = True


_GROUPS = (
    _Group("nursery", "mainstream", 2, 5, "Acorn Lane Nursery|Larkmoor Nursery|Thistle Fold Nursery"),
    _Group(
        "infant", "mainstream", 4, 7, "Brindle Hey Infant|Copperfold Infant|Dovecliff Infant|Elderbank Infant"
    ),
    _Group(
        "junior",
        "mainstream",
        7,
        11,
        "Brindle Hey Junior|Copperfold Junior|Dovecliff Junior|Elderbank Junior",
    ),
    _Group("secondary", "mainstream", 11, 16, "Foxglove High|Greyfold High|Highmoor Edge High|Jackdaw High"),
    _Group("secondary", "mainstream", 11, 16, "Ironbridge Lane High|Kingcup High|Larchbank High"),
    _Group(
        "secondary", "mainstream", 11, 18, "Marlcroft Academy|Northclough Academy|Orchard Heights Academy"
    ),
    _Group("sixth-form", "mainstream", 16, 19, "Packhorse Sixth Form College", section20_12=False),
    _Group("special", "special", 11, 19, "Skylark Ridge School|Teasel Park School|Willowherb School"),
    _Group("special", "special", 2, 11, "Quillfeather School|Rowan Beck School"),
    _Group("special", "special", 4, 16, "Umber Fold School|Violet Clough School"),
    _Group("special", "special", 3, 19, "Windle Brook School"),
    _Group(
        "independent", "special", 5, 18, "Yewtree Hollow School|Ashgill House School@352", section20_12=False
    ),
    _Group("independent", "special", 5, 18, "Beckside Manor School@888", section20_12=False),
    _Group(
        "independent", "special", 11, 25, "Curlew Lodge School|Drystone Court School@350", section20_12=False
    ),
    _Group("alternative-provision", "ap", 5, 11, "Elmfold Centre"),
    _Group("alternative-provision", "ap", 11, 19, "Fletchers Yard Centre"),
    _Group("college", "college", 16, 25, "Goyt Valley College|Harebell College", section20_12=False),
    _Group("college", "college", 16, 25, "Irkdale College@352|Kersal Brook College@355", section20_12=False),
    _Group("other", "post16", 16, 25, "Linnet Specialist College|Moorgrass Specialist College@354", False),
    _Group(
        "primary",
        "mainstream",
        4,
        11,
        "Fernmoor Primary|Gorsehill Primary|Hazelclough Primary|Ivywood Primary",
    ),
    _Group("primary", "mainstream", 4, 11, "Juniper Vale Primary|Kestrel Brow Primary|Lowmarsh Primary"),
    _Group(
        "primary",
        "mainstream",
        4,
        11,
        "Millrace Primary|Nettlecombe Primary|Oxeye Primary|Pinfold End Primary",
    ),
    _Group("primary", "mainstream", 4, 11, "Quarrydale Primary|Rushymead Primary|Sparrowfield Primary"),
    _Group("primary", "mainstream", 3, 11, "Tanhouse Primary|Underhill Grange Primary|Vetchfield Primary"),
    _Group("primary", "mainstream", 3, 11, "Wagtail Primary|Yarrowdale Primary|Bramblecote Primary"),
    _Group("primary", "mainstream", 3, 11, "Cloudberry Primary|Damson Croft Primary|Eyebright Primary"),
    _Group("primary", "mainstream", 4, 11, "Nightjar Primary@350|Otterspool Lane Primary@354"),
    _Group("secondary", "mainstream", 11, 16, "Plover High@355|Redstart High@354"),
)


@cache
def institutions() -> tuple[Institution, ...]:
    """All of them, by URN from 900101 on."""
    return tuple(_made())


def _made() -> Iterator[Institution]:
    number = 900_100
    for group in _GROUPS:
        for entry in group.names.split("|"):
            number += 1
            name, _, la = entry.partition("@")
            yield Institution(
                str(number),
                name,
                group.kind,
                group.low_age,
                group.high_age,
                la or BURY,
                group.section20_12,
                group.takes,
            )


def open_to(takes: str, age: int) -> tuple[Institution, ...]:
    """Institutions that offer this kind of placement to a child of this age at 31 August: the school year
    that starts at age a is taught where the ages reach from a, or lower, to a + 1, or higher."""
    return tuple(i for i in institutions() if i.takes == takes and i.low_age <= age < i.high_age)
