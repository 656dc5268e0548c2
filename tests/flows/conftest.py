"""The house in both of its modes. The flow tests run unchanged in each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from flows.house import House

from service_kit import Service
from service_kit.ids import uuid7


@pytest.fixture(
    params=["embedded", pytest.param("production", marks=[pytest.mark.kafka, pytest.mark.postgres])]
)
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    """Four live services: SQLite and the event log, or PostgreSQL and Kafka."""
    if request.param == "production":
        kafka, postgres = request.getfixturevalue("kafka"), request.getfixturevalue("postgres")
        run = uuid7().hex
        await kafka.provision(f"{run}.")

        def settings(service: Service) -> dict[str, Any]:
            database = postgres.create_database(f"{service.package}_{run}")
            return {"database_url": database, "bus_url": f"{kafka.bus_url}?prefix={run}."}
    else:

        def settings(service: Service) -> dict[str, Any]:
            return {}

    async with House.open(settings, tmp_path, date(2026, 9, 1)) as house:
        yield house
