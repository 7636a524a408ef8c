"""The real `unclip webhooks`, as the forge starts it, in a hurry: what it gives minutes and hours takes it seconds here."""

from __future__ import annotations

from typing import Any

import workers.webhooks.listener
import workers.webhooks.main
import workers.webhooks.queue
import workers.webhooks.schedule
from contract.settings import Settings


def hasten() -> None:
    """Shorten the times after which a dead sender's work is taken over, and after which a post is tried again."""
    listener: Any = workers.webhooks.listener
    process: Any = workers.webhooks.main
    queue: Any = workers.webhooks.queue
    schedule: Any = workers.webhooks.schedule
    listener.ABANDONED_MILLISECONDS = 1500
    queue.LEASE_SECONDS = 3.0
    schedule.DELAYS_SECONDS = (0.3,) * 1000
    process.DUE_SECONDS, process.LOOK_SECONDS, process.AWAY_SECONDS = 0.2, 0.05, 0.2


def main() -> None:
    hasten()
    workers.webhooks.main.run(Settings())
