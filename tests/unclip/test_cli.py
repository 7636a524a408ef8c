"""The command line as a process: what it loads, what it says, how it ends."""

import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import unclip
from contract.errors import SettingsWrong
from unclip.model_commands import read_minutes

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "unclip", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env}, timeout=60, check=False)


def test_help_is_quick():
    """Hardly more than the library that prints it takes to load, in turns: 0.26 s against 0.15 s when this was written."""

    def seconds(*arguments: str) -> float:
        began = time.monotonic()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True, timeout=60)
        return time.monotonic() - began

    run("--help")  # the first run may have to compile
    arms = [(seconds("-m", "unclip", "--help"), seconds("-c", "import typer; from rich import print")) for _ in range(4)]
    of_help, of_library = (min(arm) for arm in zip(*arms, strict=True))

    assert of_help < 3 * of_library


@pytest.mark.parametrize("module", ["unclip.cli", "unclip.supervisor", "unclip.generate", "service.main"])
def test_torch_stays_out_of(module):
    code = f"import {module}, sys; print(*(name for name in ('torch', 'transformers', 'open_clip') if name in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == ""


def test_the_version_is_the_projects():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert run("version").stdout.strip() == unclip.__version__ == project["version"]


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_process_on_its_own_says_that_it_needs_a_queue(command):
    ran = run(command)

    assert ran.returncode == 2
    assert ran.stderr.startswith("unclip: UNCLIP_REDIS_URL must name a Redis or Valkey")


def test_a_wrong_variable_is_named_without_a_traceback():
    ran = run("serve", UNCLIP_PORT="eighty")

    assert ran.returncode == 2
    assert ran.stderr.startswith("unclip: UNCLIP_PORT: ")


@pytest.mark.parametrize(
    ("command", "variable", "value"), [("api", "REDIS_URL", "http://x"), ("serve", "STORAGE_URL", "s3://")]
)
def test_an_address_that_cannot_be_used_is_named_without_a_traceback(command, variable, value):
    ran = run(command, **{f"UNCLIP_{variable}": value})

    assert ran.returncode == 2
    assert re.fullmatch(rf"unclip: UNCLIP_{variable}: should be .*\n", ran.stderr)


def test_a_model_folder_that_is_not_there_is_told_before_anything_starts(tmp_path):
    ran = run("serve", "--data-dir", str(tmp_path / "data"), UNCLIP_MODEL_DIR=str(tmp_path / "nowhere"))

    assert ran.returncode == 1
    assert "UNCLIP_MODEL_DIR must name a model folder" in ran.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("port", ["0", "8000"])
def test_a_host_that_is_not_this_machine_s_is_refused(tmp_path, model_dir, port):
    arguments = ("serve", "--host", "192.0.2.1", "--port", port, "--data-dir", str(tmp_path / "data"))
    ran = run(*arguments, UNCLIP_MODEL_DIR=str(model_dir))

    assert ran.returncode == 2
    assert re.fullmatch(r"unclip: port \d+ on 192\.0\.2\.1 cannot be listened on: .*\n", ran.stderr)


def test_a_service_of_its_own_at_somebody_else_s_address_is_refused():
    ran = run("generate", "a cat", "--own-service", "--url", "http://127.0.0.1:9")

    assert ran.returncode == 2
    assert "give one of the two" in ran.stderr


def test_a_service_that_is_not_there_is_said_in_one_line():
    ran = run("generate", "a cat", "--url", "http://127.0.0.1:9")

    assert ran.returncode == 1
    assert ran.stderr.startswith("unclip: http://127.0.0.1:9 does not answer")


def test_an_object_that_is_asked_for_data_says_which_packages_to_fetch(tmp_path):
    ran = run("data", "build", "--packages", str(tmp_path), "--out", str(tmp_path / "data"))

    assert ran.returncode == 1
    assert "npm pack" in ran.stderr


def test_building_one_style_asks_for_its_packages_alone(tmp_path):
    ran = run("data", "build", "--packages", str(tmp_path), "--out", str(tmp_path / "data"), "--style", "noto")

    assert ran.returncode == 1
    assert "iconify-json/noto@" in ran.stderr
    assert "twemoji" not in ran.stderr


def test_minutes_are_read_per_stage():
    assert read_minutes(["decoder=60", "clip=1.5"]) == {"decoder": 60.0, "clip": 1.5}


@pytest.mark.parametrize("budget", ["decoder", "decoder=", "decoder=x", "decoder=-1", "decoder=nan", "decoder=0", "=3"])
def test_a_budget_that_makes_no_sense_is_refused(budget):
    with pytest.raises(SettingsWrong, match="is not stage=minutes"):
        read_minutes([budget])


def test_a_judge_may_get_no_minutes_but_none_below():
    assert read_minutes(["classifier=0"], can_be_none=True) == {"classifier": 0.0}
    with pytest.raises(SettingsWrong, match="is not stage=minutes"):
        read_minutes(["classifier=-1"], can_be_none=True)
