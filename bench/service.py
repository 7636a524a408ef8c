"""Pictures a second through the whole service over the bare engine, with the same model, settings and environment.

The bare engine is a process of its own, in the very environment of the worker, and sets its threads and OpenMP's variables by
the worker's own function (`bench.bare_engine`). The service's client waits as the documentation says, with `?wait=`: one that
asks again and again takes more of the processor than all the rest of the service. Enough pictures are drawn in a block that
the way of the last one to the client, some hundredths of a second, is little of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from bench.bare_engine import bare_engine
from bench.ratios import Ratio, compare
from bench.stack import stack
from models.cascade import Cascade
from models.row import DONE, DrawRequest

PICTURES = 8
ASKED: Mapping[str, Any] = {
    "steps": 8,
    "guidance_scale": 2.0,
    "prior_steps": 8,
    "prior_guidance_scale": 2.0,
    "upsample_steps": 4,
}
WAIT_SECONDS = 60


def service_over_engine(
    model: Path, threads: int, blocks: int, tell: Callable[[str], None], settings: Mapping[str, str]
) -> Ratio:
    """Pictures a second of the service over those of the engine, `PICTURES` jobs at a time. settings: of the service."""
    with stack(**{"UNCLIP_MODEL_DIR": str(model), "UNCLIP_WORKER_THREADS": str(threads), **settings}) as whole:
        whole.start_worker()
        whole.start_api()
        with bare_engine(whole.env) as bare, httpx.Client(base_url=whole.url, timeout=2 * WAIT_SECONDS) as client:
            return compare(lambda: through_service(client), bare.rate, blocks, tell)


def through_engine(cascade: Cascade, clock: Callable[[], float] = time.perf_counter) -> float:
    """Pictures a second of a clock, one after another, from prompt to pixels."""
    began = clock()
    for seed in range(PICTURES):
        row = cascade.admit(DrawRequest(prompt="a red apple", seed=seed, **ASKED))
        while row.stage != DONE:
            cascade.stages[row.stage].run([row])
        cascade.picture(row)
    return PICTURES / (clock() - began)


def through_service(client: httpx.Client) -> float:
    """Pictures a second, from the first POST until the last job has succeeded."""
    began = time.perf_counter()
    bodies = [{"operation": "generate", "prompt": "a red apple", "seed": seed, **ASKED} for seed in range(PICTURES)]
    waiting = [client.post("/v1/jobs", json=body).raise_for_status().json()["id"] for body in bodies]
    while waiting:
        job = client.get(f"/v1/jobs/{waiting[0]}", params={"wait": WAIT_SECONDS}).raise_for_status().json()
        if job["status"] == "succeeded":
            waiting.pop(0)
        elif job["status"] in ("failed", "canceled"):
            raise RuntimeError(f"job {job['id']} {job['status']}: {job['error']}")
    return PICTURES / (time.perf_counter() - began)
