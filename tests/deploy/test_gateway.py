"""The gateway sends every resource to the service that owns it, and knows nothing else. nginx itself runs
here."""

from __future__ import annotations

import http.client
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from deploy.up.up import Composition

TEMPLATE = Path(__file__).parents[2] / "deploy" / "gateway" / "nginx.conf.template"
OWNERS = {
    "case-serve": ["/v1/cases", "/v1/cases/1/plan", "/v1/imports", "/v1/sources", "/v1/returns/sen2"],
    "review-serve": ["/v1/reviews", "/v1/due-lists", "/v1/officers/1", "/v1/calendars"],
    "notification-serve": [
        *("/v1/partners", "/v1/subscriptions", "/v1/deliveries", "/v1/events?after=1", "/v1/ledger")
    ],
    "reporting-serve": ["/v1/measures", "/dashboard", "/dashboard/caseload"],
    "pages": [
        *(
            "/schemas/ehcp.plan-issued.v1",
            "/asyncapi",
            "/asyncapi.json",
            "/problems/not-found",
            "/docs",
            "/openapi.json",
        )
    ],
    "issuer": ["/sign-in?ticket=1", "/.well-known/jwks.json"],
}
UNKNOWN = [
    "/",
    "/v1",
    "/v1/casesx",
    "/schemas.json",
    "/v2/cases",
    "/metrics",
    "/health",
    "/dashboardx",
    "/sign-in/x",
    "/v1/cases%2f",
]

STUB = """
import http.server, os, sys
class Stub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        said = f"{sys.argv[1]} {self.path} {self.headers['Host']}".encode()
        self.send_response(200); self.send_header("Content-Length", str(len(said))); self.end_headers()
        self.wfile.write(said)
http.server.ThreadingHTTPServer((os.environ["EHCP_HOST"], int(os.environ["EHCP_PORT"])), Stub).serve_forever()
"""


@pytest.fixture(scope="module")
def gateway() -> Iterator[Composition]:
    """nginx before stubs that say who they are."""
    if not shutil.which("nginx", path="/usr/sbin:/usr/bin"):
        pytest.skip("nginx is not installed (deploy/install-debian.sh)")
    commands = {name: ["python", "-c", STUB, name] for name in OWNERS}
    with Composition(only=[*OWNERS, "gateway"], commands=commands) as composition:
        yield composition


def _get(gateway: Composition, path: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection(gateway.address("gateway"), timeout=10)
    connection.request("GET", path, headers={"Host": "hub.example"})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, response.headers.get("Content-Type", ""), body


@pytest.mark.parametrize(
    ("owner", "path"), [(owner, path) for owner, paths in OWNERS.items() for path in paths]
)
def test_a_resource_goes_to_its_owner(gateway: Composition, owner: str, path: str) -> None:
    assert _get(gateway, path) == (200, "", f"{owner} {path} hub.example")


@pytest.mark.parametrize("path", UNKNOWN)
def test_anything_else_is_unknown(gateway: Composition, path: str) -> None:
    status, kind, body = _get(gateway, path)
    if path == "/v1/cases%2f":  # decoded, that is a case with an empty name: its owner answers
        assert (status, body.split()[0]) == (200, "case-serve")
        return
    assert (status, kind) == (404, "application/problem+json")
    assert json.loads(body)["status"] == 404


def test_a_service_that_is_down_is_said_to_be_so_and_comes_back(gateway: Composition) -> None:
    killed = gateway.kill("review-serve")
    connection = http.client.HTTPConnection(gateway.address("gateway"), timeout=10)
    connection.request("GET", "/v1/reviews")
    response = connection.getresponse()
    body = response.read()
    if response.status == 503:
        assert response.headers["Retry-After"] == "2"
        assert response.headers["Content-Type"] == "application/problem+json"
        assert json.loads(body)["status"] == 503
    gateway["review-serve"].wait_restarted(killed)
    gateway.wait_healthy("review-serve")
    assert _get(gateway, "/v1/cases")[0] == 200


def test_no_idle_connection_is_used_again_that_a_service_may_just_be_closing() -> None:
    """Now and then a POST on one was a 502: a service closes what has been idle for five seconds, nginx kept it for sixty."""
    template = TEMPLATE.read_text(encoding="utf-8")
    upstreams = re.findall(r"upstream \w+ {(.+)}", template)
    kept = [int(seconds) for seconds in re.findall(r"keepalive_timeout (\d+)s;", " ".join(upstreams))]
    assert len(kept) == len(upstreams) == 6
    assert max(kept) < uvicorn.Config("hub").timeout_keep_alive
