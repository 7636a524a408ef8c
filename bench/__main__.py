"""`python -m bench [NAME …]`: run the benches and print their table; without names all that a CPU can run in minutes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench.table import Line, write

MODEL = Path(__file__).resolve().parent.parent / "models" / "weights"
OFF = {"UNCLIP_CONTENT_CREDENTIALS": "off", "UNCLIP_PICTURE_FILTER": "off"}


@dataclass(frozen=True)
class Plan:
    """What a run was asked for. seconds: of each load that runs for a time. tell: is given a line about each block."""

    model: Path
    threads: int
    blocks: int
    device: str
    seconds: float
    tell: Callable[[str], None]


def same_arms(plan: Plan) -> Sequence[Line]:
    """A/A: the engine against itself, which must read 1.00 ± 0.05 or nothing else here counts."""
    from bench.cpu import clock_of
    from bench.ratios import compare
    from bench.service import through_engine
    from models.cascade import Cascade

    cascade, clock = Cascade.load(plan.model, threads=plan.threads), clock_of(plan.threads)
    ratio = compare(lambda: through_engine(cascade, clock), lambda: through_engine(cascade, clock), plan.blocks, plan.tell)
    return [Line("A/A: the engine over itself", str(ratio), "0.95 to 1.05", 0.95 <= ratio.median <= 1.05)]


def cpu(plan: Plan) -> Sequence[Line]:
    """The engine against a pipeline script's loop, with each of its backends that is installed."""
    from bench.cpu import engine_over_plain_loop

    lines = []
    for backend in ("torch", "openvino", "openvino_bf16") if find_spec("openvino") else ("torch",):
        ratio, psnr = engine_over_plain_loop(plan.model, plan.threads, plan.blocks, plan.tell, backend)
        beside = f"{ratio.first:.2f} pictures a second; the arms' pictures agree to {psnr:.0f} dB"
        what = f"pictures a second on the CPU: engine with {backend} over a plain loop"
        lines.append(Line(what, str(ratio), "≥ 2, hoped for 3", ratio.low >= 2, beside))
    return lines


def service(plan: Plan) -> Sequence[Line]:
    """The whole service against the bare engine, without and with filters and provenance."""
    from bench.service import service_over_engine

    bare = service_over_engine(plan.model, plan.threads, plan.blocks, plan.tell, OFF)
    full = service_over_engine(plan.model, plan.threads, plan.blocks, plan.tell, {})
    return [
        Line("service over bare engine, filters and provenance off", str(bare), "≥ 0.97", bare.low >= 0.97),
        Line("service over bare engine, all on", str(full), "stated", None),
    ]


def submit(plan: Plan) -> Sequence[Line]:
    """Taking jobs in."""
    from bench.submit import submit_rate

    ratio, beside = submit_rate(plan.blocks, plan.tell)
    return [Line("submit rate over an endpoint that only enqueues, one core", str(ratio), "≥ 0.7", ratio.low >= 0.7, beside)]


def filters(plan: Plan) -> Sequence[Line]:
    """The prompt filter's part in that."""
    from bench.filters import CALLERS, filter_costs

    arms = {
        "off": "no prompt filter",
        "terms": "word lists",
        "whole": "word lists and classifier",
        "remembered": "a known prompt",
    }
    lines = []
    for name, cost in filter_costs(plan.blocks, plan.tell).items():
        rate = f"{cost.a_second:.0f} a second, p50 {cost.p50_ms:.1f} ms, p99 {cost.p99_ms:.1f} ms"
        over = f"{cost.added_ms:.1f} ms more than without; rate over that {cost.over}"
        added = f"{cost.cpu_ms:.1f} ms of processor time each" + ("" if name == "off" else f", {over}")
        what = f"submits on one core, {CALLERS} callers, {cost.submits} of them: {arms[name]}"
        lines.append(Line(what, rate, "stated", None, added))
    return lines


def mixed(plan: Plan) -> Sequence[Line]:
    """Mixed parameters in shared calls."""
    from bench.mixed import load, mixed_over_alike
    from workers.pick import Budget

    stages = load(plan.model, plan.device, plan.threads)
    budget = Budget.of(plan.device, {name: stage.cost for name, stage in stages.stages.items()})
    jobs, goal = (48, 2.0) if plan.device.startswith("cuda") else (3, 0.95)
    ratio = mixed_over_alike(stages, budget, jobs, plan.blocks, plan.tell)
    wanted = "≥ 2" if goal == 2.0 else "no worse (≥ 0.95)"
    return [Line(f"mixed load over a batcher of alike rows, {plan.device}", str(ratio), wanted, ratio.low >= goal)]


def join(plan: Plan) -> Sequence[Line]:
    """How soon a newcomer's first step is done."""
    from bench.mixed import join_delay, load
    from workers.pick import Budget

    stages = load(plan.model, plan.device, plan.threads)
    budget = Budget.of(plan.device, {name: stage.cost for name, stage in stages.stages.items()})
    steps = join_delay(stages, budget, newcomers=60)
    return [Line("join delay, 99th percentile of 60, in steps", f"{steps:.2f}", "≤ 1.2", steps <= 1.2)]


def recovery(plan: Plan) -> Sequence[Line]:
    """A worker killed in the middle of a job. Takes up to twenty minutes, for stock RQ does."""
    from bench.recovery import recovery as kill_both

    seconds = kill_both(plan.tell)
    beside = f"{seconds.ours:.1f} s against {seconds.stock:.0f} s, one kill each"
    return [Line("recovery after kill -9 over stock RQ", f"{seconds.ratio:.3f}", "≤ 1/8", seconds.ratio <= 1 / 8, beside)]


