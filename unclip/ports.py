"""Local ports: finding a free one, and seeing whether one is taken or answers."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"
_EVERYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1", "": LOOPBACK}


def free_port() -> int:
    """Return a port that nothing local listened on a moment ago; whoever uses it must cope with losing the race."""
    with socket.create_server((LOOPBACK, 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def why_not_free(host: str, port: int) -> str | None:
    """Return why no server could listen on `host`:`port` now, in the system's words; None when one could."""
    try:
        with socket.create_server((host, port), family=_family(host)):
            return None
    except OSError as error:  # taken, reserved, not an address of this machine, a name that nobody knows
        return (error.strerror or str(error)).partition(" (")[0]  # Python adds the address, which the caller knows


def answers(host: str, port: int, timeout_seconds: float = 0.2) -> bool:
    """True when something accepts connections on `host`:`port`."""
    try:
        with socket.create_connection((reachable_host(host), port), timeout=timeout_seconds):
            return True
    except OSError:
        return False


def reachable_host(host: str) -> str:
    """Return the address by which this machine reaches a server that listens on `host`."""
    return _EVERYWHERE.get(host, host)


def base_url(host: str, port: int) -> str:
    """Return the HTTP address by which this machine reaches a server on `host`:`port`."""
    name = reachable_host(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
