"""The catalogue over HTTP: `/schemas`, `/asyncapi` and `/problems`, as the gateway serves them too."""

from __future__ import annotations

from fastapi import APIRouter, Response

from ehcp_contracts import pages
from service_kit.access import public
from service_kit.api import router
from service_kit.problems import ADVICE, SLUGS, Refusal

KEEP = "public, max-age=300"


def page(html: str, *, policy: str = pages.SECURITY_POLICY) -> Response:
    """An HTML page that may use its own stylesheet and nothing else."""
    return Response(html, media_type="text/html", headers={"Content-Security-Policy": policy})


def catalogue() -> APIRouter:
    """The pages of the contracts."""
    routes = router(include_in_schema=False)

    @routes.get("/schemas", dependencies=[public()])
    async def schemas() -> Response:
        return page(pages.schemas_page())

    @routes.get("/schemas/{name}", dependencies=[public()])
    async def schema(name: str) -> Response:
        return _document(pages.schema_file(name), "application/schema+json")

    @routes.get("/asyncapi", dependencies=[public()])
    async def asyncapi() -> Response:
        return page(pages.asyncapi_page())

    @routes.get("/asyncapi.json", dependencies=[public()])
    async def asyncapi_of_the_hub() -> Response:
        return _document(pages.asyncapi_file(), "application/json")

    @routes.get("/asyncapi/{name}", dependencies=[public()])
    async def asyncapi_of_a_service(name: str) -> Response:
        return _document(pages.asyncapi_file(name.removesuffix(".json")), "application/json")

    @routes.get("/problems", dependencies=[public()])
    async def problems() -> Response:
        return page(_problems())

    @routes.get("/problems/{slug}", dependencies=[public()])
    async def problem(slug: str) -> Response:
        if slug not in SLUGS:
            raise Refusal("not-found")
        return Response(status_code=303, headers={"Location": f"/problems#{slug}"})

    return routes


def _problems() -> str:
    return pages.problems_page(
        pages.Problem(slug, status, title, ADVICE[slug]) for slug, (status, title) in SLUGS.items()
    )


def _document(text: str | None, media_type: str) -> Response:
    if text is None:
        raise Refusal("not-found")
    return Response(text, media_type=media_type, headers={"Cache-Control": KEEP})
