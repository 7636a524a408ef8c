"""The sentence tower in numpy, against the torch net that reads the same file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from contract.settings import BUNDLED_MODEL
from models.clip.text import TextTower
from models.nets.bert import sentence_mean
from safety.semantic.tensor_file import read_tensors
from safety.semantic.tower import SentenceTower, TowerMissing

TEXTS = ["a red apple on a wooden table", "x", "two knights fighting in the rain, oil painting", "çà et là, 빨간 사과"]


def test_it_gives_what_the_torch_net_gives():
    features = TextTower.load(BUNDLED_MODEL).encode(TEXTS)
    expected = torch.nn.functional.normalize(sentence_mean(features.tokens, features.mask), dim=-1).numpy()

    assert np.abs(SentenceTower.load(BUNDLED_MODEL).embed(TEXTS) - expected).max() < 1e-5


def test_a_text_alone_gives_what_it_gives_among_others():
    tower = SentenceTower.load(BUNDLED_MODEL)

    assert np.abs(tower.embed(TEXTS)[2] - tower.embed(TEXTS[2:3])[0]).max() < 1e-5


def test_what_is_missing_or_broken_is_said(tmp_path: Path):
    with pytest.raises(TowerMissing, match=str(tmp_path)):
        SentenceTower.load(tmp_path)


@pytest.mark.parametrize("data", [b"", b"\0" * 8, (2**40).to_bytes(8, "little") + b"{}", b"\x02" + b"\0" * 7 + b"{"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, data: bytes):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ValueError, match="safetensors"):
        read_tensors(tmp_path / "x")


def test_a_number_format_that_is_not_read_is_named(tmp_path: Path):
    header = json.dumps({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(ValueError, match="BF16"):
        read_tensors(tmp_path / "x")


def test_it_needs_no_torch():
    code = "import sys, safety.semantic.classifier, service.prompt_guard; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
