"""`unclip generate` against a service with a real queue, API and worker."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from PIL import Image

from unclip.client import UnclipClient


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "unclip", "generate", *map(str, arguments)]


def generate(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", **env}
    return subprocess.run(command(*arguments), capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_it_saves_the_picture_and_prints_path_seed_and_seconds_per_stage(shared_serve, tmp_path):
    ran = generate("a red apple", "--seed", "7", "--size", "256x256", "--out", tmp_path, "--url", shared_serve.url)

    picture = tmp_path / "a-red-apple-7.png"
    assert ran.returncode == 0, ran.stderr
    assert pixels(picture)[0] == (256, 256)
    assert all(word in ran.stdout for word in (str(picture), "seed 7", "prior", "decoder", "upsample_256"))


def test_it_shows_every_stage_in_steps(shared_serve, tmp_path):
    ran = generate("a red apple", "--out", tmp_path, "--url", shared_serve.url, "--steps", "5")

    counted = re.findall(r"^(\w+) .* (\d+/\d+)", ran.stderr, re.M)
    assert counted == [("prior", "10/10"), ("decoder", "5/5"), ("upsample_256", "8/8")]


def test_the_same_seed_saves_the_same_pixels(shared_serve, tmp_path):
    for folder in ("first", "second"):
        generate("a red apple", "--seed", "7", "--out", tmp_path / folder, "--url", shared_serve.url)

    assert pixels(tmp_path / "first" / "a-red-apple-7.png") == pixels(tmp_path / "second" / "a-red-apple-7.png")


def test_several_pictures_have_names_of_their_own(shared_serve, tmp_path):
    generate("a red apple", "--seed", "7", "-n", "3", "--out", tmp_path, "--url", shared_serve.url)

    assert sorted(path.name for path in tmp_path.glob("*.png")) == [f"a-red-apple-{seed}.png" for seed in (7, 8, 9)]


def test_json_is_all_there_is_on_standard_output(shared_serve, tmp_path):
    ran = generate("a red apple", "--seed", "7", "--json", "--out", tmp_path, "--url", shared_serve.url)

    said = json.loads(ran.stdout)
    assert said["images"][0]["seed"] == 7
    assert Path(said["images"][0]["path"]).exists()
    assert said["stage_seconds"].keys() >= {"prior", "decoder", "upsample_256"}


def test_a_running_service_at_the_default_address_is_used(shared_serve, tmp_path):
    ran = generate("a red apple", "--json", "--out", tmp_path, UNCLIP_PORT=shared_serve.url.rpartition(":")[2])

    with UnclipClient(shared_serve.url) as client:
        assert client.job(json.loads(ran.stdout)["job_id"]).status == "succeeded"
    assert "Starting a service" not in ran.stderr


def test_a_refusal_is_one_line_with_code_and_request_id(shared_serve, tmp_path):
    ran = generate("a red apple", "--steps", "9999", "--out", tmp_path, "--url", shared_serve.url)

    assert ran.returncode == 1
    assert "HTTP 400, invalid_value, request " in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_folder_that_cannot_be_written_is_told(shared_serve, tmp_path):
    (tmp_path / "out").write_text("a file")
    ran = generate("a red apple", "--out", tmp_path / "out", "--url", shared_serve.url)

    assert ran.returncode == 1
    assert "cannot be saved" in ran.stderr


def test_ctrl_c_cancels_the_job(start_serve, tmp_path):
    serve = start_serve(tmp_path / "data", step_seconds=0.5)
    serve.wait_until_it_says("worker ready")
    with subprocess.Popen(command("a red apple", "--out", tmp_path, "--url", serve.url), stderr=subprocess.DEVNULL) as process:
        serve.wait_until_it_says("a job begins")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130

    (job_id,) = set(re.findall(r"/v1/jobs/([0-9a-f]{32})/cancel", serve.said))
    with UnclipClient(serve.url) as client:
        *_, job = client.follow(client.job(job_id))
        assert job.status == "canceled"


def pixels(path: Path) -> tuple[tuple[int, int], bytes]:
    with Image.open(path) as picture:
        return picture.size, picture.tobytes()
