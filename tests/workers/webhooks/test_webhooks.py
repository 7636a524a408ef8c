"""Webhooks on a real Valkey and to real receivers: signed, at least once, tried again, given up, never to private machines."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from random import Random
from typing import Any

import anyio
import pytest
from openai import OpenAI
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer
from standardwebhooks import Webhook

from contract import ended
from contract.outbound import Outbound
from contract.queue import DRAW, JobQueue
from contract.settings import Settings
from contract.states import JobState
from contract.webhooks import EVENT_TYPES, Endpoint, WebhookBook, new_secret
from tests.contract.test_queue import SPEC, start, succeed
from workers.webhooks import deliver
from workers.webhooks.listener import Listener
from workers.webhooks.queue import LEASE_SECONDS, DeliveryQueue
from workers.webhooks.schedule import DELAYS_SECONDS, delay_seconds, wish_of
from workers.webhooks.sender import MAX_AT_ONCE_PER_ENDPOINT, Sender

LOOPBACK = Outbound([ip_network("127.0.0.0/8")])
NOW = datetime(2026, 11, 22, tzinfo=UTC).timestamp()


class Receiver:
    """A real HTTP server that notes what it gets and answers as it is told, in turn; the last answer stays."""

    def __init__(self, answers: Sequence[tuple[int, dict[str, str]]]) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers = list(answers)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status, headers = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def receiving() -> Iterator[Callable[..., Receiver]]:
    started: list[Receiver] = []

    def start_one(*answers: int | tuple[int, dict[str, str]]) -> Receiver:
        told = [answer if isinstance(answer, tuple) else (answer, {}) for answer in answers or (200,)]
        started.append(Receiver(told))
        return started[-1]

    yield start_one
    for receiver in started:
        receiver.server.shutdown()
        receiver.server.server_close()


class Rig:
    """The parts of `unclip webhooks`, turned by hand, under a clock that the test sets."""

    def __init__(self, redis: Redis, settings: Settings, outbound: Outbound = LOOPBACK) -> None:
        self.redis, self.now = redis, NOW
        self.jobs = JobQueue(redis, settings)
        self.book = WebhookBook(redis, self.clock)
        self.queue = DeliveryQueue(redis, self.clock)
        self.listener = Listener(redis, self.jobs, self.book, self.queue, "one", "https://draw.example")
        self.sender = Sender(self.queue, self.book, outbound, Random(7), self.clock)

    def clock(self) -> float:
        return self.now

    def hears(self, receiver: Receiver, *types: str) -> Endpoint:
        return self.book.create("local", receiver.url, types or EVENT_TYPES)

    def listen(self) -> None:
        while self.listener.read(0.01) or not self.redis.exists(ended.ENDED):
            pass

    def send(self) -> int:
        """Send everything that is due now; returns how many."""
        sent = 0
        self.queue.move_due()
        while (claimed := self.sender.take()) is not None:
            anyio.run(self.sender.send, *claimed)
            sent += 1
        return sent

    def end_a_job(self) -> str:
        job_id = self.jobs.submit(SPEC).id
        succeed(self.redis, job_id, {"images": [], "native_size": 64})
        self.tell(job_id, JobState.SUCCEEDED)
        return job_id

    def tell(self, job_id: str, state: JobState) -> None:
        ended.tell(self.redis, job_id, state, "interactive:local")
        self.listener._join()
        self.listen()


@pytest.fixture
def rig(redis: Redis, settings: Settings) -> Rig:
    return Rig(redis, settings)


def test_an_event_is_signed_as_the_standard_and_the_official_client_want_it(
    rig: Rig, receiving: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = receiving()
    endpoint = rig.hears(receiver)
    import time

    rig.now = time.time()
    job_id = rig.end_a_job()
    assert rig.send() == 1
    ((headers, body),) = receiver.got
    event = Webhook(endpoint.secret).verify(body, headers)
    assert (event["type"], event["object"], event["id"]) == ("job.succeeded", "event", headers["webhook-id"])
    assert event["data"]["id"] == job_id
    assert event["data"]["url"] == f"https://draw.example/v1/jobs/{job_id}"
    client = OpenAI(api_key="unused", webhook_secret=endpoint.secret)
    client.webhooks.verify_signature(body, headers)
    assert client.webhooks.unwrap(body, headers).type == "job.succeeded"
    with pytest.raises(Exception, match="signature"):
        client.webhooks.verify_signature(body + b" ", headers)
    assert b"red apple" not in body


@pytest.mark.parametrize(
    ("state", "event_type"),
    [
        (JobState.RUNNING, "job.started"),
        (JobState.SUCCEEDED, "job.succeeded"),
        (JobState.FAILED, "job.failed"),
        (JobState.CANCELED, "job.canceled"),
    ],
)
def test_each_state_is_told_to_those_who_want_it(
    rig: Rig, receiving: Callable[..., Receiver], state: JobState, event_type: str
) -> None:
    wants, wants_not = receiving(), receiving()
    rig.hears(wants, event_type)
    rig.hears(wants_not, *(other for other in EVENT_TYPES if other != event_type))
    rig.tell("0" * 32, state)
    rig.send()
    assert [json.loads(body)["type"] for _, body in wants.got] == [event_type]
    assert wants_not.got == []


def test_a_job_canceled_in_its_queue_is_told(rig: Rig, receiving: Callable[..., Receiver]) -> None:
    receiver = receiving()
    rig.hears(receiver)
    rig.jobs.cancel(rig.jobs.submit(SPEC).id)
    rig.listener._join()
    rig.listen()
    rig.send()
    assert [json.loads(body)["type"] for _, body in receiver.got] == ["job.canceled"]


def test_other_keys_hear_nothing(rig: Rig, receiving: Callable[..., Receiver]) -> None:
    receiver = receiving()
    rig.book.create("another", receiver.url, EVENT_TYPES)
    rig.end_a_job()
    assert rig.send() == 0


def test_a_job_s_own_webhook_hears_of_that_job_alone(rig: Rig, receiving: Callable[..., Receiver]) -> None:
    receiver = receiving()
    secret, times = new_secret(), {"created_at": 0, "updated_at": 0}
    own = Endpoint(id="we_x", key="local", url=receiver.url, event_types=EVENT_TYPES, secret=secret, job_id="1" * 32, **times)
    rig.book.attach("1" * 32, own, 60)
    for job_id in ("1" * 32, "2" * 32):
        rig.tell(job_id, JobState.FAILED)
    rig.send()
    assert [json.loads(body)["data"]["id"] for _, body in receiver.got] == ["1" * 32]


@pytest.mark.parametrize("answer", [500, 302, 404, 429, 199])
def test_what_is_not_taken_for_hours_is_tried_again_under_the_same_id(
    rig: Rig, receiving: Callable[..., Receiver], answer: int
) -> None:
    receiver = receiving(*[answer if answer != 199 else 400] * 5, 204)
    rig.hears(receiver)
    rig.end_a_job()
    began = rig.now
    for wait_seconds in DELAYS_SECONDS[:5]:
        assert rig.send() == 1
        assert rig.send() == 0
        rig.now += 1.2 * wait_seconds + 1
    assert rig.now - began > 2 * 3600
    assert rig.send() == 1
    rig.now += 10 * 24 * 3600
    assert rig.send() == 0
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in receiver.got}) == 6


def test_it_is_given_up_after_more_than_a_day(rig: Rig, receiving: Callable[..., Receiver], redis: Redis) -> None:
    receiver = receiving(500)
    rig.hears(receiver)
    rig.end_a_job()
    tries, began = [], rig.now
    while rig.now < began + 4 * 24 * 3600:
        if rig.send():
            tries.append(rig.now - began)
        rig.now += 60
    assert len(tries) == len(DELAYS_SECONDS) + 1
    assert tries[-1] > 24 * 3600 * 0.9
    (job_id,) = rig.queue.queue.failed_job_registry.get_job_ids()
    assert "status 500" in Job.fetch(job_id, connection=redis, serializer=JSONSerializer).meta["reason"]


def test_a_receiver_that_is_gone_is_told_nothing_more(rig: Rig, receiving: Callable[..., Receiver]) -> None:
    receiver = receiving(410)
    endpoint = rig.hears(receiver)
    for _ in range(3):
        rig.end_a_job()
    rig.send()
    rig.end_a_job()
    rig.now += 10 * 24 * 3600
    rig.send()
    assert len(receiver.got) == 1
    assert rig.book.get("local", endpoint.id).disabled == "the receiver answered 410 Gone"
    rig.book.update("local", endpoint.id)
    rig.end_a_job()
    assert rig.send() == 1


def test_a_receiver_says_when_to_come_back(rig: Rig, receiving: Callable[..., Receiver]) -> None:
    receiver = receiving((503, {"Retry-After": "900"}), 200)
    rig.hears(receiver)
    rig.end_a_job()
    rig.send()
    rig.now += 890
    assert rig.send() == 0
    rig.now += 20
    assert rig.send() == 1


def test_a_rotated_secret_signs_on_for_a_day(rig: Rig, receiving: Callable[..., Receiver]) -> None:
    import time

    rig.now = time.time()
    receiver = receiving()
    old = rig.hears(receiver)
    new = rig.book.rotate("local", old.id, keep_old=True)
    rig.end_a_job()
    rig.send()
    ((headers, body),) = receiver.got
    for secret in (old.secret, new.secret):
        Webhook(secret).verify(body, headers)
    assert len(rig.book.get("local", old.id).secrets_at(rig.now + 25 * 3600)) == 1


def test_a_sender_that_dies_loses_nothing(
    rig: Rig, receiving: Callable[..., Receiver], redis: Redis, settings: Settings
) -> None:
    receiver = receiving()
    rig.hears(receiver)
    rig.end_a_job()
    assert rig.queue.claim() is not None  # and here it dies
    other = Rig(redis, settings)
    assert other.send() == 0
    other.now = rig.now + LEASE_SECONDS + 1
    assert other.send() == 1
    assert len(receiver.got) == 1


def test_a_sender_that_dies_with_an_id_and_no_lease_loses_nothing(
    rig: Rig, receiving: Callable[..., Receiver], redis: Redis
) -> None:
    receiver = receiving()
    rig.hears(receiver)
    rig.end_a_job()
    redis.lmove(rig.queue.queue.key, rig.queue.queue.intermediate_queue_key)
    assert rig.send() == 0
    rig.now += LEASE_SECONDS + 1
    assert rig.send() == 1


def test_a_listener_that_dies_loses_nothing_and_doubles_nothing(
    rig: Rig, receiving: Callable[..., Receiver], redis: Redis
) -> None:
    rig.hears(receiving())
    job_id = rig.jobs.submit(SPEC).id
    ended.tell(redis, job_id, JobState.FAILED, "interactive:local")
    rig.listener._join()
    read: Any = redis.xreadgroup("webhooks", "dead", {ended.ENDED: ">"})
    (_, entries) = read[0]
    rig.listener._tell(ended.read_entries(entries)[0])  # it queued the delivery, and died before it said so
    redis.xclaim(ended.ENDED, "webhooks", "dead", 0, [entries[0][0]], idle=60_000)
    assert rig.listener.read(0.01) == 1
    assert rig.send() == 1


def test_what_ended_before_the_first_listener_came_is_told(rig: Rig, receiving: Callable[..., Receiver], redis: Redis) -> None:
    receiver = receiving()
    rig.hears(receiver)
    ended.tell(redis, "0" * 32, JobState.FAILED, "interactive:local")
    rig.listener.read(0.01)  # there is no group of readers yet
    rig.listen()
    rig.send()
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/", "https://127.0.0.1:{port}/", "https://[::1]:{port}/", "https://2130706433:{port}/"]
)
def test_a_private_address_is_never_called(
    redis: Redis, settings: Settings, receiving: Callable[..., Receiver], url: str
) -> None:
    receiver = receiving()
    rig = Rig(redis, settings, Outbound())
    rig.book.create("local", url.format(port=receiver.server.server_port), EVENT_TYPES)
    rig.end_a_job()
    rig.send()
    assert receiver.got == []
    assert rig.queue.queue.scheduled_job_registry.count == 1


def test_a_busy_endpoint_leaves_room_for_others(rig: Rig, receiving: Callable[..., Receiver]) -> None:
    rig.hears(receiving(), "job.failed")
    for number in range(MAX_AT_ONCE_PER_ENDPOINT + 2):
        rig.tell(f"{number:032x}", JobState.FAILED)
    taken = 0
    while rig.sender.take() is not None:
        taken += 1
    assert taken == MAX_AT_ONCE_PER_ENDPOINT
    assert rig.queue.queue.scheduled_job_registry.count == 2


def test_another_function_in_the_queue_is_dropped(rig: Rig) -> None:
    rig.queue.queue.enqueue_call("os.system", args=("true",))
    assert rig.queue.claim() is None
    assert rig.queue.queue.count == 0


def test_the_name_that_deliveries_carry_is_a_function_that_refuses() -> None:
    assert f"{deliver.__name__}.{deliver.deliver.__name__}" == deliver.DELIVER
    assert deliver.DELIVER != DRAW
    with pytest.raises(RuntimeError, match="unclip webhooks"):
        deliver.deliver(delivery={})


def test_waits_grow_and_are_jittered_and_end() -> None:
    delays = [[delay_seconds(tries, Random(seed)) for tries in range(1, 11)] for seed in range(20)]
    for each in delays:
        assert each[:8] == sorted(each[:8], key=float) or each[6] != each[7]
        assert each[8:] == [None, None]
    assert len({each[0] for each in delays}) == 20
    assert [wish_of(header) for header in ("30", None, "soon", "-1", "9" * 12)] == [30.0, 0.0, 0.0, 0.0, 0.0]


def test_a_started_job_is_told_as_it_was(rig: Rig, receiving: Callable[..., Receiver], redis: Redis) -> None:
    receiver = receiving()
    rig.hears(receiver, "job.started")
    job_id = rig.jobs.submit(SPEC).id
    start(redis, job_id)
    rig.tell(job_id, JobState.RUNNING)
    rig.send()
    assert json.loads(receiver.got[0][1])["data"]["status"] == "running"
