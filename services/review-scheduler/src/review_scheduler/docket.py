"""The docket: plans with their open reviews and stages, in memory for the length of one transaction.

Commands and reactions change what is on it; `save` writes all of it set by set, so that a batch of thousands of
plans costs a handful of statements, and one plan costs the same few.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import Table, insert, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from ehcp_contracts.events import Event, Facts, Outcome, ReviewKind
from review_scheduler import announcements
from review_scheduler.domain.chain import Fill, Period, Rebase, mend
from review_scheduler.domain.dates import Owed, annual, meeting_chain
from review_scheduler.domain.obligations import (
    BEFORE_MEETING,
    CorrectedBecause,
    Move,
    Open,
    PlanFacts,
    Status,
    Withdraw,
    WithdrawnBecause,
    after_conclusion,
    owed,
    reconcile,
    satisfied_by,
)
from review_scheduler.domain.policy import NATIONAL, Policy, policy_from
from review_scheduler.domain.stages import (
    ABOUT_THE_MEETING,
    Planned,
    Stage,
    StageState,
    stages_of,
)
from review_scheduler.domain.steps import (
    OF_WHAT_WAS_DONE,
    Breach,
    breaches_of,
    late_review,
    missed_review,
    status_of,
)
from review_scheduler.tables import ROUTING, CouncilPolicy, Plan, Review, metadata
from service_kit import Fault, Refusal, uuid7
from service_kit.database import KEYS_PER_STATEMENT, add_all, among, in_chunks, put_all
from service_kit.outbox import Outgoing, publish_all

PLAN, REVIEW, STAGE, CORRECTION = (
    metadata.tables[name] for name in ("plan", "review", "stage", "correction")
)
_BY_NUMBER = attrgetter("int")  # the order of UUIDs, compared in C
_plan_row, _review_row = attrgetter(*PLAN.columns.keys()), attrgetter(*REVIEW.columns.keys())


@dataclass
class Docket:
    """Plans, their open reviews and the stages of these; closed reviews once somebody has asked for them. `today` is the
    business date, `now` the instant."""

    tx: AsyncSession
    today: date
    now: datetime
    plans: dict[UUID, Plan] = field(default_factory=dict)
    reviews: dict[UUID, list[Review]] = field(default_factory=dict)
    stages: dict[UUID, dict[Stage, Planned]] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    traceparent: str | None = None
    _stored: dict[Any, tuple[Any, ...]] = field(default_factory=dict)
    _with_closed: set[UUID] = field(default_factory=set)
    _kept: dict[tuple[UUID, Stage], Planned] = field(default_factory=dict)
    _touched: set[UUID] = field(default_factory=set)
    _rerouted: list[Plan] = field(default_factory=list)
    _corrections: list[dict[str, Any]] = field(default_factory=list)
    _outgoing: list[Outgoing] = field(default_factory=list)

    @classmethod
    async def load(cls, tx: AsyncSession, cases: Iterable[UUID], *, today: date, now: datetime) -> Docket:
        """Take these cases in hand. On PostgreSQL their plans are locked, in the order of their ids, so that two
        writers of the same case take turns and never wait for each other in a circle."""
        docket = cls(tx, today, now)
        for some in in_chunks(sorted(set(cases), key=_BY_NUMBER), KEYS_PER_STATEMENT):
            await docket._load(some)
        for row in (await tx.execute(select(CouncilPolicy))).scalars():
            docket.policies[row.la_code] = policy_from(row.settings)
        return docket

    async def _load(self, cases: Sequence[UUID]) -> None:
        plans = select(PLAN).where(among(self.tx, PLAN.c.case_id, cases)).order_by(PLAN.c.case_id)
        for row in (await self.tx.execute(plans.with_for_update())).all():
            plan = self.plans[row.case_id] = Plan(**row._mapping)
            self._stored[plan.case_id] = _plan_row(plan)
        if self.plans:
            of_these = (among(self.tx, REVIEW.c.case_id, cases), REVIEW.c.closed_on.is_(None))
            await self._load_stages([review.id for review in await self._load_reviews(*of_these)])

    async def _load_reviews(self, *which: Any) -> list[Review]:
        rows = (await self.tx.execute(select(REVIEW).where(*which).order_by(REVIEW.c.id))).all()
        found = [Review(**row._mapping) for row in rows if row.id not in self._stored]
        for review in found:
            self.reviews.setdefault(review.case_id, []).append(review)
            self._stored[review.id] = _review_row(review)
        return found

    async def _load_stages(self, ids: Sequence[UUID]) -> None:
        stage = STAGE.c
        for some in in_chunks(ids, KEYS_PER_STATEMENT):
            # Locked in the order of their keys, as the tick does: neither sends what the other moves or has sent.
            rows = (
                select(STAGE)
                .where(among(self.tx, stage.review_id, some))
                .order_by(stage.review_id, stage.stage)
                .with_for_update()
            )
            for row in (await self.tx.execute(rows)).all():
                planned = Planned(Stage(row.stage), row.on, StageState(row.state))
                # What this batch has already settled of a stage stands.
                self.stages.setdefault(row.review_id, {}).setdefault(planned.stage, planned)
                self._stored[row.review_id, planned.stage] = tuple(row)

    # --- reading --------------------------------------------------------------------------------------------------

    def open_of(self, plan: Plan) -> list[Review]:
        """The open reviews of a plan, oldest first."""
        return [review for review in self.reviews.get(plan.case_id, []) if review.closed_on is None]

    async def concluded_of(self, plan: Plan) -> list[Review]:
        """The concluded reviews of a plan, oldest first."""
        concluded = [r for r in await self.closed_of(plan) if r.status == Status.CONCLUDED]
        return sorted(concluded, key=lambda review: (review.concluded_on or date.max, review.id))

    async def closed_of(self, plan: Plan) -> list[Review]:
        """The reviews of a plan that were concluded or withdrawn, oldest first; rarely needed, so read when asked for."""
        if plan.case_id not in self._with_closed:
            self._with_closed.add(plan.case_id)
            await self._load_reviews(REVIEW.c.case_id == plan.case_id, REVIEW.c.closed_on.is_not(None))
        closed = [review for review in self.reviews.get(plan.case_id, []) if review.closed_on]
        return sorted(closed, key=lambda review: (review.due_on, review.id))

    def review(self, plan: Plan, review_id: UUID | None) -> Review | None:
        """An open review of a plan by its id."""
        return next((review for review in self.open_of(plan) if review.id == review_id), None)

    def policy_of(self, row: Plan | Review) -> Policy:
        """The settings of the council that does the work, which is the administering one."""
        return self.policies.get(row.administering_la, NATIONAL)

    # --- plans ----------------------------------------------------------------------------------------------------

    def add(self, plan: Plan) -> None:
        """A plan that is new here."""
        self.plans[plan.case_id] = plan

    def route(self, plan: Plan, **routing: str | None) -> None:
        """Say who is responsible for a plan now, and with it for its reviews, closed ones included: who may see them
        moves with the child."""
        changed = {name: value for name, value in routing.items() if getattr(plan, name) != value}
        if not changed:
            return
        rows: list[Plan | Review] = [plan, *self.open_of(plan)]
        for row in rows:
            _set(row, changed)
            self.touch(row)
        self._rerouted.append(plan)

    def touch(self, row: Plan | Review) -> None:
        """A row changed: note when, and count a review's version once per transaction."""
        row.updated_at = self.now
        if isinstance(row, Review) and row.id not in self._touched:
            self._touched.add(row.id)
            row.version += 1

    def reconcile(self, plan: Plan, *, corrected: bool = False) -> None:
        """Make the open reviews those that the plan owes."""
        by_id = {review.id: review for review in self.open_of(plan)}
        changes = reconcile(
            facts_of(plan), by_id.values(), self.policy_of(plan), today=self.today, corrected=corrected
        )
        for change in changes:
            match change:
                case Open(owed):
                    self.open(plan, owed)
                case Move(review_id, owed):
                    self.move(by_id[review_id], owed)
                case Withdraw(review_id, reason):
                    self.withdraw(by_id[review_id], reason)

    # --- reviews --------------------------------------------------------------------------------------------------

    def open(
        self, plan: Plan, owed: Owed, *, held_on: date | None = None, notice_sent_on: date | None = None
    ) -> Review:
        """Open a review; with `held_on`, one whose meeting was held before it came here."""
        review = self._new_review(plan, owed)
        if held_on:
            review.status, review.meeting_on, review.held_on = Status.HELD, held_on, held_on
            review.notice_sent_on = notice_sent_on
            self.hang_on_meeting(review, held_on)
        self.announce(review, announcements.scheduled(review))
        self._plan_stages(review)
        return review

    def _new_review(self, plan: Plan, owed: Owed) -> Review:
        review = Review(
            **{name: getattr(plan, name) for name in ROUTING},
            id=uuid7(),
            case_id=plan.case_id,
            kind=owed.kind,
            status=Status.DUE,
            opened_on=self.today,
            counts_as_statutory=owed.counts_as_statutory,
            deadline_impossible=_is_impossible(plan, owed),
            breaches=[],
            updated_at=self.now,
            **_dates_of(owed),
        )
        self.reviews.setdefault(plan.case_id, []).append(review)
        self._touched.add(review.id)
        return review

    def move(self, review: Review, owed: Owed) -> None:
        """Give an open review other dates; what was announced stays announced."""
        _set(review, _dates_of(owed))
        if review.meeting_on:
            self.hang_on_meeting(review, review.meeting_on)
        self.touch(review)
        self.announce(review, announcements.scheduled(review))
        self._plan_stages(review)

    def replan(self, plan: Plan) -> None:
        """Reckon the planning days of the open reviews anew, under the council's policy as it is now. Due dates are law
        and stand; an under-five interim moves when case-service says so."""
        wanted = {(o.kind.value, o.due_on): o for o in owed(facts_of(plan), self.policy_of(plan))}
        for review in self.open_of(plan):
            want = wanted.get((review.kind, review.due_on))
            if want is None or review.status not in BEFORE_MEETING:
                continue
            before = review.latest_meeting_on
            _set(review, _dates_of(want))
            if review.meeting_on:
                self.hang_on_meeting(review, review.meeting_on)
            self.touch(review)
            if review.latest_meeting_on != before:
                self.announce(review, announcements.scheduled(review))
            self._plan_stages(review)

    def hang_on_meeting(self, review: Review, meeting: date) -> None:
        """Set the dates that hang on the meeting; the due dates of the review itself stand."""
        chain = meeting_chain(meeting, review.due_on, ReviewKind(review.kind), self.policy_of(review))
        mine = {day.name for day in chain.dates}
        kept = [day for day in review.dates if day["name"] not in mine]
        review.dates = [*kept, *(day.to_json() for day in chain.dates)]
        review.notice_due, review.advice_due = chain.notice_due, chain.advice_due
        review.report_due, review.final_longstop = chain.report_due, chain.final_longstop
        review.meeting_limb_due, review.decision_due = chain.meeting_limb_due, chain.decision_due

    def breach(self, review: Review, breaches: Iterable[Breach]) -> None:
        """Put breaches on record. They stay there; a later one of the same code takes the place of the earlier."""
        new = {breach.code: breach.to_json() for breach in breaches}
        if new:
            review.breaches = [*(old for old in review.breaches if old["code"] not in new), *new.values()]

    async def conclude(self, plan: Plan, together: Sequence[Review]) -> None:
        """Conclude reviews of one meeting: each against its own due date. Then the 12 months start anew, what they
        satisfied falls away, and the next review is open at once. What is entered after a later conclusion is fitted in
        before it."""
        for review in together:
            review.concluded_on = conclusion_of(review)
            self._late(review, review.concluded_on)
            self._close(review, Status.CONCLUDED)
            self.announce(review, announcements.concluded(review))
        on = max(review.concluded_on for review in together if review.concluded_on)
        await self._start_anew(plan, together, on)

    async def concluded_elsewhere(self, plan: Plan, on: date) -> None:
        """A full review was concluded in the source system, which tells its last day alone: it stands for the annual
        review that is owed here. Not if that day is known here, or the review is decided and its notice on the way."""
        annuals = (review for review in self.open_of(plan) if review.kind == ReviewKind.ANNUAL)
        review = max(annuals, key=lambda review: review.due_on, default=None)
        if review is None or review.status == Status.DECIDED or on <= facts_of(plan).anchor:
            return
        review.notified_on = review.concluded_on = on
        review.withdrawn_because = "satisfied"
        self._late(review, on)
        self._close(review, Status.WITHDRAWN)
        self.announce(review, announcements.corrected(review, "evidence_found"))
        await self._start_anew(plan, [review], on)

    async def _start_anew(self, plan: Plan, together: Sequence[Review], on: date) -> None:
        is_late = on < (plan.last_concluded or date.min)
        facts = after_conclusion(facts_of(plan), together, on)
        for review in satisfied_by(together, self.open_of(plan), on):
            review.satisfied_by, review.satisfied_on = together[0].id, on
            self._late(review, on)
            self.withdraw(review, "satisfied")
        plan.last_concluded, plan.facts = facts.last_concluded, facts.facts.model_dump(mode="json")
        plan.interims_done_to, plan.phase_done_for = facts.interims_done_to, facts.phase_done_for
        self.touch(plan)
        self.reconcile(plan)
        if is_late and any(review.counts_as_statutory for review in together):
            await self.mend(plan, "recorded_late", None, on)

    def judge(self, review: Review, ended_on: date | None) -> None:
        """Hold the days on record against the dates as they are now. `ended_on`: the day the review was concluded or
        satisfied, if it was."""
        review.days_late = max(0, (ended_on - review.due_on).days) if ended_on else None
        review.breaches = [old for old in review.breaches if old["code"] not in OF_WHAT_WAS_DONE]
        self.breach(review, breaches_of(review, ended_on))
        self.touch(review)

    # --- what is recorded late or corrected -------------------------------------------------------------------------

    async def owed_then(self, plan: Plan, on: date) -> Owed:
        """The annual review owed in the earlier twelve months in which a day falls. Raises `Refusal`: conflict where
        the review of that time is here, validation where the register does not reach back so far."""
        current = [r.counted_from for r in self.open_of(plan) if r.kind == ReviewKind.ANNUAL]
        if on >= max(current, default=facts_of(plan).anchor):
            message = "The review owed at that time is in the register: enter the meeting there."
            raise Refusal("conflict", errors=[Fault("/held_on", "review-is-here", message)])
        closed = await self.closed_of(plan)
        known = {review.counted_from for review in closed if review.kind == ReviewKind.ANNUAL}
        known |= {r.concluded_on for r in closed if r.concluded_on and r.counts_as_statutory}
        earlier = [day for day in known if day <= on]
        if not earlier:
            message = "The register does not reach back to the twelve months of that day."
            raise Refusal("validation", errors=[Fault("/held_on", "before-the-register", message)])
        return annual(max(earlier), self.policy_of(plan))

    def last_owed(self, plan: Plan, review: Review) -> date:
        """The last day on which a withdrawn review was still owed."""
        assert review.closed_on is not None
        if review.withdrawn_because == "plan_ended" and plan.ceased_on:
            return plan.ceased_on - timedelta(days=1)
        return _ended_on(review) or review.closed_on

    async def reinstate(self, plan: Plan, review: Review) -> None:
        """Take up a withdrawn review again: it is owed after all, or something done in its time is entered now."""
        review.closed_on = review.withdrawn_because = review.concluded_on = None
        review.satisfied_by = review.satisfied_on = None
        if review.outcome is None:
            review.notified_on = None
        review.status = status_of(review)
        await self._load_stages([review.id])
        self.judge(review, None)
        self.announce(review, announcements.corrected(review, "recorded_late"))

    async def take_up_kind(self, plan: Plan, kind: ReviewKind, on: date) -> list[Review]:
        """Take up the review of a kind that has fallen away since and was owed on that day, unless one is open."""
        if any(review.kind == kind for review in self.open_of(plan)):
            return []
        fallen = [r for r in await self.closed_of(plan) if r.kind == kind and r.status == Status.WITHDRAWN]
        owed_then = [review for review in fallen if self.last_owed(plan, review) >= on][-1:]
        for review in owed_then:
            await self.reinstate(plan, review)
        return owed_then

    def revive_stages(self, review: Review) -> None:
        """Of a review taken up again, what was cancelled when it fell away is to be told as of any other."""
        mine = self.stages.get(review.id, {})
        self.stages[review.id] = {s: p for s, p in mine.items() if p.state is not StageState.CANCELLED}
        self._plan_stages(review)

    async def reconclude(
        self, plan: Plan, days: Sequence[tuple[Review, date | None]], because: CorrectedBecause
    ) -> None:
        """Say how reviews stand whose recorded days were corrected. `days`: the day each is concluded on now, if it is;
        what it satisfied, and the 12 months that start with it, follow."""
        moved = {
            (r.concluded_on, on) for r, on in days if on and r.counts_as_statutory and on != r.concluded_on
        }
        for review, on in days:
            review.concluded_on = on
            self._correct(review, because)
        if not moved:
            return
        closed = await self.closed_of(plan)
        ends = {review.id: review.concluded_on for review in closed}
        for review in closed:
            on = ends.get(review.satisfied_by) if review.satisfied_by else None
            if on != review.satisfied_on:
                review.satisfied_on = on
                self._correct(review, because)
        for old, on in moved:
            if plan.last_concluded == old:
                plan.last_concluded = max(
                    r.concluded_on for r in closed if r.concluded_on and r.counts_as_statutory
                )
                self.touch(plan)
            await self.mend(plan, because, old, on)
        self.reconcile(plan, corrected=True)

    async def mend(self, plan: Plan, because: CorrectedBecause, old: date | None, new: date) -> None:
        """Put the chain of twelve months right around a conclusion that is new here or moved from `old`, or where the
        first of them starts with `new` and not with `old`. What changes by it is told as a correction."""
        closed = {review.id: review for review in await self.closed_of(plan)}
        periods = [
            Period(review.id, review.counted_from, day)
            for review in closed.values()
            if review.kind == ReviewKind.ANNUAL and (day := _ended_on(review))
        ]
        if not periods:
            return
        conclusions = {
            r.concluded_on: r.id for r in closed.values() if r.concluded_on and r.counts_as_statutory
        }
        first = min(period.begins for period in periods)
        days = {new} if old is None else {old, new}
        for change in mend(new if first == old else first, conclusions, periods, days):
            match change:
                case Rebase(review_id, begins):
                    self._rebase(closed[review_id], begins, because)
                case Fill(begins, ended_on, other):
                    self._fill(plan, closed[other], begins, ended_on)

    def _rebase(self, review: Review, begins: date, because: CorrectedBecause) -> None:
        _set(review, _dates_of(annual(begins, self.policy_of(review))))
        if review.held_on:
            self.hang_on_meeting(review, review.held_on)
        self._correct(review, because)

    def _fill(self, plan: Plan, other: Review, begins: date, ended_on: date) -> None:
        """The annual review of twelve months that nobody knew of, satisfied by `other`."""
        review = self._new_review(plan, annual(begins, self.policy_of(plan)))
        review.status, review.closed_on = Status.WITHDRAWN, self.today
        review.withdrawn_because = "satisfied"
        review.satisfied_by, review.satisfied_on = other.id, ended_on
        self._correct(review, "recorded_late")

    def _correct(self, review: Review, because: CorrectedBecause) -> None:
        self.judge(review, _ended_on(review))
        self.announce(review, announcements.corrected(review, because))

    def withdraw(self, review: Review, because: WithdrawnBecause) -> None:
        """End a review that is no longer owed; one that lapsed keeps on record that it was missed."""
        review.withdrawn_because = because
        if because == "lapsed":
            review.days_late = (self.today - review.due_on).days
            self.breach(review, missed_review(review, self.today))
        self._close(review, Status.WITHDRAWN)
        self.announce(review, announcements.withdrawn(review, because))

    def _late(self, review: Review, ended_on: date) -> None:
        """A review that ended late stays on record with its days late (`review_late`)."""
        review.days_late = max(0, (ended_on - review.due_on).days)
        self.breach(review, late_review(review, ended_on))

    def _close(self, review: Review, status: Status) -> None:
        review.status, review.closed_on = status, self.today
        self.cancel_stages(review, tuple(Stage))
        self.touch(review)

    def note_correction(self, review: Review, **what: Any) -> None:
        """Keep what stood there before, and why it does no longer."""
        row = {"id": uuid7(), "review_id": review.id, "version": review.version, "at": self.now}
        self._corrections.append(row | what)

    # --- stages and events ----------------------------------------------------------------------------------------

    def announce(self, review: Review, event: Event) -> None:
        """Send an event about a review when the docket is saved."""
        self._outgoing.append(
            Outgoing(
                event, review.case_id, review.responsible_la, f"/v1/reviews/{review.id}", self.traceparent
            )
        )

    def cancel_stages(self, review: Review, which: Sequence[Stage] = ABOUT_THE_MEETING) -> None:
        """Nobody need be told these any more."""
        for planned in list(self.stages.get(review.id, {}).values()):
            if planned.stage in which and planned.state is StageState.PENDING:
                self._keep(review, Planned(planned.stage, planned.on, StageState.CANCELLED))

    def _plan_stages(self, review: Review) -> None:
        before = {stage: planned.state for stage, planned in self.stages.get(review.id, {}).items()}
        for planned in stages_of(
            review.due_on,
            review.latest_meeting_on,
            self.policy_of(review),
            known_since=review.opened_on,
            today=self.today,
            meeting_held=review.held_on is not None,
            before=frozenset(before.items()),
        ):
            self._keep(review, planned)
            if planned.now:
                self.announce(review, announcements.stage_reached(review, planned.stage))

    def _keep(self, review: Review, planned: Planned) -> None:
        self.stages.setdefault(review.id, {})[planned.stage] = planned
        self._kept[review.id, planned.stage] = planned

    # --- writing --------------------------------------------------------------------------------------------------

    async def save(self) -> None:
        """Write everything, and the events in the order in which they came about, in this transaction."""
        reviews = [review for known in self.reviews.values() for review in known]
        stages = [(key, self._stage_row(*key)) for key in self._kept]
        await self._put(PLAN, [(plan.case_id, _plan_row(plan)) for plan in self.plans.values()])
        await self._put(REVIEW, [(review.id, _review_row(review)) for review in reviews])
        await self._put(STAGE, stages)
        await self._save_routing()
        if self._corrections:
            await self.tx.execute(insert(CORRECTION), self._corrections)
        await publish_all(self.tx, self._outgoing)
        self._rerouted, self._outgoing, self._corrections, self._kept = [], [], [], {}

    async def _put(self, table: Table, rows: Sequence[tuple[Any, tuple[Any, ...]]]) -> None:
        """Write the rows that differ from what is stored. What is there already first: a review that is closed makes room
        for the next of its kind. (All of it was locked when it was read, so that no order is to be kept here.)"""
        names = table.columns.keys()
        new: list[tuple[Any, ...]] = []
        changed: list[tuple[Any, ...]] = []
        for key, row in rows:
            stored = self._stored.get(key)
            if stored != row:
                (changed if stored else new).append(row)
                self._stored[key] = row
        await put_all(self.tx, table, [dict(zip(names, row, strict=True)) for row in changed])
        await add_all(self.tx, table, names, new)

    async def _save_routing(self) -> None:
        for plan in self._rerouted:
            closed = (REVIEW.c.case_id == plan.case_id, REVIEW.c.closed_on.is_not(None))
            routing = {name: getattr(plan, name) for name in ROUTING}
            values = routing | {"updated_at": self.now, "version": REVIEW.c.version + 1}
            await self.tx.execute(update(REVIEW).where(*closed).values(values))

    def _stage_row(self, review_id: UUID, stage: Stage) -> tuple[Any, ...]:
        planned = self._kept[review_id, stage]
        return review_id, stage, planned.on, planned.state, self.today if planned.now else None


