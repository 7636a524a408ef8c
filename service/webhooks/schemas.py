"""Webhook endpoints on the wire, in the shapes of OpenAI's API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from contract.webhooks import ENDS, EVENT_TYPES, MAX_NAME_CHARACTERS, MAX_URL_CHARACTERS, Endpoint, EventType, SigningSecret

_ID = "we_5f0c9d4e8a6b4c0f9d3e2b1a7c6d5e4f"
_EXAMPLE: JsonDict = {"name": "my app", "url": "https://example.com/hooks", "event_types": ["job.succeeded", "job.failed"]}

Url = Annotated[
    str,
    Field(
        max_length=MAX_URL_CHARACTERS,
        description="Where events are posted: https, on a public machine. Redirects are not followed.",
        examples=["https://example.com/hooks"],
    ),
]
EventTypes = Annotated[
    tuple[EventType, ...],
    Field(min_length=1, max_length=len(EVENT_TYPES), description="What is told.", examples=[["job.succeeded", "job.failed"]]),
]
Name = Annotated[str, Field(max_length=MAX_NAME_CHARACTERS, description="For people.", examples=["my app"])]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JobWebhook(_Body):
    """A webhook for one job alone."""

    url: Url
    secret: SigningSecret = Field(
        description="Signs the posts: `whsec_` and the base64 of 24 to 64 bytes of your choosing.",
        examples=["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="],
    )
    event_types: EventTypes = ENDS


class WebhookCreate(_Body):
    """A new endpoint, which hears of every job of its API key."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    url: Url
    event_types: EventTypes
    name: Name = ""


class WebhookUpdate(_Body):
    """What is to be changed; an endpoint that was disabled is enabled again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "my other app"}]})

    url: Url | None = None
    event_types: EventTypes | None = None
    name: Name | None = None


class WebhookRotate(_Body):
    """How a secret is rotated."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"keep_old_secret_active_for_24_hours": True}]})

    keep_old_secret_active_for_24_hours: bool = Field(
        default=False, description="Whether posts are signed with both secrets for a day."
    )


class WebhookTest(_Body):
    """Which event is sent as a sample."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"event_type": "job.succeeded"}]})

    event_type: EventType


class WebhookEndpoint(BaseModel):
    """An endpoint. Times are Unix seconds."""

    id: str = Field(examples=[_ID])
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    name: str
    url: str
    event_types: list[str]
    signing_secret_hint: str = Field(examples=["whsec_…ZWY="])
    disabled: str | None = Field(description="Why nothing is sent any more; null while events are.", examples=[None])
    created_at: int
    updated_at: int

    @classmethod
    def of(cls, endpoint: Endpoint) -> WebhookEndpoint:
        """Return `endpoint` as its owner sees it: without its secret."""
        return cls(**_told(endpoint))


class WebhookEndpointWithSecret(WebhookEndpoint):
    """The same with its secret, which is told once."""

    signing_secret: str = Field(description="Verifies the posts.", repr=False)

    @classmethod
    def of(cls, endpoint: Endpoint) -> WebhookEndpointWithSecret:
        """Return `endpoint` as its owner sees it this one time."""
        return cls(**_told(endpoint), signing_secret=endpoint.secret)


class WebhookList(BaseModel):
    """One page of the caller's endpoints, the newest first."""

    object: Literal["list"] = "list"
    data: list[WebhookEndpoint]
    first_id: str | None
    last_id: str | None
    has_more: bool


class WebhookDeleted(BaseModel):
    """An endpoint that is no more."""

    id: str = Field(examples=[_ID])
    object: Literal["webhook_endpoint.deleted"] = "webhook_endpoint.deleted"
    deleted: Literal[True] = True


class WebhookTested(BaseModel):
    """What the receiver answered to a sample."""

    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: str = Field(examples=[_ID])
    event_type: str
    status_code: int = Field(examples=[200])
    success: Literal[True] = True


def _told(endpoint: Endpoint) -> dict[str, object]:
    return {
        "id": endpoint.id,
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": list(endpoint.event_types),
        "signing_secret_hint": f"whsec_…{endpoint.secret[-4:]}",
        "disabled": endpoint.disabled,
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
    }
