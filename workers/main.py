"""The worker process: load the model, meet the queue, draw until told to stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import structlog
from redis.exceptions import ConnectionError, TimeoutError

from contract.catalog import read_model_info
from contract.durability import shortcomings
from contract.errors import QueueDown
from contract.logs import configure_logging
from contract.queue import connect, outages, queue_name
from contract.settings import Settings
from contract.store import ImageStore
from workers.backoff import Backoff
from workers.calibration import Calibration
from workers.cascade import calibration_of, device_of, load_cascade
from workers.clerk import Clerk, Pace
from workers.engine import AnyRow, Engine, Stages, stage_costs
from workers.inputs import Inputs
from workers.leftovers import remove_leftovers
from workers.loop import Loop, StopRequest
from workers.pick import Budget
from workers.picture_check import load_check
from workers.provenance import Provenance
from workers.publish import Publisher
from workers.recovery import Recovery
from workers.sweep import sweeping
from workers.tally import Tally
from workers.worker import EngineWorker


def run(settings: Settings) -> None:
    """Serve the model that the settings name until SIGTERM or SIGINT. Raises ModelError for a model that cannot be served."""
    serve(settings, load_cascade, calibration_of)


def serve(
    settings: Settings,
    load: Callable[[Settings], Stages[AnyRow]],
    calibration: Callable[[Settings], Calibration | None] = lambda settings: None,
) -> None:
    """Serve whatever `load` gives until SIGTERM or SIGINT, scheduled by what `calibration` says of this machine.

    Logs `worker ready` with the seconds it took, once jobs are being claimed.
    """
    started = time.monotonic()
    # RQ tells at "info" what the clerk tells too.
    configure_logging(settings.log_level, libraries="warning")
    log = structlog.get_logger(__name__)
    stop = StopRequest()
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    log.info("worker starts", model=str(settings.model_folder))
    remove_leftovers(settings.data_dir)
    cascade = load(settings)
    check = load_check(settings)
    provenance = Provenance(settings)
    provenance.check()
    stop.listen()
    worker = meet_queue(settings, stop)
    if worker is None:
        return
    device = device_of(settings)
    found = calibration(settings)
    costs = found.costs_beside(stage_costs(cascade)) if found else stage_costs(cascade)
    budget = Budget.of(device, costs, found.ceilings if found else None)
    ttl_seconds = settings.worker_heartbeat_ttl_seconds
    clerk = Clerk(worker, Recovery(worker.connection, grace_seconds=ttl_seconds / 2), Pace.of(ttl_seconds), budget.rows)
    store = ImageStore.open(settings)
    publisher = Publisher(store, check, provenance=provenance)
    inputs = Inputs(store, clerk.for_engine.put, clerk.end)
    log.info("worker ready", seconds=round(time.monotonic() - started, 2), worker=worker.name, stages=list(cascade.stages))
    engine = Engine(cascade, budget, costs=costs)
    engine.tally = clerk.tally = Tally(read_model_info(settings.model_folder).name, device)
    with sweeping(settings, store):
        Loop(engine, clerk, publisher, stop, settings.drain_seconds, inputs).run()
    log.info("worker stopped")


def meet_queue(settings: Settings, stop: StopRequest) -> EngineWorker | None:
    """Return a worker entered in the queue's list, waiting for a queue that does not answer yet; None if told to stop."""
    backoff = Backoff(first_seconds=0.2, most_seconds=1.0)
    log = structlog.get_logger(__name__)
    while not stop.is_asked:
        try:
            connection = connect(settings.queue_url, settings)
            ttl_seconds = settings.worker_heartbeat_ttl_seconds
            worker = EngineWorker([queue_name()], connection, ttl_seconds, settings.result_ttl_seconds)
            with outages():  # an answer that it has no memory left, or cannot write to its disk, is an outage too
                worker.start()
            for short in shortcomings(connection, settings):
                log.warning("the queue's server may lose jobs", reason=short)
            return worker
        except (ConnectionError, TimeoutError, QueueDown) as error:
            reason = error.reason if isinstance(error, QueueDown) else f"{type(error).__name__}: {error}"
            log.warning("the queue does not answer; waiting for it", reason=reason)
            time.sleep(backoff.next_seconds())
    return None


def leave(*_: int | FrameType | None) -> NoReturn:
    """End the process at once: for signals that come while the model loads, when nothing is in hand that would want an end.

    An exception would have to find its way out of half-made imports, and a flag would be seen only after them.
    """
    os._exit(0)
