"""The only way out: which addresses a webhook may have, and one guarded POST to one of them.

Names are resolved here, every answer is checked, and the connection goes to a checked address (no second look-up that
could answer differently). What a URL looks like decides nothing: `http://2130706433/` is 127.0.0.1 to a resolver.
Nothing else in this service opens a connection to a partner (S71, S72, S75; F38).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from types import TracebackType
from typing import Self

import httpcore2
import httpx2
import structlog

from service_kit.failpoints import failpoint

log = structlog.get_logger(__name__)
MAX_URL = 2000
PORTS = frozenset({443, 8443})
DEADLINE = 30.0  # seconds, for the whole exchange
BODY_GRACE = 2.0  # seconds given to the body once the status is known: the status is the answer
MAX_ANSWER = 16 * 1024
KEEP_OPEN = 2.0  # seconds; shorter than the servers' own patience, or they hang up just as we speak
MOST_LINES = 500
HEADERS = {"user-agent": "ehc-plan-hub", "accept-encoding": "identity", "accept": "*/*"}
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_INNER = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".svc", ".onion")
# Everything an address table of a careful sender refuses; the rest of IPv6 is refused by not being 2000::/3.
_REFUSED_V4 = [
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = [
    ip_network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
]

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]


class UrlNotAllowed(ValueError):
    """A webhook address that nobody may register (bad-inputs.md 1.20)."""


class Blocked(Exception):
    """The name resolved to an address that is not a partner's on the public internet."""


class NotResolved(Exception):
    """The name has no address."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status, or the class of the failure; `note`: what an officer may want to know; `body`: as far as
    it was read, at most 16 KiB."""

    status: int | None = None
    failure: str | None = None
    retry_after: str | None = None
    note: str | None = None
    seconds: float = 0.0
    body: bytes = field(default=b"", repr=False)


def check_url(url: str, *, loopback: bool = False) -> str:
    """The address as it will be called. Raises `UrlNotAllowed`. `loopback`: the embedded mode, where a receiver on
    this machine may be called over plain http."""
    if len(url) > MAX_URL or not re.fullmatch(r"[!-\[\]^-~]+", url) or "#" in url:
        raise UrlNotAllowed("characters")
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError) as error:
        raise UrlNotAllowed("syntax") from error
    if parsed.userinfo or "@" in parsed.netloc.decode("ascii", "replace"):
        raise UrlNotAllowed("userinfo")
    if loopback and parsed.scheme in ("http", "https") and parsed.host in LOOPBACK_NAMES:
        return str(parsed)
    if parsed.scheme != "https":
        raise UrlNotAllowed("scheme")
    _check_host(parsed.host)
    if (parsed.port or 443) not in PORTS:
        raise UrlNotAllowed("port")
    return str(parsed)


def _check_host(host: str) -> None:
    """A public name in plain letters: no address literal in any spelling, no inner zone, no look-alike alphabet."""
    if len(host) > 253 or not _HOST.fullmatch(host) or host.endswith(_INNER):
        raise UrlNotAllowed("host")
    if any(label.startswith("xn--") for label in host.split(".")):
        raise UrlNotAllowed("look-alike")


