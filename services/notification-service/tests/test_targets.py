"""The guard on the way out: addresses, names, and what a partner's server may do to us (S71, S72, F35-F38)."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from notification_service import targets
from notification_service.channels import Outcome, judge
from notification_service.targets import Answer, Outside, UrlNotAllowed, check_url, is_public
from service_kit import Clock

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PATIENT = 120.0  # seconds, where an answer is expected: a busy machine may take its time
SHORT = 0.3  # seconds, only where the deadline itself is what is tested

# --- addresses as they are written -----------------------------------------------------------------------------------

REFUSED = [
    "http://partner.example/hook",
    "https://localhost/hook",
    "https://127.0.0.1/hook",
    "https://[::1]/hook",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://127.1/",
    "https://0177.0.0.1/",
    "https://[::ffff:127.0.0.1]/",
    "https://169.254.169.254/latest/meta-data",
    "https://93.184.216.34/hook",
    "https://user:secret@partner.example/hook",
    "https://user@partner.example/hook",
    "https://partner.example:22/hook",
    "https://partner.example:5432/hook",
    "https://partner.example:80/hook",
    "https://partner.example/hook#part",
    "https://pаrtner.example/hook",  # a Cyrillic letter
    "https://xn--prtner-4ve.example/hook",
    "https://partner/hook",
    "https://printer.local/hook",
    "https://metadata.google.internal/hook",
    "https://kubernetes.default.svc/hook",
    "https://partner.example\\@127.0.0.1/hook",
    "https://partner.example /hook",
    "https://partner.example/a\r\nHost: inner",
    "ftp://partner.example/hook",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "//partner.example/hook",
    "https:///hook",
    "https://",
    "",
    "https://partner.example/" + "a" * 3000,
]


@pytest.mark.parametrize("url", REFUSED)
def test_these_addresses_may_not_be_registered(url: str) -> None:
    """bad-inputs 1.20, F38."""
    with pytest.raises(UrlNotAllowed):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.elm-primary.example/ehcp?tenant=7",
        "https://partner.example:8443/hook",
        "https://PARTNER.example/hook",
    ],
)
def test_a_public_https_address_may_be_registered(url: str) -> None:
    assert check_url(url).lower() == url.lower()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9001/x", "http://localhost:9001/x", "http://[::1]:9001/x"])
def test_plain_http_to_this_machine_is_for_the_embedded_mode_only(url: str) -> None:
    assert check_url(url, loopback=True) == url
    with pytest.raises(UrlNotAllowed):
        check_url(url)


@pytest.mark.parametrize("url", ["http://10.0.0.1/x", "http://partner.example/x", "http://0.0.0.0:80/x"])
def test_the_embedded_mode_opens_nothing_else(url: str) -> None:
    with pytest.raises(UrlNotAllowed):
        check_url(url, loopback=True)


# --- addresses as they resolve ---------------------------------------------------------------------------------------

INNER = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.88.99.1",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "ff02::1",
    "3fff::1",
]


@pytest.mark.parametrize("address", INNER)
def test_these_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"]
)
def test_these_addresses_are_public(address: str) -> None:
    assert is_public(address)


async def _post(resolved: list[list[str]], times: int = 1) -> list[Answer]:
    """Send to a name whose look-ups give these addresses, one list each."""
    answers = iter(resolved)

    async def resolve(host: str, port: int) -> list[str]:
        return next(answers)

    async with Outside(resolve=resolve, deadline=PATIENT) as outside:
        return [await outside.post("https://partner.example/hook", b"{}", {}) for _ in range(times)]


@pytest.mark.parametrize("address", INNER)
async def test_a_name_that_resolves_inside_is_blocked(address: str) -> None:
    (answer,) = await _post([[address]])
    assert judge(answer) is Outcome.BLOCKED


async def test_one_inner_address_among_public_ones_blocks_the_name() -> None:
    (answer,) = await _post([["93.184.216.34", "127.0.0.1"]])
    assert judge(answer) is Outcome.BLOCKED


async def test_a_name_without_address_is_a_dns_failure() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise targets.NotResolved

    async with Outside(resolve=resolve, deadline=PATIENT) as outside:
        assert judge(await outside.post("https://gone.example/x", b"", {})) is Outcome.DNS


async def test_the_name_is_resolved_once_per_connection_and_only_the_checked_address_is_dialled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding (F38): a second look-up would say 127.0.0.1; there is none, and the dialled host is the address."""
    dialled: list[str] = []

    async def connect(self: object, host: str, port: int, *rest: object) -> None:
        dialled.append(host)
        raise targets.httpcore2.ConnectError("refused")

    monkeypatch.setattr(targets.httpcore2.AnyIOBackend, "connect_tcp", connect)
    first, second = await _post([["93.184.216.34"], ["127.0.0.1"]], times=2)
    assert dialled == ["93.184.216.34"]
    assert (judge(first), judge(second)) == (Outcome.NETWORK, Outcome.BLOCKED)


