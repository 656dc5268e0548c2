"""What an operator does from outside, also while the hub runs: parked events, and new read models from the
log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ehcp_embedded.host import SERVICES
from reporting_service.main import service as reporting_service
from reporting_service.rebuild import rebuild
from service_kit.parked import discard_parked, list_parked, replay_parked
from service_kit.service import Running, Service
from service_kit.settings import Settings


@asynccontextmanager
async def opened(service: Service, settings: Settings) -> AsyncIterator[Running]:
    """A service with its database open and nothing running."""
    running = service.build(settings)
    try:
        yield running
    finally:
        await running.stop()


async def parked_lines(settings: Settings) -> list[str]:
    """A line for every parked event of every service."""
    lines: list[str] = []
    for service in SERVICES:
        async with opened(service, settings) as running:
            lines += [event.as_text() for event in await list_parked(running)]
    return lines


async def replay_case(settings: Settings, case: str, only: str | None) -> int:
    """Try the parked events of a case (or "all") again, in one service or in each; how many were applied.
    Raises LookupError for a service that does not exist."""
    applied = 0
    for service in _chosen(only):
        async with opened(service, settings) as running:
            applied += await replay_parked(running, case)
    return applied


async def discard_record(settings: Settings, name: str, position: int, why: str) -> int:
    """Set an unreadable record aside; how many were (1 or 0). Raises LookupError for a service that does not exist."""
    async with opened(_chosen(name)[0], settings) as running:
        return int(await discard_parked(running, position, why))


def _chosen(only: str | None) -> list[Service]:
    chosen = [service for service in SERVICES if only in (None, service.name, service.name.partition("-")[0])]
    if not chosen:
        raise LookupError(only)
    return chosen


async def rebuild_reporting(settings: Settings, tell: Callable[[int], None] = lambda read: None) -> int:
    """Rebuild the read models of reporting-service; how many events were read, which `tell` hears as they are."""
    async with opened(reporting_service, settings) as running:
        return await rebuild(running.hub, running.bus, reporting_service.listens, progress=tell)
