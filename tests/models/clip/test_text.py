"""The text tower is open_clip's `HFTextEncoder`: same names, same numbers; and it imports without open_clip."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.checkpoint import load_part
from models.clip.text import TextTower
from models.errors import CheckpointError
from tests.models.tiny import CONTEXT_LENGTH, DIM, write_tiny_model

CAPTIONS = ["a cat", "red pear", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def test_it_equals_open_clips_hf_text_encoder(folder: Path) -> None:
    from open_clip.hf_model import HFTextEncoder

    reference = HFTextEncoder(
        str(folder / "text_encoder"), DIM, pooler_type="mean_pooler", proj_type="linear", pretrained=False, output_tokens=True
    )
    reference.load_state_dict(load_part(folder / "text_encoder")[1], strict=True)
    tower = TextTower.load(folder)
    features = tower.encode(CAPTIONS)
    ids = torch.zeros(len(CAPTIONS), CONTEXT_LENGTH, dtype=torch.long)
    for row, encoding in enumerate(tower.tokenizer.encode_batch(CAPTIONS)):
        ids[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
    with torch.inference_mode():
        projected, tokens = reference.eval()(ids)
    shown = features.mask[..., None]
    torch.testing.assert_close(features.tokens * shown, tokens * shown, atol=1e-5, rtol=0)
    torch.testing.assert_close(features.embeds / DIM**0.5, torch.nn.functional.normalize(projected, dim=-1), atol=1e-5, rtol=0)


def test_a_caption_does_not_depend_on_its_neighbours(folder: Path) -> None:
    tower = TextTower.load(folder)
    together, alone = tower.encode(CAPTIONS), tower.encode(CAPTIONS[1:2])
    torch.testing.assert_close(together.embeds[1:2], alone.embeds, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("words", "truncated"), [(CONTEXT_LENGTH - 2, 0), (CONTEXT_LENGTH - 1, 1), (40, 40 + 2 - CONTEXT_LENGTH)]
)
def test_tokens_cut_off_are_counted_and_the_end_mark_stays(folder: Path, words: int, truncated: int) -> None:
    tower = TextTower.load(folder)
    features = tower.encode([" ".join("a" * words)])
    assert features.truncated == (truncated,)
    assert int(features.mask.sum()) == min(words + 2, CONTEXT_LENGTH)


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model")
    (folder / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        TextTower.load(folder)


def test_drawing_from_text_never_imports_what_starts_slowly() -> None:
    code = "import sys, models.cascade; print({'open_clip', 'torchvision', 'transformers', 'timm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_text_encoder_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "model")
    path = folder / "text_encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_act": "relu"}))
    with pytest.raises(CheckpointError, match="hidden_act is 'relu'"):
        TextTower.load(folder)
