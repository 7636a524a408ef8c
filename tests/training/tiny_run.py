"""The whole recipe on a few plain discs, small enough for tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from tests.models.tiny import write_tiny_model
from tests.training.data.scenery import infos
from tests.training.data.sprites import disc
from training.config import Recipe, read_recipe
from training.data.archive import add_to_contents, write_archive
from training.run import Run

TINY_NET = {"block_out_channels": (8, 8), "layers_per_block": 1, "patch_size": 8, "norm_num_groups": 4}
SILENT = lambda name, progress, done, loss: None  # noqa: E731


def write_discs(folder: Path) -> Path:
    """Archives as `unclip data pack` leaves them: discs, each of another shade."""
    for size_px in (128, 256, 1024):
        shown = infos() if size_px < 1024 else infos()[:2]
        pictures = (disc((200, 20 * number, 40), size_px).numpy() for number in range(len(shown)))
        path = folder / f"sprites-{size_px}.tar"
        write_archive(path, size_px, shown, pictures)
        add_to_contents(path, size_px, len(shown))
    return folder


def tiny_recipe() -> Recipe:
    """The shipped recipe's shape with tiny nets and four steps a stage."""
    values = read_recipe("bundled").model_dump()
    values |= {"bf16": False, "embedding_dim": 16, "context_length": 12, "bank": 8}
    values["scenes"] |= {"styles": {"flat": 0.5, "3d": 0.5}, "concepts": {"everyday": 0.7, "people-body": 0.3}}
    for stage in read_recipe("bundled").trained:
        values[stage] |= {"batch": 8, "max_steps": 4, "minutes": 60.0}
    values["clip"] |= {"keep": 0.0, "alike": 0.0}
    values["clip"]["vision"] = {"image_size": 64, "patch_size": 32, "width": 16, "layers": 1, "head_width": 8}
    small = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1}
    values["prior"]["net"] = small
    values["prior_ar"]["net"] = small | {"components": 4, "buckets": 8, "dot_buckets": 4}
    values["decoder"]["net"] |= {"block_out_channels": (8, 16), "layers_per_block": 1, "attention": (False, True)}
    values["decoder"]["net"] |= {"attention_head_dim": 8, "cross_attention_dim": 16, "norm_num_groups": 4}
    values["upsample_256"]["net"] = values["upsample_1024"]["net"] = TINY_NET
    return Recipe.model_validate(values)


def make_run(recipe: Recipe, data: Path, folder: Path) -> Run:
    """A run whose sentence tower is already converted: the tiny one."""
    torch.set_num_threads(1)
    tiny = write_tiny_model(folder / "tiny")
    (folder / "out" / "clip").mkdir(parents=True)
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(tiny / part, folder / "out" / "clip" / part)
    return Run(recipe, data, folder / "out", SILENT)
