"""The whole recipe on a few plain discs: every stage learns, resumes, packs the same bytes, and the packed model draws."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from models.cascade import Cascade
from models.checkpoint import load_part
from models.errors import CheckpointError
from models.row import DONE, DrawRequest
from tests.training.tiny_run import SILENT, make_run, tiny_recipe, write_discs
from training.build_nets import build_decoder
from training.config import CONFIGS, Recipe, read_recipe
from training.data.errors import DataError
from training.loop import Loop, ema_of
from training.run import Run, stages_of
from training.tasks.decoder import DecoderTask, Told


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_discs(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return tiny_recipe()


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots and grids take longer than a tiny stage. Those of `trained`, made before this, are really drawn, and looked at."""
    monkeypatch.setattr(Loop, "_show", lambda *_: None)


@pytest.fixture
def run(recipe: Recipe, data: Path, tmp_path: Path) -> Run:
    return make_run(recipe, data, tmp_path)


@pytest.fixture(scope="module")
def trained(recipe: Recipe, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All stages run once."""
    run = make_run(recipe, data, tmp_path_factory.mktemp("trained"))
    for stage in stages_of(recipe):
        getattr(run, stage)()
    return run


@pytest.mark.parametrize("prior", ["diffusion", "autoregressive"])
@pytest.mark.parametrize("decoder", ["base", "turbo"])
def test_the_whole_recipe_gives_a_model_that_draws(trained: Run, prior: str, decoder: str) -> None:
    cascade = Cascade.load(trained.out / trained.recipe.name, threads=1)
    row = cascade.admit(DrawRequest("a banana", 1, 2, 2.0, 2, 2.0, 2, size_px=1024, decoder=decoder, prior=prior))
    while row.stage != DONE:
        cascade.stages[row.stage].run([row])
    assert cascade.picture(row).shape == (1024, 1024, 3)


def test_every_stage_that_learns_leaves_state_logs_plot_and_samples(trained: Run) -> None:
    for stage in trained.recipe.trained:
        left = {path.name for path in (trained.out / stage).iterdir()}
        assert {"state.safetensors", "loss.png", "samples.png", "tensorboard"} <= left


def test_packing_again_gives_the_same_bytes(trained: Run) -> None:
    folder = trained.out / trained.recipe.name
    first = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    trained.pack()
    assert first == {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_stopped_run_resumes_to_the_same_weights(trained: Run) -> None:
    def prior_weights() -> dict[str, torch.Tensor]:
        with safe_open(trained.out / "prior" / "state.safetensors", "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping

    straight = prior_weights()
    (trained.out / "prior" / "state.safetensors").unlink()
    # The learning rate follows the share of the budget spent, so the run is cut by a fault, not by a smaller budget.
    stop_after(trained, steps=2)
    with pytest.raises(KeyboardInterrupt):
        trained.prior()
    trained.report = SILENT
    trained.prior()
    resumed = prior_weights()
    assert straight.keys() == resumed.keys()
    assert all(torch.allclose(straight[name], resumed[name], atol=1e-6) for name in straight)


def stop_after(run: Run, steps: int) -> None:
    """Interrupt training as Ctrl-C would, once it has taken `steps` steps."""

    def report(name: str, progress: object, done: float, loss: float) -> None:
        if getattr(progress, "step", 0) == steps:
            raise KeyboardInterrupt

    run.report = report


def test_a_finished_stage_is_not_trained_again(trained: Run) -> None:
    seen: list[str] = []
    trained.report = lambda name, progress, done, loss: seen.append(name)
    trained.prior()
    trained.report = SILENT
    assert seen == []


def test_without_a_bank_every_batch_is_made_anew(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    run = make_run(recipe.model_copy(update={"bank": 0}), data, tmp_path)
    run.bank()
    run.clip()
    first, second = (run.source.take(4, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert not (tmp_path / "out" / "bank.safetensors").exists()
    assert not torch.equal(first.pixels, second.pixels)
    assert torch.equal(run.source.take(4, torch.Generator().manual_seed(1)).pixels, first.pixels)


@pytest.fixture
def going_on(trained: Run, recipe: Recipe, data: Path, tmp_path: Path) -> Run:
    """A new run that starts from the packed model."""
    run = Run(recipe, data, tmp_path / "going_on", SILENT, init_from=trained.out / recipe.name)
    run.bank()
    return run


def test_a_run_starts_from_the_weights_that_it_is_given(going_on: Run) -> None:
    assert (going_on.out / "clip" / "tokenizer").is_dir()  # the text tower comes with them


def test_a_prior_that_goes_on_is_normalised_anew_for_a_clip_that_learned_on(going_on: Run) -> None:
    going_on.clip()
    going_on.prior()
    z_i = going_on.source.take(4096, torch.Generator().manual_seed(going_on.recipe.seed)).z_i
    assert torch.allclose(ema_of(going_on.out / "prior")["clip_mean"], z_i.mean(0, keepdim=True), atol=1e-6)


def test_a_run_that_trains_one_stage_keeps_the_rest_of_the_model_that_it_started_from(trained: Run, going_on: Run) -> None:
    going_on.prior()
    going_on.pack()
    old, new = (run.out / run.recipe.name for run in (trained, going_on))
    files = [path.relative_to(new) for path in new.rglob("*.safetensors")]
    assert {str(path.parent) for path in files if (new / path).read_bytes() != (old / path).read_bytes()} == {"prior"}


@pytest.mark.parametrize(
    ("stages", "wanted"),
    [(("clip",), "prior"), (("decoder",), "inpaint"), (("inpaint",), "turbo"), (("decoder", "inpaint"), "turbo")],
)
def test_what_fits_new_weights_no_more_is_not_packed_with_them(going_on: Run, stages: tuple[str, ...], wanted: str) -> None:
    with pytest.raises(DataError, match=f"{wanted} would be missing .* add --stage {wanted}"):
        going_on.foresee([*stages, "pack"])
    for stage in stages:
        getattr(going_on, stage)()
    with pytest.raises(DataError, match=f"{wanted} has not been trained"):
        going_on.pack()


@pytest.fixture
def keeping(going_on: Run) -> Run:
    """The same, and its CLIP keeps z_i where they were."""
    clip = going_on.recipe.clip.model_copy(update={"keep": 4.0, "learning_rate": 1e-2})
    going_on.recipe = going_on.recipe.model_copy(update={"clip": clip})
    return going_on


def test_a_decoder_of_before_goes_with_a_clip_that_keeps_its_z_i_but_priors_aim_anew(keeping: Run, trained: Run) -> None:
    with pytest.raises(DataError, match="add --stage prior"):
        keeping.foresee(["clip", "pack"])
    stages = ("clip", "prior", "prior_ar", "pack")
    keeping.foresee(stages)
    for stage in stages:
        getattr(keeping, stage)()
    old, new = (run.out / run.recipe.name for run in (trained, keeping))
    files = [path.relative_to(new) for path in new.rglob("*.safetensors")]
    changed = {str(path.parent) for path in files if (new / path).read_bytes() != (old / path).read_bytes()}
    assert changed == {"image_encoder", "prior", "prior_ar"}


def test_keeping_z_i_needs_a_model_that_has_them(keeping: Run) -> None:
    keeping.init_from = None
    with pytest.raises(DataError, match="by --init-from which model"):
        keeping.foresee(["bank", "clip"])
    keeping.foresee(["prior"])


def test_z_i_of_a_net_of_another_shape_cannot_be_kept(keeping: Run) -> None:
    clip = keeping.recipe.clip
    deeper = clip.vision.model_copy(update={"layers": clip.vision.layers + 1})
    keeping.recipe = keeping.recipe.model_copy(update={"clip": clip.model_copy(update={"vision": deeper})})
    with pytest.raises(CheckpointError, match="tensors of image_encoder do not fit"):
        keeping.clip()


def test_clip_learns_from_batches_that_are_alike(going_on: Run) -> None:
    clip = going_on.recipe.clip.model_copy(update={"alike": 0.5})
    going_on.recipe = going_on.recipe.model_copy(update={"clip": clip})
    source = going_on._bank
    source.captions = ["a disc"] * len(source)
    with pytest.raises(DataError, match="no caption names a colour"):
        going_on.clip()
    source.captions = ["a red disc"] * len(source)
    going_on.clip()
    assert going_on.trained.has("clip")


def test_batches_that_are_alike_are_chosen_from_a_bank(recipe: Recipe) -> None:
    values = recipe.model_dump()
    values["clip"]["alike"], values["bank"] = 0.5, 0
    with pytest.raises(ValueError, match="with bank = 0 there are none"):
        Recipe.model_validate(values)


def test_the_decoder_learns_as_the_recipe_says(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    tasks: list[DecoderTask] = []
    monkeypatch.setattr(run, "_train", lambda task, config: tasks.append(task))
    monkeypatch.setattr(run, "_trained_decoder", lambda stage: build_decoder(run.recipe))
    monkeypatch.setattr(Run, "source", None)
    decoder = run.recipe.decoder.model_copy(update={"drop_image": 0.2, "drop_text": 0.4, "t_power": 2.0})
    inpaint = run.recipe.inpaint.model_copy(
        update={"masks": "random", "whole": 0.8, "drop_image": 0.1, "drop_text": 0.6, "t_power": 3.0}
    )
    run.recipe = run.recipe.model_copy(update={"decoder": decoder, "inpaint": inpaint})
    run.decoder()
    run.inpaint()
    assert (tasks[0].told, tasks[0].t_power) == (Told(drop_image=0.2, drop_text=0.4), 2.0)
    assert (tasks[1].told, tasks[1].t_power) == (Told(drop_image=0.1, drop_text=0.6), 3.0)
    assert (tasks[1].policy, tasks[1].whole) == ("random", 0.8)


def test_a_stage_that_was_trained_before_is_not_missed(going_on: Run) -> None:
    going_on.inpaint()
    with pytest.raises(DataError, match="add --stage turbo"):
        going_on.foresee(["pack"])
    going_on.foresee(["turbo", "pack"])
    with pytest.raises(DataError, match="add --stage turbo"):
        going_on.foresee(["pack", "turbo"])


def test_turbo_begins_with_what_the_models_turbo_had_learned(going_on: Run, trained: Run) -> None:
    assert going_on.recipe.turbo is not None
    hardly = going_on.recipe.turbo.model_copy(update={"learning_rate": 1e-12, "max_steps": 1})
    going_on.recipe = going_on.recipe.model_copy(update={"turbo": hardly})
    going_on.turbo()
    model = trained.out / trained.recipe.name
    (_, teacher), (_, learned) = (load_part(model / part) for part in ("decoder", "decoder_turbo"))
    assert any(not torch.equal(teacher[name], tensor) for name, tensor in learned.items())
    begun = {name.removeprefix("unet."): tensor for name, tensor in ema_of(going_on.out / "turbo").items()}
    assert all(torch.allclose(begun[name], tensor.float(), atol=1e-6) for name, tensor in learned.items())


def test_weights_of_another_shape_are_told_before_anything_is_trained(going_on: Run) -> None:
    shape = going_on.recipe.prior.net.model_copy(update={"num_layers": going_on.recipe.prior.net.num_layers + 1})
    going_on.recipe = going_on.recipe.model_copy(update={"prior": going_on.recipe.prior.model_copy(update={"net": shape})})
    with pytest.raises(CheckpointError, match="tensors of prior do not fit"):
        going_on.foresee(["bank", "decoder", "inpaint", "turbo", "pack"])
    going_on.foresee(["bank", "prior", "pack"])
    going_on.foresee(["decoder"])


def test_a_run_may_pack_over_the_model_that_it_started_from(trained: Run, recipe: Recipe, data: Path, tmp_path: Path) -> None:
    own = tmp_path / "out" / recipe.name
    shutil.copytree(trained.out / recipe.name, own)
    before = (own / "manifest.json").read_bytes()
    run = Run(recipe, data, tmp_path / "out", SILENT, init_from=own)
    run.bank()
    run.pack()
    assert (own / "manifest.json").read_bytes() == before


def test_packing_names_the_stage_that_is_missing_and_leaves_the_model_that_was_there(run: Run, recipe: Recipe) -> None:
    own = run.out / recipe.name
    own.mkdir()
    (own / "kept").touch()
    run.bank()
    run.clip()
    with pytest.raises(DataError, match="prior has not been trained"):
        run.pack()
    assert (own / "kept").exists()


def test_a_folder_that_is_no_model_is_refused_before_anything_is_trained(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no model folder to start from"):
        Run(recipe, data, tmp_path / "out", SILENT, init_from=tmp_path / "nowhere").bank()


@pytest.mark.parametrize("config", sorted(path.stem for path in CONFIGS.glob("*.toml")))
def test_shipped_recipes_are_valid(config: str) -> None:
    assert read_recipe(config).name


def test_an_unknown_recipe_names_the_shipped_ones() -> None:
    with pytest.raises(DataError, match="bundled"):
        read_recipe("huge")


def test_a_recipe_with_an_unknown_key_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text((CONFIGS / "bundled.toml").read_text() + "\n[painter]\nsteps = 1\n")
    with pytest.raises(DataError, match="painter"):
        read_recipe(str(path))


def test_minutes_for_an_unknown_stage_are_refused() -> None:
    with pytest.raises(DataError, match="painter"):
        read_recipe("bundled").with_minutes({"painter": 3})
