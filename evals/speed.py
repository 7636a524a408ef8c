"""`unclip eval speed`: seconds per picture, warm, by stage, and how near the decoder comes to the machine's matrix rate."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from evals.draw import DrawSettings, default_settings, draw, turbo_settings
from evals.statistics import Spread, markdown_table
from models.cascade import Cascade
from models.row import DrawRequest

PROMPT = "a red apple"
MATRIX_SIDE = 2048
LARGE_PX = 1024
Progress = Callable[[str, int, int], None]
"""Called as progress(what, drawn, total)."""


@dataclass(frozen=True)
class Timing:
    """One way to draw, at one size. steps: of each stage. total and stages: seconds a picture."""

    what: str
    size_px: int
    settings: DrawSettings
    steps: dict[str, int]
    total: Spread
    stages: dict[str, Spread]

    def to_markdown(self) -> str:
        """A table of stages."""
        rows = [
            [stage, str(self.steps.get(stage, "")), f"{one.median:.3f}", one.quartiles, f"{one.median / self.total.median:.0%}"]
            for stage, one in [*self.stages.items(), ("all", self.total)]
        ]
        return f"**{self.what}**\n\n" + markdown_table(("stage", "steps", "seconds", "quartiles", "share"), rows)


@dataclass(frozen=True)
class SpeedReport:
    """Seconds per picture in total and by stage; rates in GFLOP/s (a multiply-add is two)."""

    model: str
    device: str
    processor: str
    torch: str
    threads: int
    timings: tuple[Timing, ...]
    decoder_gflop_per_step: float
    decoder_gflops: float
    matrix_gflops: float

    @property
    def decoder_share(self) -> float:
        """What part of the measured matrix rate the decoder reaches."""
        return self.decoder_gflops / self.matrix_gflops

    def to_markdown(self) -> str:
        """A paragraph and a table for each way to draw."""
        return (
            f"Model `{self.model}`, one picture at a time, warm, median and quartiles of {self.timings[0].total.n}, "
            f"{self.threads} threads of {self.processor}, torch {self.torch}, {self.device}.\n\n"
            + "\n".join(timing.to_markdown() for timing in self.timings)
            + f"\nThe decoder does {self.decoder_gflop_per_step:.2f} GFLOP a step at {self.decoder_gflops:.0f} GFLOP/s: "
            f"{self.decoder_share:.0%} of the {self.matrix_gflops:.0f} GFLOP/s of a {MATRIX_SIDE}³ fp32 matrix product.\n"
        )


def run(
    model_dir: Path,
    out_dir: Path,
    *,
    runs: int = 15,
    threads: int | None = None,
    settings: DrawSettings | None = None,
    progress: Progress | None = None,
) -> SpeedReport:
    """Draw one warm-up picture and `runs` timed ones in each way that the model offers; write `speed.json` and `speed.md` into
    `out_dir`. Raises ModelError."""
    chosen = settings or default_settings(model_dir)
    cascade = Cascade.load(model_dir, threads=threads)
    timings = tuple(timed(cascade, what, one, runs, progress) for what, one in ways(cascade, chosen))
    flop = decoder_flop_per_step(cascade, chosen)
    report = SpeedReport(
        model=cascade.name,
        device="cpu",
        processor=processor(),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        timings=timings,
        decoder_gflop_per_step=flop / 1e9,
        decoder_gflops=flop * chosen["steps"] / timings[0].stages["decoder"].median / 1e9,
        matrix_gflops=matrix_rate() / 1e9,
    )
    _write(report, out_dir)
    return report


def ways(cascade: Cascade, settings: DrawSettings) -> Iterator[tuple[str, DrawSettings]]:
    """What there is to time: the defaults first; then the turbo decoder and the large size, where the model has them."""
    decoders = [("", settings)] + [(", turbo", turbo_settings(settings))] * ("decoder_turbo" in cascade.stages)
    for size_px in (256, LARGE_PX)[: 1 + ("upsample_1024" in cascade.stages)]:
        for name, one in decoders:
            yield f"{size_px} px{name}", DrawSettings(**{**one, "size_px": size_px})


def timed(cascade: Cascade, what: str, settings: DrawSettings, runs: int, progress: Progress | None) -> Timing:
    """`runs` pictures after one to warm up, each at its own seed."""
    size_px = draw(cascade, PROMPT, 0, settings).pixels.shape[0]
    drawn = []
    for seed in range(1, runs + 1):
        drawn.append(draw(cascade, PROMPT, seed, settings).seconds)
        if progress is not None:
            progress(what, seed, runs)
    stages = {stage: Spread.of([one[stage] for one in drawn]) for stage in drawn[0]}
    steps = cascade.steps(DrawRequest(prompt=PROMPT, seed=0, **settings))
    return Timing(what, size_px, settings, steps, Spread.of([sum(one.values()) for one in drawn]), stages)


def decoder_flop_per_step(cascade: Cascade, settings: DrawSettings) -> float:
    """Floating-point operations of one decoder step, guidance rows included: the mean over a picture's steps."""
    row = cascade.admit(DrawRequest(prompt=PROMPT, seed=0, **settings))
    while row.stage != "decoder":
        cascade.stages[row.stage].run([row])
    counter, steps = flop_counter(), 0
    with counter:
        while row.stage == "decoder":
            cascade.stages["decoder"].run([row])
            steps += 1
    return float(counter.get_total_flops()) / steps


def flop_counter() -> FlopCounterMode:
    """torch's counter, taught the CPU's attention kernel, which torch itself counts as nothing."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return FlopCounterMode(display=False, custom_mapping={kernel: _attention_flop})


def _attention_flop(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: object, **__: object) -> int:
    """Of q·kᵀ and of the weights times v. query: (B, H, Q, D). key: (B, H, K, D). value: (B, H, K, E)."""
    batch, heads, queries, width = query
    return 2 * batch * heads * queries * key[2] * (width + value[3])


def matrix_rate(side: int = MATRIX_SIDE, repeats: int = 7) -> float:
    """Floating-point operations a second of a side³ fp32 matrix product: the median of `repeats`, after one to warm up."""
    left, right = torch.randn(2, side, side, generator=torch.Generator().manual_seed(0))
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / Spread.of(seconds[1:]).median


def processor() -> str:
    """The processor's name, as Linux tells it; elsewhere its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _write(report: SpeedReport, out_dir: Path) -> None:
    out_dir.mkdir(parents=True, exist_ok=True)
    value = {**asdict(report), "decoder_share": report.decoder_share}
    (out_dir / "speed.json").write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    (out_dir / "speed.md").write_text(report.to_markdown(), encoding="utf-8")