def is_public(address: str) -> bool:
    """Whether an address lies on the public internet; mapped, translated and tunnelled forms never do."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        return ip in _GLOBAL_V6 and not any(ip in network for network in _REFUSED_V6)
    return ip.is_global and not any(ip in network for network in _REFUSED_V4)


class _Resolver:
    """The system's resolver in threads of its own: slow names of one partner must not hold up other work."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, _lookup, host, port)
        except OSError as error:
            raise NotResolved from error
        return found

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _lookup(host: str, port: int) -> list[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class _CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects only to addresses that were looked at."""

    def __init__(self, resolve: Resolve, loopback: bool) -> None:
        self._resolve, self._loopback = resolve, loopback
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception = NotResolved()
        for address in await self._checked(host, port):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore2.ConnectError as error:
                failure = error
        raise failure

    async def _checked(self, host: str, port: int) -> list[str]:
        if self._loopback and host in LOOPBACK_NAMES:
            return ["127.0.0.1"] if host == "localhost" else [host]
        addresses = list(dict.fromkeys(await self._resolve(host, port)))
        # One inner address among public ones is an attack, not an alternative.
        if not all(is_public(address) for address in addresses):
            raise Blocked
        return addresses


class _GuardedTransport(httpx2.AsyncHTTPTransport):
    """httpx2's transport over the checked network (its constructor has no parameter for one)."""

    def __init__(self, network: httpcore2.AsyncNetworkBackend, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls, trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=None,  # the sender bounds the requests in flight
            keepalive_expiry=KEEP_OPEN,
            network_backend=network,
        )


@dataclass
class _Line:
    """The connections to one endpoint: a pool of its own, as a pool's work grows with all its connections."""

    transport: httpx2.AsyncBaseTransport
    busy: int = 0


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Outside:
    """Guarded POSTs. A transport is used as such, without a client: no redirects, no cookies, no proxies from the
    environment. For tests: `transport` replaces the network, `resolve` the resolver, `tls` the authorities."""

    def __init__(
        self,
        *,
        loopback: bool = False,
        transport: httpx2.AsyncBaseTransport | None = None,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        self.loopback, self.deadline = loopback, deadline
        self._resolver = _Resolver()
        self._network = _CheckedNetwork(resolve or self._resolver, loopback)
        self._fixed, self._tls = transport, tls or _tls()
        self._lines: dict[str, _Line] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._hang_up()
        self._resolver.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send once and say what happened; never raises for what a partner does, never follows a redirect."""
        started = time.monotonic()
        try:
            async with (
                asyncio.timeout(self.deadline),
                self._line(check_url(url, loopback=self.loopback)) as line,
            ):
                request = httpx2.Request(
                    "POST", url, content=body, headers={**HEADERS, **headers}, extensions={"trace": _passed}
                )
                answer = await _exchange(line, request)
        except Exception as error:
            answer = Answer(failure=failure_class(error))
        return replace(answer, seconds=time.monotonic() - started)

    @contextlib.asynccontextmanager
    async def _line(self, url: str) -> AsyncIterator[httpx2.AsyncBaseTransport]:
        if url not in self._lines:
            if len(self._lines) >= MOST_LINES:
                await self._hang_up()
            self._lines[url] = _Line(self._fixed or _GuardedTransport(self._network, self._tls))
        line = self._lines[url]
        line.busy += 1
        try:
            yield line.transport
        finally:
            line.busy -= 1

    async def _hang_up(self) -> None:
        """Close the lines that nobody uses just now."""
        for url in [url for url, line in self._lines.items() if not line.busy]:
            await self._lines.pop(url).transport.aclose()


async def _passed(step: str, _: Mapping[str, object]) -> None:
    """The transport tells its steps: here the request has left and nothing has come back."""
    if step == "http11.send_request_body.complete":
        failpoint("send.after_request_before_answer")


async def _exchange(line: httpx2.AsyncBaseTransport, request: httpx2.Request) -> Answer:
    response = await line.handle_async_request(request)
    try:
        note = "html" if response.headers.get("content-type", "").startswith("text/html") else None
        whole, body = await _read_little(response)
        return Answer(
            response.status_code,
            None,
            response.headers.get("retry-after"),
            note if whole else note or "cut",
            body=body,
        )
    finally:
        await response.aclose()


async def _read_little(response: httpx2.Response) -> tuple[bool, bytes]:
    """Read a short body, undecoded, so that the connection can be used again: whether it was short and whole, and what
    there is of it."""
    body = b""
    with contextlib.suppress(TimeoutError, httpx2.HTTPError, httpx2.StreamError):
        async with asyncio.timeout(BODY_GRACE):
            async for chunk in response.aiter_raw():
                body += chunk[: MAX_ANSWER + 1 - len(body)]
                if len(body) > MAX_ANSWER:
                    return False, body[:MAX_ANSWER]
            return True, body
    return False, body


def failure_class(error: BaseException) -> str:
    """The class of a failed exchange, from the whole chain of causes."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for kinds, name in _FAILURES:
        if any(isinstance(item, kinds) for item in chain):
            return name
    log.error("exchange failed in an unknown way", error=type(error).__name__)
    return "network"


_FAILURES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((Blocked, UrlNotAllowed), "blocked-address"),
    ((NotResolved, socket.gaierror), "dns"),
    ((ssl.SSLError,), "tls"),
    ((TimeoutError, httpx2.TimeoutException), "timeout"),
    ((httpx2.ProtocolError,), "protocol"),
    ((httpx2.HTTPError, OSError), "network"),
)
