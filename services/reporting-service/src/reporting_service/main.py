"""reporting-service: figures built from the events of the others. It sends nothing."""

from __future__ import annotations

from ehcp_contracts.events import CASES, NOTIFICATIONS, REVIEWS
from reporting_service import api, projections, queries
from reporting_service.dashboard import pages
from reporting_service.tables import metadata
from service_kit.service import Service

service = Service(
    name="reporting-service",
    package="reporting_service",
    metadata=metadata,
    source="/reporting-service",
    topic=None,
    listens=[CASES, REVIEWS, NOTIFICATIONS],
    reactions=projections.apply,
    routers=[api.router, pages.router],
    scopes=queries.SCOPES,
    paths=("/v1/measures", "/dashboard"),
)
