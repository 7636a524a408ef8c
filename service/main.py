"""The API process: uvicorn, and a drain that ends."""

from __future__ import annotations

import math

import uvicorn

from contract.logs import configure_logging
from contract.settings import Settings
from service.app import create_app


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, then let replies in hand finish for `settings.drain_seconds`.

    Raises SettingsWrong or ModelError when the settings cannot be served.
    """
    configure_logging(settings.log_level)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        # RequestContext writes a line of its own, with the request id.
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds),
    )