async def test_a_public_name_that_resolves_to_this_machine_is_blocked_in_the_embedded_mode_too() -> None:
    async with Outside(loopback=True, resolve=_to_loopback, deadline=PATIENT) as outside:
        answer = await outside.post("https://partner.example:8443/hook", b"", {})
    assert judge(answer) is Outcome.BLOCKED


async def _to_loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


# --- what a server may do --------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _server(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
    await reader.readexactly(length)
    return head


def _says(answer: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(answer)
        await writer.drain()

    return handle


async def _no_content(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _says(b"HTTP/1.1 204 No Content\r\n\r\n")(reader, writer)


async def _ask(handler: Handler, deadline: float = PATIENT) -> Answer:
    async with _server(handler) as port, Outside(loopback=True, deadline=deadline) as outside:
        return await outside.post(f"http://127.0.0.1:{port}/hook", b"{}", {})


async def test_an_answer_of_success_is_a_delivery() -> None:
    assert judge(await _ask(_no_content)) is Outcome.DELIVERED


async def test_a_redirect_is_a_failure_and_is_not_followed() -> None:
    """B05, bad-inputs 5.3."""
    followed: list[bool] = []

    async def canary(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        followed.append(True)

    async with _server(canary) as inner:
        place = f"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:{inner}/\r\nContent-Length: 0\r\n\r\n"
        answer = await _ask(_says(place.encode()))
    assert judge(answer) is Outcome.REDIRECT
    assert followed == []


async def _drip_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _request(reader)
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _flood_1xx(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _request(reader)
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
        await writer.drain()
        await asyncio.sleep(0)


async def _big_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _request(reader)
    for number in range(100):
        writer.write(b"HTTP/1.1 200 OK\r\n" if not number else b"X-%d: " % number + b"a" * 65536 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize("handler", [_drip_head, _silent, _flood_1xx], ids=["drip", "silent", "1xx flood"])
async def test_a_server_that_never_comes_to_its_answer_is_a_timeout(handler: Handler) -> None:
    """bad-inputs 5.8, F35: one deadline for the whole exchange, however much arrives meanwhile."""
    answer = await _ask(handler, deadline=SHORT)
    assert judge(answer) is Outcome.TIMEOUT
    assert answer.seconds >= SHORT


@pytest.mark.parametrize(
    ("handler", "outcomes"),
    [
        (_reset, {Outcome.NETWORK, Outcome.PROTOCOL}),
        (_big_headers, {Outcome.PROTOCOL, Outcome.NETWORK}),
        (_says(b"hello\n"), {Outcome.PROTOCOL}),
        (_says(b""), {Outcome.PROTOCOL}),
    ],
    ids=["reset", "64 kB headers", "http/0.9", "empty"],
)
async def test_a_server_that_breaks_the_protocol_is_a_failure(
    handler: Handler, outcomes: set[Outcome]
) -> None:
    """bad-inputs 5.8."""
    assert judge(await _ask(handler)) in outcomes


async def test_a_huge_answer_is_cut_at_16_kib_and_the_status_counts() -> None:
    """F36: 200 with a body without end; memory stays flat."""
    written = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await _request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        while True:
            writer.write(b"a" * 65536)
            written += 65536
            await writer.drain()

    answer = await _ask(endless)
    assert (judge(answer), answer.note) == (Outcome.DELIVERED, "cut")
    assert written < 32 * 1024 * 1024


async def test_compression_is_not_asked_for_and_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gzip bomb stays as small as it came (6.6)."""
    monkeypatch.setattr(targets, "BODY_GRACE", PATIENT)
    heads: list[bytes] = []
    bomb = b"\x1f\x8b" + b"\x00" * 500

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await _request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 502\r\n\r\n" + bomb)
        await writer.drain()

    answer = await _ask(handle)
    assert (judge(answer), answer.note) == (Outcome.DELIVERED, None)
    assert b"accept-encoding: identity" in heads[0].lower()


async def test_a_login_page_with_200_is_delivered_with_a_note() -> None:
    """bad-inputs 5.2."""
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 5\r\n\r\nlogin"
    answer = await _ask(_says(page))
    assert (judge(answer), answer.note) == (Outcome.DELIVERED, "html")


async def test_a_proxy_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert judge(await _ask(_no_content)) is Outcome.DELIVERED


async def test_a_mocked_transport_sees_no_cookie_of_an_earlier_answer() -> None:
    seen: list[str | None] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers.get("cookie"))
        return httpx2.Response(200, headers={"set-cookie": "id=1"})

    async with Outside(transport=httpx2.MockTransport(handle)) as outside:
        for _ in range(2):
            await outside.post("https://partner.example/", b"", {})
    assert seen == [None, None]


# --- TLS -------------------------------------------------------------------------------------------------------------


def _certificate(folder: Path, name: str, *, expired: bool = False) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for `name`, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    end = Clock().now() + timedelta(days=-1 if expired else 1)  # TLS holds against the real clock
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=30))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "cert.pem").write_bytes(pem + key.private_bytes(*form))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem")
    client = ssl.create_default_context(cadata=pem.decode())
    client.minimum_version = ssl.TLSVersion.TLSv1_2
    return server, client


async def _ask_tls(server: ssl.SSLContext, client: ssl.SSLContext | None) -> Answer:
    async with (
        _server(_no_content, server) as port,
        Outside(loopback=True, tls=client, deadline=PATIENT) as outside,
    ):
        return await outside.post(f"https://localhost:{port}/hook", b"{}", {})


async def test_a_trusted_certificate_for_the_right_name_is_accepted(tmp_path: Path) -> None:
    assert judge(await _ask_tls(*_certificate(tmp_path, "localhost"))) is Outcome.DELIVERED


@pytest.mark.parametrize("fault", ["expired", "wrong name", "self-signed", "TLS 1.1"])
async def test_tls_faults_have_their_own_class_and_nothing_is_sent(fault: str, tmp_path: Path) -> None:
    """F37, bad-inputs 5.9."""
    name = "other.example" if fault == "wrong name" else "localhost"
    server, client = _certificate(tmp_path, name, expired=fault == "expired")
    trusted: ssl.SSLContext | None = None if fault == "self-signed" else client
    if fault == "TLS 1.1":
        server = _old_tls(server)
    assert judge(await _ask_tls(server, trusted)) is Outcome.TLS


def _old_tls(server: ssl.SSLContext) -> ssl.SSLContext:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        server.minimum_version = ssl.TLSVersion.TLSv1
        server.maximum_version = ssl.TLSVersion.TLSv1_1
    return server


# --- what answers mean -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DELIVERED),
        (202, Outcome.DELIVERED),
        (204, Outcome.DELIVERED),
        (301, Outcome.REDIRECT),
        (304, Outcome.REDIRECT),
        (400, Outcome.REFUSED),
        (401, Outcome.CREDENTIALS),
        (403, Outcome.CREDENTIALS),
        (404, Outcome.REFUSED),
        (408, Outcome.THROTTLED),
        (410, Outcome.GONE),
        (422, Outcome.REFUSED),
        (425, Outcome.THROTTLED),
        (429, Outcome.THROTTLED),
        (500, Outcome.SERVER_ERROR),
        (503, Outcome.SERVER_ERROR),
        (599, Outcome.SERVER_ERROR),
    ],
)
def test_what_a_status_means(status: int, outcome: Outcome) -> None:
    assert judge(Answer(status)) is outcome
