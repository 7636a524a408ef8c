"""Examples made once and kept in one file, for machines on which making them costs more than learning from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from models.clip.image import ImageTower
from models.clip.text import TextFeatures, TextTower
from models.nets.bert import sentence_mean
from training.examples import Examples
from training.live import Pictures, encode_all

LENGTH = 24  # caption tokens kept: scenes' captions are hardly longer, and every stage computes with this many
CHUNK = 256


class Bank:
    """N examples in memory: pixels and owners uint8, token states bfloat16.

    z_i and z_t are not kept, since they change when CLIP learns on: `with_towers` computes them.
    """

    def __init__(self, tensors: dict[str, Tensor], empty: TextFeatures, captions: list[str]) -> None:
        self.tensors, self.empty, self.captions = tensors, empty, captions
        self.z_i: Tensor | None = None
        self.z_t: Tensor | None = None

    def __len__(self) -> int:
        return len(self.captions)

    def take(self, batch: int, generator: torch.Generator) -> Examples:
        """Chance rows of the bank, on the CPU."""
        return self.rows(torch.randint(len(self), (batch,), generator=generator))

    def rows(self, rows: Tensor) -> Examples:
        """The examples of the given rows."""
        tokens, mask = self.tensors["tokens"][rows].float(), self.tensors["mask"][rows]
        z_t = self.z_t[rows] if self.z_t is not None else torch.zeros(len(rows), tokens.shape[-1])
        z_i = self.z_i[rows] if self.z_i is not None else torch.zeros_like(z_t)
        pixels = self.tensors["pixels"][rows].float() / 127.5 - 1
        return Examples(pixels, self.tensors["owners"][rows], TextFeatures(z_t, tokens, mask, ()), z_i)

    @torch.inference_mode()
    def with_towers(self, text: TextTower, image: ImageTower) -> Bank:
        """Compute z_t from the kept states and z_i from the pixels; returns itself."""
        z_t, z_i = [], []
        for start in range(0, len(self), CHUNK):
            of = self.rows(torch.arange(start, min(start + CHUNK, len(self))))
            z_t.append(text.project(sentence_mean(of.text.tokens, of.text.mask)))
            z_i.append(image.encode(of.pixels))
        self.z_t, self.z_i = torch.cat(z_t).clone(), torch.cat(z_i).clone()
        self.empty = _shortened(text.encode([""]))
        return self


def make_bank(
    path: Path, pictures: Pictures, tower: TextTower, count: int, seed: int, show: Callable[[int, int], None]
) -> None:
    """Make `count` examples and write them. show: called with how many are done and `count`."""
    parts: dict[str, list[Tensor]] = {"pixels": [], "owners": [], "tokens": [], "mask": []}
    captions: list[str] = []
    for start in range(0, count, CHUNK):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + start)
        pixels, said, owners = pictures.draw(min(CHUNK, count - start), generator)
        with torch.autocast(pixels.device.type, torch.bfloat16):  # the states are kept in bfloat16 in any case
            text = _shortened(encode_all(tower, said))
        parts["pixels"].append(((pixels + 1) * 127.5).round().byte().cpu())
        parts["owners"].append(owners.cpu())
        parts["tokens"].append(text.tokens.bfloat16().cpu())
        parts["mask"].append(text.mask.cpu())
        captions += said
        show(len(captions), count)
    temporary = path.with_suffix(".part")
    save_file(
        {name: torch.cat(chunks) for name, chunks in parts.items()}, temporary, metadata={"captions": json.dumps(captions)}
    )
    temporary.replace(path)


def read_bank(path: Path, tower: TextTower) -> Bank:
    """Read a bank that `make_bank` wrote."""
    with safe_open(path, "pt") as file:
        captions = json.loads(file.metadata()["captions"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- safe_open is no dict
    return Bank(tensors, _shortened(tower.encode([""])), captions)


def _shortened(features: TextFeatures) -> TextFeatures:
    return TextFeatures(features.embeds, features.tokens[:, :LENGTH], features.mask[:, :LENGTH], features.truncated)
