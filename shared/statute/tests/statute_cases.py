"""The hand-written cases of `golden.toml`, read once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from send_statute import Pack, Policy, StatuteError, evaluate, explain

HERE = Path(__file__).parent
VECTORS = HERE.parents[3] / "shared" / "domain" / "statute-vectors.json"


@dataclass(frozen=True)
class Case:
    """A rule, what it is given, and what it must answer with: results, or the error and the fact it names."""

    id: str
    rule: str
    given: Mapping[str, Any]
    expect: Mapping[str, Any] | None
    refused: str = ""
    policy: Policy = field(default_factory=Policy)
    said: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()

    def outcome(self, pack: Pack) -> Any:
        """What the rule answers: its results, or the error it ends in as "BadFact: weeks"."""
        try:
            results = evaluate(self.rule, self.given, policy=self.policy, pack=pack)
            if self.said or self.unsaid:
                text = explain(self.rule, self.given, policy=self.policy, pack=pack).text
                missing = [words for words in self.said if words not in text]
                extra = [words for words in self.unsaid if words in text]
                return (text, missing, extra) if missing or extra else results
            return results
        except StatuteError as refusal:
            fact = getattr(refusal, "fact", None)
            return f"{type(refusal).__name__}: {fact}" if fact else type(refusal).__name__

    @property
    def expected(self) -> Any:
        """What the answer must be."""
        return self.refused or self.expect


@dataclass(frozen=True)
class InForce:
    """The first and the last day on which a rule is in force."""

    rule: str
    first: date
    last: date | None


def _iso(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return [_iso(item) for item in value]
    return value


def golden() -> list[Case]:
    """The cases; "none" stands for null, which TOML has not, except for the one result that is the word itself."""
    rows = tomllib.loads((HERE / "golden.toml").read_text(encoding="utf-8"))["case"]
    cases = []
    for number, row in enumerate(rows, 1):
        expect = row.get("expect")
        if expect is not None:
            expect = {
                name: None if value == "none" and name != "adjusted" else _iso(value)
                for name, value in expect.items()
            }
        policy = Policy.from_mapping(row.get("policy", {}))
        cases.append(
            Case(
                id=f"{number}-{row['rule']}",
                rule=row["rule"],
                given=row["given"],
                expect=expect,
                refused=row.get("refused", ""),
                policy=policy,
                said=tuple(row.get("said", ())),
                unsaid=tuple(row.get("unsaid", ())),
            )
        )
    return cases


def in_force() -> list[InForce]:
    """The periods of force."""
    rows = tomllib.loads((HERE / "golden.toml").read_text(encoding="utf-8"))["in_force"]
    return [InForce(row["rule"], row["first"], row.get("last")) for row in rows]
