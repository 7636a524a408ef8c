"""The commands on pictures: what they understand, and one way through a whole service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.models.tiny import write_tiny_model
from unclip.errors import CommandError
from unclip.operations import boxes, image, picture, source

IMAGE, UPLOAD, LATENT = f"{'0' * 32}-3", f"up_{'a' * 32}", f"lat_{'0' * 32}-0"


class Desk:
    """Takes uploads, as the client does."""

    def __init__(self) -> None:
        self.brought: list[bytes] = []

    def upload(self, data: bytes):
        self.brought.append(data)
        return type("Upload", (), {"id": UPLOAD})


def test_ids_and_addresses_are_named_and_files_are_brought(tmp_path: Path) -> None:
    file, desk = tmp_path / "cat.png", Desk()
    file.write_bytes(b"a file")
    assert picture(desk, LATENT) == {"latent": LATENT}
    assert [image(desk, said) for said in (IMAGE, UPLOAD, "https://example.org/a.png")] == [
        *(IMAGE, UPLOAD, "https://example.org/a.png")
    ]
    assert desk.brought == []
    assert picture(desk, str(file)) == {"image": UPLOAD}
    assert desk.brought == [b"a file"]


def test_what_is_no_picture_is_a_prompt_and_a_missing_file_is_told(tmp_path: Path) -> None:
    desk = Desk()
    assert source(desk, "a green frog") == {"prompt": "a green frog"}
    with pytest.raises(CommandError, match=r"missing\.png"):
        source(desk, str(tmp_path / "missing.png"))


def test_boxes_are_four_shares() -> None:
    assert boxes(["0.25,0.5,0.75,1", "0,0,1,1"]) == [[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 1.0, 1.0]]
    assert boxes([]) is None
    for wrong in ("0,1,1", "left"):
        with pytest.raises(CommandError, match="left,top,right,bottom"):
            boxes([wrong])


@pytest.mark.timeout(180)
def test_a_picture_is_varied_by_a_service_started_for_the_call(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(photo)
    env = {**os.environ, "UNCLIP_MODEL_DIR": str(write_tiny_model(tmp_path / "model")), "OMP_NUM_THREADS": "1"}
    env |= {"UNCLIP_PORT": "9", "UNCLIP_PICTURE_FILTER": "false"}
    options = [
        "--eta",
        "0.5",
        "--steps",
        "2",
        "--inversion-steps",
        "2",
        "--seed",
        "7",
        "--json",
        "--out",
        str(tmp_path / "out"),
    ]
    command = [sys.executable, "-m", "unclip", "vary", str(photo), *options]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=170, check=False)
    assert ran.returncode == 0, ran.stderr
    (said,) = json.loads(ran.stdout)["images"]
    assert said["latent_id"].startswith("lat_")
    with Image.open(said["path"]) as drawn:
        assert (Path(said["path"]).name, drawn.size) == ("variation-7.png", (256, 256))
