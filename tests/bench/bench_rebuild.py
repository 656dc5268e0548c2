"""`ehcp rebuild reporting` from the log on Kafka: events a second, read model put in place included."""

from __future__ import annotations

import time

from tests.bench import fill
from tests.bench.bench_consume import YEARS, publish_log
from tests.bench.machine import Machine
from tests.bench.measure import Row, profiled

from reporting_service import rebuild
from reporting_service.main import service
from service_kit.bus.kafka_bus import KafkaBus

GOAL = 5_000


async def bench(machine: Machine) -> list[Row]:
    prefix = await publish_log(machine, fill.year_of_reviews(YEARS))
    bus = KafkaBus(machine.kafka.bootstrap, prefix=prefix)
    async with machine.service(service, bus=bus) as running:
        start = time.perf_counter()
        with profiled("rebuild"):
            read = await rebuild.rebuild(running.hub, bus, service.listens)
        rate = read / (time.perf_counter() - start)
    return [
        Row("rebuild of reporting from the log", "–", f"{rate:,.0f} events/s", rate, GOAL, note=f"{read:,} events", absolute=f">= {GOAL:,}")
    ]  # fmt: skip