def facts_of(plan: Plan) -> PlanFacts:
    """What the rules look at in a plan."""
    return PlanFacts(
        plan_first_made=plan.plan_first_made,
        facts=Facts.model_validate(plan.facts),
        last_concluded=plan.last_concluded,
        interims_done_to=plan.interims_done_to,
        phase_done_for=plan.phase_done_for,
        ended=plan.ceased_on is not None,
    )


def conclusion_of(review: Review) -> date:
    """The day a decided review is concluded: its decision notified and, for "amend", the notice sent as well."""
    assert review.notified_on is not None
    notice = review.notice_sent_on if review.outcome == Outcome.AMEND else None
    return max(review.notified_on, notice or review.notified_on)


def _ended_on(review: Review) -> date | None:
    """The day a closed review was concluded, or satisfied by another; none if it fell away in another way."""
    return review.concluded_on or review.satisfied_on


def _is_impossible(plan: Plan, owed: Owed) -> bool:
    """Whether the plan was made only after the deadline of its phase transfer (`phase_late_plan`)."""
    return owed.kind is ReviewKind.PHASE_TRANSFER and bool(plan.facts.get("phase_deadline_impossible"))


def _dates_of(owed: Owed) -> dict[str, Any]:
    names = ("counted_from", "due_on", "alternative_due_on", "latest_meeting_on", "rule_id", "citation")
    return {name: getattr(owed, name) for name in names} | {"dates": list(owed.dates_as_json)}


def _set(row: Plan | Review, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(row, name, value)
