"""Signed posts to webhooks, as Standard Webhooks 1.0 says: what any library of that name verifies, and OpenAI's SDK."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from standardwebhooks import Webhook

from contract.webhooks import Endpoint

POST_SECONDS = 15.0
"""How long a receiver may take to answer."""


def signed_headers(endpoint: Endpoint, event_id: str, body: str, now: float) -> Mapping[str, str]:
    """Return the headers of a post sent at `now`, Unix seconds; one signature for each secret that is in force."""
    moment = datetime.fromtimestamp(int(now), UTC)
    signatures = [Webhook(secret).sign(event_id, moment, body) for secret in endpoint.secrets_at(now)]
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": " ".join(signatures),
    }
