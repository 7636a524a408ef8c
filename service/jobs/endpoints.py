"""`/v1/jobs`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from contract.errors import JobNotCancelable, JobNotFound, QueueDown
from service.errors import DRAWING_REFUSALS, errors
from service.jobs.schemas import JobRequest, JobResponse
from service.resources import Admitting, Jobs, Urls, json_only

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

LOCATION = {"Location": {"description": "The job's address.", "schema": {"type": "string"}}}


@router.post(
    "",
    status_code=202,
    dependencies=[Depends(json_only)],
    responses={202: {"headers": LOCATION}, **errors(*DRAWING_REFUSALS)},
)
async def submit_job(body: JobRequest, admission: Admitting, jobs: Jobs, urls: Urls, response: Response) -> JobResponse:
    """Queue one job. The reply comes at once; follow `Location` for its state."""
    job = await jobs.submit(admission.admit(body))
    response.headers["Location"] = urls.job(job.id)
    return JobResponse.of(job, urls)


@router.get("/{job_id}", responses=errors(JobNotFound, QueueDown))
async def read_job(job_id: str, jobs: Jobs, urls: Urls) -> JobResponse:
    """Tell how a job stands: state, progress by stage and step, place in the queue, pictures, error."""
    return JobResponse.of(await jobs.fetch(job_id), urls)


@router.post("/{job_id}/cancel", responses=errors(JobNotFound, JobNotCancelable, QueueDown))
async def cancel_job(job_id: str, jobs: Jobs, urls: Urls) -> JobResponse:
    """Cancel a job: at once when it is queued, before its next step when it runs."""
    return JobResponse.of(await jobs.cancel(job_id), urls)
