"""What goes out: never to a private machine, whatever its address looks like; and never longer than it may."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import anyio
import pytest

from contract.addresses import Address
from contract.errors import UrlRefused, UrlUnreachable
from contract.outbound import Fetched, Outbound, Posted, resolve
from tests.contract.listeners import Listener, redirect

NAMES = {
    "127.0.0.1.nip.io": ["127.0.0.1"],
    "localtest.me": ["127.0.0.1"],
    "six.example": ["::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "both.example": ["93.184.216.34", "127.0.0.1"],
    "none.example": [],
}
PRIVATE = [
    "https://127.0.0.1:{port}/",
    "https://127.1:{port}/",
    "https://127.0.0.1.:{port}/",
    "https://2130706433:{port}/",
    "https://0x7f000001:{port}/",
    "https://0x7f.1:{port}/",
    "https://0177.0.0.1:{port}/",
    "https://017700000001:{port}/",
    "https://0:{port}/",
    "https://0.0.0.0:{port}/",
    "https://１２７.０.０.１:{port}/",
    "https://①②⑦.⓪.⓪.①:{port}/",
    "https://[::1]:{port}/",
    "https://[::]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
    "https://[::ffff:7f00:1]:{port}/",
    "https://[::127.0.0.1]:{port}/",
    "https://[64:ff9b::7f00:1]:{port}/",
    "https://[2002:7f00:1::]:{port}/",
    "https://[fe80::1%25lo]:{port}/",
    "https://[fd00::1]:{port}/",
    "https://localhost:{port}/",
    "https://LOCALHOST.:{port}/",
    "https://127.0.0.1.nip.io:{port}/",
    "https://localtest.me:{port}/",
    "https://six.example:{port}/",
    "https://mapped.example:{port}/",
    "https://both.example:{port}/",
    "https://none.example:{port}/",
    "https://metadata.example/latest/meta-data/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://10.0.0.1/",
    "https://172.31.255.255/",
    "https://192.168.0.1/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
]
MALFORMED = [
    "http://127.0.0.1:{port}/",
    "http://93.184.216.34:{port}/",
    "file:///etc/passwd",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_SET%20a%201",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
    "",
    "https://",
    "https://:{port}/",
    "https://user@127.0.0.1:{port}/",
    "https://user:word@example.com:{port}/",
    "https://example.com@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}@example.com/",
    "https://127.0.0.1:{port}\\@example.com/",
    "https://127.0.0.1:{port}#@example.com/",
    "https://127.0.0.1:{port}\r\nHost: example.com/",
    "https://127.0.0.1:{port}/\r\nX-Injected: 1",
    "https://127.0.0.1\t:{port}/",
    "https://127.0.0.1 :{port}/",
    "https://127.0.0.1%2f:{port}/",
    "https://127.0.0.1:{port}0000/",
    "https://127.0.0.1:0/",
    "https://ex_ample..com:{port}/",
    "https://" + "a" * 3000 + ":{port}/",
]


async def look_up(host: str, port: int) -> Sequence[Address]:
    """Names of the tests, then the system's."""
    return [ip_address(one) for one in NAMES[host]] if host in NAMES else await resolve(host, port)


CAREFUL = Outbound(resolver=look_up)
OPENED = Outbound(resolver=look_up, allowed=(ip_network("127.0.0.2/32"),))
"""As an operator sets it up whose pictures lie on 127.0.0.2."""


def fetch(outbound: Outbound, url: str, limit_bytes: int = 1000, timeout_seconds: float = 5) -> Fetched:
    async def call() -> Fetched:
        return await outbound.fetch(url, limit_bytes, timeout_seconds=timeout_seconds, param="image")

    return anyio.run(call)


def post(outbound: Outbound, url: str, body: bytes = b"{}", headers: dict[str, str] | None = None) -> Posted:
    return anyio.run(outbound.post_signed, url, body, headers or {}, 5.0)


@pytest.fixture(scope="module")
def victims() -> Iterator[Listener]:
    """Somebody who listens on the same port of 127.0.0.1 and ::1, and is not to be called."""
    with Listener().listening() as victim:
        six = Listener("::1", port=victim.port)
        with six.listening():
            yield victim
        assert six.connections == 0


