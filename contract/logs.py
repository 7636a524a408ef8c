"""Logging, one way in every process: our lines and the libraries' alike."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog
from structlog.typing import Processor


def configure_logging(level: str, libraries: str = "info") -> None:
    """Send every log line to standard error: JSON, one object a line, for machines; columns for a terminal.

    level: the least severe line of ours that is written. libraries: the least severe of theirs, where `level` lets it through.
    """
    numbers = logging.getLevelNamesMapping()
    number, theirs = numbers[level.upper()], numbers[libraries.upper()]
    for_people = sys.stderr.isatty()
    # Plain tracebacks: the rich ones print local variables, and with them prompts and passwords.
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if for_people else [structlog.processors.format_exc_info]),
    ]
    last: Processor = plain if for_people else structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", Lines(sys.stderr))),
    )
    handler = logging.StreamHandler(sys.stderr)
    # On the handler: some libraries set the level of their own loggers.
    handler.setLevel(max(number, theirs))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        )
    )
    logging.basicConfig(level=handler.level, handlers=[handler], force=True)


class Lines:
    """Writes where it can. A log on a full disk, or one that nobody reads any more, must not end the work that it tells of."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or lose the line."""
        with suppress(OSError, ValueError):  # ValueError: it is closed
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or leave it."""
        with suppress(OSError, ValueError):
            self._stream.flush()
