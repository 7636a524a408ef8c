"""Pictures on the wire are their own bytes; only the OpenAPI description of them lives here."""

from __future__ import annotations

from typing import Any

IMAGE_REPLY: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture's file.",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    }
}
