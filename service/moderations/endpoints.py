"""`/v1/moderations`."""

from __future__ import annotations

import uuid

from fastapi import APIRouter, Depends

from contract.errors import (
    BodyTooLarge,
    FilterDown,
    ImageNotFound,
    InvalidImage,
    InvalidJson,
    InvalidParameter,
    QueueDown,
    StoreDown,
    UnsupportedMediaType,
    UploadsBusy,
    UrlRefused,
    UrlUnreachable,
)
from service.callers import Caller
from service.errors import errors
from service.moderations.schemas import ModerationRequest, ModerationResponse
from service.resources import Moderations, Urls, json_only

router = APIRouter(prefix="/v1/moderations", tags=["openai"])

MODEL = "unclip-filters"
REFUSALS = (
    *(BodyTooLarge, FilterDown, ImageNotFound, InvalidImage, InvalidJson, InvalidParameter, QueueDown, StoreDown),
    *(UnsupportedMediaType, UploadsBusy, UrlRefused, UrlUnreachable),
)


@router.post("", dependencies=[Depends(json_only)], responses=errors(*REFUSALS))
async def moderate(body: ModerationRequest, caller: Caller, moderations: Moderations, urls: Urls) -> ModerationResponse:
    """Ask the filters that stand before and behind every drawing. Nothing is kept of what is sent.

    Texts are judged by the prompt filter, pictures by the picture filter, which knows `sexual` alone. OpenAI's other categories
    are always false here: `category_applied_input_types` tells which were looked at.
    """
    results = await moderations.judge(body, caller.key_id, urls.own)
    return ModerationResponse(id=f"modr-{uuid.uuid4().hex}", model=MODEL, results=results)
