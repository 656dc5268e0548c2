"""One run from start to verdict: load, storm, healing, check."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.rig.run import Run

from . import evidence as found
from .checker import DOUBLED, LOST, MISORDERED, STRANGER, Violation, check
from .evidence import Calm, Evidence
from .journal import Journal
from .loadgen import Load
from .nemesis import FAILPOINTS, Cut, Nemesis
from .partners import Receivers
from .stage import LISTENS, NAMES, PREFIX, TOPICS, Life, Stage

SENDER = "notification.work"
SAMPLES = 5
NOTICED_LATE = 1.0
"""A client may see a process die some moments before its supervisor does."""


@dataclass(frozen=True)
class Plan:
    """How long a run is, in seconds, and what happens in it. `every` is the mean pause between kills by chance."""

    storm: float
    cut: float
    freeze: float
    rounds: int = 1
    senders: int = 1
    cases: int = 80
    every: float = 4.0
    hang: float = 0.0
    last_storm: float = 10.0
    heal: float = 100.0


SHORT = Plan(storm=28, cut=10, freeze=3, last_storm=12)
"""The two minutes of `make test`: all failpoints, a cut of 10 s, a frozen worker, PostgreSQL restarted once."""
LONG = Plan(storm=75, cut=60, freeze=75, senders=2, cases=300, hang=0.003, heal=300)
"""A round of `make chaos`: the broker away for 60 s; a sender frozen for longer than its lease while another goes on."""


@dataclass
class Report:
    """What a run has shown."""

    seed: int
    seconds: float = 0
    events: int = 0
    redelivered: int = 0
    writes: int = 0
    replayed: int = 0
    unknown_at_first: int = 0
    refused: int = 0
    requests: int = 0
    repeated: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    restarted: int = 0
    slowest_start: float = 0
    healed_in: float | None = None
    cuts: list[Cut] = field(default_factory=list)
    calm: Calm = field(default_factory=Calm)
    refusals: dict[str, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.killed.total()

    def of(self, sort: str) -> int:
        """How many violations of a sort."""
        return sum(violation.sort == sort for violation in self.violations)

    def lines(self) -> list[str]:
        """What to print; the first line is the claim, and says no more than was counted."""
        sorts = " · ".join(f"{sort} {self.of(sort)}" for sort in (LOST, DOUBLED, MISORDERED, STRANGER))
        by_point = " ".join(f"{code} {self.killed[name]}" for code, name in FAILPOINTS.items())
        healed = "not healed" if self.healed_in is None else f"healed in {self.healed_in:.0f} s"
        lines = [
            f"kills {self.kills} · events {self.events} · {sorts}",
            f"seed {self.seed} · {self.seconds:.0f} s · {healed}",
            f"killed at {by_point} · by chance {self.killed['nemesis']} · other restarts {self.restarted}",
            f"writes {self.writes} (unknown at first {self.unknown_at_first}, answered again {self.replayed}, "
            f"refused {self.refused}) · webhook requests {self.requests} (repeats {self.repeated}) · "
            f"events sent twice {self.redelivered} · slowest start {self.slowest_start:.1f} s",
        ]
        for cut in self.cuts:
            drained = "never" if cut.drained is None else f"{cut.drained:.1f} s after"
            lines.append(
                f"broker away {cut.ended - cut.began:.0f} s: backlog {cut.backlog} events, drained {drained}"
            )
        if self.refusals:
            commonest = sorted(self.refusals.items(), key=lambda item: -item[1])[:6]
            lines.append("refused: " + ", ".join(f"{times} × {what}" for what, times in commonest))
        if not self.calm.reached:
            lines.append(f"still under way: {self.calm}")
        return lines + [str(violation) for violation in self._samples()]

    def _samples(self) -> list[Violation]:
        """The first few violations of each invariant."""
        shown: Counter[tuple[str, str]] = Counter()
        samples = []
        for violation in self.violations:
            shown[violation.invariant, violation.sort] += 1
            if shown[violation.invariant, violation.sort] <= SAMPLES:
                samples.append(violation)
        return samples


Tell = Callable[[float, str], None]
"""Told now and then how far the run has come (0 to 1) and what it is doing."""


async def run(
    where: Run, directory: Path, plan: Plan, seed: int, tell: Tell = lambda part, what: None
) -> Report:
    """Do all of it. Raises `NoKafka` where only the mock cluster is to be had."""
    began = time.time()
    tell(0.0, "starting Kafka, PostgreSQL and the services")
    loads, partners = Journal(directory / "load.journal"), Journal(directory / "partners.journal")
    receivers = Receivers(partners, seed + 1, hang=plan.hang)
    async with receivers, Stage.open(where, directory, seed) as stage:
        nemesis = Nemesis(stage, seed + 3, every=plan.every, arming=True, spared={"notification.serve"})
        stage.arm = nemesis.arm
        await stage.start(plan.senders)
        load = Load(stage, loads, seed + 2, cases=plan.cases)
        await load.furnish(receivers)
        async with _told(tell, plan, nemesis, load, receivers, stage):
            working = asyncio.create_task(load.run())
            await _storm(plan, nemesis, stage)
            load.going = False
            nemesis.relent()
            await stage.all_ready()
            await working
            report = Report(seed, cuts=nemesis.cuts)
            report.healed_in, report.calm = await _heal(stage, plan.heal)
        tell(0.97, "checking")
        await stage.stop()
        _note_load(report, load, receivers)
        _note_lives(report, stage.lives)
        evidence = await gather(stage, directory, nemesis)
        report.events = len(evidence.events)
        report.redelivered = len(evidence.log) - len(evidence.events)
        report.repeated = len(evidence.requests) - len(
            {r["headers"].get("webhook-id") for r in evidence.requests}
        )
        report.violations = check(evidence)
    report.seconds = time.time() - began
    return report


async def _storm(plan: Plan, nemesis: Nemesis, stage: Stage) -> None:
    """All that goes wrong, in its order. Senders die only in the first part of a round: the lease of one that died runs
    for a minute, which healing would otherwise wait for."""
    for _ in range(plan.rounds):
        nemesis.arming = True
        nemesis.spared.clear()
        await nemesis.kill_at_random(plan.storm)
        nemesis.spare(*(part.name for part in stage.parts if part.name.startswith(SENDER)))
        await nemesis.restart_database()
        frozen = stage.part(SENDER) if plan.senders > 1 else stage.part("scheduler.work")
        await nemesis.freeze(frozen, plan.freeze)
        nemesis.arming = False
        await nemesis.cut_broker(plan.cut)
        nemesis.arming = True
        await nemesis.kill_at_random(plan.last_storm)


async def _heal(stage: Stage, within: float) -> tuple[float | None, Calm]:
    """Wait until nothing is under way; how long that took."""
    began = time.time()
    groups = {service: (NAMES[service], LISTENS[service]) for service in LISTENS}
    bootstrap, calm = stage.kafka.bootstrap, Calm(outbox=1)
    while time.time() < began + within:
        with suppress(OSError):
            calm = await found.how_calm(stage.databases, bootstrap, PREFIX, groups)
        if calm.reached:
            return time.time() - began, calm
        await asyncio.sleep(1)
    return None, calm


async def gather(stage: Stage, directory: Path, nemesis: Nemesis) -> Evidence:
    """Read everything, and let reporting-service rebuild its read models between two looks at them."""
    evidence = Evidence(listens=LISTENS)
    found.read_journals(directory, evidence)
    bootstrap = stage.kafka.bootstrap
    evidence.log = await asyncio.to_thread(found.read_log, bootstrap, PREFIX, tuple(TOPICS.values()))
    await found.read_databases(stage.databases, evidence)
    evidence.lag = {
        service: await asyncio.to_thread(found.lag, bootstrap, PREFIX, NAMES[service], topics)
        for service, topics in LISTENS.items()
    }
    reporting = stage.databases["reporting"]
    live = await found.fingerprint(reporting)
    await stage.command("reporting", "rebuild")
    evidence.fingerprints = (live, await found.fingerprint(reporting))
    evidence.cuts = [(cut.began, cut.ended, cut.drained) for cut in nemesis.cuts]
    evidence.outages = [(at, at + 10) for at in nemesis.restarts]
    evidence.absences = {service: _absences(stage, service) for service in NAMES}
    return evidence


def _absences(stage: Stage, service: str) -> list[tuple[float, float]]:
    """When the API of a service was not there: from the end of one life until the next one answered."""
    lives = [life for life in stage.lives if life.part == f"{service}.serve"]
    return [
        (one.ended - NOTICED_LATE, following.ready or float("inf"))
        for one, following in pairwise(lives)
        if one.ended is not None
    ]


def _note_load(report: Report, load: Load, receivers: Receivers) -> None:
    report.writes, report.refused = load.count.ok, load.count.fail
    report.replayed, report.unknown_at_first = load.count.replayed, load.count.info
    report.refusals, report.requests = load.count.refusals, receivers.received


def _note_lives(report: Report, lives: Sequence[Life]) -> None:
    report.killed = Counter(life.cause or "" for life in lives if life.killed and life.cause != "grace")
    report.restarted = sum(life.cause not in (None, "exit 0") and not life.killed for life in lives)
    starts = [life.ready - life.started for life in lives if life.ready]
    report.slowest_start = max(starts, default=0.0)


@asynccontextmanager
async def _told(
    tell: Tell, plan: Plan, nemesis: Nemesis, load: Load, receivers: Receivers, stage: Stage
) -> AsyncIterator[None]:
    """Say how far it has come while the block runs."""
    whole = plan.rounds * (plan.storm + plan.freeze + plan.cut + plan.last_storm + 15) + 30
    began = time.time()

    async def say() -> None:
        while True:
            kills = sum(life.killed for life in stage.lives)
            what = f"{nemesis.doing}: {kills} kills, {load.count.ok} writes, {receivers.received} notices"
            tell(min(0.95, (time.time() - began) / whole), what)
            await asyncio.sleep(0.5)

    telling = asyncio.create_task(say())
    try:
        yield
    finally:
        telling.cancel()
