"""The nemesis: seeded decisions on what dies when, and what else goes wrong."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg

from .stage import Part, Stage

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
}
_OF_ROLE = {
    "serve": ("F01", "F02"),
    "relay": ("F03", "F04", "F05"),
    "work": ("F06", "F07", "F08", "F09"),
}
_OF_PART = {"scheduler.work": ("F10",), "notification.work": ("F11", "F12", "F13")}
_SENDING = ("F11", "F12", "F13")
_VISITS = {"serve": (3, 15), "relay": (2, 15), "work": (1, 4)}
DRAIN_WITHIN = 30.0


@dataclass
class Cut:
    """One time without the broker. `drained` is how long after it the backlog was gone, in seconds."""

    began: float
    ended: float
    backlog: int
    drained: float | None


@dataclass
class Nemesis:
    """Kills by chance and by failpoint. `every` is the mean pause between two kills by chance, in seconds."""

    stage: Stage
    seed: int
    every: float = 3.0
    cuts: list[Cut] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    freezes: list[tuple[str, float, float]] = field(default_factory=list)
    doing: str = ""
    arming: bool = False
    spared: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._armed: Counter[str] = Counter()

    # -- failpoints ---------------------------------------------------------------------------------------------

    def arm(self, part: Part) -> str | None:
        """What the next life of a process is armed with: of the failpoints it passes, the one least tried so far."""
        if not self.arming or part.name in self.spared:
            return None
        own = _OF_PART.get(f"{part.service}.{part.role}", ())
        codes = (*own, *_OF_ROLE[part.role])
        fired = Counter(life.cause for life in self.stage.lives)
        rank = {code: (fired[FAILPOINTS[code]], self._armed[code], code not in own) for code in codes}
        code = self._dice.choice([code for code in codes if rank[code] == min(rank.values())])
        self._armed[code] += 1
        visits = (
            1 if code == "F10" else self._dice.randint(*_VISITS["relay" if code in _SENDING else part.role])
        )
        return f"{FAILPOINTS[code]}=kill:1@n={visits}"

    # -- faults -------------------------------------------------------------------------------------------------

    async def kill_at_random(self, seconds: float) -> None:
        """SIGKILL a process that has answered, now and then; meanwhile the days pass."""
        ends = time.time() + seconds
        self.doing = "killing at random"
        while (pause := self._dice.expovariate(1 / self.every)) + time.time() < ends:
            await asyncio.sleep(pause)
            self.stage.today += timedelta(days=self._dice.randint(1, 4))
            able = [part for part in self.stage.parts if part.ready and part.name not in self.spared]
            if able:
                self._dice.choice(able).kill()
        await asyncio.sleep(max(0.0, ends - time.time()))

    def spare(self, *names: str) -> None:
        """Kill these no more, and take their failpoints from them, which costs them one last life."""
        self.spared |= set(names)
        for part in self.stage.parts:
            if part.name in self.spared and part.lives and part.life.armed:
                part.kill()

    def relent(self) -> None:
        """Let everything live from now on."""
        self.arming = False
        self.spare(*(part.name for part in self.stage.parts))
        self.doing = "healing"

    async def freeze(self, part: Part, seconds: float) -> None:
        """SIGSTOP a process for a while (F19)."""
        self.doing = f"{part.name} is frozen"
        began = time.time()
        part.freeze()
        await asyncio.sleep(seconds)
        part.thaw()
        self.freezes.append((part.name, began, time.time()))

    async def restart_database(self) -> None:
        """PostgreSQL ends at once and starts again (F25)."""
        self.doing = "PostgreSQL starts again"
        self.restarts.append(time.time())
        await asyncio.to_thread(self.stage.postgres.restart)

    async def cut_broker(self, seconds: float) -> None:
        """Nobody reaches the broker for a while (F20): refused for the first half, silent for the second; then wait until
        what was written meanwhile has been sent."""
        self.doing = "the broker is cut off"
        began = time.time()
        await self.stage.broker_link.refuse()
        await asyncio.sleep(seconds / 2)
        await self.stage.broker_link.blackhole()
        await asyncio.sleep(seconds / 2)
        backlog = await self._backlog()
        await self.stage.broker_link.heal()
        ended = time.time()
        self.doing = "the backlog drains"
        while (left := await self._backlog(ended)) and time.time() < ended + 2 * DRAIN_WITHIN:
            await asyncio.sleep(0.25)
        self.cuts.append(Cut(began, ended, backlog, None if left else time.time() - ended))

    async def _backlog(self, until: float | None = None) -> int:
        """How many events are written (up to an instant) and not sent."""
        left = 0
        for service in ("case", "scheduler", "notification"):
            connection = await asyncpg.connect(self.stage.databases[service])
            left += await connection.fetchval(
                "SELECT count(*) FROM outbox WHERE published_at IS NULL AND written_at <= to_timestamp($1)",
                until or time.time() + 60,
            )
            await connection.close()
        return left
