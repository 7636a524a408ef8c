"""`unclip eval judges`: train the judges from rendered scenes alone, then measure them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from evals.judges.figures import measure, to_markdown
from evals.judges.groups import Groups, derive
from evals.judges.judges import Judges
from evals.judges.renders import Renders
from evals.judges.tasks import ClassifierTask, DetectorTask, MatchTask
from evals.judges.views import SIZE_PX
from training.config import StageConfig
from training.data.errors import DataError
from training.data.sprite_bank import SpriteBank
from training.loop import How, Loop, Report, Task

SEED = 11
"""Not the cascade's."""
STAGES: Mapping[str, StageConfig] = {
    "classifier": StageConfig(minutes=20, batch=128, learning_rate=2e-3),
    "detector": StageConfig(minutes=9, batch=64, learning_rate=2e-3),
    "matcher": StageConfig(minutes=8, batch=96, learning_rate=1.5e-3),
}
"""On one CPU core."""
GPU_BATCH = 4
"""So many times a stage's batch on a GPU, whose time goes into many small calls."""
ONWARD = 0.5
"""Of the learning rate, for judges that go on from given ones."""
MEASURED = 3000


def train(
    data: Path,
    out: Path,
    report: Report,
    *,
    minutes: Mapping[str, float] | None = None,
    device: str = "cpu",
    measured: int = MEASURED,
    init_from: Path | None = None,
) -> Judges:
    """Train classifier, detector and matcher, each from where it was stopped; write the judges into `out/judges` and
    their figures, for `unclip eval page`, into `out/judges.md`.

    data: folder of the sprites. minutes: budgets in place of `STAGES`'; with 0 a judge stays as it begins. measured: renders
    for each figure. init_from: judges of the same groups to go on from, in place of chance weights. Raises DataError,
    JudgesUnusable.
    """
    if unknown := sorted(set(minutes or {}) - set(STAGES)):
        raise DataError(f"there is no judge {unknown[0]!r}; choose {', '.join(STAGES)}")
    renders = Renders(bank := SpriteBank.load(data, SIZE_PX, device), groups_for(bank, out))
    torch.manual_seed(SEED)
    judges = Judges.untrained(renders.groups).to(device)
    tasks: list[Task] = [
        DetectorTask(judges.detector, renders), ClassifierTask(judges.classifier, renders), MatchTask(judges.matcher, renders)
    ]  # fmt: skip
    if init_from is not None:
        judges.take_over(Judges.load(init_from))
    for task in tasks:
        if (minutes or {}).get(task.name) == 0:
            continue
        config = stage_config(task.name, minutes or {}, device, rate=ONWARD if init_from is not None else 1.0)
        if task.name == "matcher" and init_from is None:  # knows shapes already; the words are new
            judges.matcher.trunk.load_state_dict(judges.classifier.trunk.state_dict())
        Loop(task, config, out / task.name, How(SEED, bf16=True), report).run()
    figures = measure(judges, renders, measured)
    judges.save(out / "judges", figures)
    (out / "judges.md").write_text(to_markdown(figures), encoding="utf-8")
    return judges


def stage_config(name: str, minutes: Mapping[str, float], device: str, rate: float = 1.0) -> StageConfig:
    """A judge's own stage, with the minutes that were asked for, the device's batch, and `rate` times its learning rate."""
    config = STAGES[name]
    times = GPU_BATCH if torch.device(device).type == "cuda" else 1
    own = {"minutes": minutes.get(name, config.minutes), "batch": times * config.batch}
    return config.model_copy(update={**own, "learning_rate": rate * config.learning_rate})


def groups_for(bank: SpriteBank, out: Path) -> Groups:
    """The committed groups, or groups of its own for a bank that shows other concepts."""
    groups = Groups.read()
    if all(groups.knows(info.base) for info in bank.infos if info.group is not None):
        return groups
    own = derive(bank)
    (out / "judges").mkdir(parents=True, exist_ok=True)
    own.write(out / "judges" / "groups.json")
    return own
