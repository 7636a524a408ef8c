"""`/v1/images/generations` and `/v1/models`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, HTTPException, Request

from contract.errors import IdempotencyKeyReused, JobCanceled, JobFailed, MethodNotAllowed, RouteNotFound, WaitTimedOut
from service.errors import DRAWING_REFUSALS, errors
from service.idempotency import OnceOnly
from service.openai.schemas import GenerationRequest, ImagesResponse, ModelCard, ModelList
from service.openai.service import answer
from service.resources import Admitting, Images, Jobs, Model, Urls, json_only
from service.waiting import draw_and_wait

router = APIRouter(prefix="/v1", tags=["openai"])


@router.post(
    "/images/generations",
    dependencies=[Depends(json_only)],
    response_model_exclude_none=True,
    responses=errors(*DRAWING_REFUSALS, IdempotencyKeyReused, JobFailed, JobCanceled, WaitTimedOut),
)
async def generate_images(
    body: GenerationRequest,
    request: Request,
    admission: Admitting,
    jobs: Jobs,
    images: Images,
    urls: Urls,
    once: OnceOnly,
) -> ImagesResponse:
    """Draw and wait. It is the same job as `POST /v1/jobs` makes, and goes on when the caller hangs up."""
    spec = admission.admit(body, once.api_key)
    job = await draw_and_wait(spec, request, jobs, once, body.on_disconnect)
    return await answer(job, body.response_format, images, urls)


@router.get("/images/generations", include_in_schema=False)
async def refuse_to_list_images() -> None:
    """Answer 405: without this route a GET here would look for an image named "generations"."""
    raise HTTPException(MethodNotAllowed.status, headers={"Allow": "POST"})


@router.post("/images/edits", include_in_schema=False)
@router.post("/images/variations", include_in_schema=False)
async def refuse_other_operations(request: Request) -> None:
    """Answer 404: without this route a POST here would be told that it may GET an image named "edits"."""
    raise RouteNotFound(request.url.path)


@router.get("/models")
async def list_models(model: Model) -> ModelList:
    """List the one model served here, with its sizes, stages and defaults."""
    return ModelList(data=[ModelCard.of(model)])
