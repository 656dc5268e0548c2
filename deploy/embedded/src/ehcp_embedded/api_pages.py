"""The HTTP API as pages: one document of all services, and Swagger UI without a content network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from typing import Any

import fastapi_offline
from fastapi import APIRouter, FastAPI, Response

from ehcp_embedded.openapi import merged
from ehcp_embedded.pages import page
from service_kit.access import public
from service_kit.api import router
from service_kit.problems import Refusal

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


def api_pages(apps: Callable[[], Iterable[FastAPI]], server: str) -> APIRouter:
    """`/docs` and `/openapi.json` for all of `apps`, which are asked for when somebody looks."""
    routes = router(include_in_schema=False)

    @routes.get("/openapi.json", dependencies=[public()])
    async def openapi() -> dict[str, Any]:
        """The APIs of the four services as one document."""
        return merged(apps(), title="EHC-plan hub", server=server)

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
