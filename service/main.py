"""The API process: logging, uvicorn, a drain that ends."""

from __future__ import annotations

import logging
import math
import sys

import structlog
import uvicorn

from contract.settings import Settings
from service.app import create_app


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM, then let replies in hand finish for `settings.drain_seconds`.

    Raises ModelError or ValueError when the settings cannot be served.
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


def configure_logging(level: str) -> None:
    """Send our log lines and everybody else's to standard error: JSON for machines, columns for a terminal."""
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(number, logging.INFO), format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    for_people = sys.stderr.isatty()
    # Plain tracebacks: the rich ones print local variables, and with them prompts and passwords.
    to_people = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if for_people else [structlog.processors.format_exc_info]),
            to_people if for_people else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
