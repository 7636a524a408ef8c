"""The whole recipe on three tiny sprites: every stage learns, resumes, packs the same bytes, and the packed model draws."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from models.cascade import Cascade
from models.row import DONE, DrawRequest
from tests.models.tiny import write_tiny_model
from training.config import CONFIGS, Recipe, read_recipe
from training.data.errors import DataError
from training.data.labels import SpriteInfo
from training.data.sprites import SpriteSet
from training.run import Run

COLOURS = {"red-apple": (200, 20, 20), "banana": (240, 220, 40), "pear": (120, 200, 60), "plum": (90, 30, 110)}
SILENT = lambda name, progress, done, loss: None  # noqa: E731


def sprites() -> SpriteSet:
    """Plain discs, one colour each, 256 px."""
    rows, columns = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    disc = ((rows - 128) ** 2 + (columns - 128) ** 2 < 100**2).byte()
    pixels = torch.stack([torch.stack([disc * channel for channel in (*colour, 255)]) for colour in COLOURS.values()])
    infos = [SpriteInfo(name, name, name.replace("-", " "), (), None, None, None, None, "flat") for name in COLOURS]
    return SpriteSet(infos, pixels)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """The shipped recipe's shape with tiny nets, two objects and six steps a stage."""
    objects = tmp_path_factory.mktemp("recipe") / "objects.txt"
    objects.write_text("red-apple: a red apple\nbanana: a banana\n")
    values = read_recipe("bootstrap").model_dump()
    values |= {"objects": str(objects), "bf16": False, "embedding_dim": 16, "context_length": 12, "pictures_per_object": 3}
    for stage in ("clip", "prior", "decoder", "upsampler"):
        values[stage] |= {"batch": 4, "max_steps": 6, "minutes": 60.0}
    values["clip"]["vision"] = {"image_size": 64, "patch_size": 32, "width": 16, "layers": 1, "head_width": 8}
    values["prior"]["net"] = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1}
    values["decoder"]["net"] |= {"block_out_channels": (8, 16), "layers_per_block": 1, "attention": (False, True)}
    values["decoder"]["net"] |= {"attention_head_dim": 8, "cross_attention_dim": 16, "norm_num_groups": 4}
    values["upsampler"]["net"] = {"block_out_channels": (8, 8), "layers_per_block": 1, "patch_size": 8, "norm_num_groups": 4}
    return Recipe.model_validate(values)


@pytest.fixture
def run(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose sentence tower is already converted: the tiny one."""
    torch.set_num_threads(1)
    monkeypatch.setattr(SpriteSet, "load", classmethod(lambda cls, folder, style: sprites()))
    tiny = write_tiny_model(tmp_path / "tiny")
    (tmp_path / "out" / "clip").mkdir(parents=True)
    for part in ("text_encoder", "tokenizer"):
        (tiny / part).rename(tmp_path / "out" / "clip" / part)
    return Run(recipe, tmp_path / "data", tmp_path / "out", SILENT, "cpu")


def train_all(run: Run) -> Path:
    for stage in (run.clip, run.prior, run.decoder, run.upsampler, run.pack):
        stage()
    return run.out / run.recipe.name


def test_the_whole_recipe_gives_a_model_that_draws(run: Run) -> None:
    cascade = Cascade.load(train_all(run), threads=1)
    row = cascade.admit(DrawRequest("a banana", 1, 2, 2.0, 2, 2.0, 2))
    while row.stage != DONE:
        cascade.stages[row.stage].run([row])
    assert cascade.picture(row).shape == (256, 256, 3)


def test_every_stage_leaves_state_logs_plot_and_samples(run: Run) -> None:
    train_all(run)
    for stage in ("clip", "prior", "decoder", "upsampler"):
        assert (run.out / stage / "loss.png").is_file()
        assert list((run.out / stage / "tensorboard").iterdir())
        assert (run.out / stage / "samples.png").is_file()


def test_packing_again_gives_the_same_bytes(run: Run) -> None:
    folder = train_all(run)
    first = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    run.pack()
    assert first == {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_stopped_run_resumes_to_the_same_weights(run: Run, recipe: Recipe) -> None:
    def prior_weights() -> dict[str, torch.Tensor]:
        with safe_open(run.out / "prior" / "state.safetensors", "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping

    run.clip()
    run.prior()
    straight = prior_weights()
    (run.out / "prior" / "state.safetensors").unlink()
    # The learning rate follows the share of the budget spent, so the run is cut by a fault, not by a smaller budget.
    stop_after(run, steps=3)
    with pytest.raises(KeyboardInterrupt):
        run.prior()
    run.report = SILENT
    run.prior()
    resumed = prior_weights()
    assert straight.keys() == resumed.keys()
    assert all(torch.allclose(straight[name], resumed[name], atol=1e-6) for name in straight)


def stop_after(run: Run, steps: int) -> None:
    """Interrupt training as Ctrl-C would, once it has taken `steps` steps."""

    def report(name: str, progress: object, done: float, loss: float) -> None:
        if getattr(progress, "step", 0) == steps:
            raise KeyboardInterrupt

    run.report = report


def test_a_finished_stage_is_not_trained_again(run: Run) -> None:
    run.clip()
    run.prior()
    seen: list[str] = []
    run.report = lambda name, progress, done, loss: seen.append(name)
    run.prior()
    assert seen == []


def test_packing_names_the_stage_that_is_missing(run: Run) -> None:
    run.clip()
    with pytest.raises(DataError, match="prior has not been trained"):
        run.pack()


@pytest.mark.parametrize("config", sorted(path.stem for path in CONFIGS.glob("*.toml")))
def test_shipped_recipes_are_valid(config: str) -> None:
    assert read_recipe(config).name


def test_an_unknown_recipe_names_the_shipped_ones() -> None:
    with pytest.raises(DataError, match="bootstrap"):
        read_recipe("huge")


def test_a_recipe_with_an_unknown_key_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text((CONFIGS / "bootstrap.toml").read_text() + "\n[turbo]\nsteps = 1\n")
    with pytest.raises(DataError, match="turbo"):
        read_recipe(str(path))


def test_minutes_for_an_unknown_stage_are_refused() -> None:
    with pytest.raises(DataError, match="painter"):
        read_recipe("bootstrap").with_minutes({"painter": 3})
