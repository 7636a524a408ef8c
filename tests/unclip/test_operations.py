"""The commands on pictures: what they understand."""

from __future__ import annotations

from pathlib import Path

import pytest

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
