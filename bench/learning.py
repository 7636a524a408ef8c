"""How much quicker the bundled decoder learns in float32 on a CPU by Winograd and threads of its own than by torch alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.ratios import Ratio, compare
from models.clip.text import TextFeatures
from training.build_nets import SCHEDULE, build_decoder
from training.config import read_recipe
from training.examples import Examples
from training.loop import How, Loop, own_threads
from training.tasks.decoder import DecoderNet, DecoderTask
from training.winograd import use_winograd

STEPS, CAPTION_TOKENS = 4, 24


class Noise:
    """Examples that cost nothing."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.empty = self._text(1)

    def take(self, batch: int, generator: torch.Generator) -> Examples:
        """Chance numbers in the shapes of examples."""
        pixels = torch.rand(batch, 3, 64, 64, generator=generator) * 2 - 1
        return Examples(pixels, torch.zeros(batch, 64, 64, dtype=torch.uint8), self._text(batch), torch.zeros(batch, self.dim))

    def _text(self, batch: int) -> TextFeatures:
        mask = torch.ones(batch, CAPTION_TOKENS, dtype=torch.bool)
        return TextFeatures(torch.zeros(batch, self.dim), torch.zeros(batch, CAPTION_TOKENS, self.dim), mask, ())


class Steps:
    """The decoder's steps without the grid at their end."""

    name = "decoder"

    def __init__(self, net: DecoderNet, source: Noise) -> None:
        self.net, self.loss = net, DecoderTask(net, source, SCHEDULE).loss

    def grid(self, net: nn.Module) -> Tensor | None:
        """Nothing is drawn."""
        return None


def own_way_over_torchs(threads: int, blocks: int, tell: Callable[[str], None]) -> Ratio:
    """The ratio of the rates, pictures a second: by Winograd, in `own_threads`, over torch alone."""
    recipe = read_recipe("bundled")
    config = recipe.decoder.model_copy(update={"max_steps": STEPS, "minutes": 60.0})
    source = Noise(recipe.embedding_dim)

    def rate(net: DecoderNet, own: int) -> float:
        seconds: list[float] = []
        with tempfile.TemporaryDirectory() as out:
            how = How(recipe.seed, threads=own)
            report = lambda name, progress, done, loss: seconds.append(progress.seconds)  # noqa: E731
            Loop(Steps(net, source), config, Path(out), how, report).run()
        return STEPS * config.batch / seconds[-1]

    torch.set_num_threads(threads)
    fast, plain = build_decoder(recipe), build_decoder(recipe)
    use_winograd(fast)
    return compare(lambda: rate(fast, own_threads(config.batch)), lambda: rate(plain, 1), blocks, tell)
