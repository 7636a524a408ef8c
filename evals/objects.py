"""`unclip eval objects`: does the cascade draw what a name asks for?

Each name is drawn at a fixed seed; then the picture is compared with every sprite of the style, trained or not, and it is
a hit when a sprite of that name is among the five nearest. The pictures are all drawn before the first sprite is read.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from evals.draw import Drawn, DrawSettings, default_settings, draw
from evals.nearest import Gallery, Ranking
from evals.statistics import Interval, bootstrap, markdown_table
from models.cascade import Cascade
from training.data.sprites import SpriteSet

OBJECTS = Path(__file__).with_name("objects-100.txt")
NEAR = 5
CELL_PX, FRAME_PX, LABEL_PX, COLUMNS = 128, 4, 18, 10
HIT, MISS = (0, 150, 70), (215, 40, 40)
Progress = Callable[[str, int, int], None]
"""Called as progress(prompt, drawn, total)."""


@dataclass(frozen=True)
class Wanted:
    """One line of an object list: what is drawn, and the sprite that it should look like."""

    seed: int
    name: str
    prompt: str


@dataclass(frozen=True)
class ObjectsReport:
    """top5, top1: shares of names whose sprite is among the five nearest, or is the nearest. chance: top5 of blind guessing."""

    model: str
    style: str
    sprites: int
    settings: DrawSettings
    top5: Interval
    top1: Interval
    chance: float
    rankings: tuple[tuple[Wanted, Ranking], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        objects = [{**asdict(wanted), **asdict(ranking)} for wanted, ranking in self.rankings]
        return {**{key: value for key, value in asdict(self).items() if key != "rankings"}, "objects": objects}

    def to_markdown(self) -> str:
        """A summary and a line for each name."""
        head = (
            f"Model `{self.model}`, style `{self.style}`, {len(self.rankings)} names among {self.sprites} sprites.\n\n"
            f"Among the {NEAR} nearest: **{self.top5}**; the nearest: {self.top1}; blind guessing: {self.chance:.2%}. "
            "In brackets, 95 % bootstrap intervals over names.\n\n"
        )
        rows = [
            [wanted.prompt, str(wanted.seed), str(ranking.rank), ", ".join(near.name for near in ranking.nearest)]
            for wanted, ranking in self.rankings
        ]
        return head + markdown_table(("prompt", "seed", "rank", "nearest sprites"), rows)


def run(
    model_dir: Path,
    data_dir: Path,
    out_dir: Path,
    *,
    objects: Path = OBJECTS,
    style: str = "flat",
    settings: DrawSettings | None = None,
    progress: Progress | None = None,
) -> ObjectsReport:
    """Draw, compare, and write `objects.json`, `objects.md` and `objects.png` into `out_dir`.

    settings: None for the model's own defaults. Raises ModelError, DataMissing.
    """
    wanted = read_wanted(objects)
    chosen = settings or default_settings(model_dir)
    cascade = Cascade.load(model_dir)
    drawn = draw_all(cascade, wanted, chosen, progress)
    pictures = [one.pixels for one in drawn]
    report = _report(cascade.name, chosen, SpriteSet.load(data_dir, style), wanted, pictures)
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / "objects.json").write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
    (out_dir / "objects.md").write_text(report.to_markdown(), encoding="utf-8")
    cells = [(pixels, one.prompt, ranking.hit(NEAR)) for pixels, (one, ranking) in zip(pictures, report.rankings, strict=True)]
    grid(cells).save(out_dir / "objects.png", optimize=True)
    return report


def read_wanted(path: Path) -> tuple[Wanted, ...]:
    """An object list: `seed <tab> sprite name <tab> prompt` a line, `#` begins a comment. Raises ValueError naming the line."""
    wanted = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("#") or not line.strip():
            continue
        try:
            seed, name, prompt = line.split("\t")
            wanted.append(Wanted(int(seed), name, prompt))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: want seed, name and prompt between tabs, found {line!r}") from error
    return tuple(wanted)


def draw_all(
    cascade: Cascade, wanted: Sequence[Wanted], settings: DrawSettings, progress: Progress | None = None
) -> list[Drawn]:
    """A picture for each line, one after another. Knows no sprite."""
    drawn = []
    for count, one in enumerate(wanted, start=1):
        drawn.append(draw(cascade, one.prompt, one.seed, settings))
        if progress is not None:
            progress(one.prompt, count, len(wanted))
    return drawn


def _report(
    model: str, settings: DrawSettings, sprites: SpriteSet, wanted: Sequence[Wanted], pictures: Sequence[NDArray[np.uint8]]
) -> ObjectsReport:
    rankings = judge(pictures, wanted, sprites)
    return ObjectsReport(
        model=model,
        style=sprites.infos[0].style,
        sprites=len(sprites),
        settings=settings,
        top5=bootstrap([ranking.hit(NEAR) for ranking in rankings]),
        top1=bootstrap([ranking.hit(1) for ranking in rankings]),
        chance=NEAR / len(sprites),
        rankings=tuple(zip(wanted, rankings, strict=True)),
    )


def judge(pictures: Sequence[NDArray[np.uint8]], wanted: Sequence[Wanted], sprites: SpriteSet) -> list[Ranking]:
    """Rank all sprites for each picture, (H, W, 3) uint8 on white; names count without skin tone."""
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    bases = [sprites.infos[sprites.index(one.name)].base for one in wanted]
    return Gallery(sprites).rank(stacked, bases, shown=NEAR)


def grid(cells: Sequence[tuple[NDArray[np.uint8], str, bool]]) -> Image.Image:
    """All pictures with their prompts, framed green where they are hits and red where not."""
    rows = -(-len(cells) // COLUMNS)
    width, height = CELL_PX + 2 * FRAME_PX + 6, CELL_PX + 2 * FRAME_PX + LABEL_PX + 4
    sheet = Image.new("RGB", (COLUMNS * width, rows * height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for index, (pixels, prompt, is_hit) in enumerate(cells):
        x, y = index % COLUMNS * width + 3, index // COLUMNS * height + 2
        frame = (x, y, x + CELL_PX + 2 * FRAME_PX - 1, y + CELL_PX + 2 * FRAME_PX - 1)
        pen.rectangle(frame, outline=HIT if is_hit else MISS, width=FRAME_PX)
        picture = Image.fromarray(pixels).resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS)
        sheet.paste(picture, (x + FRAME_PX, y + FRAME_PX))
        pen.text((x + FRAME_PX, frame[3] + 3), prompt, fill="black", font=font)
    return sheet
