"""Invented people: names put together at random, and identifiers that cannot be anybody's.

UPNs use school number 9999, which no school holds; NHS numbers start 999, the range for tests; postcodes
start ZZ99, which is no place. The check letters and digits are right, so that they pass the checks that real
ones must pass.
"""

from __future__ import annotations

import random

GIRLS = """
    Aaliyah Abigail Aisha Alice Amara Amelia Anya Ava Beatrix Bethany Carys Chloe Daisy Eleanor Elif Emily Erin Esme
    Farah Fatima Freya Grace Hana Harriet Holly Imani Iris Isla Jasmine Kezia Layla Lena Lily Maisie Maryam Mia Molly
    Nadia Niamh Olivia Orla Phoebe Poppy Priya Róisín Ruby Safiya Scarlett Sienna Sofia Tilly Willow Zara Zofia
""".split()  # noqa: SIM905
BOYS = """
    Aaron Adam Ahmed Albert Alfie Archie Arjun Arthur Ayaan Benjamin Bilal Caleb Callum Charlie Daniel Dawid Dylan
    Elijah Ethan Ezra Finley Freddie George Hamza Harry Ibrahim Isaac Jack Jacob Jakub Joshua Kai Kofi Leo Lewis Logan
    Luca Mason Max Mohammed Musa Nathan Noah Oliver Oscar Owen Rafael Reuben Rohan Ryan Samuel Theo Toby Yusuf Zachary
""".split()  # noqa: SIM905
SURNAMES = """
    Ackroyd Adeyemi Ahmed Ainscough Akhtar Allenby Ashworth Bamford Barlow Begum Birtwistle Brierley Butterworth
    Cartledge Chadwick Chowdhury Clegg Cohen Crompton Dawson Diaz Duckworth Dunne Entwistle Fairclough Farooq Fielding
    Fitton Gallagher Garside Greenhalgh Grimshaw Hamer Hargreaves Haworth Heywood Holt Hussain Iqbal Jankowski Kay
    Kershaw Khan Kowalski Lomax Mahmood Marsden Mellor Mensah Nowak Nuttall O'Connor O'Neill Ogden Okafor Ormerod
    Partington Patel Pilkington Qureshi Ramsbottom Rawstron Rigby Rosen Rothwell Schofield Shah Singh Smith-Hall
    Stansfield Taylor Tetlow Thornley Turner Unsworth Wang Whitworth Wolstenholme Yates Young Zielinski Żak
""".split()  # noqa: SIM905
FORENAMES = {"F": GIRLS, "M": BOYS}
LETTERS = "ABCDEFGHJKLMNPQRTUVWXYZ"


def name(dice: random.Random, sex: str) -> tuple[str, str]:
    """Surname and forename."""
    return dice.choice(SURNAMES), dice.choice(FORENAMES[sex])


def upn(year: int, serial: int) -> str:
    """A unique pupil number of Bury's (351) school 9999, given in `year`, with its check letter (DfE, UPN
    guide)."""
    rest = f"3519999{year % 100:02d}{serial:03d}"
    return LETTERS[sum(weight * int(digit) for weight, digit in enumerate(rest, start=2)) % 23] + rest


def nhs_number(serial: int) -> str | None:
    """The test number 999 + `serial` (six digits) + check digit; None where the check makes no number."""
    nine = f"999{serial:06d}"
    check = 11 - sum(weight * int(digit) for weight, digit in zip(range(10, 1, -1), nine, strict=True)) % 11
    return None if check == 10 else f"{nine}{check % 11}"


def postcode(dice: random.Random) -> str:
    """A postcode of the pseudo-area ZZ99."""
    return f"ZZ99 {dice.randint(1, 9)}{dice.choice('ABDEF')}{dice.choice('GHJLN')}"
