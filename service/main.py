"""The API process: uvicorn, and a drain that ends."""

from __future__ import annotations

import math
from ipaddress import ip_address

import structlog
import uvicorn

from contract.errors import QueueDown, SettingsWrong
from contract.keys import KeyRing
from contract.logs import configure_logging
from contract.settings import Settings
from service.app import create_app
from service.patience import patient_protocol

log = structlog.get_logger("service")


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, then let replies in hand finish for `settings.drain_seconds`.

    Raises SettingsWrong or ModelError when the settings cannot be served.
    """
    configure_logging(settings.log_level)
    app = create_app(settings)
    refuse_open_door(settings, app.state.resources.gate.keys)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        http=patient_protocol(settings.slow_client_seconds),
        h11_max_incomplete_event_size=settings.max_header_bytes,
        # RequestContext writes a line of its own, with the request id.
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds),
    )


def refuse_open_door(settings: Settings, keys: KeyRing) -> None:
    """Keep a service without API keys on this machine: with the addresses of others, everybody there could draw.

    Raises SettingsWrong, which says the ways out. A queue that cannot be asked is no reason not to start: the gate asks again.
    """
    if is_loopback(settings.host):
        return
    if settings.api_keys == "off":
        log.warning("no API keys are asked for, and others can reach this address", host=settings.host)
        return
    try:
        is_open = settings.api_keys == "auto" and keys.is_empty()
    except QueueDown:
        return
    if is_open:
        raise SettingsWrong(
            f"without API keys the service listens on this machine alone, and {settings.host} is more than that: make a key "
            "with `unclip keys create NAME`; or set UNCLIP_API_KEYS=off where something in front lets in only the right callers"
        )


def is_loopback(host: str) -> bool:
    """True for an address that only this machine reaches; False for a name other than localhost."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
