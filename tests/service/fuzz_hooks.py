"""What Schemathesis has to be told to fuzz this API; loaded by it, by file name."""

from __future__ import annotations

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/jsonl", "application/x-ndjson")
def json_lines(_context: Any, value: Any) -> bytes:
    """One line for each item of a list; text as it is."""
    items = value if isinstance(value, list) else [value]
    lines = [item if isinstance(item, str) else json.dumps(item) for item in items]
    return "\n".join(lines).encode("utf-8", "surrogatepass")
