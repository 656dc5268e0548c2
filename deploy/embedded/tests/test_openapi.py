"""One description of several applications."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel

from ehcp_embedded.openapi import merged


def application(title: str, path: str, **fields: type) -> FastAPI:
    app = FastAPI(title=title)
    model = type("Status", (BaseModel,), {"__annotations__": fields})

    @app.get(path, response_model=model)
    async def read() -> None: ...

    return app


def test_components_that_differ_keep_apart_and_equal_ones_are_one() -> None:
    apps = [
        application("case-service", "/a", count=int),
        application("review-scheduler", "/b", text=str),
        application("reporting-service", "/c", count=int),
    ]
    whole = merged(apps, title="hub", server="http://hub.test")
    assert list(whole["paths"]) == ["/a", "/b", "/c"]
    assert set(whole["components"]["schemas"]) == {"Status", "ReviewSchedulerStatus"}
    said = whole["paths"]["/b"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert said == {"$ref": "#/components/schemas/ReviewSchedulerStatus"}
