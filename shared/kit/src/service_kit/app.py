"""The ASGI application of a service: its routers, its health, and the layers every request passes.

All layers are plain ASGI. A route without a policy entry stops the start.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from service_kit import access, fitness, problems
from service_kit.api import equip, offer, router
from service_kit.context import Answered
from service_kit.database import Unavailable
from service_kit.problems import Refusal

if TYPE_CHECKING:
    from service_kit.service import Metric, Part, Running

VERSION = "0.1.0"


def build_app(running: Running, parts: frozenset[Part]) -> FastAPI:
    """The application of a service put together; relay and work processes answer only for their health."""
    service, settings = running.service, running.settings

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running.live(parts):
            yield

    app = FastAPI(
        title=service.name, version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None, telemetry=None
    )
    app.state.running = running
    equip(app, settings, running.keys)
    app.add_exception_handler(Answered, _answered)
    app.add_exception_handler(Unavailable, _unavailable)
    background_only = bool(parts) and "serve" not in parts
    offer(app, [_health(running), *(() if background_only else service.routers)])
    access.check_routes(app)
    return app


async def _answered(_: Request, error: Exception) -> Response:
    assert isinstance(error, Answered)
    return error.response


async def _unavailable(request: Request, _: Exception) -> Response:
    return problems.problem_response(Refusal("unavailable", headers={"Retry-After": "5"}), request)


def _health(running: Running) -> Any:
    """`/health`: the process lives. `/ready`: it can work, and what is stuck. `/metrics`: the same for Prometheus."""
    routes = router()

    @routes.get("/health", dependencies=[access.public()], include_in_schema=False)
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @routes.get("/ready", dependencies=[access.public()], include_in_schema=False)
    async def ready() -> dict[str, Any]:
        if faults := await fitness.faults(running):
            raise Refusal("unavailable", "See 'errors'.", errors=faults, headers={"Retry-After": "5"})
        return await running.health()

    @routes.get("/metrics", dependencies=[access.public()], include_in_schema=False)
    async def metrics() -> Response:
        own = running.service.metrics
        return Response(_prometheus(await running.health(), own), media_type="text/plain; version=0.0.4")

    return routes


def _prometheus(health: dict[str, Any], own: Sequence[Metric]) -> bytes:
    registry = CollectorRegistry()
    labels = {"service": health["service"]}
    for name, text in (
        ("outbox_backlog", "Events written and not yet published"),
        ("outbox_held", "Events the bus refused; each holds back its case"),
        ("relay_standby", "1 where this process's relay is not the active one"),
        *((one.name, one.text) for one in own),
    ):
        Gauge(f"ehcp_{name}", text, list(labels), registry=registry).labels(**labels).set(health[name])
    parked = Gauge("ehcp_parked", "Events parked, by state", [*labels, "state"], registry=registry)
    for state, count in health["parked"].items():
        parked.labels(**labels, state=state).set(count)
    return generate_latest(registry)
