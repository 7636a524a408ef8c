"""Health on the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether jobs can be taken now, part by part."""

    status: Literal["ready", "unavailable"]
    checks: dict[str, str] = Field(
        description="`ok`, or the code of what is wrong.", examples=[{"queue": "ok", "store": "store_unavailable"}]
    )
