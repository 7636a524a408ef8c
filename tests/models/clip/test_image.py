"""The image tower: unit-norm embeddings scaled by sqrt(D), and strict loads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.checkpoint import save_part
from models.clip.image import ImageTower, vision_net
from models.errors import CheckpointError

VISION = {"image_size": 64, "patch_size": 32, "width": 16, "layers": 1, "head_width": 8}


def write_tower(folder: Path) -> None:
    torch.manual_seed(0)
    save_part(folder / "image_encoder", {"embedding_dim": 16, "vision_cfg": VISION}, vision_net(16, VISION).state_dict())


def test_embeddings_have_norm_sqrt_d_and_depend_on_the_picture(tmp_path: Path) -> None:
    write_tower(tmp_path)
    tower = ImageTower.load(tmp_path)
    z_i = tower.encode(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1)
    torch.testing.assert_close(z_i.norm(dim=-1), torch.full((2,), 4.0))
    assert not torch.allclose(z_i[0], z_i[1], atol=1e-3)


def test_a_tower_of_another_shape_is_refused(tmp_path: Path) -> None:
    write_tower(tmp_path)
    wider = VISION | {"width": 32}
    save_part(tmp_path / "image_encoder", {"embedding_dim": 16, "vision_cfg": wider}, vision_net(16, VISION).state_dict())
    with pytest.raises(CheckpointError, match="image_encoder"):
        ImageTower.load(tmp_path)


def test_the_net_is_open_clips(tmp_path: Path) -> None:
    write_tower(tmp_path)
    theirs = vision_net(16, VISION).eval()
    tower = ImageTower.load(tmp_path)
    theirs.load_state_dict(tower.net.state_dict(), strict=True)
    pictures = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(tower.net(pictures), theirs(pictures), atol=1e-6, rtol=1e-5)
