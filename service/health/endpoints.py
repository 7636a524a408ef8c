"""`/healthz` and `/readyz`."""

from __future__ import annotations

from fastapi import APIRouter, Response
from starlette.responses import JSONResponse

from contract.errors import QueueDown, StoreDown
from service.errors import error_response, errors
from service.health.schemas import Alive, Readiness
from service.resources import Health

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def tell_alive() -> Alive:
    """Green as long as the process answers, whatever it stands on: restart it only when this is red."""
    return Alive()


@router.get("/readyz", response_model=Readiness, responses=errors(QueueDown, StoreDown))
async def tell_ready(health: Health) -> Response:
    """Green when jobs can be taken: queue and store answer. Red is a 503 in the error shape, with the `checks` beside it."""
    outages = await health.outages()
    checks = {part: outage.code if outage else "ok" for part, outage in outages.items()}
    worst = next((outage for outage in outages.values() if outage), None)
    if worst is None:
        return JSONResponse(Readiness(status="ready", checks=checks).model_dump())
    return error_response(worst, beside=Readiness(status="unavailable", checks=checks).model_dump())
