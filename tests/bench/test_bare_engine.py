"""The engine alone, as the service bench runs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.bare_engine import bare_engine
from bench.stack import Stack, StackFailed
from tests.models.tiny import write_tiny_model


def test_it_runs_under_the_workers_own_settings(tmp_path):
    env = Stack(tmp_path, {"UNCLIP_MODEL_DIR": str(write_tiny_model(tmp_path / "model")), "UNCLIP_WORKER_THREADS": "1"}).env
    with bare_engine(env) as bare:
        assert bare.rate() > 0
    with bare_engine({**env, "UNCLIP_MODEL_DIR": str(tmp_path)}) as bare, pytest.raises(StackFailed):
        bare.rate()


def test_nothing_that_reads_openmps_variables_is_loaded_before_they_are_set():
    code = "import sys, bench.bare_engine; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
