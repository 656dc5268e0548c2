"""The sender: carries out deliveries, many at once, each endpoint in a queue of its own.

One turn is one transaction: it records the attempts that have ended and claims the next ones. Requests run between
turns, at most a few per endpoint, so that a dead partner delays nobody else (S74, F35).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from datetime import datetime

import structlog

from notification_service import addresses, signing, vault
from notification_service.channels import Outcome
from notification_service.claims import Claim, InFlight, anything_due, claim
from notification_service.ledger import Result, record
from notification_service.targets import Answer, Outside
from service_kit.database import instant
from service_kit.failpoints import failpoint
from service_kit.hub import Hub
from service_kit.sealing import SealBroken
from service_kit.settings import Environment

POLL = 0.25
START_WITHIN = 5.0  # seconds from the claim: what was asked then about the partner is true no longer
TURNS_BEFORE_GIVING_UP = 20  # with growing pauses about as long as a lease
log = structlog.get_logger(__name__)


def open_outside(hub: Hub) -> Outside:
    """The way out for this environment: plain http to this machine only where nothing real runs."""
    return Outside(loopback=hub.settings.environment is not Environment.production)


async def attempt(claimed: Claim, outside: Outside, now: datetime, hub: Hub) -> Result:
    """Sign and send once. `now` is the attempt's own time, which the signature carries."""
    trace = json.loads(claimed.body).get("traceparent")
    try:
        keys = vault.opened(hub.settings, signing.in_use(claimed.keys, now), claimed.subscription_id)
    except SealBroken:
        return Result(claimed, Answer(failure=Outcome.NO_KEY), now, trace)
    headers = signing.headers(keys, claimed.id, now, claimed.body)
    headers["content-type"] = "application/cloudevents+json"
    if trace:
        headers["traceparent"] = trace
    failpoint("send.after_claim")
    answer = await outside.post(claimed.url, claimed.body, headers)
    failpoint("send.after_2xx_before_mark")
    return Result(claimed, answer, now, trace)


class Sender:
    """One sender of one process. `dice` varies the pauses between attempts; `start_within`: seconds from a claim to its
    request, after which the claim is void."""

    def __init__(
        self,
        hub: Hub,
        outside: Outside,
        dice: random.Random | None = None,
        *,
        start_within: float = START_WITHIN,
    ) -> None:
        self.hub, self.outside, self.start_within = hub, outside, start_within
        self.dice = dice or random.Random()
        self._woken = asyncio.Event()
        self._ended: list[Result] = []
        self._in_flight = InFlight()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Send for ever. A turn that fails (a deadlock, the database away for a moment) is taken again by this sender: a
        new one would know nothing of the requests under way, and make each of them again when its lease has run out."""
        failures = 0
        try:
            while True:
                self._woken.clear()
                try:
                    started, failures = await self.turn(), 0
                except Exception as error:
                    failures += 1
                    if failures == TURNS_BEFORE_GIVING_UP:
                        raise
                    log.warning("turn failed", failures=failures, error=type(error).__name__)
                    await asyncio.sleep(POLL * failures)
                    continue
                if not started:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._woken.wait(), POLL)
        finally:
            await self._stop()

    async def turn(self, now: datetime | None = None) -> int:
        """Record what has ended and start what is due; returns how many requests were started."""
        settings = self.hub.settings
        if not self._ended:
            async with self.hub.db.read() as session:
                if not await anything_due(session, now or await instant(session, self.hub.clock), settings):
                    return 0
        ended, self._ended = self._ended, []
        try:
            async with self.hub.db.write() as tx:
                at = now or await instant(tx, self.hub.clock)
                await record(tx, ended, at, self.dice)
                begun = time.monotonic()
                claims = await claim(tx, at, self._in_flight, settings)
        except BaseException:
            self._ended = ended + self._ended  # nothing was written: say it again next time
            raise
        for one in claims:
            self._start(one, at, begun)
        return len(claims)

    def _start(self, claimed: Claim, now: datetime, begun: float) -> None:
        self._in_flight.start(claimed.subscription_id, claimed.failing)
        task = asyncio.create_task(self._carry_out(claimed, now, begun), name="delivery")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, claimed: Claim, now: datetime, begun: float) -> None:
        try:
            if time.monotonic() > begun + self.start_within:
                return  # this process stood still: the lease runs out, and whoever claims it asks anew
            result = await attempt(claimed, self.outside, now, self.hub)
            self._ended.append(result)  # the list of this moment: a turn meanwhile has taken the one before
        finally:
            self._in_flight.end(claimed.subscription_id, claimed.failing)
            self._woken.set()

    async def drain(self, now: datetime) -> int:
        """Send all that is due at `now` and record it; returns how many requests were made."""
        made = 0
        while started := await self.turn(now):
            made += started
            await asyncio.gather(*self._tasks)
        return made

    async def _stop(self) -> None:
        """Requests under way are given up; their leases run out and they are made again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def run(hub: Hub) -> None:
    """The job of the worker process."""
    async with open_outside(hub) as outside:
        await Sender(hub, outside).run()


async def confirm_addresses(hub: Hub) -> None:
    """The other one: new addresses are challenged before anything is sent to them."""
    async with open_outside(hub) as outside:
        await addresses.run(hub, outside)