@pytest.mark.parametrize("url", [*PRIVATE, *MALFORMED], ids=lambda url: repr(url)[:50])
def test_a_private_or_malformed_address_is_refused_and_never_called(url: str, victims: Listener) -> None:
    for call in (fetch, post):
        with pytest.raises(UrlRefused) as caught:
            call(CAREFUL, url.replace("{port}", str(victims.port)))
        assert len(caught.value.message) < 250
    assert victims.connections == 0


def test_the_field_at_fault_is_named() -> None:
    with pytest.raises(UrlRefused) as caught:
        fetch(CAREFUL, "https://127.0.0.1/")
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "url_refused", "image")


def test_an_inside_name_that_exists_reads_as_one_that_does_not() -> None:
    words = []
    for name in ("localtest.me", "none.example"):
        with pytest.raises(UrlRefused) as caught:
            fetch(CAREFUL, f"https://{name}/")
        words.append(caught.value.message.replace(name, "NAME"))
    assert words[0] == words[1]


def test_what_the_operator_opened_is_fetched() -> None:
    with Listener("127.0.0.2").listening() as server:
        found = fetch(OPENED, f"http://127.0.0.2:{server.port}/a.png?size=2#top")
    assert found.bytes == b"ok"
    assert server.requests[0].startswith(b"GET /a.png?size=2 HTTP/1.1\r\n")
    assert f"host: 127.0.0.2:{server.port}".encode() in server.requests[0].lower()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_into_a_private_network_is_refused(victims: Listener, status: int) -> None:
    leading_inside = Listener("127.0.0.2", redirect(f"http://127.0.0.1:{victims.port}/", status))
    with leading_inside.listening() as server, pytest.raises(UrlRefused):
        fetch(OPENED, f"http://127.0.0.2:{server.port}/")
    assert (server.connections, victims.connections) == (1, 0)


def test_redirects_are_followed_a_few_times_only() -> None:
    around = Listener("127.0.0.2")
    with around.listening():
        around.replies = redirect("/again")
        with pytest.raises(UrlUnreachable, match="redirects more than 3 times"):
            fetch(OPENED, f"http://127.0.0.2:{around.port}/")
    assert around.connections == 4


def test_a_name_that_changes_after_the_check_changes_nothing(victims: Listener) -> None:
    # The system knows "localhost" as 127.0.0.1: whoever asks again, or lets the connection ask, ends up there.
    answers = iter([[ip_address("127.0.0.2")], [ip_address("127.0.0.1")]])

    async def rebinding(_host: str, _port: int) -> Sequence[Address]:
        return next(answers)

    flipping = Outbound(resolver=rebinding, allowed=OPENED.allowed)
    with Listener("127.0.0.2", port=victims.port).listening() as server:
        assert fetch(flipping, f"http://localhost:{server.port}/").bytes == b"ok"
    assert (server.connections, victims.connections) == (1, 0)
    assert f"host: localhost:{server.port}".encode() in server.requests[0].lower()


