"""A database and a role per service, and no way from one to another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from deploy.postgres.cluster import PostgresCluster, PostgresUnavailable
from deploy.up import compose
from tests.rig.run import Run

pytestmark = pytest.mark.postgres

SERVICES = ("case", "review", "notification", "reporting")
PASSWORDS = {f"{service.upper()}_DATABASE_PASSWORD": f"it's {service}" for service in SERVICES}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresCluster]:
    """A server that wants passwords, as in production."""
    run = Run.current()
    cluster = PostgresCluster(run.new_directory("roles"), password="top secret")
    run.end_with_run(cluster.directory, cluster.end_command)
    try:
        cluster.start()
    except PostgresUnavailable as missing:
        pytest.skip(str(missing))
    cluster.create_service_databases(PASSWORDS)
    yield cluster
    cluster.stop()


async def _connect(server: PostgresCluster, role: str, database: str) -> asyncpg.Connection:
    url = server.url(database, role=role, password=f"it's {role}", driver="postgresql")
    return await asyncpg.connect(url)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_owns_its_database(server: PostgresCluster, service: str) -> None:
    connection = await _connect(server, service, service)
    await connection.execute("create table of_mine (n int); drop table of_mine")
    await connection.close()


@pytest.mark.parametrize("database", [*SERVICES, "postgres", "template1"])
@pytest.mark.parametrize("role", SERVICES)
async def test_a_service_enters_no_other_database(server: PostgresCluster, role: str, database: str) -> None:
    if role == database:
        return
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for database"):
        await _connect(server, role, database)


async def test_a_password_is_wanted(server: PostgresCluster) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.url("case", role="case", password="guess", driver="postgresql"))


def test_roles_can_make_neither_databases_nor_roles(server: PostgresCluster) -> None:
    rows = server.execute(
        "select rolname from pg_roles where (rolsuper or rolcreatedb or rolcreaterole or rolreplication) "
        "and rolname !~ '^pg_'"
    )
    assert rows == "postgres"


def test_running_it_again_only_renews_passwords(server: PostgresCluster) -> None:
    before = server.execute("select datname, datacl from pg_database order by 1")
    server.create_service_databases(PASSWORDS)
    assert server.execute("select datname, datacl from pg_database order by 1") == before


def test_a_missing_password_is_refused(server: PostgresCluster) -> None:
    with pytest.raises(PostgresUnavailable, match="REVIEW_DATABASE_PASSWORD"):
        server.create_service_databases(PASSWORDS | {"REVIEW_DATABASE_PASSWORD": ""})


def test_a_server_keeps_its_data_over_stop_and_start(own_postgres: Callable[[], PostgresCluster]) -> None:
    server = own_postgres()
    server.execute("create table kept as select 7 as n")
    server.stop()
    assert not server.is_running
    again = PostgresCluster(server.directory)
    again.start()
    assert again.port == server.port
    assert again.execute("select n from kept") == "7"


def test_compose_lets_the_image_run_the_same_script() -> None:
    mounted = compose.read()["postgres"].volumes["/docker-entrypoint-initdb.d/databases.sh"]
    script = compose.FILE.parent / mounted
    assert script == Path(__file__).parents[2] / "deploy" / "postgres" / "databases.sh"
    assert script.stat().st_mode & 0o111
