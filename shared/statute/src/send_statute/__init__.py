"""Statutory dates of EHC plans in England, as data and pure functions."""

from send_statute.ages import academic_year, age_on
from send_statute.answers import evaluate, explain, rules
from send_statute.batch import NextDates, next_dates
from send_statute.clock import end_of_day, local_date
from send_statute.errors import (
    BadFact,
    IllegalStep,
    MissingFact,
    MissingHolidayYear,
    NotInForce,
    PackError,
    PolicyOutsideLaw,
    StatuteError,
    UnknownRule,
)
from send_statute.explain import CitedDate, ExplainedStep, Explanation
from send_statute.holidays import BankHolidays
from send_statute.machines import (
    Breach,
    Machine,
    Timer,
    Transition,
    machine,
    notification_matrix,
    who_is_told,
)
from send_statute.pack import Pack, Rule, load_pack
from send_statute.policy import DEFAULT_POLICY, Policy
from send_statute.reference import reference_page
from send_statute.shortcuts import birthday_at, compulsory_school_age, fifth_birthday, ncy, young_person_from
from send_statute.terms import Closure, MissingTerms, SchoolTerms, Term, planning_day
from send_statute.whatif import Clause, Moved, diff

__all__ = [
    "DEFAULT_POLICY",
    "BadFact",
    "BankHolidays",
    "Breach",
    "CitedDate",
    "Clause",
    "Closure",
    "ExplainedStep",
    "Explanation",
    "IllegalStep",
    "Machine",
    "MissingFact",
    "MissingHolidayYear",
    "MissingTerms",
    "Moved",
    "NextDates",
    "NotInForce",
    "Pack",
    "PackError",
    "Policy",
    "PolicyOutsideLaw",
    "Rule",
    "SchoolTerms",
    "StatuteError",
    "Term",
    "Timer",
    "Transition",
    "UnknownRule",
    "academic_year",
    "age_on",
    "birthday_at",
    "compulsory_school_age",
    "diff",
    "end_of_day",
    "evaluate",
    "explain",
    "fifth_birthday",
    "load_pack",
    "local_date",
    "machine",
    "ncy",
    "next_dates",
    "notification_matrix",
    "planning_day",
    "reference_page",
    "rules",
    "who_is_told",
    "young_person_from",
]
