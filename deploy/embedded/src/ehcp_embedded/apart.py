"""What a composition of separate processes still needs from here: the trial's token issuer, and the pages behind the
gateway."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI

from ehcp_embedded.api_pages import api_pages
from ehcp_embedded.host import SERVICES
from ehcp_embedded.issuer import Issuer
from ehcp_embedded.pages import catalogue
from service_kit import Part, Settings, access
from service_kit.access import public
from service_kit.api import equip, router
from service_kit.logs import configure
from service_kit.protocol import BoundedProtocol


def issuer_app(settings: Settings) -> FastAPI:
    """Only the local token issuer, for trials; production has an OpenID provider."""
    local = Issuer.of(settings)
    app = _app("issuer", settings, local.keys())
    app.include_router(local.router())
    access.check_routes(app)
    return app


def pages_app(settings: Settings) -> FastAPI:
    """The catalogue and the API pages. The services are put together for their description only; nothing is opened."""
    app = _app("pages", settings, None)
    app.include_router(catalogue())
    described = [service.build(settings).app(frozenset({Part.SERVE})) for service in SERVICES]
    app.include_router(api_pages(lambda: described, settings.public_url))
    access.check_routes(app)
    return app


def serve(app: FastAPI, settings: Settings) -> None:
    """Serve one of these."""
    configure("pages", level=settings.log_level)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        http=BoundedProtocol,
        server_header=False,
        access_log=False,
        log_config=None,
    )


def _app(name: str, settings: Settings, keys: access.Keys | None) -> FastAPI:
    app = FastAPI(title=name, docs_url=None, redoc_url=None, openapi_url=None, telemetry=None)
    equip(app, settings, keys)
    health = router(include_in_schema=False)

    @health.get("/health", dependencies=[public()])
    async def alive() -> dict[str, str]:
        return {"status": "alive"}

    app.include_router(health)
    return app
