"""What the one address shows besides the services: start page, API pages, catalogue, clock, sign-in,
health."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Response

from ehcp_contracts.pages import templates
from ehcp_embedded.api_pages import api_pages
from ehcp_embedded.days import clock_routes
from ehcp_embedded.pages import catalogue, page
from service_kit import access, fitness
from service_kit.access import public
from service_kit.api import equip, offer, router
from service_kit.problems import Refusal

if TYPE_CHECKING:
    from ehcp_embedded.host import Host


def front_app(host: Host, extra: Iterable[APIRouter]) -> FastAPI:
    """The application behind every path that no service owns."""
    app = FastAPI(title="front", docs_url=None, redoc_url=None, openapi_url=None, telemetry=None)
    equip(app, host.settings, host.issuer.keys())
    offer(
        app,
        (
            _start(host),
            api_pages(lambda: [*host.apps.values(), host.front], host.settings.public_url),
            _health(host),
            clock_routes(host.mover),
            catalogue(),
            host.issuer.router(),
            *extra,
        ),
    )
    access.check_routes(app)
    return app


def _start(host: Host) -> APIRouter:
    routes = router(include_in_schema=False)

    @routes.get("/", dependencies=[public()])
    async def start() -> Response:
        """Where to look."""
        day = host.clock.today()
        shown = {
            "today": f"{day:%A} {day.day} {day:%B %Y}",
            "demo": host.state.filled,
            "services": [running.service for running in host.services],
        }
        return page(templates("ehcp_embedded").get_template("start.html").render(shown))

    return routes


def _health(host: Host) -> APIRouter:
    routes = router(include_in_schema=False)

    @routes.get("/health", dependencies=[public()])
    async def health() -> dict[str, str]:
        """The process lives."""
        return {"status": "alive"}

    @routes.get("/ready", dependencies=[public()])
    async def ready() -> dict[str, Any]:
        """What each service has waiting or stuck."""
        if faults := [fault for running in host.services for fault in await fitness.faults(running)]:
            raise Refusal("unavailable", "See 'errors'.", errors=faults, headers={"Retry-After": "5"})
        return {"services": [await running.health() for running in host.services]}

    return routes
