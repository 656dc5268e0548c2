"""`docker-compose.yml` as values: the part of the format the hub's file uses, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[2] / "docker-compose.yml"

HEALTHY = "service_healthy"
COMPLETED = "service_completed_successfully"

_KNOWN = {
    *(
        "image",
        "build",
        "init",
        "restart",
        "cap_drop",
        "security_opt",
        "expose",
        "ports",
        "stop_grace_period",
    ),
    *("healthcheck", "command", "environment", "depends_on", "volumes"),
}
_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\})")


@dataclass(frozen=True)
class Service:
    """One service of the file."""

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    depends_on: Mapping[str, str]
    """Other services, each with what must be so of it: started, healthy or completed."""
    restart: str
    ports: tuple[int, ...]
    """Where it listens, as the other services see it."""
    published: Mapping[int, int]
    """Those of its ports that the host shows, each with the host's number."""
    volumes: Mapping[str, str]
    """What is mounted, by the place where it is."""
    healthcheck: tuple[str, ...]
    grace: float = field(default=10)

    @property
    def is_ours(self) -> bool:
        """Whether it runs the hub's own image; otherwise it is a server made by others."""
        return self.image == "ehc-plan-hub"


def read(file: Path = FILE, environ: Mapping[str, str] | None = None) -> dict[str, Service]:
    """The services of the file, `${NAME:-default}` replaced from `environ`, in an order that starts well."""
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    services = {
        name: _service(name, _filled(body, environ or {})) for name, body in document["services"].items()
    }
    return {name: services[name] for name in _in_order(services)}


def _service(name: str, body: dict[str, Any]) -> Service:
    if unknown := set(body) - _KNOWN:
        raise ValueError(f"{name}: deploy/up does not know {', '.join(sorted(unknown))}")
    published = dict(_published(port) for port in body.get("ports", []))
    health = body.get("healthcheck", {})
    return Service(
        name=name,
        image=body["image"],
        command=tuple(map(str, body.get("command", ()))),
        environment={key: str(value) for key, value in body.get("environment", {}).items()},
        depends_on={other: what["condition"] for other, what in body.get("depends_on", {}).items()},
        restart=body.get("restart", "no"),
        ports=tuple(map(int, body.get("expose", ()))) + tuple(published),
        published=published,
        volumes={target: source for source, target in map(_mounted, body.get("volumes", ()))},
        healthcheck=() if health.get("disable") else tuple(health.get("test", ())[1:]),
        grace=float(str(body.get("stop_grace_period", "10s")).removesuffix("s")),
    )


def _published(port: str) -> tuple[int, int]:
    host, _, inside = port.rpartition(":")
    return int(inside), int(host.rpartition(":")[2])


def _mounted(volume: str) -> tuple[str, str]:
    source, target, *_ = volume.split(":")
    return source, target


def _filled(value: Any, environ: Mapping[str, str]) -> Any:
    """The value with every variable replaced, in all its parts."""
    if isinstance(value, dict):
        return {key: _filled(part, environ) for key, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, environ) for part in value]
    if not isinstance(value, str):
        return value

    def replaced(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        return environ.get(match["name"]) or match["default"] or ""

    return _VARIABLE.sub(replaced, value)


def _in_order(services: Mapping[str, Service]) -> list[str]:
    """Names so that each comes after what it depends on, otherwise as the file has them."""
    ordered: list[str] = []

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            raise ValueError(f"services wait for one another: {' -> '.join((*trail, name))}")
        for other in services[name].depends_on:
            visit(other, (*trail, name))
        if name not in ordered:
            ordered.append(name)

    for name in services:
        visit(name, ())
    return ordered
