"""Types of the string fields of events. Each has a tight pattern, so that no field can carry a name or free
text."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

Urn = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]
"""Unique reference number of an institution (Get Information about Schools): six digits."""

LaCode = Annotated[str, StringConstraints(pattern=r"^[0-9]{3}$")]
"""DfE code of a local authority: three digits (Bury 351)."""

OdsCode = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{3,6}$")]
"""Code of an NHS organisation in the Organisation Data Service (Greater Manchester ICB: QOP)."""

OpaqueRef = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,39}$")]
"""A council's own reference for a team or an officer; never a person's name."""

AcademicYear = Annotated[str, StringConstraints(pattern=r"^20[0-9]{2}/[0-9]{2}$")]
"""A school year, 1 September to 31 August: "2026/27"."""

RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{2,59}$")]
"""Id of a rule of the statute pack."""

LAW = r"(Children and Families Act 2014|CFA 2014|SEND Regs 2014|CoP|Council policy)"
Citation = Annotated[str, StringConstraints(pattern=rf"^{LAW}[A-Za-z0-9 .,;()\[\]-]{{0,120}}$")]
"""Where a rule stands in law, the Code of Practice or a council's published policy."""

WireType = Annotated[str, StringConstraints(pattern=r"^ehcp\.[a-z0-9-]{3,50}\.v[0-9]{1,3}$")]
"""Type of an event on the wire: ehcp.plan-issued.v1."""

FailureCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{1,39}$")]
"""Why a delivery failed, as a short code."""

YearGroup = Annotated[int, Field(ge=-5, le=22)]
"""National curriculum year: Reception 0, the years before it negative, 22 the highest a plan can reach."""

Count = Annotated[int, Field(ge=0, le=1_000_000)]
"""How often something was done."""

Days = Annotated[int, Field(ge=0, le=365)]
"""A number of calendar days of a council's policy."""

Months = Annotated[int, Field(ge=0, le=11)]
"""A number of months of a council's policy; 0 is never."""
