"""Where a job comes from: the request's id and its W3C trace context, from the caller through the queue to the worker's log.

A request's origin is a context variable: it follows the request onto threads, and whoever queues a job writes it beside it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

TRACEPARENT = "traceparent"
META = "origin"
"""Where a job's `meta` keeps it."""
# https://www.w3.org/TR/trace-context/#traceparent-header-field-values
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@dataclass(frozen=True)
class Origin:
    """A request: its id, the trace it belongs to, and its own place in it."""

    request_id: str
    trace_id: str
    span_id: str
    flags: str = "00"

    @property
    def traceparent(self) -> str:
        """The header that passes the trace on."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    def as_meta(self) -> dict[str, str]:
        """Return it as a job's `meta` keeps it."""
        return {"request_id": self.request_id, TRACEPARENT: self.traceparent}

    def as_log(self) -> dict[str, str]:
        """Return what every log line about it says."""
        return {"request_id": self.request_id, "trace_id": self.trace_id}


ORIGIN: ContextVar[Origin | None] = ContextVar("unclip_origin", default=None)


def new_origin(request_id: str, traceparent: str | None) -> Origin:
    """Return the origin of a request: a new place in the trace that it came with, or in a trace of its own."""
    parent = parsed(traceparent)
    trace_id, flags = parent if parent else (secrets.token_hex(16), "00")
    return Origin(request_id, trace_id, secrets.token_hex(8), flags)


def parsed(traceparent: str | None) -> tuple[str, str] | None:
    """Return the trace id and the flags of a header; None for one that is missing or not valid."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    if not match:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return trace_id, flags


def origin_of(meta: Mapping[str, Any]) -> Origin | None:
    """Return the origin that a job's `meta` keeps; None where it keeps none, or something else."""
    kept = meta.get(META)
    if not isinstance(kept, dict):
        return None
    match = _TRACEPARENT.fullmatch(str(kept.get(TRACEPARENT)))
    request_id = kept.get("request_id")
    if not match or not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
        return None
    return Origin(request_id, match[2], match[3], match[4])
