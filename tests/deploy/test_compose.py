"""The compose file is what Docker makes of it, what `make up` makes of it, and what the design says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.up import compose
from deploy.up.compose import COMPLETED, HEALTHY, Service
from deploy.up.up import Composition

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "case": "case_service",
    "review": "review_scheduler",
    "notification": "notification_service",
    "reporting": "reporting_service",
}
SILENT = {"reporting"}
"""Services that send no events, and so have no relay."""


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    return compose.read()


@pytest.fixture(scope="module")
def as_docker_reads_it() -> dict[str, Any]:
    """Debian's docker-compose on the same file, with nothing set."""
    if not shutil.which("docker-compose"):
        pytest.skip("docker-compose is not installed (apt-get install docker-compose)")
    done = subprocess.run(
        ["docker-compose", "-f", compose.FILE, "config"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = yaml.safe_load(done.stdout)
    return read


def test_docker_compose_and_the_runner_read_the_same(
    services: dict[str, Service], as_docker_reads_it: dict[str, Any]
) -> None:
    theirs = as_docker_reads_it["services"]
    assert set(theirs) == set(services)
    for name, ours in services.items():
        other = theirs[name]
        assert list(ours.command) == other.get("command", []), name
        assert ours.environment == {k: str(v) for k, v in (other.get("environment") or {}).items()}, name
        wanted = {k: v["condition"] for k, v in other.get("depends_on", {}).items()}
        assert ours.depends_on == wanted, name
        assert ours.restart == other.get("restart", "no"), name
        published = {port["target"]: port["published"] for port in other.get("ports", [])}
        assert ours.published == published, name
        exposed = {int(port) for port in other.get("expose", [])}
        assert set(ours.ports) == exposed | set(ours.published), name
        health = other.get("healthcheck", {})
        assert list(ours.healthcheck) == ([] if health.get("disable") else health.get("test", [])[1:]), name


def test_every_service_has_its_processes(services: dict[str, Service]) -> None:
    for short, package in PACKAGES.items():
        parts = {"migrate", "serve", "relay", "work"} - ({"relay"} if short in SILENT else set())
        assert {name.removeprefix(f"{short}-") for name in services if name.startswith(f"{short}-")} == parts
        for part in parts:
            assert services[f"{short}-{part}"].command == ("python", "-m", package, part)


def test_what_runs_is_restarted_and_what_is_done_is_not(services: dict[str, Service]) -> None:
    for service in services.values():
        once = service.name == "topics" or service.name.endswith("-migrate")
        assert service.restart == ("on-failure:5" if once else "always")


def test_nothing_runs_before_its_topics_and_its_schema(services: dict[str, Service]) -> None:
    assert services["topics"].depends_on == {"kafka": HEALTHY}
    for short in PACKAGES:
        assert services[f"{short}-migrate"].depends_on == {"postgres": HEALTHY}
        for part in ("serve", "relay", "work"):
            if service := services.get(f"{short}-{part}"):
                assert service.depends_on == {"topics": COMPLETED, f"{short}-migrate": COMPLETED}


def test_each_service_knows_its_own_database_only(services: dict[str, Service]) -> None:
    for service in services.values():
        short = service.name.partition("-")[0]
        secrets = [k for k in service.environment if k.endswith(("DATABASE_URL", "PASSWORD"))]
        if short in PACKAGES:
            role = service.environment["DATABASE_URL"].removeprefix("postgresql+asyncpg://").partition(":")[0]
            assert secrets == ["DATABASE_URL"]
            assert role == short
            assert service.environment["DATABASE_URL"].endswith(f"@postgres:5432/{short}")
        elif service.name != "postgres":
            assert not secrets


def test_the_passwords_of_services_and_roles_agree() -> None:
    chosen = {f"{short.upper()}_DATABASE_PASSWORD": f"other-{short}" for short in PACKAGES}
    services = compose.read(environ=chosen)
    for short in PACKAGES:
        assert f":other-{short}@" in services[f"{short}-serve"].environment["DATABASE_URL"]
        variable = f"{short.upper()}_DATABASE_PASSWORD"
        assert services["postgres"].environment[variable] == f"other-{short}"


def test_6_3_postgres_has_the_connections_that_all_pools_may_want(services: dict[str, Service]) -> None:
    processes = [s for s in services.values() if s.name.endswith(("-serve", "-relay", "-work"))]
    told = {int(service.environment["EHCP_DATABASE_PROCESSES"]) for service in processes}
    assert told == {len(processes)} == {11}
    assert (
        services["postgres"].command[-1] == "max_connections=250"
    )  # 11 processes, up to 14 connections each
    assert 11 * 14 <= 250 - 3


def test_all_processes_of_a_service_have_the_same_settings(services: dict[str, Service]) -> None:
    for short in PACKAGES:
        settings = [s.environment for n, s in services.items() if n.startswith(f"{short}-")]
        assert all(other == settings[0] for other in settings)


def test_the_runner_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    file = tmp_path / "compose.yml"
    file.write_text("services: {a: {image: x, network_mode: host}}")
    with pytest.raises(ValueError, match="a: deploy/up does not know network_mode"):
        compose.read(file)


def test_a_circle_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "compose.yml"
    file.write_text(
        "services:\n"
        "  a: {image: x, depends_on: {b: {condition: service_started}}}\n"
        "  b: {image: x, depends_on: {a: {condition: service_started}}}\n"
    )
    with pytest.raises(ValueError, match="a -> b -> a"):
        compose.read(file)


def test_names_become_addresses_on_this_machine(services: dict[str, Service], tmp_path: Path) -> None:
    composition = Composition(directory=tmp_path, external={"kafka": "127.0.0.1:1,127.0.0.1:2"}, port=8123)
    ours = [service for service in services.values() if service.is_ours]
    for service in ours:
        settings = composition.environment(service)
        for other in services:
            assert not re.search(
                rf"(?<![\w.-]){other}:\d", " ".join(settings[k] for k in service.environment)
            )
        if "BUS_URL" in settings:
            assert settings["BUS_URL"] == "kafka://127.0.0.1:1,127.0.0.1:2"
    serve = composition.environment(services["case-serve"])
    assert serve["EHCP_HOST"] == "127.0.0.1"
    assert composition.address("case-serve") == f"127.0.0.1:{serve['EHCP_PORT']}"
    assert serve["EHCP_JWKS_URL"] == f"http://{composition.address('issuer')}/.well-known/jwks.json"
    assert f"@{composition.address('postgres', 5432)}/case" in serve["DATABASE_URL"]
    port = composition.address("gateway").rpartition(":")[2]
    assert serve["EHCP_PUBLIC_URL"] == serve["EHCP_ISSUER"] == f"http://localhost:{port}" == composition.url
    assert composition.environment(services["issuer"])["EHCP_DATA_DIR"].startswith(str(tmp_path))


def test_the_runner_runs_the_commands_of_the_file(services: dict[str, Service], tmp_path: Path) -> None:
    composition = Composition(directory=tmp_path)
    for service in services.values():
        if service.is_ours:
            program, *rest = composition.command(service)
            assert Path(program).name.startswith("python")
            own = composition.address(service.name).rpartition(":")[2] if service.ports else ""
            assert ("python", *("8000" if word == own else word for word in rest)) == service.command


def test_settings_from_outside_do_not_leak_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHCP_TODAY", "2020-01-01")
    monkeypatch.setenv("FAILPOINTS", "x=kill")
    composition = Composition(directory=tmp_path, environment={"case-*": {"FAILPOINTS": "y=kill"}})
    case, review = (composition.services[name] for name in ("case-work", "review-work"))
    assert "EHCP_TODAY" not in composition.environment(case)
    assert composition.environment(case)["FAILPOINTS"] == "y=kill"
    assert "FAILPOINTS" not in composition.environment(review)


def test_replicas_have_ports_of_their_own(tmp_path: Path) -> None:
    composition = Composition(directory=tmp_path, replicas={"case-serve": 2})
    one, two = (composition.environment(composition.services[n]) for n in ("case-serve", "case-serve-2"))
    assert one["EHCP_PORT"] != two["EHCP_PORT"]
    assert one["DATABASE_URL"] == two["DATABASE_URL"]


def test_one_image_that_is_not_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    last_stage = lines[max(n for n, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert "USER hub" in last_stage
    assert not any("USER root" in line for line in last_stage)
    assert any("--verify-hashes --constraint requirements.lock" in line for line in lines)
    copied = {
        source
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert all((ROOT / source).exists() for source in copied)
    let_in = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert copied <= let_in
