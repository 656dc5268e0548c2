"""The nemesis: seeded decisions on what dies when, and what else goes wrong.

A run is a row of acts (`ACTS`), each with a length in seconds. In some of them processes die, by chance and at
failpoints; in the others it is the network, the broker, the database or the log itself that goes wrong.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from confluent_kafka import KafkaException

from . import log, strays
from .evidence import SLOW_BROKER, Outage, deaf, unsent
from .stage import LISTENS, NAMES, PREFIX, TOPICS, Part, Stage

FAILPOINTS: Mapping[str, str] = {
    "F01": "api.before_commit",
    "F02": "api.after_commit_before_response",
    "F03": "relay.after_read",
    "F04": "relay.after_send_before_mark",
    "F05": "relay.after_mark",
    "F06": "cons.after_poll",
    "F07": "cons.after_effect_before_commit",
    "F08": "cons.after_commit_before_offset",
    "F09": "cons.after_offset",
    "F10": "sched.after_tick_before_commit",
    "F11": "send.after_claim",
    "F12": "send.after_request_before_answer",
    "F13": "send.after_2xx_before_mark",
    "F14": "import.mid_file",
}
_OF_ROLE = {
    "serve": ("F01", "F02"),
    "relay": ("F03", "F04", "F05"),
    "work": ("F06", "F07", "F08", "F09"),
}
_OF_PART = {"case.serve": ("F14",), "scheduler.work": ("F10",), "notification.work": ("F11", "F12", "F13")}
_SENDING = ("F11", "F12", "F13")
_VISITS = {"serve": (3, 15), "relay": (2, 15), "work": (1, 4)}
_VISITS_OF = {"F10": (1, 1), "F14": (1, 3)} | dict.fromkeys(_SENDING, _VISITS["relay"])
GENTLY = 0.25
"""The share of processes that are asked to end instead of being killed."""
COMMITS_CUT_EVERY = 3.0
SENT_WITHIN = 30.0
FOUND_OUT_WITHIN = 45.0
"""How long until a relay has given up a connection that is dead without anybody having said so, and sent over a new one:
its deadline for one sending is 30 s."""
PATIENCE = 90.0
SLOW = {"seconds": 2.0, "jitter": 1.0, "bytes_per_second": 20_000}


@dataclass
class Nemesis:
    """Kills by chance and by failpoint, and all other misfortune. `every` is the mean pause between two kills by chance,
    in seconds."""

    stage: Stage
    seed: int
    every: float = 3.0
    outages: list[Outage] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    freezes: list[tuple[str, float, float]] = field(default_factory=list)
    silences: list[tuple[float, float]] = field(default_factory=list)
    replays: list[float] = field(default_factory=list)
    again: list[log.Addition] = field(default_factory=list)
    poison: list[log.Addition] = field(default_factory=list)
    doing: str = ""
    arming: bool = True
    furnishing: bool = True
    spared: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._cutting = random.Random(self.seed + 1)
        self._armed: Counter[str] = Counter()

    async def act(self, name: str, seconds: float) -> None:
        """One act of the run, so many seconds long (those that have a length)."""
        await ACTS[name](self, seconds)

    # -- failpoints ---------------------------------------------------------------------------------------------

    def arm(self, part: Part) -> str | None:
        """What the next life of a process is armed with: of the failpoints it passes, the one least tried so far."""
        if not self.arming or part.name in self.spared:
            return None
        own = _OF_PART.get(f"{part.service}.{part.role}", ())
        if self.furnishing and part.role == "serve":  # setting up is not repeated
            own = ()
            if part.service == "notification":
                return None
        codes = (*own, *_OF_ROLE[part.role])
        fired = Counter(life.cause for life in self.stage.lives)
        rank = {code: (fired[FAILPOINTS[code]], self._armed[code], code not in own) for code in codes}
        code = self._dice.choice([code for code in codes if rank[code] == min(rank.values())])
        self._armed[code] += 1
        visits = self._dice.randint(*_VISITS_OF.get(code, _VISITS[part.role]))
        return f"{FAILPOINTS[code]}=kill:1@n={visits}"

    def spare(self, *names: str) -> None:
        """Kill these no more, and take their failpoints from them, which costs them one last life."""
        self.spared |= set(names)
        for part in self.stage.parts:
            if part.name in self.spared and part.lives and part.life.armed:
                part.kill()

    def relent(self) -> None:
        """Let everything live from now on; who is armed may die of it once more."""
        self.arming = False
        self.doing = "healing"

    # -- processes ----------------------------------------------------------------------------------------------

    async def kill(self, seconds: float) -> None:
        """SIGKILL a process that has answered, now and then, or ask it to end (F17, F18), and break connections in the
        middle of a COMMIT (F27); meanwhile the days pass. Afterwards the senders are left in peace: the lease of one that
        died runs for a minute, which healing would otherwise wait for."""
        ends = time.time() + seconds
        self.arming, self.doing = True, "killing at random"
        cutting = asyncio.create_task(self._cut_commits())
        while (pause := self._dice.expovariate(1 / self.every)) + time.time() < ends:
            await asyncio.sleep(pause)
            self.stage.today += timedelta(days=self._dice.randint(1, 4))
            able = [part for part in self.stage.parts if part.ready and part.name not in self.spared]
            if able:
                part = self._dice.choice(able)
                end = part.ask_to_end if self._dice.random() < GENTLY else part.kill
                end()
        await asyncio.sleep(max(0.0, ends - time.time()))
        cutting.cancel()
        await self.stage.database_link.heal()
        self.spare(*(part.name for part in self.stage.parts if part.name.startswith("notification.work")))

    async def _cut_commits(self) -> None:
        """The connection of an API breaks as it commits, before or after PostgreSQL has heard of it."""
        while True:
            await asyncio.sleep(self._cutting.expovariate(1 / COMMITS_CUT_EVERY))
            await self.stage.database_link.cut_at(b"COMMIT", deliver=self._cutting.random() < 0.5)

    async def freeze(self, seconds: float) -> None:
        """SIGSTOP a process for a while (F19): a sender if there is another, who takes over what it had claimed."""
        several = len(self.stage.of_role("work")) > len(LISTENS)
        part = self.stage.part("notification.work" if several else "scheduler.work")
        self.doing = f"{part.name} is frozen"
        while not part.ready:  # one that is only just starting holds nothing yet
            await asyncio.sleep(0.1)
        began = time.time()
        part.freeze()
        await asyncio.sleep(seconds)
        part.thaw()
        self.freezes.append((part.name, began, time.time()))

    # -- the database -------------------------------------------------------------------------------------------

    async def restart_database(self, _: float) -> None:
        """PostgreSQL ends, at once or in order, and starts again (F25)."""
        self.doing = "PostgreSQL starts again"
        self.restarts.append(time.time())
        if self._dice.random() < 0.5:
            await asyncio.to_thread(self.stage.postgres.stop)
        await asyncio.to_thread(self.stage.postgres.restart)

    async def silence_database(self, seconds: float) -> None:
        """The APIs reach PostgreSQL, and it does not answer (F26)."""
        self.doing = "the database is silent"
        began = time.time()
        await self.stage.database_link.blackhole()
        await asyncio.sleep(seconds)
        await self.stage.database_link.heal()
        self.silences.append((began, time.time()))

    # -- the broker, and the network before it ---------------------------------------------------------------------

    async def cut_broker(self, seconds: float) -> None:
        """Nobody reaches the broker for a while (F20): refused for the first half, silent for the second."""
        async with self._outage("the broker is cut off"):
            await self.stage.broker_link.refuse()
            await asyncio.sleep(seconds / 2)
            await self.stage.broker_link.blackhole()
            await asyncio.sleep(seconds / 2)
            await self.stage.broker_link.heal()

    async def slow_broker(self, seconds: float) -> None:
        """Every answer of the broker takes seconds, and the line is thin (F23)."""
        async with self._outage(SLOW_BROKER):
            await self.stage.broker_link.delay(**SLOW)
            await asyncio.sleep(seconds)
            await self.stage.broker_link.heal()

    async def strand_broker(self, seconds: float) -> None:
        """All connections to the broker die, and nobody is told (F24): who waits for an answer must find out by himself,
        for new connections pass."""
        async with self._outage("connections to the broker are dead", within=FOUND_OUT_WITHIN - seconds):
            await self.stage.broker_link.strand()
            await asyncio.sleep(seconds)
        await self.stage.broker_link.heal()

    async def restart_broker(self, _: float) -> None:
        """The broker dies, and starts again on its log (F21)."""
        async with self._outage("the broker was killed"):
            await asyncio.to_thread(self.stage.kafka.kill9)
            await asyncio.to_thread(self.stage.kafka.restart)

    async def lose_records(self, seconds: float) -> None:
        """The broker comes back without the last seconds of its log (F22), and what an operator does then: relays away,
        broker up, `republish`, relays back. The broker is first stopped in order and started again (F21)."""
        cluster = self.stage.kafka.cluster
        data, older = cluster.directory / "1" / "data", cluster.directory / "1" / "older"
        async with self._outage("the broker ended in order"):
            since = datetime.now(UTC)
            await asyncio.to_thread(cluster.stop)
            await asyncio.to_thread(shutil.copytree, data, older)
            await asyncio.to_thread(cluster.start)
        await asyncio.sleep(seconds)
        async with self._outage("the broker has lost records"):
            relays = await self.stage.hold("relay")
            await asyncio.to_thread(cluster.kill9)
            await asyncio.to_thread(shutil.rmtree, data)
            older.rename(data)
            await asyncio.to_thread(cluster.restart)
            for service in TOPICS:
                await self.stage.command(service, "republish", "--since", since.isoformat())
            for relay in relays:
                relay.release()

    @asynccontextmanager
    async def _outage(self, what: str, within: float = SENT_WITHIN) -> AsyncIterator[None]:
        """The block is an outage of the broker. Nobody dies meanwhile; then wait until what was written has been sent, and
        everybody hears again."""
        self.arming, self.doing = False, what
        began = time.time()
        yield
        ended = time.time()
        backlog = await unsent(self.stage.databases, ended)
        self.doing = "the backlog drains"
        sent = heard = None
        while heard is None and time.time() < ended + PATIENCE:
            after = time.time() - ended
            if sent is None and not await unsent(self.stage.databases, ended):
                sent = after
            if sent is not None and not await deaf(self.stage.databases, LISTENS, began, ended):
                heard = after
            await asyncio.sleep(0.25)
        self.outages.append(Outage(what, began, ended, backlog, sent, heard, within))
        self.arming = True

    # -- the log --------------------------------------------------------------------------------------------------

    async def add_strays(self, _: float) -> None:
        """The log gets some of its records again, in any order (F32, F33), and such as nobody can apply (F34)."""
        self.doing = "strays in the log"
        bootstrap = self.stage.kafka.bootstrap
        known = await asyncio.to_thread(log.read, bootstrap, PREFIX, tuple(TOPICS.values()))
        known = [entry for entry in known if not entry.key.startswith(strays.KEY)]
        again, poison = strays.again(known, self._dice), strays.poison(known, self._dice)
        await asyncio.to_thread(log.add, bootstrap, PREFIX, [*again, *poison])
        self.again += again
        self.poison += poison

    async def replay(self, _: float) -> None:
        """Every consumer begins again at the first record, as after a fix that needs it (F40)."""
        self.doing = "everything is read again"
        workers = await self.stage.hold("work")
        for service, topics in LISTENS.items():
            await self._rewind(NAMES[service], topics)
        self.replays.append(time.time())
        for worker in workers:
            worker.release()

    async def _rewind(self, group: str, topics: tuple[str, ...]) -> None:
        """The broker takes a member that was killed for alive for some seconds more."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await asyncio.to_thread(log.rewind, self.stage.kafka.bootstrap, PREFIX, group, topics)
                    return
                except KafkaException:
                    await asyncio.sleep(0.5)


ACTS: Mapping[str, Callable[[Nemesis, float], Awaitable[None]]] = {
    "kill": Nemesis.kill,
    "freeze": Nemesis.freeze,
    "database": Nemesis.restart_database,
    "silence": Nemesis.silence_database,
    "cut": Nemesis.cut_broker,
    "slow": Nemesis.slow_broker,
    "strand": Nemesis.strand_broker,
    "broker": Nemesis.restart_broker,
    "loss": Nemesis.lose_records,
    "strays": Nemesis.add_strays,
    "replay": Nemesis.replay,
}
