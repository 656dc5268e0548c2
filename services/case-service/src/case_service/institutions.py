"""The register of institutions: the mapping of an import line, and what its ages mean to the rules."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import model_validator

from service_kit.strict import Body, BoundedInt, LaCode, StrictEnum, Text, Urn, fault

Age = Annotated[int, BoundedInt(0, 99)]


class InstitutionKind(StrEnum):
    """Kinds of institution, as far as the duties of a review differ by them (SEND Regs 2014 reg 20(12))."""

    NURSERY = "nursery"
    INFANT = "infant"
    JUNIOR = "junior"
    PRIMARY = "primary"
    MIDDLE = "middle"
    SECONDARY = "secondary"
    ALL_THROUGH = "all-through"
    SPECIAL = "special"
    ALTERNATIVE = "alternative-provision"
    INDEPENDENT = "independent"
    SIXTH_FORM = "sixth-form"
    COLLEGE = "college"
    OTHER = "other"


class InstitutionLine(Body):
    """One institution. `low_age` and `high_age` are the statutory ages (they decide phase transfers);
    `section20_12` says that the council may require the head to hold review meetings (reg 20(12))."""

    urn: Urn
    name: Annotated[str, Text(200)]
    kind: StrictEnum[InstitutionKind]
    low_age: Age | None = None
    high_age: Age | None = None
    la_code: LaCode
    section20_12: bool

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.low_age is not None and self.high_age is not None and self.low_age > self.high_age:
            raise fault("age-range", "The lowest age is above the highest.")
        return self
