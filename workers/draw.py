"""The function that jobs name. An engine worker never calls it: the name tells the worker what a job asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn


def draw(*, spec: Mapping[str, Any]) -> NoReturn:
    """Refuse to run: rows of many jobs are drawn together by `unclip worker`, never one call at a time.

    Raises RuntimeError when a stock RQ worker was pointed at this queue by mistake.
    """
    raise RuntimeError("jobs of this queue are drawn by `unclip worker`; a stock RQ worker cannot run them")
