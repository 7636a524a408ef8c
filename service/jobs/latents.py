"""`/v1/latents`: a picture's latent as a thing of its own."""

from __future__ import annotations

from typing import ClassVar

from fastapi import APIRouter, Response
from pydantic import Field

from contract.errors import IdempotencyKeyReused
from contract.spec import EncodeSpec, Spec, Steps
from service.errors import DRAWING_REFUSALS, PICTURE_REFUSALS, errors
from service.jobs.endpoints import LOCATION
from service.jobs.intake import TAKING_DECLARED, Taking
from service.jobs.requests import IMAGE, EncodeJob, JobOptions
from service.jobs.schemas import JobResponse

router = APIRouter(prefix="/v1/latents", tags=["jobs"])


class LatentRequest(JobOptions):
    """A picture whose latent is wanted."""

    makes: ClassVar[type[Spec]] = EncodeSpec
    image: str = Field(description=f"The picture: {IMAGE}.", examples=["up_5f0c9d4e8a6b4c0f9d3e2b1a7c6d5e4f"])
    inversion_steps: Steps | None = Field(default=None, description="Steps of the inversion; 50 if left out.")


@router.post(
    "",
    status_code=202,
    response_model=JobResponse,
    responses={202: {"headers": LOCATION}, **errors(*DRAWING_REFUSALS, *PICTURE_REFUSALS, IdempotencyKeyReused)},
    openapi_extra=TAKING_DECLARED,
)
async def make_latent(body: LatentRequest, intake: Taking) -> Response:
    """Queue the job `encode`: its picture's `latent_id` can start any number of variations, edits and ways between."""
    said = {name: value for name in LatentRequest.model_fields if (value := getattr(body, name)) is not None}
    return await intake.take(EncodeJob.model_validate({**said, "operation": "encode"}))
