"""The one HTTP client for addresses that callers give: pictures to fetch, webhooks to call.

A name is resolved once and every address behind it looked at; the connection then goes to such an address itself, so that a
name which points elsewhere a moment later changes nothing. Each hop of a redirect is a new address, looked at the same way.
Proxies and credentials of the environment are not used.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from urllib.parse import urljoin

import anyio
import anyio.to_thread
import httpx

from contract.addresses import Address, Network, Target, check_addresses, literal, parse_target
from contract.errors import UrlUnreachable

MAX_REDIRECTS = 3
MAX_ADDRESSES = 4
"""How many addresses of one name are tried, in the resolver's order, while none of them takes a connection."""
CONNECT_SECONDS = 5.0
FETCH_SECONDS = 20.0
MAX_REPLY_BYTES = 2**14
"""How much of the answer to a post is read: enough for a log line."""
REDIRECTS = (301, 302, 303, 307, 308)
FETCH_HEADERS = {"Accept": "image/png, image/jpeg, image/webp, */*;q=0.1", "User-Agent": "unclip"}

Resolver = Callable[[str, int], Awaitable[Sequence[Address]]]


@dataclass(frozen=True)
class Fetched:
    """What an address gave. `url`: where it was in the end."""

    bytes: bytes
    content_type: str
    url: str


@dataclass(frozen=True)
class Posted:
    """What the receiver of a post answered; `body` is its beginning, and header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def resolve(host: str, port: int) -> Sequence[Address]:
    """Return the addresses of a host, as the system resolves it. Raises OSError for a name that has none."""

    def look_up() -> list[Address]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # A zone ("%eth0") belongs to link-local addresses alone, which are never public.
        return [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]

    return await anyio.to_thread.run_sync(look_up, abandon_on_cancel=True)


@dataclass(frozen=True)
class Outbound:
    """Sends requests to public machines, and to those in `allowed` networks.

    resolver: asks for the addresses of a name. tls: what certificates are checked with; None: the usual authorities.
    Every method raises UrlRefused for an address that is not called, and UrlUnreachable for one that gave no usable answer;
    `param` is the request field that these errors then name. Synchronous code says `anyio.run(outbound.post_signed, …)`.
    """

    allowed: Sequence[Network] = ()
    resolver: Resolver = resolve
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    async def fetch(
        self, url: str, limit_bytes: int, *, timeout_seconds: float = FETCH_SECONDS, param: str | None = None
    ) -> Fetched:
        """Return what lies at `url`, at most `limit_bytes` of it, following a few redirects; all within the time-out."""
        with _in_time(url, timeout_seconds, param):
            for _ in range(MAX_REDIRECTS + 1):
                async with self._request("GET", url, headers=FETCH_HEADERS, param=param) as reply:
                    if reply.status_code in REDIRECTS and "location" in reply.headers:
                        url = urljoin(url, reply.headers["location"])
                        continue
                    if reply.status_code != 200:
                        raise UrlUnreachable(url, f"it answered with status {reply.status_code}", param)
                    data = await _read(reply, limit_bytes)
                    if data is None:
                        raise UrlUnreachable(url, f"what it holds is over the limit of {limit_bytes} bytes", param)
                    return Fetched(data, reply.headers.get("content-type", ""), url)
            raise UrlUnreachable(url, f"it redirects more than {MAX_REDIRECTS} times", param)

    async def post_signed(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float, *, param: str | None = None
    ) -> Posted:
        """Post `body` with the `headers` that sign it, return the answer whatever its status; redirects are not followed."""
        with _in_time(url, timeout_seconds, param):
            async with self._request("POST", url, headers={"User-Agent": "unclip", **headers}, param=param, body=body) as reply:
                answer = b""
                async for chunk in reply.aiter_raw():
                    answer += chunk
                    if len(answer) >= MAX_REPLY_BYTES:
                        break
                return Posted(reply.status_code, dict(reply.headers), answer[:MAX_REPLY_BYTES])

    async def check(self, url: str, *, param: str | None = None) -> None:
        """Return if a request to `url` would be sent as things stand; it is looked at again when it is. Sends nothing."""
        with _in_time(url, CONNECT_SECONDS, param):
            await self._addresses(parse_target(url, param), param)

    @asynccontextmanager
    async def _request(
        self, method: str, url: str, *, headers: Mapping[str, str], param: str | None, body: bytes | None = None
    ) -> AsyncIterator[httpx.Response]:
        """Send one request to the machine that `url` names now; the answer's body is still to be read."""
        target = parse_target(url, param)
        addresses = await self._addresses(target, param)
        sent = {"Accept-Encoding": "identity", **headers, "Host": target.authority}
        async with httpx.AsyncClient(
            verify=self._certificates,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        ) as client:
            for position, address in enumerate(addresses, start=1):
                try:
                    request = client.build_request(
                        # The certificate has to be the name's, though the connection goes to the number.
                        method,
                        target.at(address),
                        headers=sent,
                        content=body,
                        extensions={"sni_hostname": target.host},
                    )
                    reply = await client.send(request, stream=True)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    if position == len(addresses):
                        raise UrlUnreachable(url, "no connection could be made", param) from error
                    continue
                try:
                    yield reply
                finally:
                    await reply.aclose()
                return

    async def _addresses(self, target: Target, param: str | None) -> Sequence[Address]:
        number = literal(target.host)
        try:
            addresses = [number] if number is not None else await self.resolver(target.host, target.port)
        except OSError:
            # As for a name that leads to a private machine: who asks is not to learn which names there are inside.
            addresses = []
        check_addresses(target, addresses, self.allowed, param)
        return list(dict.fromkeys(addresses))[:MAX_ADDRESSES]

    @cached_property
    def _certificates(self) -> ssl.SSLContext:
        return self.tls or httpx.create_ssl_context(trust_env=False)


async def _read(reply: httpx.Response, limit_bytes: int) -> bytes | None:
    """Return the body as it came, None when it is over the limit. Nothing is unpacked: it was asked for as it is."""
    declared = reply.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes:
        return None
    chunks, received = [], 0
    async for chunk in reply.aiter_raw():
        received += len(chunk)
        if received > limit_bytes:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


@contextmanager
def _in_time(url: str, timeout_seconds: float, param: str | None) -> Iterator[None]:
    """Bound all that happens inside, however little of it comes at a time; tell its failures in words of ours."""
    try:
        with anyio.fail_after(timeout_seconds):
            yield
    except TimeoutError as error:
        raise UrlUnreachable(url, f"it gave no whole answer within {timeout_seconds:g} s", param) from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ssl.SSLError, OSError) as error:
        raise UrlUnreachable(url, "the connection broke off", param) from error
