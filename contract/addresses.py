"""Where a request of ours may go: an address is taken apart once, and every machine behind its name is looked at.

Everything here is pure; `contract.outbound` resolves, pins and connects. What callers give as an address leads our process
into a network it stands in and they do not (server-side request forgery), so only public machines are reached, and those in the
networks that the operator names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from contract.errors import UrlRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_CHARACTERS = 2048
DEFAULT_PORTS = {"https": 443, "http": 80}
# Printable ASCII without space, backslash and angle brackets; control characters and line ends are what header injection needs.
_URL = re.compile(r"[!-;=?-\[\]-~\u00a1-\U0010fffd]+")
_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# 2130706433, 0x7f.1, 0177.0.0.1: browsers and libc read these as IPv4, and no two of them alike.
_ENDS_IN_A_NUMBER = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)")

# Public IPv6 is 2000::/3 without these (RFC 6890 and its successors); whatever else there is, or will be, is not public.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_IPV6_SPECIAL = tuple(IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_IPV4_SPECIAL = tuple(
    IPv4Network(net)
    for net in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4"),
    )
)


@dataclass(frozen=True)
class Target:
    """An address taken apart. `host`: lower case ASCII, IPv6 without brackets. `path`: with its query, as it is sent."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port as the Host header says them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def at(self, address: Address) -> str:
        """Return the address of the same thing, said with the machine's number instead of its name."""
        number = f"[{address}]" if address.version == 6 else str(address)
        return f"{self.scheme}://{number}:{self.port}{self.path}"


def parse_target(url: str, param: str | None = None) -> Target:
    """Take `url` apart. Raises UrlRefused for what is no plain http(s) address: whatever readers could disagree about."""
    if len(url) > MAX_URL_CHARACTERS:
        raise UrlRefused(url, f"it is longer than {MAX_URL_CHARACTERS} characters", param)
    if not _URL.fullmatch(url):
        raise UrlRefused(url, "it holds characters that no address has", param)
    try:
        parts = urlsplit(url)
        port = parts.port
        host = _ascii_host(parts.hostname or "")
    except ValueError as error:
        raise UrlRefused(url, "it cannot be read as an address", param) from error
    if parts.scheme not in DEFAULT_PORTS:
        raise UrlRefused(url, "it does not begin with https://", param)
    if "@" in parts.netloc:
        raise UrlRefused(url, "it holds a user name or password", param)
    if port == 0 or not host:
        raise UrlRefused(url, "it names no machine and port", param)
    query = f"?{parts.query}" if parts.query else ""
    return Target(parts.scheme, host, port or DEFAULT_PORTS[parts.scheme], (parts.path or "/") + query)


def check_addresses(target: Target, addresses: Sequence[Address], allowed: Sequence[Network], param: str | None = None) -> None:
    """Return if a request may go to every one of `addresses`, those of `target`.

    allowed: networks that the operator opened, where plain http is spoken too. Raises UrlRefused.
    """
    url = f"{target.scheme}://{target.authority}"
    if addresses and all(_lies_in(address, allowed) for address in addresses):
        return
    if target.scheme != "https":
        raise UrlRefused(url, "it does not begin with https://", param)
    if not addresses or not all(is_public(address) or _lies_in(address, allowed) for address in addresses):
        # One word for all of them: which private machines there are is nobody's business.
        raise UrlRefused(url, "it does not lead to a public address", param)


def is_public(address: Address) -> bool:
    """True for an address of the public internet; for those that hold an IPv4 address, if that is."""
    if isinstance(address, IPv4Address):
        return not any(address in net for net in _IPV4_SPECIAL)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _GLOBAL_UNICAST and not any(address in net for net in _IPV6_SPECIAL)


def read_networks(text: str) -> tuple[Network, ...]:
    """Return the networks that a comma-separated list names. Raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def literal(host: str) -> Address | None:
    """Return the address that `host` spells out, if it does."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _ascii_host(host: str) -> str:
    """Return a host as DNS is asked for it. Raises ValueError for what is neither a name nor an address in full."""
    # By way of IDNA: it also turns full-width and circled digits into plain ones, which the checks below then see.
    name = host if ":" in host else host.encode("idna").decode("ascii").lower().removesuffix(".")
    if literal(name) is not None and "%" not in name:
        return name
    if not _HOST.fullmatch(name) or _ENDS_IN_A_NUMBER.fullmatch(name):
        raise ValueError(name)
    return name


def _lies_in(address: Address, networks: Sequence[Network]) -> bool:
    plain = address.ipv4_mapped if isinstance(address, IPv6Address) and address.ipv4_mapped else address
    return any(plain in net for net in networks)
