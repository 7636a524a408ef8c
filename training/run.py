"""The whole recipe, text tower to packed weights: a stage a method, each resumable on its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from models.checkpoint import load_part, load_strict, save_part
from models.clip.image import ImageTower
from models.clip.text import TextTower
from models.errors import CheckpointError
from training import build_nets
from training.alike import Alike
from training.bank import Bank, make_bank, read_bank
from training.build_nets import SCHEDULE, build_clip, build_decoder, build_prior, build_prior_ar
from training.config import Recipe, StageConfig
from training.data.colours import colourable_rows
from training.data.errors import DataError
from training.data.large import LargeSprites
from training.data.own import OWN, Pairs
from training.data.scene_maker import SceneMaker
from training.data.shares import Shares
from training.data.sprite_bank import SpriteBank
from training.data.vocabulary import HeldOut
from training.distributed import ALONE, Ranks
from training.examples import Source
from training.init_from import add_difference, start_from
from training.live import Live, Pictures, Scenes
from training.loop import How, Loop, Progress, Report, Task, own_threads
from training.pack import foresee, pack
from training.pca import fit_codes
from training.pieces import decoder_of
from training.precision import computes_bf16
from training.tasks.clip import ClipTask, fit_scale
from training.tasks.decoder import DecoderNet, DecoderTask, Told
from training.tasks.inpaint import InpaintTask
from training.tasks.prior import PriorTask
from training.tasks.prior_ar import PriorARTask
from training.tasks.turbo import Distillation, TurboTask, student_of
from training.tasks.upsample_256 import Upsample256Task
from training.tasks.upsample_1024 import Upsample1024Task
from training.text_tower import convert
from training.trained import Trained
from training.winograd import use_winograd

N = TypeVar("N", bound=nn.Module)

BANK_PX, SHARP_PX = 128, 256
TOWERS = ("tokenizer", "image_encoder", "text_encoder")  # the last one says that all are there
NORMALISED_OVER = 4096  # examples from which the prior's mean and standard deviation are taken


def stages_of(recipe: Recipe) -> tuple[str, ...]:
    """The stages of a recipe in order: the bank, what learns, and packing."""
    return ("bank", *recipe.trained, "pack")


class Run:
    """One recipe over one data folder; a stage that is finished is not run again. Each stage is a method of its name."""

    def __init__(
        self,
        recipe: Recipe,
        data: Path,
        out: Path,
        report: Report,
        *,
        device: str = "cpu",
        ranks: Ranks = ALONE,
        init_from: Path | None = None,
    ) -> None:
        """data: a folder that `unclip data pack` or `training.data.own.prepare` wrote. init_from: a model folder whose weights
        the nets start from where shapes fit. out: gets one folder per stage, and `out/<recipe name>/`, the packed model."""
        self.recipe, self.data, self.out, self.report = recipe, data, out, report
        self.device, self.ranks, self.init_from = device, ranks, init_from
        self.towers, self.trained = out / "clip", Trained(out, init_from)

    def foresee(self, stages: Sequence[str]) -> None:
        """Raise now what CLIP or packing, if among those stages, would raise after others: DataError, CheckpointError."""
        if "clip" in stages:
            self._kept_from()
        if "pack" in stages:
            foresee(self.recipe, self.trained, stages[: stages.index("pack")])

    def bank(self) -> None:
        """Convert the text tower, and make the bank's file where the recipe has one; a GPU makes its own when it needs it."""
        if self.ranks.is_first:
            if not (self.towers / "text_encoder").exists():
                self._first_towers()
            if self.recipe.bank and not (self.on_gpu or self._bank_file.exists()):
                self._new_bank().save(self._bank_file)
        self.ranks.wait()

    def clip(self) -> None:
        """Train the image tower and the text projection; leave both towers in `out/clip/` as they will ship."""
        text, section = self._text(), self.recipe.clip
        net = build_clip(self.recipe, text)
        learned = self._start(net.visual, "image_encoder")
        kept_from = self._kept_from()
        if kept_from:  # z_i of another net, or of a part of one, cannot be kept
            load_strict(net.visual, load_part(kept_from / "image_encoder")[1], "image_encoder")
        source = self._source(text, ImageTower.load(kept_from, self.device) if kept_from else None)
        if isinstance(source, Bank) and section.alike:
            source = Alike(source, section.alike)
        self._placed(net)
        if learned:
            net.proj.load_state_dict(text.net.proj.state_dict())  # the two belong together
            fit_scale(net, source.take(section.batch, self._generator()))
        self._train(ClipTask(net, source, self.ranks, section.keep), section)
        if self.ranks.is_first:
            text.net.proj.load_state_dict(net.proj.state_dict())
            config, _ = load_part(self.towers / "text_encoder")
            save_part(self.towers / "text_encoder", config, text.net.state_dict(), storage="int8_rows")
            vision = {"embedding_dim": self.recipe.embedding_dim, "vision_cfg": self.recipe.clip.vision.model_dump()}
            save_part(self.towers / "image_encoder", vision, net.visual.state_dict())
        self.ranks.wait()

    def prior(self) -> None:
        """Train the diffusion prior; a new one, or one whose CLIP learned on in this run, normalises by the examples' z_i."""
        net = build_prior(self.recipe)
        if "clip_mean" not in self._start(net, "prior") or self.trained.has("clip"):
            z_i = self.source.take(NORMALISED_OVER, self._generator()).z_i.cpu()
            net.clip_mean.copy_(z_i.mean(0, keepdim=True))
            net.clip_std.copy_(z_i.std(0, keepdim=True).clamp_min(1e-3))
        self._train(PriorTask(self._placed(net), self.source, SCHEDULE), self.recipe.prior)

    def prior_ar(self) -> None:
        """Train the autoregressive prior on codes fitted to the examples' z_i."""
        net = build_prior_ar(self.recipe)
        self._start(net, "prior_ar")
        fit_codes(self._placed(net), self.source, self._generator())
        self._train(PriorARTask(net, self.source), self.recipe.prior_ar)

    def decoder(self) -> None:
        """Train the 64 px decoder."""
        net = build_decoder(self.recipe)
        self._start(net.unet, "decoder")
        self._start(net.text_proj, "text_proj")
        section = self.recipe.decoder
        told = Told(section.drop_image, section.drop_text)
        self._train(DecoderTask(self._placed(net), self.source, SCHEDULE, told, section.t_power), section)

    def inpaint(self) -> None:
        """Train the decoder on, with a part of the picture given; its result is the decoder that ships."""
        section = self.recipe.inpaint
        assert section is not None
        net, told = self._trained_decoder("decoder"), Told(section.drop_image, section.drop_text)
        task = InpaintTask(net, self.source, SCHEDULE, told, section.t_power, policy=section.masks, whole=section.whole)
        self._train(task, section)

    def turbo(self) -> None:
        """Distil the decoder that ships into few steps, beginning with what an earlier turbo had over its own decoder."""
        section = self.recipe.turbo
        assert section is not None
        teacher = self._trained_decoder("inpaint" if self.recipe.inpaint else "decoder")
        if self.recipe.compile:
            teacher.compile(dynamic=False)  # more than half of the arithmetic; the loop compiles what learns
        student = student_of(teacher)
        if self.init_from is not None:
            add_difference(student.unet, self.init_from, "decoder_turbo", base="decoder")
        how = Distillation(section.guidance_scale, section.steps, section.substeps, section.masked)
        self._train(TurboTask(student, teacher, self.source, SCHEDULE, how), section)

    def upsample_256(self) -> None:
        """Train the first upsampler on sharp scenes."""
        net = build_nets.build_upsample_256(self.recipe)
        self._start(net, "super_res_first")
        self._train(Upsample256Task(self._placed(net), self.pictures(SHARP_PX, SHARP_PX), SCHEDULE), self.recipe.upsample_256)

    def upsample_1024(self) -> None:
        """Train the second upsampler on large sprites, their small versions degraded."""
        section = self.recipe.upsample_1024
        assert section is not None
        net = build_nets.build_upsample_1024(self.recipe)
        self._start(net, "super_res_second")
        task = Upsample1024Task(self._placed(net), LargeSprites.load(self.data, self.device), SCHEDULE, steps=section.steps)
        self._train(task, section)

    def pack(self) -> None:
        """Put the EMA weights of all stages into one model folder, and what was not trained from the model started from."""
        if self.ranks.is_first:
            pack(self.recipe, self.trained, self.out / self.recipe.name)
        self.ranks.wait()

    @cached_property
    def source(self) -> Source:
        """Examples with the trained towers' embeddings."""
        return self._source(self._text(), ImageTower.load(self.towers, self.device))

    def pictures(self, sprites_px: int, size_px: int = 64, device: str | None = None) -> Pictures:
        """Somebody's own pictures, where the data are such; else scenes over all sprites that are not held out.

        device: where scenes are composed; None: where the nets learn. Own pictures are read on the CPU in any case.
        """
        if (self.data / OWN).is_file():
            return Pairs.load(self.data, size_px)
        sprites = SpriteBank.load(self.data, sprites_px, device or self.device)
        shares = Shares(**self.recipe.scenes.model_dump())
        return Scenes(SceneMaker(sprites.infos, HeldOut.read(), shares, colourable_rows(sprites.levels)), sprites, size_px)

    @property
    def on_gpu(self) -> bool:
        """Whether the nets learn on a GPU, in whose memory the bank lies then, made anew by each process."""
        return torch.device(self.device).type == "cuda"

    @property
    def _in_float32_on_cpu(self) -> bool:
        """Whether the nets learn in float32 on a CPU, and are not compiled."""
        in_bf16 = self.recipe.bf16 and computes_bf16(torch.device(self.device))
        return not (self.on_gpu or in_bf16 or self.recipe.compile)

    @property
    def _bank_file(self) -> Path:
        return self.out / "bank.safetensors"

    @cached_property
    def _bank(self) -> Bank:
        return self._new_bank() if self.on_gpu else read_bank(self._bank_file, self._text())

    def _new_bank(self) -> Bank:
        def show(done: int, total: int) -> None:
            if self.ranks.is_first:
                self.report("bank", Progress(step=done), done / total, float("nan"))

        pictures, recipe = self.pictures(BANK_PX, device="cpu"), self.recipe
        # One core is left for this process, which embeds the captions.
        processes = max(1, len(os.sched_getaffinity(0)) // self.ranks.here - 1) if self.on_gpu else 0
        return make_bank(pictures, self._text(), recipe.bank, recipe.seed, show, processes)

    def _source(self, text: TextTower, image: ImageTower | None) -> Source:
        if not self.recipe.bank:
            return Live(self.pictures(BANK_PX), text, image)
        return self._bank.with_towers(text, image, bf16=self.recipe.bf16, ranks=self.ranks) if image else self._bank

    def _first_towers(self) -> None:
        """Those of the model that is started from, which stay if CLIP is not trained; or else the text tower from its wheel."""
        if self.init_from is None:
            dim, length = self.recipe.embedding_dim, self.recipe.context_length
            convert(self.data, self.towers, embedding_dim=dim, context_length=length)
            return
        if missing := [part for part in TOWERS if not (self.init_from / part).is_dir()]:
            raise CheckpointError(f"{self.init_from} is no model folder to start from: it has no {missing[0]}")
        for part in TOWERS:
            shutil.copytree(self.init_from / part, self.towers / part, dirs_exist_ok=True)

    def _kept_from(self) -> Path | None:
        """The model whose z_i CLIP is to keep, if the recipe says so. Raises DataError where no model was given."""
        if not self.recipe.clip.keep:
            return None
        if self.init_from is None:
            raise DataError("clip.keep holds z_i where a model has them; say by --init-from which model")
        return self.init_from

    def _text(self) -> TextTower:
        return TextTower.load(self.towers, self.device)

    def _trained_decoder(self, stage: str) -> DecoderNet:
        return self._placed(self.trained.fill(decoder_of(self.recipe, stage=stage)))

    def _placed(self, net: N) -> N:
        """The net where it learns: on a GPU channels-last, as its matrix units read it; in float32 on a CPU by Winograd."""
        net = net.to(self.device)
        if self.on_gpu:
            return net.to(memory_format=torch.channels_last)
        if self._in_float32_on_cpu:
            use_winograd(net)
        return net

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.recipe.seed)

    def _start(self, net: nn.Module, part: str) -> tuple[str, ...]:
        """Start from given weights; returns the names of what was taken."""
        return start_from(net, self.init_from, part).taken if self.init_from is not None else ()

    def _train(self, task: Task, config: StageConfig | None) -> None:
        assert config is not None
        # CLIP's loss compares all rows of a batch with each other; several processes hear only of what backward() finds.
        in_threads = self._in_float32_on_cpu and self.ranks.count == 1 and task.name != "clip"
        threads = own_threads(config.batch) if in_threads else 1
        how = How(self.recipe.seed, self.recipe.bf16, self.recipe.compile, threads, self.ranks)
        Loop(task, config, self.out / task.name, how, self.report).run()
