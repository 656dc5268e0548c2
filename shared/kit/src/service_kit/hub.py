"""What a running service has at hand."""

from __future__ import annotations

from dataclasses import dataclass

from service_kit.bus.port import Bus
from service_kit.clock import Clock
from service_kit.database import Database
from service_kit.settings import Settings


@dataclass(frozen=True)
class Hub:
    """The name of the service (also its consumer group), its database, the clock, the settings and the bus. Events go
    to the bus through the outbox only; a job may ask it how far things have come."""

    name: str
    db: Database
    clock: Clock
    settings: Settings
    bus: Bus
