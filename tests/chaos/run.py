"""One run from start to verdict: load, storm, healing, check."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
from tests.rig.run import Run

from . import evidence as found
from . import log
from .canaries import LEFT
from .checker import DOUBLED, LEAKED, LOST, MISORDERED, STRANGER, Violation, check
from .evidence import Calm, Ending, Evidence, Outage, Sample
from .journal import Journal
from .loadgen import Load
from .nemesis import FAILPOINTS, Nemesis
from .partners import Receivers
from .resources import Watch
from .stage import LISTENS, NAMES, OUTLIVED, PREFIX, TOPICS, Life, Stage
from .strays import KEY

SAMPLES = 5
NOTICED_LATE = 1.0
"""A client may see a process die some moments before its supervisor does."""
IN_USE_AGAIN = 15.0
"""Seconds until all APIs have made new connections to a database that was away."""
Act = tuple[str, float]


@dataclass(frozen=True)
class Plan:
    """What happens in a run, and how long each act of it takes, in seconds; `replicas` of every process. `every` is the
    mean pause between kills by chance, `heal` how long calm may take to come."""

    acts: tuple[Act, ...]
    rounds: int = 1
    replicas: int = 1
    cases: int = 80
    every: float = 4.0
    hang: float = 0.0
    heal: float = 100.0

    @property
    def seconds(self) -> float:
        """About how long it takes, without the start and the checks."""
        return 30 + self.rounds * sum(seconds + AROUND.get(name, 0) for name, seconds in self.acts)


AROUND = {
    "database": 5,
    "broker": 15,
    "loss": 45,
    "replay": 15,
    "cut": 5,
    "slow": 10,
    "strand": 30,
    "strays": 3,
}
"""What an act takes besides its own length, in seconds."""
SHORT = Plan(
    (("kill", 16), ("strays", 0), ("database", 0), ("freeze", 3), ("cut", 10), ("kill", 26)), every=3.0
)
"""The two minutes of `make test`. Senders die in the first act only: their leases have then run out when calm is waited
for."""
LONG = Plan(
    (
        ("kill", 75), ("strays", 0), ("database", 0), ("freeze", 75), ("cut", 60), ("slow", 30), ("strand", 20),
        ("silence", 20), ("broker", 0), ("loss", 10), ("replay", 0), ("kill", 10),
    ),
    replicas=2, cases=300, hang=0.003, heal=300,
)  # fmt: skip
"""A round of `make chaos`: two of every process; the broker away for 60 s; a sender frozen for longer than its lease while
another goes on; everything read again from the first record."""


class Laps:
    """How long each part of a run has taken, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.time()

    def end(self, part: str) -> None:
        """A part of the run ends, and the next begins."""
        now = time.time()
        self.seconds[part], self._since = now - self._since, now


@dataclass
class Report:
    """What a run has shown."""

    seed: int
    laps: Mapping[str, float]
    events: int = 0
    redelivered: int = 0
    writes: int = 0
    replayed: int = 0
    unknown_at_first: int = 0
    refused: int = 0
    requests: int = 0
    repeated: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    outlived: int = 0
    restarted: int = 0
    slowest_start: float = 0
    healed_in: float | None = None
    outages: Sequence[Outage] = ()
    strays: int = 0
    commits_cut: int = 0
    asked: Sequence[Ending] = ()
    silences: int = 0
    samples: Sequence[Sample] = ()
    connections: Mapping[str, int] = field(default_factory=dict)
    scanned: int = 0
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
        sorts = " · ".join(f"{sort} {self.of(sort)}" for sort in SORTS)
        by_point = " ".join(f"{code} {self.killed[name]}" for code, name in FAILPOINTS.items())
        laps = ", ".join(f"{part} {seconds:.0f}" for part, seconds in self.laps.items())
        healed = "not healed" if self.healed_in is None else f"healed in {self.healed_in:.0f} s"
        lines = [
            f"kills {self.kills} · events {self.events} · {sorts}",
            f"seed {self.seed} · {sum(self.laps.values()):.0f} s ({laps}) · {healed}",
            f"killed at {by_point} · by chance {self.killed['nemesis']} · asked to end {len(self.asked)} "
            f"(killed, because they did not: {self.outlived}) · "
            f"other restarts {self.restarted} · commits cut off {self.commits_cut} · strays in the log {self.strays}",
            f"writes {self.writes} (unknown at first {self.unknown_at_first}, answered again {self.replayed}, "
            f"refused {self.refused}) · webhook requests {self.requests} (repeats {self.repeated}) · "
            f"events sent twice {self.redelivered} · slowest start {self.slowest_start:.1f} s",
        ]
        lines += [
            f"{outage.what} {outage.ended - outage.began:.0f} s: backlog {outage.backlog} events, "
            f"sent {_after(outage.sent)}, heard of everywhere {_after(outage.heard)}"
            for outage in self.outages
        ]
        lines.append(self._resources())
        if self.refusals:
            commonest = sorted(self.refusals.items(), key=lambda item: -item[1])[:6]
            lines.append("refused: " + ", ".join(f"{times} × {what}" for what, times in commonest))
        if not self.calm.reached:
            lines.append(f"still under way: {self.calm}")
        return lines + [str(violation) for violation in self._samples()]

    def _resources(self) -> str:
        """The most that any process and any service held, and how much was searched for canaries."""
        most = max(self.samples, key=lambda sample: sample.memory)
        gone = [ending.ended - ending.asked for ending in self.asked if ending.ended]
        return (
            f"memory of a process at most {most.memory:.0f} MB ({most.part}) · "
            f"files {max(sample.files for sample in self.samples)} · "
            f"threads {max(sample.threads for sample in self.samples)} · "
            f"connections {max(self.connections.values())} · slowest to end {max(gone, default=0):.1f} s · "
            f"searched for canaries {self.scanned / 1e6:.0f} MB"
        )

    def _samples(self) -> list[Violation]:
        """The first few violations of each invariant."""
        shown: Counter[tuple[str, str]] = Counter()
        samples = []
        for violation in self.violations:
            shown[violation.invariant, violation.sort] += 1
            if shown[violation.invariant, violation.sort] <= SAMPLES:
                samples.append(violation)
        return samples


