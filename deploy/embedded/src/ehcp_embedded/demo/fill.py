"""The fill as a person watches it: step by step, each with its bar, until every event has arrived
everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import httpx2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ehcp_embedded.demo.partners import SCHOOL, PartnerPlan, partners
from ehcp_embedded.demo.register import BURY, institutions
from ehcp_embedded.demo.seed import (
    Way,
    invite_to_a_first_review,
    load_register,
    push_cases,
    register_partners,
)
from ehcp_embedded.demo.shaped import caseload
from ehcp_embedded.host import Host

Secrets = dict[str, str]


def bar(console: Console) -> Progress:
    """A progress bar in the house style."""
    columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def way_into(host: Host, address: str, client: httpx2.AsyncClient) -> Way:
    """A way into the hub at `address` for an officer, a manager and the adapter, with fresh tokens."""
    mint = host.issuer.mint
    officer, manager = mint("officer", None, [BURY]), mint("manager", None, [BURY])
    return Way(address, client, mint("adapter", "liquid-logic", [BURY]), officer, manager)


class Fill:
    """Fills a hub. `learn` is told each receiver's secret as soon as there is one: events may arrive before the fill
    has ended."""

    def __init__(self, host: Host, way: Way, console: Console, learn: Callable[[Secrets], None]) -> None:
        self.host, self.way, self.console, self.learn = host, way, console, learn

    async def whole(self, plans: int) -> None:
        """Register, partners and `plans` children. Raises NotTaken."""
        with bar(self.console) as progress:
            schools = [institution.line() for institution in institutions()]
            await load_register(self.way, schools, self._step(progress, "Register of schools", schools))
            await self._partners(partners(), progress)
            children = caseload(self.host.clock.today(), plans)
            await push_cases(self.way, children, self._step(progress, "Invented children", children))
            await self._settle(progress)
            await invite_to_a_first_review(self.way, SCHOOL, self.host.clock.today())

    async def receivers_only(self) -> None:
        """Tell the hub that the receivers have moved to this address. Raises NotTaken."""
        await self._partners([plan for plan in partners() if plan.receiver], None)

    async def _partners(self, plans: Sequence[PartnerPlan], progress: Progress | None) -> None:
        advance = self._step(progress, "Partners", plans) if progress else lambda _: None
        secrets: Secrets = {}
        async for name, secret in register_partners(self.way, plans, advance):
            secrets[name] = secret
            self.learn(secrets)

    @staticmethod
    def _step(progress: Progress, title: str, items: Sequence[Any]) -> Callable[[int], None]:
        task = progress.add_task(title, total=len(items))
        return lambda n: progress.advance(task, n)

    async def _settle(self, progress: Progress) -> None:
        """Wait until every event has arrived; how many are still to come is not known, so the bar may
        grow."""
        task = progress.add_task("Events on their way", total=None)
        most = 0

        def tell(waiting: int) -> None:
            nonlocal most
            most = max(most, waiting)
            progress.update(task, total=most or None, completed=most - waiting)

        await self.host.drained(tell)
