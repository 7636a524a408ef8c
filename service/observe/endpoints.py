"""`/metrics`."""

from __future__ import annotations

from fastapi import APIRouter, Response

from contract.errors import QueueDown
from contract.fleet import read_fleet
from service.callers import Caller
from service.metrics import CONTENT_TYPE
from service.resources import Everything

router = APIRouter(tags=["operations"])

REPLY = {200: {"content": {CONTENT_TYPE.partition(";")[0]: {"schema": {"type": "string"}}}}}


@router.get("/metrics", response_class=Response, responses=REPLY)  # type: ignore[arg-type]
async def tell_metrics(caller: Caller, resources: Everything) -> Response:
    """Tell Prometheus: this process's requests, the queue as it is, and what every worker counts. Needs the scope `admin`."""
    try:
        fleet = await resources.offload(QueueDown, read_fleet, resources.redis)
    except QueueDown:
        fleet = None  # the metrics of an outage are wanted most
    return Response(resources.metrics.exposition(fleet), headers={"Content-Type": CONTENT_TYPE})
