"""Four shapes in one style, enough to compose scenes from."""

from __future__ import annotations

import torch

from evals.judges.groups import Groups
from evals.judges.renders import Renders
from training.data.labels import SpriteInfo
from training.data.shares import Shares
from training.data.sprite_bank import SpriteBank

SIDE = 64
SHARES = Shares(concepts={"everyday": 1.0}, styles={"flat": 1.0})
COLOURS = {"disc": (220, 30, 30), "square": (40, 90, 230), "ring": (30, 170, 60), "bar": (120, 120, 125)}


def info(name: str, group: str | None = "objects", style: str = "flat", codepoints: str | None = None) -> SpriteInfo:
    return SpriteInfo(name, name, name.replace("-", " "), (), codepoints, group, None, None, style)


def pixels(name: str) -> torch.Tensor:
    """uint8 (4, SIDE, SIDE)."""
    steps = torch.arange(SIDE) - (SIDE - 1) / 2
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    radius = (down**2 + across**2).sqrt()
    inside = {
        "disc": radius < 28,
        "square": (down.abs() < 26) & (across.abs() < 26),
        "ring": (radius < 30) & (radius > 16),
        "bar": (down.abs() < 8) & (across.abs() < 31),
    }[name]
    colour = torch.tensor(COLOURS[name], dtype=torch.uint8)[:, None, None]
    return torch.cat([colour * inside, (255 * inside).to(torch.uint8)[None]])


def bank() -> SpriteBank:
    return SpriteBank.of([info(name) for name in COLOURS], torch.stack([pixels(name) for name in COLOURS]), SIDE)


def renders() -> Renders:
    return Renders(bank(), Groups({name: name for name in COLOURS}), SHARES)