def test_a_proxy_of_the_environment_is_not_used(victims: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{victims.port}")
    with Listener("127.0.0.2").listening() as server:
        fetch(OPENED, f"http://127.0.0.2:{server.port}/")
    assert victims.connections == 0


@pytest.mark.parametrize(
    ("replies", "words"),
    [
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001,), "over the limit of 1000 bytes"),
        ((b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 100] * 11), "over the limit of 1000 bytes"),
        ((b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",), "status 404"),
        ((b"HTTP/1.1 206 Partial\r\nContent-Length: 0\r\n\r\n",), "status 206"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx",), "broke off"),
        ((b"SSH-2.0-OpenSSH\r\n",), "broke off"),
        ((b"",), "broke off"),
    ],
    ids=["declared", "streamed", "not found", "partial", "cut", "no http", "silent"],
)
def test_an_answer_that_is_no_file_within_the_limit_is_told(replies: Sequence[bytes], words: str) -> None:
    with Listener("127.0.0.2", replies).listening() as server, pytest.raises(UrlUnreachable, match=words):
        fetch(OPENED, f"http://127.0.0.2:{server.port}/")


def test_a_packed_answer_is_not_unpacked() -> None:
    with Listener(
        "127.0.0.2", (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",)
    ).listening() as server:
        assert fetch(OPENED, f"http://127.0.0.2:{server.port}/").bytes == b"abc"


@pytest.mark.parametrize(
    "drops", [[b"H", b"T", *[b"T"] * 200], [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x"] * 200]], ids=["head", "body"]
)
def test_an_answer_drop_by_drop_ends_in_time(drops: list[bytes]) -> None:
    with Listener("127.0.0.2", drops, pause_seconds=0.02).listening() as server:
        began = time.monotonic()
        with pytest.raises(UrlUnreachable, match=r"within 0\.3 s"):
            fetch(OPENED, f"http://127.0.0.2:{server.port}/", timeout_seconds=0.3)
        assert time.monotonic() - began < 2


def test_nobody_there_is_told(closed_port: int) -> None:
    with pytest.raises(UrlUnreachable, match="no connection"):
        fetch(Outbound(allowed=(ip_network("127.0.0.0/8"),)), f"http://127.0.0.1:{closed_port}/")


def test_a_post_is_sent_as_signed_and_its_answer_returned() -> None:
    with Listener("127.0.0.2", (b"HTTP/1.1 410 Gone\r\nRetry-After: 9\r\nContent-Length: 3\r\n\r\nbye",)).listening() as server:
        answer = post(OPENED, f"http://127.0.0.2:{server.port}/hook", b'{"a": 1}', {"webhook-id": "msg_1"})
    assert (answer.status, answer.headers["retry-after"], answer.body) == (410, "9", b"bye")
    assert server.requests[0].startswith(b"POST /hook HTTP/1.1\r\n")
    assert b"webhook-id: msg_1\r\n" in server.requests[0]
    assert server.requests[0].endswith(b'{"a": 1}')


def test_a_post_does_not_follow_redirects(victims: Listener) -> None:
    with Listener("127.0.0.2", redirect(f"http://127.0.0.2:{victims.port}/")).listening() as server:
        assert post(OPENED, f"http://127.0.0.2:{server.port}/").status == 302
    assert (server.connections, victims.connections) == (1, 0)


def test_a_header_cannot_bring_another(victims: Listener) -> None:
    with Listener("127.0.0.2").listening() as server, pytest.raises(UrlUnreachable):
        post(OPENED, f"http://127.0.0.2:{server.port}/", headers={"webhook-id": "a\r\nX-Injected: 1"})
    assert server.requests in ([], [b""])


def test_check_sends_nothing(victims: Listener) -> None:
    anyio.run(Outbound(allowed=(ip_network("127.0.0.0/8"),)).check, f"https://127.0.0.1:{victims.port}/")
    with pytest.raises(UrlRefused):
        anyio.run(CAREFUL.check, f"https://127.0.0.1:{victims.port}/")
    assert victims.connections == 0


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """How a server proves to be pictures.example, and how its callers know."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program")
    folder: Path = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
            *("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=pictures.example"),
            *("-addext", "subjectAltName=DNS:pictures.example"),
        ],
        check=True,
        capture_output=True,
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=str(certificate))


@pytest.mark.parametrize("name", ["pictures.example", "other.example"])
def test_only_the_name_s_own_is_taken(pair: tuple[ssl.SSLContext, ssl.SSLContext], name: str) -> None:
    async def always(_host: str, _port: int) -> Sequence[Address]:
        return [ip_address("127.0.0.2")]

    outbound = Outbound(resolver=always, allowed=OPENED.allowed, tls=pair[1])
    with Listener("127.0.0.2", tls=pair[0]).listening() as server:
        url = f"https://{name}:{server.port}/a.png"
        if name == "pictures.example":
            assert fetch(outbound, url).bytes == b"ok"
        else:
            with pytest.raises(UrlUnreachable):
                fetch(outbound, url)
            assert server.requests == []
