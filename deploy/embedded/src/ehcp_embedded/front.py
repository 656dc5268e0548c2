"""What the one address shows besides the services: start page, API pages, catalogue, clock, sign-in,
health."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import fastapi_offline
from fastapi import APIRouter, FastAPI, Response

from ehcp_contracts.pages import templates
from ehcp_embedded.days import clock_routes
from ehcp_embedded.openapi import merged
from ehcp_embedded.pages import catalogue, page
from service_kit import access
from service_kit.access import public
from service_kit.api import equip, router
from service_kit.problems import Refusal

if TYPE_CHECKING:
    from ehcp_embedded.host import Host

ASSETS: Mapping[str, str] = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
START_SCRIPT = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#api", deepLinking: true, defaultModelsExpandDepth: 0, docExpansion: "list",
  presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout", validatorUrl: null,
});"""
API_PAGE = """<!doctype html>
<html lang="en-GB"><head><meta charset="utf-8"><title>HTTP API - EHC-plan hub</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/docs/favicon.png"></head>
<body><main id="api"></main><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script>
</body></html>"""
# Swagger UI sets styles from its script and shows images from data addresses; it loads nothing from elsewhere.
API_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def front_app(host: Host, extra: Iterable[APIRouter]) -> FastAPI:
    """The application behind every path that no service owns."""
    app = FastAPI(title="front", docs_url=None, redoc_url=None, openapi_url=None, telemetry=None)
    equip(app, host.settings, host.issuer.keys())
    for routes in (
        _start(host),
        _api_pages(host),
        _health(host),
        clock_routes(host.mover),
        catalogue(),
        host.issuer.router(),
        *extra,
    ):
        app.include_router(routes)
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


def _api_pages(host: Host) -> APIRouter:
    routes = router(include_in_schema=False)

    @routes.get("/openapi.json", dependencies=[public()])
    async def openapi() -> dict[str, Any]:
        """The APIs of the four services as one document."""
        return merged(
            [*host.apps.values(), host.front], title="EHC-plan hub", server=host.settings.public_url
        )

    @routes.get("/docs", dependencies=[public()])
    async def docs() -> Response:
        return page(API_PAGE, policy=API_POLICY)

    @routes.get("/docs/start.js", dependencies=[public()])
    async def script() -> Response:
        return Response(START_SCRIPT, media_type="text/javascript")

    @routes.get("/docs/{name}", dependencies=[public()])
    async def asset(name: str) -> Response:
        if name not in ASSETS:
            raise Refusal("not-found")
        content = files(fastapi_offline).joinpath("static", name).read_bytes()
        return Response(content, media_type=ASSETS[name], headers={"Cache-Control": "public, max-age=86400"})

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
        return {"services": [await running.health() for running in host.services]}

    return routes
