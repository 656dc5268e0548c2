"""What this package refuses, and why. Every refusal is a `ValueError` that names the rule and the fact."""

from __future__ import annotations


class StatuteError(ValueError):
    """The common parent: whoever only wants to know "could not be computed" catches this one."""


class UnknownRule(StatuteError):
    """No rule of that name is in the pack."""

    def __init__(self, rule: str, near: tuple[str, ...] = ()) -> None:
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        super().__init__(f"unknown rule {rule!r}{hint}")
        self.rule = rule
        self.near = near


class MissingFact(StatuteError):
    """The rule cannot be computed without this fact, and it is never guessed."""

    def __init__(self, rule: str, fact: str) -> None:
        super().__init__(f"rule {rule!r} needs the fact {fact!r}")
        self.rule = rule
        self.fact = fact


class BadFact(StatuteError):
    """A fact is there but is not what the rule takes (not a date, not one of the listed words, …)."""

    def __init__(self, rule: str, fact: str, problem: str) -> None:
        super().__init__(f"rule {rule!r}, fact {fact!r}: {problem}")
        self.rule = rule
        self.fact = fact
        self.problem = problem


class NotInForce(StatuteError):
    """The rule was not law (or guidance, or policy) on the day that starts its clock."""

    def __init__(self, rule: str, on: str, force_period: str) -> None:
        super().__init__(f"rule {rule!r} was not in force on {on} ({force_period})")
        self.rule = rule
        self.on = on


class MissingHolidayYear(StatuteError):
    """The bank holidays of this year are not loaded. Load them; they are proclaimed, not computed."""

    def __init__(self, year: int) -> None:
        super().__init__(f"the bank holidays of {year} are not loaded; working days cannot be counted there")
        self.year = year


class PolicyOutsideLaw(StatuteError):
    """A council's setting would touch what only law or guidance may set."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"policy {setting!r}: {problem}")
        self.setting = setting


class PackError(StatuteError):
    """The rule pack itself is wrong: an unknown operation, a name nobody sets, two versions in force at once."""


class IllegalStep(StatuteError):
    """The state machine refuses; `clause` is what the step would offend and `reason` says how."""

    def __init__(self, machine: str, state: str, event: str, reason: str, clause: str) -> None:
        super().__init__(f"{machine}: {event!r} is not open in state {state!r}: {reason} ({clause})")
        self.machine = machine
        self.state = state
        self.event = event
        self.reason = reason
        self.clause = clause