SORTS = (LOST, DOUBLED, MISORDERED, STRANGER, LEAKED)


def _after(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s after"


Tell = Callable[[float, str], None]
"""Told now and then how far the run has come (0 to 1) and what it is doing."""


async def run(
    where: Run, directory: Path, plan: Plan, seed: int, tell: Tell = lambda part, what: None
) -> Report:
    """Do all of it. Raises `NoKafka` where only the mock cluster is to be had."""
    laps = Laps()
    tell(0.0, "starting Kafka, PostgreSQL and the services")
    (directory / LEFT).mkdir(parents=True)
    answers = Journal(directory / LEFT / "answers")
    loads, partners = Journal(directory / "load.journal"), Journal(directory / "partners.journal")
    receivers = Receivers(partners, seed + 1, hang=plan.hang)
    async with receivers, Stage.open(where, directory, seed) as stage:
        nemesis = Nemesis(stage, seed + 3, every=plan.every)
        stage.arm = nemesis.arm
        await stage.start(plan.replicas)
        load, watch = Load(stage, loads, answers, seed + 2, cases=plan.cases), Watch(stage)
        await load.furnish(receivers)
        nemesis.furnishing = False
        laps.end("start")
        async with _beside(watch.run()), _beside(_telling(tell, plan, nemesis, load, receivers)):
            working = asyncio.create_task(load.run())
            for _ in range(plan.rounds):
                nemesis.spared.clear()
                for name, seconds in plan.acts:
                    await nemesis.act(name, seconds)
            laps.end("storm")
            load.going = False
            nemesis.relent()
            await working
            report = Report(
                seed,
                laps.seconds,
                outages=nemesis.outages,
                connections=watch.connections,
                samples=watch.samples,
            )
            report.healed_in, report.calm = await _heal(stage, plan.heal)
        laps.end("calm")
        tell(0.96, "checking")
        await stage.all_ready()
        await _last_words(stage, answers)
        await stage.stop()
        evidence = await gather(stage, directory, nemesis, watch)
        _note_load(report, load, receivers)
        _note_nemesis(report, nemesis, evidence)
        report.events = len(evidence.events)
        report.redelivered = len(evidence.log) - len(evidence.events) - len(nemesis.again)
        report.repeated = len(evidence.requests) - len(
            {r["headers"].get("webhook-id") for r in evidence.requests}
        )
        report.violations = check(evidence)
        laps.end("check")
    return report


async def _heal(stage: Stage, within: float) -> tuple[float | None, Calm]:
    """Wait until nothing is under way; how long that took."""
    began = time.time()
    calm = Calm(outbox=1)
    while time.time() < began + within:
        with suppress(OSError):
            calm = await found.how_calm(stage.databases, await _lag(stage), KEY)
        if calm.reached:
            return time.time() - began, calm
        await asyncio.sleep(1)
    return None, calm


async def _lag(stage: Stage) -> dict[str, int]:
    """How much each service has still to read."""
    bootstrap = stage.kafka.bootstrap
    asked = (
        asyncio.to_thread(log.lag, bootstrap, PREFIX, NAMES[service], topics)
        for service, topics in LISTENS.items()
    )
    return dict(zip(LISTENS, await asyncio.gather(*asked), strict=True))


async def _last_words(stage: Stage, answers: Journal) -> None:
    """What every process says of itself to whoever asks, unless it dies just then of what it is still armed with."""
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        for part in stage.parts:
            for page in ("health", "ready", "metrics"):
                with suppress(httpx2.TransportError):
                    answers.write(text=(await client.get(f"{part.url}/{page}")).text)


async def gather(stage: Stage, directory: Path, nemesis: Nemesis, watch: Watch) -> Evidence:
    """Read everything, and let reporting-service rebuild its read models between two looks at them."""
    evidence = Evidence(listens=LISTENS, samples=watch.samples, connections=watch.connections)
    found.read_journals(directory, evidence)
    strays = {(stray.topic, stray.key, stray.digest) for stray in nemesis.poison}
    entries = await asyncio.to_thread(log.read, stage.kafka.bootstrap, PREFIX, tuple(TOPICS.values()))
    evidence.log = [entry for entry in entries if (entry.topic, entry.key, entry.digest) not in strays]
    evidence.strays = frozenset(strays)
    await found.read_databases(stage.databases, evidence)
    evidence.lag = await _lag(stage)
    reporting = stage.databases["reporting"]
    live = await found.fingerprint(reporting)
    await stage.command("reporting", "rebuild")
    evidence.fingerprints = (live, await found.fingerprint(reporting))
    evidence.outages, evidence.silences = nemesis.outages, nemesis.silences
    evidence.replays = nemesis.replays
    evidence.rejoined = found.rejoined(stage.logs())
    away = [*((at, at) for at in nemesis.restarts), *nemesis.silences]
    evidence.database_away = [(began, ended + IN_USE_AGAIN) for began, ended in away]
    evidence.absences = {part.name: _absences(part.lives) for part in stage.parts}
    evidence.processes = Counter(part.service for part in stage.parts)
    evidence.endings = [
        Ending(life.part, life.asked, life.ended, life.cause) for life in stage.lives if life.asked
    ]
    evidence.left = await _left(stage, directory, entries)
    return evidence


async def _left(stage: Stage, directory: Path, entries: Sequence[found.Entry]) -> list[Path]:
    """All that has left case-service, as files: records, other services' rows, logs, webhooks and refusals."""
    stage.keep_logs()
    where = directory / LEFT
    paths = [*found.write_log(entries, where), *stage.logs()]
    for service, url in stage.databases.items():
        only = found.OF_THE_KIT if service == "case" else ()
        paths += await found.dump(url, where, service, only)
    return [*paths, where / "answers", directory / "partners.journal"]


def _absences(lives: Sequence[Life]) -> list[tuple[float, float]]:
    """When a process was not there: from the end of one life (or from when it was asked to end) until the next answered."""
    return [
        ((one.asked or one.ended) - NOTICED_LATE, following.ready or float("inf"))
        for one, following in pairwise(lives)
        if one.ended is not None
    ]


def _note_load(report: Report, load: Load, receivers: Receivers) -> None:
    report.writes, report.refused = load.count.ok, load.count.fail
    report.replayed, report.unknown_at_first = load.count.replayed, load.count.info
    report.refusals, report.requests = load.count.refusals, receivers.received


def _note_nemesis(report: Report, nemesis: Nemesis, evidence: Evidence) -> None:
    lives = nemesis.stage.lives
    report.killed = Counter(life.cause or "" for life in lives if life.killed and life.cause != OUTLIVED)
    report.outlived = sum(life.cause == OUTLIVED for life in lives)
    report.asked = evidence.endings
    report.restarted = sum(
        life.cause not in (None, "exit 0") and not life.killed and not life.asked for life in lives
    )
    starts = [life.ready - life.started for life in lives if life.ready]
    report.slowest_start = max(starts, default=0.0)
    report.strays = len(nemesis.again) + len(nemesis.poison)
    report.commits_cut = nemesis.stage.database_link.cuts
    report.scanned = sum(path.stat().st_size for path in evidence.left)


async def _telling(tell: Tell, plan: Plan, nemesis: Nemesis, load: Load, receivers: Receivers) -> None:
    """Say how far it has come."""
    began = time.time()
    while True:
        kills = sum(life.killed for life in nemesis.stage.lives)
        what = f"{nemesis.doing}: {kills} kills, {load.count.ok} writes, {receivers.received} notices"
        tell(min(0.95, (time.time() - began) / plan.seconds), what)
        await asyncio.sleep(0.5)


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do something for ever while the block runs."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
