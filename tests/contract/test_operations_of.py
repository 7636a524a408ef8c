"""Which operations a model folder has the parts for."""

import json
from pathlib import Path

import pytest

from contract.catalog import operations_of, read_model_info

FROM_PICTURES = {"vary", "interpolate", "edit", "upscale", "encode", "resume"}


@pytest.mark.parametrize(
    ("parts", "channels", "offered"),
    [
        ((), 3, {"generate"}),
        (("image_encoder",), 3, {"generate", *FROM_PICTURES}),
        (("image_encoder",), 7, {"generate", "inpaint", *FROM_PICTURES}),
    ],
)
def test_a_folder_offers_what_its_parts_suffice_for(model_dir: Path, parts, channels: int, offered: set[str]) -> None:
    for part in (*parts, "decoder"):
        (model_dir / part).mkdir()
    (model_dir / "decoder" / "config.json").write_text(json.dumps({"in_channels": channels}))
    assert set(operations_of(model_dir)) == offered
    index = json.loads((model_dir / "model_index.json").read_text())
    index["unclip"].pop("operations", None)
    (model_dir / "model_index.json").write_text(json.dumps(index))
    assert set(read_model_info(model_dir).operations) == offered


def test_what_the_index_says_counts(model_dir: Path) -> None:
    index = json.loads((model_dir / "model_index.json").read_text())
    index["unclip"]["operations"] = ["generate", "upscale"]
    (model_dir / "model_index.json").write_text(json.dumps(index))
    assert read_model_info(model_dir).operations == ("generate", "upscale")
