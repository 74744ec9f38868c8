"""Requests that leave: to the address that was checked, by the name that was asked for, within bounds."""

import asyncio
import datetime as dt
import gzip
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from server.outbound import Guard, Outbound, Unreachable
from server.outbound.addresses import networks_of
from server.outbound.guard import Refused
from server.outbound.transport import Limits
from tests.oidc_issuer import client_context, ec_key, private_pem

LOOPBACK = networks_of(["127.0.0.1/32"])
FORBIDDEN = "127.0.0.2"
"""An address of this machine that is not allowed: where a server stands that nobody may see."""

SHORT = Limits(bytes=1000, seconds=0.5, connect_seconds=0.3)


@dataclass
class Server:
    """Something that listens, says one thing, and remembers what it was sent."""

    port: int
    heard: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def listening(
    say: bytes | Callable[[asyncio.StreamWriter], Awaitable[None]],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Server]:
    server = Server(port)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server.heard.append(await reader.readuntil(b"\r\n\r\n"))
            if isinstance(say, bytes):
                writer.write(say)
            else:
                await say(writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, host, port, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


def answer(body: bytes, *, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def names(**addresses: str | list[str]) -> Callable[[str, int], Awaitable[list[str]]]:
    """A name server that knows these names, each with its address or addresses."""

    async def resolve(host: str, port: int) -> list[str]:
        found = addresses[host.partition(".")[0]]
        return [found] if isinstance(found, str) else found

    return resolve


def outbound_to(resolve: Callable[[str, int], Awaitable[list[str]]] | None = None, limits: Limits = SHORT) -> Outbound:
    return Outbound(Guard(LOOPBACK, resolve=resolve), limits=limits)


async def test_answer_comes_whole() -> None:
    async with listening(answer(b'{"a": 1}')) as server:
        fetched = await outbound_to().send("GET", f"http://127.0.0.1:{server.port}/x?y=z")
    assert (fetched.status, fetched.json()) == (200, {"a": 1})
    assert server.heard[0].startswith(b"GET /x?y=z HTTP/1.1\r\n")


async def test_server_is_told_the_name_and_reached_at_the_address() -> None:
    async with listening(answer(b"{}")) as server:
        await outbound_to(names(idp="127.0.0.1")).send("GET", f"http://idp.test:{server.port}/")
    assert f"host: idp.test:{server.port}".encode() in server.heard[0].lower()


async def test_name_is_looked_up_once_and_never_again() -> None:
    """A name server that gives a good address first and a forbidden one afterwards gains nothing."""
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else [FORBIDDEN]

    async with (
        listening(answer(b'"checked"')) as checked,
        listening(answer(b'"inside"'), host=FORBIDDEN, port=checked.port) as inside,
    ):
        outbound = outbound_to(rebinding)
        assert (await outbound.send("GET", f"http://rebind.test:{checked.port}/")).json() == "checked"
        with pytest.raises(Unreachable):
            await outbound.send("GET", f"http://rebind.test:{checked.port}/")
    assert asked == ["rebind.test", "rebind.test"]
    assert inside.heard == []


async def test_one_forbidden_address_among_others_is_enough_to_refuse() -> None:
    async with listening(answer(b"{}")) as server:
        with pytest.raises(Unreachable):
            await outbound_to(names(mixed=["127.0.0.1", FORBIDDEN])).send("GET", f"http://mixed.test:{server.port}/")
    assert server.heard == []


async def test_next_address_is_tried_where_nobody_listens_at_the_first() -> None:
    allowed = networks_of(["127.0.0.0/8"])
    async with listening(answer(b'"here"')) as server:
        outbound = Outbound(Guard(allowed, resolve=names(two=[FORBIDDEN, "127.0.0.1"])), limits=SHORT)
        assert (await outbound.send("GET", f"http://two.test:{server.port}/")).json() == "here"


async def test_redirect_is_not_followed() -> None:
    async with (
        listening(answer(b'"inside"'), host=FORBIDDEN) as inside,
        listening(answer(b"", status="302 Found", more=f"Location: http://{FORBIDDEN}:{inside.port}/\r\n")) as server,
    ):
        assert (await outbound_to().send("GET", f"http://127.0.0.1:{server.port}/")).status == 302
    assert inside.heard == []


async def test_followed_redirect_is_checked_like_a_first_request() -> None:
    async with (
        listening(answer(b'"inside"'), host=FORBIDDEN) as inside,
        listening(answer(b"", status="302 Found", more=f"Location: http://{FORBIDDEN}:{inside.port}/\r\n")) as server,
        outbound_to().client() as client,
    ):
        with pytest.raises(Refused):
            await client.get(f"http://127.0.0.1:{server.port}/", follow_redirects=True)
    assert inside.heard == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:25/",
        "http://name:secret@127.0.0.1/",
        "http://name@127.0.0.1/",
        "http:///nowhere",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/",
        "http://[::1",
        "http://exa mple/",
        "http://127.0.0.1\r\nX: y/",
        "//127.0.0.1/",
        "",
    ],
)
async def test_only_plain_web_addresses_lead_out(url: str) -> None:
    with pytest.raises(Unreachable):
        await outbound_to().send("GET", url)


