"""The function that deliveries name. The sender never calls it: the name tells what an entry of its queue is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

DELIVER = "workers.webhooks.deliver.deliver"


def deliver(*, delivery: Mapping[str, Any]) -> NoReturn:
    """Refuse to run: deliveries are sent by `unclip webhooks`, many at once.

    Raises RuntimeError when a stock RQ worker was pointed at this queue by mistake.
    """
    raise RuntimeError("deliveries are sent by `unclip webhooks`; a stock RQ worker cannot run them")
