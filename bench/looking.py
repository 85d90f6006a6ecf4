"""What looking costs, signal by signal: `python bench/looking_long.py [ROUNDS]` prints the table.

A row is one signal of the table switched on alone, with only the hooks it needs, kept in memory;
then all of them, and all of them with the record on disk. Bare and watched steps of specimens of
their own take turns in one process (`bench.overhead`), and so do bare and watched evaluations: a
signal that is measured at evaluations adds to those."""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import process_time

from threadpoolctl import threadpool_limits

from bench.figures import Figure, Section
from bench.overhead import Overhead
from bench.step import interleaved
from model import HEALTHY, build
from probes import Inspector, Recorder
from probes.record.signals import SIGNALS, Signal
from probes.recording.hook_collector import SignalCollector
from probes.recording.watch import watched_steps

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


ROUNDS, WARMUP = 200, 5
EVERY, ON_DISK = "every signal", "every signal, on disk"
AT_STEPS = [signal for signal in SIGNALS if signal.cadence == "step"]
AT_EVALUATIONS = [signal for signal in SIGNALS if signal.cadence == "evaluation"]

Costs = list[tuple[str, Overhead]]


def looking_costs(rounds: int = ROUNDS) -> Costs:
    """What each signal adds to a training step without an evaluation, and all of them, as shares of
    the bare step."""
    steps = HEALTHY.steps + rounds
    config = replace(HEALTHY, steps=steps, eval_every=steps)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())

        def watched(signals: Iterable[Signal], path: Path | None = None) -> Callable[[], object]:
            specimen = build(config)
            recorder = stack.enter_context(Recorder(path, **specimen.facts()))
            steps = watched_steps(specimen, recorder, signals)
            stack.callback(steps.close)
            return partial(next, steps)

        alone = {signal.name: watched([signal]) for signal in AT_STEPS}
        every = {EVERY: watched(SIGNALS), ON_DISK: watched(SIGNALS, Path(folder, "run.jsonl"))}
        return compare(partial(next, build(config).steps()), {**alone, **every}, rounds)


def evaluation_costs(rounds: int = ROUNDS, alone: bool = True) -> Costs:
    """What each signal adds to an evaluation, unless `alone` is False, and all of them, as shares
    of the bare one."""
    config = replace(HEALTHY, eval_every=1)
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1, "blas"))

        def watched(signals: Iterable[Signal]) -> Callable[[], object]:
            specimen = build(config)
            inspector = stack.enter_context(Inspector(specimen.model, specimen.params))
            seen = SignalCollector(specimen, inspector, specimen.facts()["sites"], signals)
            step = next(specimen.steps())

            def evaluate() -> None:
                specimen.evaluate(specimen.model)
                seen.readings(step)

            return evaluate

        actions = {signal.name: watched([signal]) for signal in AT_EVALUATIONS} if alone else {}
        bare = build(config)
        return compare(
            lambda: bare.evaluate(bare.model), {**actions, EVERY: watched(AT_EVALUATIONS)}, rounds
        )


def compare(
    bare: Callable[[], object], watched: Mapping[str, Callable[[], object]], rounds: int
) -> Costs:
    """Time all of them in turn, `rounds` times after WARMUP; the order moves on by one each
    round."""
    actions = [("", bare), *watched.items()]
    seconds: dict[str, list[float]] = {name: [] for name, _ in actions}
    for _ in range(WARMUP + rounds):
        for name, action in actions:
            start = process_time()
            action()
            seconds[name].append(process_time() - start)
        actions.append(actions.pop(0))
    return [(name, Overhead.of(seconds[""][WARMUP:], seconds[name][WARMUP:])) for name in watched]


def table(title: str, costs: Costs) -> str:
    return "\n".join([title, *(f"  {name:34}{cost}" for name, cost in costs)])


if __name__ == "__main__":
    chosen = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print(table("added to a training step", looking_costs(chosen)), flush=True)
    print(table("added to an evaluation", evaluation_costs(max(chosen // 4, 8))))


ROUNDS = 50
"""Pairs of evaluations, each of which takes as long as several steps."""
WARMUP = 5
ROOT = Path(__file__).resolve().parent.parent
PYTEST = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]
OVERALL = Figure(
    "looking, every signal, on disk",
    "%",
    f"bare; budget {100 * PYTEST['overhead_budget']:.0f} %",
    0.05,
)
EVALUATION = Figure("evaluation / step", "x", "neither looked at")
SHARE = Figure("evaluations, share of a run", "%", f"every {HEALTHY.eval_every} steps, bare")


def share(ratio: Figure) -> Figure:
    """Of a run's time that its evaluations take, from how many steps one takes: r / (r +
    eval_every)."""
    measured, low, high = (
        None if steps is None else steps / (steps + HEALTHY.eval_every)
        for steps in (ratio.measured, ratio.low, ratio.high)
    )
    return replace(SHARE, measured=measured, low=low, high=high)


def _measure() -> Iterator[Figure]:
    for name, cost in sorted(looking_costs(), key=lambda named: named[0] != ON_DISK):
        yield _of(OVERALL if name == ON_DISK else Figure(f"+ {name}", "%", "bare step"), cost)
    yield (evaluation := _evaluation())
    yield share(evaluation)
    for name, cost in evaluation_costs(ROUNDS):
        yield _of(
            Figure(f"+ {name}{', at evaluations' * (name == EVERY)}", "%", "bare evaluation"), cost
        )


def _of(figure: Figure, cost: Overhead) -> Figure:
    return replace(figure, measured=cost.estimate, low=cost.low, high=cost.high)


def _evaluation() -> Figure:
    specimen = build(replace(HEALTHY, eval_every=HEALTHY.steps))
    run = specimen.steps()
    with threadpool_limits(1):
        seconds = interleaved(
            {
                "step": lambda _: next(run),
                "evaluation": lambda _: specimen.evaluate(specimen.model),
            },
            WARMUP,
            ROUNDS,
        )
    return EVALUATION.ratio(seconds["evaluation"], seconds["step"])


SECTION = Section("Looking", (OVERALL, EVALUATION, SHARE), _measure)
