"""The whole recipe: text tower → CLIP → prior → decoder → upsampler → packed weights, each stage resumable on its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from models.checkpoint import load_part, save_part
from models.clip.image import ImageTower
from models.clip.text import TextTower
from training.bank import Captions, Pictures, embed_pictures, place_objects
from training.build_nets import SCHEDULE, build_clip, build_decoder, build_prior, build_upsampler
from training.config import Recipe, StageConfig
from training.data.captions import ObjectWords, captions, read_objects
from training.data.sprites import SpriteSet
from training.loop import Loop, Report, Task
from training.pack import pack
from training.tasks.clip import ClipTask
from training.tasks.decoder import DecoderTask
from training.tasks.prior import PriorTask
from training.tasks.upsampler import UpsamplerTask
from training.text_tower import convert

STAGES = ("clip", "prior", "decoder", "upsampler", "pack")
UPSAMPLER_SPRITES = 1500
OTHER_CAPTIONS = 3  # of each sprite that is not the recipe's; they only have to keep the objects apart from it


def train(
    recipe: Recipe, data: Path, out: Path, report: Report, *, stages: tuple[str, ...] = STAGES, device: str = "cpu"
) -> None:
    """Run the named stages of a recipe.

    data: a folder made by `unclip data build`. out: one folder per stage with state, logs, loss plot and sample grid, and
    `out/<recipe name>/`, the packed model. A finished stage is not run again. Raises DataError.
    """
    run = Run(recipe, data, out, report, device)
    steps: dict[str, Callable[[], None]] = {
        "clip": run.clip, "prior": run.prior, "decoder": run.decoder, "upsampler": run.upsampler, "pack": run.pack
    }  # fmt: skip
    for stage in stages:
        steps[stage]()


class Run:
    """One recipe over one data folder."""

    def __init__(self, recipe: Recipe, data: Path, out: Path, report: Report, device: str) -> None:
        self.recipe, self.data, self.out, self.report, self.device = recipe, data, out, report, device
        self.objects = read_objects(recipe.objects_path)
        self.sprites = SpriteSet.load(data, recipe.style)
        self.rows = [self.sprites.index(words.name) for words in self.objects]

    def clip(self) -> None:
        """Train the image tower and the text projection; leave both towers in `out/clip/` as they will ship."""
        towers = self.out / "clip"
        if not (towers / "text_encoder").exists():
            convert(self.data, towers, embedding_dim=self.recipe.embedding_dim, context_length=self.recipe.context_length)
        tower = TextTower.load(towers)
        others = self._other_sprites()
        pictures = place_objects(self.sprites, [*self.rows, *others], 12, self._generator())
        texts = [captions(words) for words in self.objects]
        texts += [
            captions(ObjectWords(self.sprites.names[row], (self.sprites.labels[row],)))[:OTHER_CAPTIONS] for row in others
        ]
        net = build_clip(self.recipe, tower).to(self.device)
        self._train(ClipTask(net, tower, pictures, texts, len(self.objects)), self.recipe.clip)
        tower.net.proj.load_state_dict(net.proj.state_dict())
        config, _ = load_part(towers / "text_encoder")
        save_part(towers / "text_encoder", config, tower.net.state_dict(), storage="int8_rows")
        vision = {"embedding_dim": self.recipe.embedding_dim, "vision_cfg": self.recipe.clip.vision.model_dump()}
        save_part(towers / "image_encoder", vision, net.visual.state_dict())

    def prior(self) -> None:
        """Train the diffusion prior on the pictures' z_i; its normalisation is their mean and standard deviation."""
        pictures, z_i, texts = self._bank()
        net = build_prior(self.recipe)
        net.clip_mean.copy_(z_i.mean(0, keepdim=True))
        net.clip_std.copy_(z_i.std(0, keepdim=True).clamp_min(1e-3))
        task = PriorTask(net.to(self.device), z_i, pictures.objects, texts, SCHEDULE)
        self._train(task, self.recipe.prior)

    def decoder(self) -> None:
        """Train the 64 px decoder."""
        pictures, z_i, texts = self._bank()
        self._train(
            DecoderTask(build_decoder(self.recipe).to(self.device), pictures, z_i, texts, SCHEDULE), self.recipe.decoder
        )

    def upsampler(self) -> None:
        """Train the upsampler on sprites of the style at 256 px, the recipe's objects first."""
        rows = [*self.rows, *self._other_sprites()][:UPSAMPLER_SPRITES]
        groups = (torch.tensor(rows[start : start + 64]) for start in range(0, len(rows), 64))
        pixels = torch.cat([((self.sprites.composited(group, 256) + 1) * 127.5).round().byte() for group in groups])
        net = build_upsampler(self.recipe).to(self.device)
        self._train(UpsamplerTask(net, pixels, SCHEDULE), self.recipe.upsampler)

    def pack(self) -> None:
        """Put the EMA weights of all stages into one model folder."""
        pack(self.recipe, self.out, self.out / self.recipe.name)

    def _train(self, task: Task, config: StageConfig) -> None:
        Loop(task, config, self.out / task.name, seed=self.recipe.seed, bf16=self.recipe.bf16, report=self.report).run()

    def _bank(self) -> tuple[Pictures, torch.Tensor, Captions]:
        """The objects' pictures, their z_i and their captions, made anew by each stage: CLIP may have learned on since."""
        towers = self.out / "clip"
        pictures = place_objects(self.sprites, self.rows, self.recipe.pictures_per_object, self._generator())
        z_i = embed_pictures(ImageTower.load(towers), pictures).to(self.device)
        return pictures, z_i, Captions.encode(TextTower.load(towers, self.device), self.objects)

    def _other_sprites(self) -> list[int]:
        """Sprites of the style that are not the recipe's; without skin-tone variants, which words hardly tell apart."""
        own = set(self.rows)
        infos = self.sprites.infos
        return [row for row in range(len(infos)) if row not in own and not infos[row].skin_tone]

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.recipe.seed)
