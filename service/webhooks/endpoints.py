"""`/v1/webhook_endpoints`, as OpenAI's client calls it: `client.webhooks.create(…)` and its like."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from contract.errors import (
    InvalidJson,
    InvalidParameter,
    QueueDown,
    UnsupportedMediaType,
    UrlRefused,
    UrlUnreachable,
    WebhookNotFound,
)
from service.callers import Caller
from service.errors import errors
from service.resources import Webhooks, json_only
from service.webhooks.schemas import (
    WebhookCreate,
    WebhookDeleted,
    WebhookEndpoint,
    WebhookEndpointWithSecret,
    WebhookList,
    WebhookRotate,
    WebhookTest,
    WebhookTested,
    WebhookUpdate,
)

router = APIRouter(prefix="/v1/webhook_endpoints", tags=["webhooks"])

BODY_REFUSALS = (InvalidJson, InvalidParameter, UnsupportedMediaType, QueueDown)


@router.post("", dependencies=[Depends(json_only)], responses=errors(*BODY_REFUSALS, UrlRefused))
async def create_webhook(body: WebhookCreate, caller: Caller, webhooks: Webhooks) -> WebhookEndpointWithSecret:
    """Have events of all one's jobs posted to an address. The reply has the secret that signs them, this one time.

    Posts are those of Standard Webhooks 1.0, which `client.webhooks.unwrap` of OpenAI's SDK verifies: at least once each, tried
    again over more than a day until they are answered with 2xx; a 410 disables the endpoint.
    """
    return WebhookEndpointWithSecret.of(await webhooks.create(caller.key_id, body.url, body.event_types, body.name))


@router.get("", responses=errors(InvalidParameter, QueueDown))
async def list_webhooks(
    caller: Caller,
    webhooks: Webhooks,
    limit: Annotated[int, Query(ge=1, le=100, description="Endpoints on a page.")] = 20,
    after: Annotated[str | None, Query(description="`last_id` of the page before.")] = None,
) -> WebhookList:
    """List one's endpoints, the newest first."""
    found, has_more = await webhooks.page(caller.key_id, limit, after)
    ids = [endpoint.id for endpoint in found]
    return WebhookList(
        data=[WebhookEndpoint.of(endpoint) for endpoint in found],
        first_id=ids[0] if ids else None,
        last_id=ids[-1] if ids else None,
        has_more=has_more,
    )


@router.get("/{endpoint_id}", responses=errors(WebhookNotFound, QueueDown))
async def read_webhook(endpoint_id: str, caller: Caller, webhooks: Webhooks) -> WebhookEndpoint:
    """Tell of one endpoint, and whether it is disabled and why."""
    return WebhookEndpoint.of(await webhooks.get(caller.key_id, endpoint_id))


@router.post("/{endpoint_id}", dependencies=[Depends(json_only)], responses=errors(*BODY_REFUSALS, UrlRefused, WebhookNotFound))
async def update_webhook(endpoint_id: str, body: WebhookUpdate, caller: Caller, webhooks: Webhooks) -> WebhookEndpoint:
    """Change an endpoint; one that was disabled is enabled again."""
    changes = body.model_dump(exclude_none=True)
    return WebhookEndpoint.of(await webhooks.update(caller.key_id, endpoint_id, changes))


@router.delete("/{endpoint_id}", responses=errors(WebhookNotFound, QueueDown))
async def delete_webhook(endpoint_id: str, caller: Caller, webhooks: Webhooks) -> WebhookDeleted:
    """Forget an endpoint; what was on its way to it is not sent any more."""
    await webhooks.delete(caller.key_id, endpoint_id)
    return WebhookDeleted(id=endpoint_id)


@router.post(
    "/{endpoint_id}/rotate_secret", dependencies=[Depends(json_only)], responses=errors(*BODY_REFUSALS, WebhookNotFound)
)
async def rotate_webhook_secret(
    endpoint_id: str, caller: Caller, webhooks: Webhooks, body: WebhookRotate
) -> WebhookEndpointWithSecret:
    """Give an endpoint a new secret, told this one time."""
    keep_old = body.keep_old_secret_active_for_24_hours
    return WebhookEndpointWithSecret.of(await webhooks.rotate(caller.key_id, endpoint_id, keep_old))


@router.post(
    "/{endpoint_id}/test",
    dependencies=[Depends(json_only)],
    responses=errors(*BODY_REFUSALS, UrlRefused, UrlUnreachable, WebhookNotFound),
)
async def test_webhook(endpoint_id: str, body: WebhookTest, caller: Caller, webhooks: Webhooks) -> WebhookTested:
    """Post a sample event now, once, and tell what the receiver answered."""
    status = await webhooks.test(caller.key_id, endpoint_id, body.event_type)
    return WebhookTested(webhook_endpoint_id=endpoint_id, event_type=body.event_type, status_code=status)
