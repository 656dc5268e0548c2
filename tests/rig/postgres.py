"""PostgreSQL for tests: the run's server, which nobody may break, and servers of a test's own."""

from __future__ import annotations

from deploy.postgres.cluster import PostgresCluster, version

from .run import Run


class SharedPostgres(PostgresCluster):
    """The run's server: other tests use it at the same moment."""

    def stop_hard(self) -> None:
        raise PermissionError("the run's PostgreSQL is shared with other tests: ask for `own_postgres`")

    stop = restart = start = stop_hard


def shared(run: Run) -> SharedPostgres:
    """The run's PostgreSQL, started when a test first asks."""
    with run.once("postgres") as known:
        if not known:
            started = _start(run)
            known |= {"directory": str(started.directory), "port": started.port}
            run.used("PostgreSQL", f"{version()} at 127.0.0.1:{started.port}")
        return SharedPostgres(run.directory / known["directory"], port=known["port"])


def own(run: Run) -> PostgresCluster:
    """A server for one test."""
    cluster = _start(run)
    run.used("PostgreSQL", version())
    return cluster


def _start(run: Run) -> PostgresCluster:
    cluster = PostgresCluster(run.new_directory("postgres"))
    run.end_with_run(cluster.directory, cluster.end_command)
    cluster.start()
    return cluster
