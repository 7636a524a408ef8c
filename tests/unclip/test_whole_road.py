"""The whole road: one command, real nets, one picture, nothing left running. As `make demo`, with a tiny model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.models.tiny import write_tiny_model


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """What `make demo` runs."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "tmp").mkdir()
    env = {
        **os.environ,
        "UNCLIP_MODEL_DIR": str(write_tiny_model(folder / "model")),
        "UNCLIP_REDIS_URL": "redis://127.0.0.1:9/0",  # a deployment's variable: not for a service of one's own
        "TMPDIR": str(folder / "tmp"),
        "OMP_NUM_THREADS": "1",
    }
    command = [
        sys.executable,
        "-m",
        "unclip",
        "generate",
        "--own-service",
        "--json",
        "--seed",
        "7",
        "--out",
        str(folder / "out"),
    ]
    return subprocess.run(
        [*command, "--", "three red apples on a beach"], env=env, capture_output=True, text=True, timeout=110, check=False
    )


def test_it_ends_well(demo):
    assert demo.returncode == 0, demo.stderr


def test_it_saves_a_picture_of_the_size_that_the_model_draws(demo):
    (said,) = json.loads(demo.stdout)["images"]

    with Image.open(said["path"]) as picture:
        assert (picture.size, picture.mode) == ((256, 256), "RGB")
    assert Path(said["path"]).name == "three-red-apples-on-a-beach-7.png"


def test_it_tells_the_seconds_of_every_stage(demo):
    assert json.loads(demo.stdout)["stage_seconds"].keys() >= {"prior", "decoder", "upsample_256"}


def test_it_shows_every_stage_in_steps(demo):
    assert all(line in demo.stderr for line in ("prior", "decoder", "upsample_256", "2/2", "3/3"))


def test_it_leaves_nothing_behind(demo):
    folder = Path(json.loads(demo.stdout)["images"][0]["path"]).parents[1]

    assert list((folder / "tmp").glob("unclip-*")) == []
    assert [line for line in processes() if str(folder / "tmp") in line] == []


def processes() -> list[str]:
    """Command line and environment of every process that we may look at."""
    found = []
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            found.append((proc / "environ").read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return found
