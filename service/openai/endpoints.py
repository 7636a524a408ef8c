"""`/v1/images/generations` and `/v1/models`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, HTTPException, Response

from contract.catalog import ALIASES
from contract.errors import IdempotencyKeyReused, JobCanceled, JobFailed, MethodNotAllowed, ModelNotFound, WaitTimedOut
from service.errors import DRAWING_REFUSALS, errors
from service.idempotency import OnceOnly
from service.openai.replies import Replies
from service.openai.schemas import STREAM_REPLY, GenerationRequest, ImagesResponse, ModelCard, ModelList
from service.resources import Drafting, Jobs, Model, json_only

router = APIRouter(prefix="/v1", tags=["openai"])


@router.post(
    "/images/generations",
    response_model=ImagesResponse,
    dependencies=[Depends(json_only)],
    response_model_exclude_none=True,
    responses={**STREAM_REPLY, **errors(*DRAWING_REFUSALS, IdempotencyKeyReused, JobFailed, JobCanceled, WaitTimedOut)},
)
async def generate_images(body: GenerationRequest, drafts: Drafting, jobs: Jobs, replies: Replies, once: OnceOnly) -> Response:
    """Draw and wait, or with `stream` show it while it is drawn. It is the same job as `POST /v1/jobs` makes, and goes on when
    the caller hangs up."""
    spec = await drafts.spec(body, once.api_key, is_room=once.if_first(jobs.room("interactive", once.api_key)))
    return await replies.reply(spec, body, once, "image_generation")


@router.get("/images/generations", include_in_schema=False)
async def refuse_to_list_images() -> None:
    """Answer 405: without this route a GET here would look for an image named "generations"."""
    raise HTTPException(MethodNotAllowed.status, headers={"Allow": "POST"})


@router.get("/models")
async def list_models(model: Model) -> ModelList:
    """List the one model served here, with its sizes, stages and defaults."""
    return ModelList(data=[ModelCard.of(model)])


@router.get("/models/{model}", responses=errors(ModelNotFound))
async def read_model(model: str, served: Model) -> ModelCard:
    """Tell of one model, by its name or an alias."""
    if not served.answers_to(model):
        raise ModelNotFound(model, [served.name, *ALIASES])
    return ModelCard.of(served)
