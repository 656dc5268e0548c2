"""The catalogue says who sends and reads what; the services declare it. Both must be the same."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from case_service.main import service as case_service
from ehcp_contracts.catalogue import SERVICES, ServiceEntry, on_topic
from notification_service.main import service as notification_service
from reporting_service.main import service as reporting_service
from review_scheduler.main import service as review_scheduler
from service_kit.service import Service

DECLARED = {s.name: s for s in (case_service, review_scheduler, notification_service, reporting_service)}
EACH = pytest.mark.parametrize("entry", SERVICES, ids=lambda entry: entry.name)


def declared(entry: ServiceEntry) -> Service:
    return DECLARED[entry.name]


def test_every_service_is_in_the_catalogue() -> None:
    assert {entry.name for entry in SERVICES} == set(DECLARED)


@EACH
def test_a_service_sends_what_the_catalogue_says(entry: ServiceEntry) -> None:
    assert declared(entry).topic == entry.topic
    assert set(declared(entry).sends) == set(entry.sends)
    assert declared(entry).source == f"/{entry.name}"


@EACH
def test_a_service_reads_what_the_catalogue_says(entry: ServiceEntry) -> None:
    service = declared(entry)
    reads = set(service.reactions) if isinstance(service.reactions, Mapping) else set()
    if not reads:  # a function over whole batches: it gets all of its topics
        reads = {event for topic in service.listens for event in on_topic(topic)}
    assert reads == set(entry.reads)
