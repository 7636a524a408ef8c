"""`unclip serve` as its user meets it: with a real queue, API and worker."""

import os
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from tests.unclip.conftest import ready
from unclip.client import Job, UnclipClient

PARTS = ("valkey", "worker", "api", "webhooks")


@pytest.fixture
def client(serve):
    with UnclipClient(serve.url) as client:
        yield client


def drawn(client: UnclipClient, prompt: str = "a red apple", **fields: object) -> Job:
    *_, job = client.follow(client.submit({"operation": "generate", "prompt": prompt, "seed": 7, **fields}))
    return job


def test_it_draws_and_one_ctrl_c_stops_all_of_it(serve, client):
    assert drawn(client).status == "succeeded"
    children = [serve.pid_of(part) for part in PARTS]

    serve.press_ctrl_c()

    assert serve.end() == 0
    assert [pid for pid in children if is_running(pid)] == []


def test_a_second_one_on_the_same_folder_is_refused_by_name(serve, start_serve, tmp_path):
    second = start_serve(tmp_path / "data")

    assert second.end() == 1
    assert f"in use by unclip serve (process {serve.process.pid}, {serve.url})" in second.said
    assert httpx.get(f"{serve.url}/healthz").is_success


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_killed_is_started_again(serve, client, part):
    killed = serve.pid_of(part)
    os.kill(killed, signal.SIGKILL)
    serve.wait_until_it_says(f"{part} died (killed by SIGKILL)")
    wait_until(lambda: serve.pid_of(part) != killed and client.is_alive() and answers_jobs(client))

    assert drawn(client).status == "succeeded"


def test_killing_it_takes_every_part_along(serve):
    children = [serve.pid_of(part) for part in PARTS]
    serve.process.kill()

    wait_until(lambda: not any(is_running(pid) for pid in children))


def test_ctrl_c_lets_the_worker_finish_what_it_has(start_serve, tmp_path):
    first = ready(start_serve(tmp_path / "data", step_seconds=0.05))
    with UnclipClient(first.url) as client:
        job = client.submit({"operation": "generate", "prompt": "a red apple", "steps": 30})
        wait_until(lambda: client.job(job.id).status == "running")
    first.press_ctrl_c()
    first.end()

    too_slow_to_draw_it = ready(start_serve(tmp_path / "data", step_seconds=60))

    with UnclipClient(too_slow_to_draw_it.url) as client:
        assert client.job(job.id).status == "succeeded"


def test_a_second_ctrl_c_hands_the_work_back_at_once(start_serve, tmp_path):
    first = ready(start_serve(tmp_path / "data", step_seconds=0.5))
    with UnclipClient(first.url) as client:
        job = client.submit({"operation": "generate", "prompt": "a red apple", "steps": 30})
        wait_until(lambda: client.job(job.id).status == "running")
    first.press_ctrl_c()
    first.wait_until_it_says("stopping")
    first.press_ctrl_c()

    assert first.end(seconds=8) == 0
    second = ready(start_serve(tmp_path / "data"))
    with UnclipClient(second.url) as client:
        *_, job = client.follow(client.job(job.id))
        assert job.status == "succeeded"


def test_a_job_that_waits_when_it_stops_is_drawn_when_it_starts_again(start_serve, tmp_path):
    first = ready(start_serve(tmp_path / "data"))
    os.kill(first.pid_of("worker"), signal.SIGSTOP)
    with UnclipClient(first.url) as client:
        job = client.submit({"operation": "generate", "prompt": "a red apple"})
    first.process.kill()
    first.end()

    second = ready(start_serve(tmp_path / "data"))

    with UnclipClient(second.url) as client:
        *_, job = client.follow(client.job(job.id))
        assert job.status == "succeeded"


def test_a_part_that_gives_up_while_starting_stops_the_rest(start_serve, tmp_path, model_dir):
    (model_dir / "model_index.json").unlink()
    serve = start_serve(tmp_path / "data")

    assert serve.end() == 1
    assert "refused: the api stopped while starting (exit code 1)" in serve.said
    assert not is_running(serve.pid_of("valkey"))


def test_a_taken_port_is_told_before_anything_starts(start_serve, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        serve = start_serve(tmp_path / "data", port=port)

        assert serve.end() == 1
    assert f"port {port} on 127.0.0.1 cannot be listened on: Address already in use;" in serve.said
    assert not (tmp_path / "data" / "valkey").exists()


def answers_jobs(client: UnclipClient) -> bool:
    return httpx.get(f"{client.base_url}/readyz").is_success


def wait_until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
