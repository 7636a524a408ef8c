"""Examples made once and learned from again and again: in a file for a CPU, in a GPU's own memory for a GPU.

On a CPU making them costs more than learning from them; on a GPU they cost less, but Python makes them, which would be waited
for in every batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from models.clip.image import ImageTower
from models.clip.text import TextFeatures, TextTower
from models.nets.bert import sentence_mean
from training.distributed import ALONE, Ranks
from training.drawn_apart import Chunk, Drawn, draw_all
from training.examples import Examples
from training.live import Pictures, encode_all
from training.precision import mixed_precision

LENGTH = 24  # caption tokens kept: scenes' captions are hardly longer, and every stage computes with this many
DRAWN = 256
"""Pictures that are drawn from one seed."""
EMBEDDED = {"cpu": 256, "cuda": 4096}
"""Examples that go through the towers at once."""


class Bank:
    """N examples on one device: pixels and owners uint8, token states bfloat16.

    z_i and z_t are not kept, since they change when CLIP learns on: `with_towers` computes them.
    """

    def __init__(self, tensors: dict[str, Tensor], empty: TextFeatures, captions: list[str]) -> None:
        self.tensors, self.empty, self.captions = tensors, empty, captions
        self.z_i: Tensor | None = None
        self.z_t: Tensor | None = None

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def device(self) -> torch.device:
        """Where the examples lie."""
        return self.tensors["pixels"].device

    def take(self, batch: int, generator: torch.Generator) -> Examples:
        """Chance rows of the bank, on its device."""
        return self.rows(torch.randint(len(self), (batch,), generator=generator))

    def rows(self, rows: Tensor) -> Examples:
        """The examples of the given rows."""
        rows = rows.to(self.device, non_blocking=True)
        tokens, mask = self.tensors["tokens"][rows].float(), self.tensors["mask"][rows]
        z_t = self.z_t[rows] if self.z_t is not None else tokens.new_zeros(len(rows), tokens.shape[-1])
        z_i = self.z_i[rows] if self.z_i is not None else torch.zeros_like(z_t)
        pixels = self.tensors["pixels"][rows].float() / 127.5 - 1
        return Examples(pixels, self.tensors["owners"][rows], TextFeatures(z_t, tokens, mask, ()), z_i)

    @torch.inference_mode()
    def with_towers(self, text: TextTower, image: ImageTower, *, bf16: bool = False, ranks: Ranks = ALONE) -> Bank:
        """Compute z_t from the kept states and z_i from the pixels, each (N, D) float32; returns itself.

        bf16: z_i by bfloat16 arithmetic, within a cosine of 0.9998 of float32's, in less than half the time. ranks: processes
        that all hold this bank; each computes its part.
        """
        z_t, z_i = (torch.zeros(len(self), text.net.proj.out_features, device=self.device) for _ in range(2))
        mine = torch.arange(len(self)).tensor_split(ranks.count)[ranks.rank]
        for rows in torch.split(mine, EMBEDDED[self.device.type]):
            of = self.rows(rows)
            z_t[rows] = text.project(sentence_mean(of.text.tokens, of.text.mask))
            with mixed_precision(self.device, bf16=bf16):
                z_i[rows] = image.encode(of.pixels).float()
        self.z_t, self.z_i = ranks.sum(z_t), ranks.sum(z_i)
        self.empty = _shortened(text.encode([""]))
        return self

    def save(self, path: Path) -> None:
        """Write the examples; the file is there whole or not at all."""
        temporary = path.with_suffix(".part")
        save_file(self.tensors, temporary, metadata={"captions": json.dumps(self.captions)})
        temporary.replace(path)


def make_bank(
    pictures: Pictures,
    tower: TextTower,
    count: int,
    seed: int,
    show: Callable[[int, int], None],
    processes: int = 0,
) -> Bank:
    """Make `count` examples, about 35 KB each, where `tower` is; the same count and seed are the same pictures on any device.

    pictures: on the CPU, drawn from by so many processes, or by this one for none. show: called with how many are done and
    `count`. Raises DataError.
    """
    device = tower.net.proj.weight.device
    chunks = [Chunk(seed * 1_000_003 + start, min(DRAWN, count - start)) for start in range(0, count, DRAWN)]
    tensors: dict[str, Tensor] = {}
    captions: list[str] = []
    with closing(draw_all(pictures, chunks, processes)) as every:
        for drawn in every:
            for name, part in _kept(drawn, tower).items():
                if name not in tensors:
                    tensors[name] = torch.empty(count, *part.shape[1:], dtype=part.dtype, device=device)
                tensors[name][len(captions) : len(captions) + len(part)] = part
            captions += drawn.captions
            show(len(captions), count)
    return Bank(tensors, _shortened(tower.encode([""])), captions)


def read_bank(path: Path, tower: TextTower) -> Bank:
    """Read a bank that was saved."""
    with safe_open(path, "pt") as file:
        captions = json.loads(file.metadata()["captions"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- safe_open is no dict
    return Bank(tensors, _shortened(tower.encode([""])), captions)


def _kept(drawn: Drawn, tower: TextTower) -> dict[str, Tensor]:
    device = tower.net.proj.weight.device
    together = 64 if device.type == "cpu" else len(drawn.captions)  # a GPU computes padding faster than small batches
    with mixed_precision(device):  # the states are kept in bfloat16 in any case
        text = _shortened(encode_all(tower, drawn.captions, together))
    pixels, owners = (torch.from_numpy(part) for part in (drawn.pixels, drawn.owners))
    return {"pixels": pixels, "owners": owners, "tokens": text.tokens.bfloat16(), "mask": text.mask}


def _shortened(features: TextFeatures) -> TextFeatures:
    return TextFeatures(features.embeds, features.tokens[:, :LENGTH], features.mask[:, :LENGTH], features.truncated)