def watchers(plan: Plan) -> Sequence[Line]:
    """A thousand followers of events."""
    from bench.watchers import watched_over_alone

    ratio, beside = watched_over_alone(plan.model, plan.blocks, plan.tell)
    return [Line("pictures a second with 1,000 watchers over without", str(ratio), "≥ 0.95", ratio.low >= 0.95, beside)]


def overload(plan: Plan) -> Sequence[Line]:
    """Ten times the capacity."""
    from bench.overload import ROOM, TIMES
    from bench.overload import overload as overloaded

    seen = overloaded(plan.seconds, plan.tell)
    load = f"{TIMES} times {seen.capacity:.2f} jobs a second for {plan.seconds:.0f} s, room for {ROOM}"
    ratio, beside = seen.admitted / seen.calm, f"{seen.admitted:.1f} s against {seen.calm:.1f} s, 99th percentiles"
    counts = f"{seen.asked} asked, {seen.taken} taken, {seen.failed} answered otherwise or not at all"
    refused_in_time = seen.refusal_ms < 50 and not seen.failed
    return [
        Line(
            f"overload: refused within, 99th percentile; {load}",
            f"{seen.refusal_ms:.0f} ms",
            "< 50 ms",
            refused_in_time,
            counts,
        ),
        Line("overload: an admitted job over one in a full queue", f"{ratio:.2f}", "≤ 1.5", ratio <= 1.5, beside),
        Line("overload: the API's memory, last quarter over second", f"{seen.memory:.3f}", "≤ 1.05", seen.memory <= 1.05),
        Line("overload: seconds until a job is taken and drawn", f"{seen.recovery:.1f}", "≤ 30", seen.recovery <= 30),
    ]


def flood(plan: Plan) -> Sequence[Line]:
    """One key floods, another must not feel it."""
    from bench.flood import FLOOD
    from bench.flood import flood as flooded

    alone, beside = flooded(plan.seconds, plan.tell)
    ratio, seconds = beside / alone, f"{beside:.2f} s against {alone:.2f} s"
    what = f"a key's jobs beside another's flood of {FLOOD} over alone, 95th percentile"
    return [Line(what, f"{ratio:.2f}", "≤ 2", ratio <= 2, seconds)]


def bombs(plan: Plan) -> Sequence[Line]:
    """One key uploads bombs, another must not feel it."""
    from bench.bombs import bombs as bombed

    seen = bombed(plan.blocks, plan.tell)
    answers = ", ".join(f"{times} of {status}" for status, times in sorted(seen.answers.items()))
    lines = []
    for kind in ("submit", "upload"):
        beside, alone = seen.p99(seen.beside, kind), seen.p99(seen.alone, kind)
        ratio, sent = beside / alone, sum(len(block.seconds[kind]) for block in seen.alone)
        told = f"{beside:.0f} ms against {alone:.0f} ms, {sent} each; answers to the bombs: {answers}"
        what = f"an {kind} beside another key's bombs over without, 99th percentile".replace("an submit", "a submit")
        lines.append(Line(what, f"{ratio:.2f}", "< 2", ratio < 2, told))
    most, before = max(block.memory_mib for block in seen.beside), seen.before.memory_mib
    told = f"{most:.0f} against {before:.0f} MiB, the most after any request"
    what = "bombs: the API's resident memory beside them over before the first"
    return [*lines, Line(what, f"{most / before:.3f}", "stated", None, told)]


def learning(plan: Plan) -> Sequence[Line]:
    """The decoder's training in float32."""
    from bench.learning import own_way_over_torchs

    ratio = own_way_over_torchs(plan.threads, plan.blocks, plan.tell)
    what = "pictures a second that the decoder learns from, by Winograd in threads of its own over torch's ways"
    return [Line(what, str(ratio), "≥ 1.1", ratio.low >= 1.1, f"{ratio.first:.1f} pictures a second")]


BENCHES: dict[str, Callable[[Plan], Sequence[Line]]] = {
    "aa": same_arms, "cpu": cpu, "service": service, "submit": submit, "filters": filters, "mixed": mixed, "join": join,
    "watchers": watchers, "overload": overload, "flood": flood, "bombs": bombs, "recovery": recovery,
    "learning": learning
}  # fmt: skip
LONG = ("overload", "flood", "bombs", "recovery", "learning")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 1 when a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], help="which benches; without: all but the long ones")
    parser.add_argument("--model", type=Path, default=MODEL, help="model folder")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the model")
    parser.add_argument("--blocks", type=int, default=9, help="measured blocks of each comparison")
    parser.add_argument("--seconds", type=float, default=120, help="how long an overload, or either half of a flood, lasts")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder for bench.md and bench.json")
    asked = parser.parse_args(arguments)
    plan = Plan(
        asked.model, asked.threads, asked.blocks, asked.device, asked.seconds, lambda line: print(f"  {line}", file=sys.stderr)
    )
    from bench.machine import describe

    lines: list[Line] = []
    table = ""
    for name in asked.names or [name for name in BENCHES if name not in LONG]:
        print(name, file=sys.stderr)
        lines += BENCHES[name](plan)
        table = write(lines, describe(), asked.out)  # after each: what is measured is not lost with a later one
    print(table)
    return 0 if all(line.is_met is not False for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
