"""What the Dockerfile puts into an image runs there: its own files and the packages of its lock file, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INSIDE = """
import re, runpy, sys
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path

checkout, lock = sys.argv[1:3]
there = {re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"^([\\w.-]+)==", Path(lock).read_text(), re.M)}
known = packages_distributions()


class OnlyWhatIsLocked(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        dists = {re.sub(r"[-_.]+", "-", dist).lower() for dist in known.get(name, ())}
        is_absent = path is None and dists and dists.isdisjoint(there | {"unclip"})
        return None if is_absent else super().find_spec(name, path, target)


# In place of its own kind, and without the finder of an editable install, which knows the whole checkout.
sys.meta_path = [OnlyWhatIsLocked if finder is PathFinder else finder for finder in sys.meta_path]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder)]
sys.path = [str(Path.cwd()), *(entry for entry in sys.path if Path(entry).resolve() not in (Path(checkout), Path.cwd()))]
sys.argv = ["unclip", *sys.argv[3:]]
runpy.run_module("unclip", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Lays out a target's folder once and returns it."""
    laid_out: dict[str, Path] = {}

    def lay_out(target: str) -> Path:
        if target not in laid_out:
            laid_out[target] = tmp_path_factory.mktemp(target)
            for *sources, to in copies(target):
                for source in sources:
                    place(ROOT / source, laid_out[target] / to / (Path(source).name if to.endswith("/") else ""))
        return laid_out[target]

    return lay_out


def copies(target: str) -> list[list[str]]:
    stage = re.search(rf"^FROM base AS {target}\n(.*?)(?=^FROM|\Z)", (ROOT / "docker" / "Dockerfile").read_text(), re.M | re.S)
    assert stage is not None
    return [line.split() for line in re.findall(r"^COPY (?!--from)(.*)$", stage[1], re.M)]


def place(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        to.symlink_to(source)
    else:
        shutil.copytree(source, to, copy_function=os.symlink, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)


def command(target: str, *words: str) -> list[str]:
    return [sys.executable, "-c", INSIDE, str(ROOT), str(ROOT / "docker" / f"{target}.lock"), *words]


@pytest.fixture
def env(valkey, tmp_path) -> Mapping[str, str]:
    own = {
        "UNCLIP_REDIS_URL": valkey.url, "UNCLIP_DATA_DIR": str(tmp_path), "UNCLIP_STORAGE_URL": f"file://{tmp_path}",
        "UNCLIP_PORT": "0", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return {**{name: value for name, value in os.environ.items() if not name.startswith("UNCLIP_")}, **own}


def test_an_operator_makes_a_key_in_the_api_image(image, env):
    words = ("keys", "create", "mine")
    made = subprocess.run(command("api", *words), cwd=image("api"), env=env, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("uk_")


@pytest.mark.parametrize(
    ("target", "part", "ready"),
    [("api", "api", "running on"), ("api", "webhooks", "webhooks start"), ("worker", "worker", "worker ready")],
)
def test_a_part_starts_in_its_image(image, env, target, part, ready):
    with subprocess.Popen(
        command(target, part), cwd=image(target), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if ready in line.lower():
                break
        process.send_signal(signal.SIGTERM)
        said.append(process.stderr.read())
    assert any(ready in line.lower() for line in said[:-1]), "".join(said)


def test_what_an_image_lacks_is_not_found_there(image, env):
    words = command("api", "worker")
    tried = subprocess.run(words, cwd=image("api"), env=env, capture_output=True, text=True, check=False)
    assert tried.returncode != 0
    assert "No module named 'workers.main'" in tried.stderr
