"""The pytest plugin of the rig: its fixtures, and the life of a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from deploy.postgres.cluster import PostgresCluster, PostgresUnavailable

from . import kafka as _kafka
from . import postgres as _postgres
from .kafka import Kafka
from .run import OpenRun, Run
from .summary import Summary

_OPEN = pytest.StashKey[OpenRun]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin a run in the process that controls it; xdist's workers inherit it."""
    if not hasattr(config, "workerinput"):
        run = config.stash[_OPEN] = OpenRun()
        config.pluginmanager.register(Summary(config, run), "ehcp-summary")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End it, and everything it has started."""
    if run := config.stash.get(_OPEN, None):
        run.close()


@pytest.fixture
def unique() -> Callable[[str], str]:
    """A name no other test of the run uses, good for topics and for databases."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return lambda name: f"{name}-{worker}-{uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def kafka() -> Kafka:
    """The run's Kafka, shared by all its tests."""
    return _kafka.shared(Run.current())


@pytest.fixture
def own_kafka() -> Iterator[Callable[..., Kafka]]:
    """`own_kafka(nodes=1, proxy_port=None)`: a cluster this test alone uses and may break."""
    clusters: list[Kafka] = []

    def start(nodes: int = 1, proxy_port: int | None = None) -> Kafka:
        clusters.append(_kafka.own(Run.current(), nodes, proxy_port))
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.stop()


@pytest.fixture(scope="session")
def postgres() -> PostgresCluster:
    """The run's PostgreSQL, shared by all its tests."""
    try:
        return _postgres.shared(Run.current())
    except PostgresUnavailable as missing:
        pytest.skip(str(missing))


@pytest.fixture
def own_postgres() -> Iterator[Callable[[], PostgresCluster]]:
    """`own_postgres()`: a server this test alone uses and may break."""
    clusters: list[PostgresCluster] = []

    def start() -> PostgresCluster:
        try:
            clusters.append(_postgres.own(Run.current()))
        except PostgresUnavailable as missing:
            pytest.skip(str(missing))
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.restart()  # which frees the shared memory that a killed server leaves
        cluster.stop()
