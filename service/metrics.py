"""What `/metrics` tells Prometheus: this process's requests, the queue as it is, and what every worker counts.

Each service has a registry of its own, and no name in it holds a prompt, a key or an id: labels are few and known beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from contract.errors import ContentBlocked
from contract.fleet import Fleet, QueueState
from contract.metrics import WorkerCounters

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
PART_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2)


class Metrics:
    """Counts what this process does; `exposition` adds the rest of the service to it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "unclip_http_requests", "Replies, by route.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "unclip_http_request_seconds", "Time to reply.", ["route"], buckets=REQUEST_BUCKETS, registry=self.registry
        )
        self._refused = Counter("unclip_refused", "Error replies, by reason.", ["code"], registry=self.registry)
        self._admitted = Counter("unclip_admitted", "Jobs taken.", ["operation", "lane"], registry=self.registry)
        self._verdicts = Counter(
            "unclip_input_verdicts", "What the filters said of what came in.", ["verdict"], registry=self.registry
        )
        self._part = Histogram(
            "unclip_part_seconds",
            "Time that queue and store take to answer, waiting for a thread included.",
            ["part", "outcome"],
            buckets=PART_BUCKETS,
            registry=self.registry,
        )

    def replied(self, method: str, route: str, status: int, seconds: float, code: str | None) -> None:
        """Count a reply; `code`: of an error. `route`: the path with its parameters' names, not their values."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if code is not None:
            self._refused.labels(code).inc()
        if code == ContentBlocked.code:
            self._verdicts.labels("blocked").inc()

    def admitted(self, operation: str, lane: str) -> None:
        """Count a job that was queued."""
        self._admitted.labels(operation, lane).inc()
        self._verdicts.labels("allowed").inc()

    def answered(self, part: str, seconds: float, is_well: bool) -> None:
        """Note how long a part took to answer, or to fail."""
        self._part.labels(part, "ok" if is_well else "failed").observe(seconds)

    def exposition(self, fleet: Fleet | None) -> bytes:
        """Return everything as Prometheus reads it; without the queue and the workers while Redis is away."""
        told = CollectorRegistry()
        told.register(_Told(fleet))
        return generate_latest(self.registry) + generate_latest(told)


class _Told(Collector):
    """What is read from Redis at each scrape."""

    def __init__(self, fleet: Fleet | None) -> None:
        self.fleet = fleet

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        is_up = GaugeMetricFamily("unclip_queue_up", "1 while Redis answers; without it nothing below is told.")
        is_up.add_metric([], 0 if self.fleet is None else 1)
        yield is_up
        if self.fleet is not None:
            yield from _of_lanes(self.fleet.lanes)
            yield from _of_workers(self.fleet.workers)


def _of_lanes(lanes: Mapping[str, QueueState]) -> Iterator[Metric]:
    depth = GaugeMetricFamily("unclip_queue_depth", "Jobs that wait.", labels=["lane"])
    age = GaugeMetricFamily("unclip_queue_age_seconds", "How long the longest of them has waited.", labels=["lane"])
    running = GaugeMetricFamily("unclip_jobs_running", "Jobs that workers hold.", labels=["lane"])
    keys = GaugeMetricFamily("unclip_queue_keys", "API keys with a waiting job.", labels=["lane"])
    for lane, state in lanes.items():
        depth.add_metric([lane], state.depth)
        age.add_metric([lane], state.oldest_seconds)
        running.add_metric([lane], state.running)
        keys.add_metric([lane], state.keys)
    yield from (depth, age, running, keys)


def _of_workers(workers: Mapping[str, WorkerCounters]) -> Iterator[Metric]:
    by_stage = {
        "calls": CounterMetricFamily("unclip_stage_calls", "Network calls.", labels=["worker", "stage"]),
        "row_steps": CounterMetricFamily(
            "unclip_stage_row_steps", "Rows advanced by one step; by calls: the batch size.", labels=["worker", "stage"]
        ),
        "seconds": CounterMetricFamily(
            "unclip_stage_seconds", "Time in the network; by calls: the step's time.", labels=["worker", "stage"]
        ),
    }
    by_worker: dict[str, CounterMetricFamily | GaugeMetricFamily] = {
        "pictures": CounterMetricFamily("unclip_worker_pictures", "Pictures drawn.", labels=["worker"]),
        "succeeded": CounterMetricFamily("unclip_worker_jobs_succeeded", "Jobs that succeeded.", labels=["worker"]),
        "canceled": CounterMetricFamily("unclip_worker_jobs_canceled", "Jobs dropped half-drawn.", labels=["worker"]),
        "handed_back": CounterMetricFamily("unclip_worker_jobs_handed_back", "Jobs given back.", labels=["worker"]),
        "blocked": CounterMetricFamily(
            "unclip_worker_pictures_blocked", "Pictures kept back by the filter.", labels=["worker"]
        ),
        "halved": CounterMetricFamily("unclip_worker_batches_halved", "Calls that failed and were split.", labels=["worker"]),
        "published_seconds": CounterMetricFamily(
            "unclip_worker_publish_seconds", "Time to filter, encode and store.", labels=["worker"]
        ),
        "rows_in_flight": GaugeMetricFamily("unclip_worker_rows", "Pictures being drawn.", labels=["worker"]),
        "jobs_in_hand": GaugeMetricFamily("unclip_worker_jobs", "Jobs held, those being stored too.", labels=["worker"]),
    }
    failed = CounterMetricFamily("unclip_worker_jobs_failed", "Jobs that failed, by why.", labels=["worker", "code"])
    for name, counters in workers.items():
        for field, family in by_worker.items():
            family.add_metric([name], getattr(counters, field))
        for code, count in counters.failed.items():
            failed.add_metric([name, code], count)
        for stage, counts in counters.stages.items():
            for field, of_stage in by_stage.items():
                of_stage.add_metric([name, stage], getattr(counts, field))
    yield from (*by_stage.values(), *by_worker.values(), failed)
