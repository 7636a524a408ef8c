"""What happens in one round: requests, cancels and faults, in an order that a seed decides: any round can be played again."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from random import Random

import httpx

from tests.faults.installation import API, SENDER, Installation
from tests.faults.ledger import Entry, Ledger, Verdict


@dataclass(frozen=True)
class Scale:
    """How long things take. `outage_seconds`: how long whatever is away stays away, at most. `faults`: in one round."""

    requests: int = 8
    faults: int = 2
    outage_seconds: float = 0.5
    pause_seconds: float = 0.05
    patience_seconds: float = 90.0


@dataclass
class Scene:
    """Where a fault happens, and to whom."""

    installation: Installation
    random: Random
    scale: Scale

    def worker(self) -> str:
        return self.random.choice(self.installation.workers)

    def anyone(self) -> str:
        return self.random.choice(list(self.installation.processes))

    def user_of_the_store(self) -> str:
        return self.random.choice([API, *self.installation.workers])

    def some_bytes(self) -> int:
        return int(10 ** self.random.uniform(0, 4))

    def some_seconds(self) -> int:
        return self.random.choice((-1, 1)) * int(10 ** self.random.uniform(1, 3.7))

    def last(self) -> float:
        return self.random.uniform(0.2, 1.0) * self.scale.outage_seconds


Fault = Callable[[Scene], None]


def kill_worker(scene: Scene) -> None:
    scene.installation.processes[scene.worker()].kill()


def kill_api(scene: Scene) -> None:
    scene.installation.processes["api"].kill()
    scene.installation.start("api")


def kill_valkey(scene: Scene) -> None:
    scene.installation.valkey.end()
    time.sleep(scene.last())
    scene.installation.valkey.begin()


def freeze_valkey(scene: Scene) -> None:
    scene.installation.valkey.freeze()
    time.sleep(scene.last())
    scene.installation.valkey.thaw()


def kill_store(scene: Scene) -> None:
    scene.installation.bucket.end()
    time.sleep(scene.last())
    scene.installation.bucket.begin()


def stop_worker_past_its_lease(scene: Scene) -> None:
    """It goes on when the round ends, and finds its jobs in other hands."""
    scene.installation.processes[scene.worker()].send_signal(signal.SIGSTOP)


def tell_worker_to_stop(scene: Scene) -> None:
    scene.installation.processes[scene.worker()].send_signal(signal.SIGTERM)


def tell_worker_to_hurry(scene: Scene) -> None:
    process = scene.installation.processes[scene.worker()]
    process.send_signal(signal.SIGTERM)
    time.sleep(1.05)
    process.send_signal(signal.SIGTERM)


def slow_queue(scene: Scene) -> None:
    scene.installation.to_queue[scene.anyone()].delay(scene.random.uniform(0.01, 0.4))


def reset_queue(scene: Scene) -> None:
    scene.installation.to_queue[scene.anyone()].reset()


def cut_queue_towards_server(scene: Scene) -> None:
    scene.installation.to_queue[scene.anyone()].cut(scene.some_bytes(), "server")


def cut_queue_towards_client(scene: Scene) -> None:
    """What was asked is done, and whoever asked never hears."""
    scene.installation.to_queue[scene.anyone()].cut(scene.some_bytes(), "client")


def silence_queue(scene: Scene) -> None:
    link = scene.installation.to_queue[scene.anyone()]
    link.silence()
    time.sleep(scene.last())
    link.heal()


def part_from_queue(scene: Scene) -> None:
    """One process is cut off until the round ends."""
    scene.installation.to_queue[scene.anyone()].down()


def slow_store(scene: Scene) -> None:
    scene.installation.to_store[scene.user_of_the_store()].delay(scene.random.uniform(0.01, 0.4))


def reset_store(scene: Scene) -> None:
    scene.installation.to_store[scene.worker()].reset()


def cut_store(scene: Scene) -> None:
    scene.installation.to_store[scene.worker()].cut(scene.some_bytes() * 10, "server")


def cut_store_answers(scene: Scene) -> None:
    scene.installation.to_store[scene.user_of_the_store()].cut(scene.some_bytes(), "client")


def silence_store(scene: Scene) -> None:
    link = scene.installation.to_store[scene.user_of_the_store()]
    link.silence()
    time.sleep(scene.last())
    link.heal()


def kill_webhook_sender(scene: Scene) -> None:
    scene.installation.processes[SENDER].kill()
    time.sleep(scene.last())
    scene.installation.start(SENDER)


def refuse_webhooks(scene: Scene) -> None:
    """Whoever is called back answers 503 until the round ends."""
    scene.installation.receiver.refuse()


def break_webhooks_before_their_answer(scene: Scene) -> None:
    """Whoever is called back hears it, and does not live to say so."""
    scene.installation.receiver.silence()
    time.sleep(scene.last())
    scene.installation.receiver.heal()


def fill_disk_of_the_queue(scene: Scene) -> None:
    """With `appendfsync always`, as it runs here, the server ends at the first write that it cannot keep."""
    scene.installation.valkey.fill_disk(scene.some_bytes() // 10)
    time.sleep(scene.last())
    scene.installation.valkey.make_room()


def fill_disk_of_a_queue_that_goes_on(scene: Scene) -> None:
    """With `appendfsync everysec` it refuses writes until there is room."""
    scene.installation.redis.config_set("appendfsync", "everysec")
    fill_disk_of_the_queue(scene)
    scene.installation.redis.config_set("appendfsync", "always")


def turn_clock(scene: Scene) -> None:
    """The API's or a worker's clock jumps, and stays wrong until the round ends."""
    scene.installation.clocks[scene.user_of_the_store()].set(scene.some_seconds())


def turn_clock_of_the_queue(scene: Scene) -> None:
    scene.installation.valkey.clock.set(scene.some_seconds())


FAULTS: Sequence[Fault] = (
    *(kill_worker, kill_api, kill_valkey, freeze_valkey, kill_store),
    *(stop_worker_past_its_lease, tell_worker_to_stop, tell_worker_to_hurry),
    *(slow_queue, reset_queue, cut_queue_towards_server, cut_queue_towards_client, silence_queue, part_from_queue),
    *(slow_store, reset_store, cut_store, cut_store_answers, silence_store),
    *(fill_disk_of_the_queue, fill_disk_of_a_queue_that_goes_on, turn_clock, turn_clock_of_the_queue),
    *(kill_webhook_sender, refuse_webhooks, break_webhooks_before_their_answer),
)


class Client:
    """Submits and cancels, and writes down what it was told."""

    def __init__(self, url: str, ledger: Ledger, webhook: Mapping[str, str], threads: int = 4) -> None:
        self.ledger = ledger
        self.webhook = webhook
        self._http = httpx.Client(base_url=url, timeout=10)
        self._pool = ThreadPoolExecutor(threads)

    def submit(self, seed: int, fields: Mapping[str, object]) -> Future[Entry]:
        return self._pool.submit(self._submit, seed, fields)

    def cancel(self, submitted: Future[Entry]) -> None:
        self._pool.submit(self._cancel, submitted)

    def close(self) -> None:
        """Wait for every answer."""
        self._pool.shutdown(wait=True)
        self._http.close()

    def _submit(self, seed: int, fields: Mapping[str, object]) -> Entry:
        entry = self.ledger.sent(seed)
        body = {"operation": "generate", "prompt": "a red apple", "seed": seed, "size": "256x256", **fields}
        body["webhook"] = self.webhook
        try:
            reply = self._http.post("/v1/jobs", json=body)
        except httpx.HTTPError:
            return entry
        if reply.status_code == 202:
            entry.job_id, entry.answer = reply.json()["id"], "accepted"
        elif not is_typed(reply):
            entry.broken = f"{reply.status_code} {reply.text[:200]}"
        elif reply.status_code < 500:
            entry.answer = reply.json()["error"]["code"]
        # A 503 is no promise either way: the queue may have taken the job and its answer been lost.
        return entry

    def _cancel(self, submitted: Future[Entry]) -> None:
        entry = submitted.result()
        if entry.job_id is None:
            return
        entry.cancel = "asked"
        try:
            reply = self._http.post(f"/v1/jobs/{entry.job_id}/cancel")
        except httpx.HTTPError:
            return
        if reply.status_code == 200:
            entry.cancel = reply.json()["status"]


def is_typed(reply: httpx.Response) -> bool:
    """Whether a refusal says by a code what it is; a 500 says that nobody had thought of it."""
    with suppress(ValueError, KeyError, TypeError):
        return reply.status_code != 500 and bool(reply.json()["error"]["code"])
    return False


@contextmanager
def client_of(installation: Installation, ledger: Ledger) -> Iterator[Client]:
    client = Client(installation.api_url, ledger, installation.receiver.webhook)
    try:
        yield client
    finally:
        client.close()


def play(
    installation: Installation, ledger: Ledger, seed: int, scale: Scale, faults: Sequence[Fault] | None = None
) -> tuple[Sequence[str], Verdict]:
    """Play one round: requests with faults among them; then heal, let everything end, and judge all that the ledger knows.

    faults: those that happen, in this order; chosen by the seed if left out. Returns their names, and the verdict.
    """
    random = Random(seed)
    scene = Scene(installation, random, scale)
    chosen = list(faults) if faults is not None else random.sample(FAULTS, scale.faults)
    strikes = sorted(random.sample(range(1, scale.requests), len(chosen)))
    with client_of(installation, ledger) as client:
        for number in range(scale.requests):
            fields = {"n": random.choice((1, 1, 2, 3)), "steps": random.randint(1, 20)}
            submitted = client.submit(seed * 1000 + number, fields)
            if random.random() < 0.15:
                client.cancel(submitted)
            time.sleep(random.uniform(0, 2 * scale.pause_seconds))
            if number in strikes:
                chosen[strikes.index(number)](scene)
    return [fault.__name__ for fault in chosen], finish(installation, ledger, scale)


def finish(installation: Installation, ledger: Ledger, scale: Scale) -> Verdict:
    """Heal, let everything end, and judge; what was stopped past its lease goes on last."""
    installation.heal()
    installation.settle(scale.patience_seconds)
    for process in installation.processes.values():
        process.send_signal(signal.SIGCONT)
    time.sleep(0.3)
    return ledger.judge(installation.settle(scale.patience_seconds))