async def test_plain_http_leads_to_allowed_networks_alone() -> None:
    with pytest.raises(Refused, match="plain http"):
        await Guard(LOOPBACK).addresses_of(httpx.URL("http://8.8.8.8/"))
    assert await Guard(LOOPBACK).addresses_of(httpx.URL("https://8.8.8.8/"))
    assert await Guard(LOOPBACK).addresses_of(httpx.URL("http://127.0.0.1/"))


async def test_too_large_an_answer_is_broken_off() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            await writer.drain()

    async with listening(endless) as server:
        with pytest.raises(Unreachable):
            await outbound_to().send("GET", f"http://127.0.0.1:{server.port}/")


async def test_packed_answer_is_refused_unread() -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    async with listening(answer(bomb, more="Content-Encoding: gzip\r\n")) as server:
        with pytest.raises(Unreachable):
            await outbound_to(limits=Limits()).send("GET", f"http://127.0.0.1:{server.port}/")
    assert b"accept-encoding: identity" in server.heard[0].lower()


async def test_answer_that_trickles_is_given_up_in_time() -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with listening(trickle) as server:
        async with asyncio.timeout(5):
            with pytest.raises(Unreachable):
                await outbound_to().send("GET", f"http://127.0.0.1:{server.port}/")


async def test_name_server_that_does_not_answer_is_given_up_in_time() -> None:
    async def silent(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with asyncio.timeout(5):
        with pytest.raises(Unreachable):
            await outbound_to(silent).send("GET", "https://silent.test/")


async def test_every_failure_looks_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """Closed, filtered, forbidden, unknown: who chose the address learns nothing of the network that we are in."""

    over = asyncio.Event()

    async def never(writer: asyncio.StreamWriter) -> None:
        await over.wait()

    async def unknown(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    closed = closed_port()
    async with listening(never) as mute, listening(b"SSH-2.0-OpenSSH\r\n") as other:
        urls = [f"http://127.0.0.1:{port}/" for port in (closed, mute.port, other.port)]
        told = [await _told(outbound_to(), url) for url in [*urls, f"http://{FORBIDDEN}:{closed}/"]]
        told.append(await _told(outbound_to(unknown), "https://unknown.test/"))
        over.set()
    assert len(set(told)) == 1
    assert FORBIDDEN not in told[0]


async def test_log_holds_neither_query_nor_password_of_an_address(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Unreachable):
        await outbound_to().send("GET", "http://name:hidden-one@127.0.0.1/path?token=hidden-two")
    assert "/path" in caplog.text
    assert "hidden" not in caplog.text


def closed_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _told(outbound: Outbound, url: str) -> str:
    with pytest.raises(Unreachable) as caught:
        await outbound.send("GET", url)
    return f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__suppress_context__}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Files of a certificate for idp.test, and of its key."""
    folder = tmp_path_factory.mktemp("certificate")
    return write_certificate(folder, "idp.test")


def write_certificate(folder: Path, name: str) -> tuple[str, str]:
    key, now = ec_key(7), dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    try:
        general: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        general = x509.DNSName(name)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([general]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(private_pem(key))
    return str(folder / "certificate.pem"), str(folder / "key.pem")


async def test_certificate_has_to_be_for_the_name_not_for_the_address(certificate: tuple[str, str]) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    guard = Guard(LOOPBACK, resolve=names(idp="127.0.0.1", other="127.0.0.1"))
    outbound = Outbound(guard, limits=Limits(), context=client_context(certificate[0]))
    async with listening(answer(b'"private"'), tls=tls) as server:
        assert (await outbound.send("GET", f"https://idp.test:{server.port}/")).json() == "private"
        with pytest.raises(Unreachable):
            await outbound.send("GET", f"https://other.test:{server.port}/")
        with pytest.raises(Unreachable):
            await outbound_to(names(idp="127.0.0.1")).send("GET", f"https://idp.test:{server.port}/")
    assert len(server.heard) == 1


async def test_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(answer(b'"proxy"')) as proxy, listening(answer(b'"itself"')) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert (await outbound_to().send("GET", f"http://127.0.0.1:{server.port}/")).json() == "itself"
    assert proxy.heard == []
