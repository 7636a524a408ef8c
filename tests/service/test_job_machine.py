"""The life cycle of jobs as a state machine: any order of what callers, workers and time may do, against a model of it."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from redis import Redis
from rq.job import Job
from starlette.testclient import TestClient

from contract.queue import JobQueue
from contract.states import TRANSITIONS, JobState
from service.jobs.events import event_id, fraction_of
from tests.service.painter import Painter

PICK = st.integers(min_value=0, max_value=10**6)
ENDED = {"succeeded", "failed", "canceled"}
GONE = {"deleted": 404, "expired": 410}


class JobLife(RuleBasedStateMachine):
    """`states`: what each job should be, in order of creation. `told`: the last event of each, as a follower saw it."""

    client: TestClient
    painter: Painter
    queue: JobQueue
    redis: Redis

    def __init__(self) -> None:
        super().__init__()
        self.redis.flushall()
        self.states: dict[str, str] = {}
        self.told: dict[str, int] = {}
        self.running: dict[str, Job] = {}

    def one(self, pick: int, *states: str) -> str | None:
        """One of the jobs in these states, any that there ever was if none are named."""
        found = [job_id for job_id, state in self.states.items() if not states or state in states]
        return found[pick % len(found)] if found else None

    @rule(seed=st.integers(min_value=0, max_value=2**32 - 1))
    def submit(self, seed: int) -> None:
        reply = self.client.post("/v1/jobs", json={"operation": "generate", "prompt": "a red apple", "seed": seed})
        assert reply.status_code == 202
        self.states[reply.json()["id"]] = "queued"

    @precondition(lambda self: "queued" in self.states.values())
    @rule()
    def begin(self) -> None:
        job = self.painter.start()
        assert self.states[job.id] == "queued"
        self.states[job.id], self.running[job.id] = "running", job

    @rule(pick=PICK, fraction=st.floats(min_value=0, max_value=1))
    def tell_progress(self, pick: int, fraction: float) -> None:
        if job_id := self.one(pick, "running"):
            self.painter.tell_progress(self.running[job_id], stage="decoder", step=1, steps=20, fraction=fraction)

    @rule(pick=PICK)
    def succeed(self, pick: int) -> None:
        if job_id := self.one(pick, "running"):
            self.painter.succeed(self.running.pop(job_id))
            self.states[job_id] = "succeeded"

    @rule(pick=PICK)
    def fail(self, pick: int) -> None:
        if job_id := self.one(pick, "running"):
            self.painter.fail(self.running.pop(job_id), {"code": "row_failed", "message": "a value that is not a number"})
            self.states[job_id] = "failed"

    @rule(pick=PICK)
    def lose_the_worker(self, pick: int) -> None:
        job_id = self.one(pick, "running")
        if job_id and (self.running[job_id].retries_left or 0) > 0:
            with self.redis.pipeline() as pipe:
                self.running.pop(job_id).retry(self.painter.queue, pipe)
                pipe.execute()
            self.states[job_id] = "queued"

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        if job_id := self.one(pick):
            state = self.states[job_id]
            status = self.client.post(f"/v1/jobs/{job_id}/cancel").status_code
            assert status == GONE.get(state, 409 if state in ("succeeded", "failed") else 200)
            if state == "queued":
                self.states[job_id] = "canceled"

    @rule(pick=PICK)
    def retry(self, pick: int) -> None:
        if job_id := self.one(pick):
            state = self.states[job_id]
            reply = self.client.post(f"/v1/jobs/{job_id}/retry")
            assert reply.status_code == GONE.get(state, 202 if state in ENDED else 409)
            if reply.status_code == 202:
                assert reply.json()["retried_from"] == job_id
                self.states[reply.json()["id"]] = "queued"

    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        if job_id := self.one(pick):
            state = self.states[job_id]
            assert self.client.delete(f"/v1/jobs/{job_id}").status_code == GONE.get(state, 409 if state == "running" else 200)
            if state not in ("running", "expired"):
                self.states[job_id] = "deleted"

    @rule(pick=PICK)
    def expire(self, pick: int) -> None:
        if job_id := self.one(pick, *ENDED):
            self.redis.delete(f"rq:job:{job_id}")
            self.states[job_id] = "expired"

    def teardown(self) -> None:
        """At the end, each job for itself, and those that are no more too."""
        for job_id, state in self.states.items():
            reply = self.client.get(f"/v1/jobs/{job_id}")
            assert reply.status_code == GONE.get(state, 200)
            if state not in GONE:
                assert reply.json()["status"] == state
                assert (reply.json()["queue_position"] is not None) == (state == "queued")

    @invariant()
    def the_list_has_them_all(self) -> None:
        kept = {job_id: state for job_id, state in self.states.items() if state not in GONE}
        listed: list[Any] = self.client.get("/v1/jobs", params={"limit": 100}).json()["data"]
        assert {job["id"]: job["status"] for job in listed} == kept

    @invariant()
    def events_and_their_progress_only_grow(self) -> None:
        for job in self.queue.list(limit=100):
            before = self.told.get(job.id, 0)
            event = event_id(job, before)
            if event > before:
                # A follower is told of the queue again where a worker was lost before it had told of anything.
                assert fraction_of(event) >= fraction_of(before) or job.state is JobState.QUEUED
                self.told[job.id] = event


def test_jobs_live_as_the_model_says(client: TestClient, painter: Painter, queue: JobQueue, redis: Redis) -> None:
    parts = {"client": client, "painter": painter, "queue": queue, "redis": redis}
    machine = type("Machine", (JobLife,), parts)
    run_state_machine_as_test(
        machine,
        # Without shrinking, which would take minutes: the steps that failed are printed as they were.
        settings=settings(
            max_examples=8,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_table_of_states_is_what_the_machine_may_do() -> None:
    """The machine knows no way that the table does not."""
    done = {
        ("queued", "running"),
        ("queued", "canceled"),
        ("running", "queued"),
        ("running", "succeeded"),
        ("running", "failed"),
    }
    assert all(JobState(after) in TRANSITIONS[JobState(before)] for before, after in done)
