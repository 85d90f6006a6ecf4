"""What recording costs: the time that signals add to a training step and to an evaluation.

Each signal of the table is recorded alone, with only the hooks it needs and in memory; then all of
them, and all of them with the record on disk. Plain and recorded steps are timed in turn in one
process, each on a specimen of its own, and so are evaluations: a signal that is measured at
evaluations adds to those."""

from __future__ import annotations

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
from bench.step import time_in_turn
from model import HEALTHY, build
from probes import Inspector, Recorder
from probes.record.signals import SIGNALS, Signal
from probes.recording.hook_collector import SignalCollector
from probes.recording.watch import watched_steps
from testing.overhead import Overhead

STEP_ROUNDS, EVALUATION_ROUNDS, WARMUP_ROUNDS = 200, 50, 5
"""An evaluation takes as long as several steps, so fewer of them are timed."""
EVERY_SIGNAL, ON_DISK = "every signal", "every signal, on disk"
STEP_SIGNALS = [signal for signal in SIGNALS if signal.cadence == "step"]
EVALUATION_SIGNALS = [signal for signal in SIGNALS if signal.cadence == "evaluation"]
PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
BUDGET = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["tool"]["pytest"]["overhead_budget"]

WITH_RECORD = Figure("recording every signal, on disk", "%", f"budget {100 * BUDGET:.0f} %", 0.05)
EVALUATION = Figure("evaluation / step", "x", "neither recorded")
EVALUATION_SHARE = Figure("evaluations, share of a run", "%", f"every {HEALTHY.eval_every} steps")

Costs = list[tuple[str, Overhead]]
"""What is recorded, and what recording it adds, as a share of the plain action."""


def step_costs(rounds: int = STEP_ROUNDS) -> Costs:
    """Measure what recording adds to a training step: each signal alone, all of them, and all of
    them on disk."""
    steps = HEALTHY.steps + rounds
    config = replace(HEALTHY, steps=steps, eval_every=steps)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())

        def recorded(signals: Iterable[Signal], path: Path | None = None) -> Callable[[], object]:
            specimen = build(config)
            recorder = stack.enter_context(Recorder(path, **specimen.facts()))
            steps = watched_steps(specimen, recorder, signals)
            stack.callback(steps.close)
            return partial(next, steps)

        actions = {signal.name: recorded([signal]) for signal in STEP_SIGNALS}
        actions[EVERY_SIGNAL] = recorded(SIGNALS)
        actions[ON_DISK] = recorded(SIGNALS, Path(folder, "run.jsonl"))
        return compare(partial(next, build(config).steps()), actions, rounds)


def evaluation_costs(rounds: int = EVALUATION_ROUNDS, each_signal: bool = True) -> Costs:
    """Measure what recording adds to an evaluation: each signal alone, if asked for, and all of
    them."""
    config = replace(HEALTHY, eval_every=1)
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1, "blas"))

        def recorded(signals: Iterable[Signal]) -> Callable[[], object]:
            specimen = build(config)
            inspector = stack.enter_context(Inspector(specimen.model, specimen.params))
            collector = SignalCollector(specimen, inspector, specimen.facts()["sites"], signals)
            step = next(specimen.steps())

            def evaluate() -> None:
                specimen.evaluate(specimen.model)
                collector.readings(step)

            return evaluate

        actions = {}
        if each_signal:
            actions = {signal.name: recorded([signal]) for signal in EVALUATION_SIGNALS}
        actions[EVERY_SIGNAL] = recorded(EVALUATION_SIGNALS)
        plain = build(config)
        return compare(lambda: plain.evaluate(plain.model), actions, rounds)


def compare(
    plain: Callable[[], object], recorded: Mapping[str, Callable[[], object]], rounds: int
) -> Costs:
    """Time the plain action and the recorded ones in turn, `rounds` times after a warmup.

    The order moves on by one in each round, so that no action is always the first."""
    actions = [("", plain), *recorded.items()]
    seconds: dict[str, list[float]] = {name: [] for name, _ in actions}
    for _ in range(WARMUP_ROUNDS + rounds):
        for name, action in actions:
            start = process_time()
            action()
            seconds[name].append(process_time() - start)
        actions.append(actions.pop(0))
    timed = {name: each[WARMUP_ROUNDS:] for name, each in seconds.items()}
    return [(name, Overhead.of(timed[""], timed[name])) for name in recorded]


def evaluation_over_step(rounds: int = EVALUATION_ROUNDS) -> Figure:
    """Measure how many steps an evaluation takes."""
    specimen = build(replace(HEALTHY, eval_every=HEALTHY.steps))
    run = specimen.steps()
    actions = {
        "step": lambda _: next(run),
        "evaluation": lambda _: specimen.evaluate(specimen.model),
    }
    with threadpool_limits(1):
        seconds = time_in_turn(actions, WARMUP_ROUNDS, rounds)
    return EVALUATION.with_ratio(seconds["evaluation"], seconds["step"])


def evaluation_share(evaluation: Figure) -> Figure:
    """The share of a run's time that its evaluations take. One evaluation that takes as long as r
    steps follows every `eval_every` steps: r / (r + eval_every)."""
    measured, low, high = (
        None if steps is None else steps / (steps + HEALTHY.eval_every)
        for steps in (evaluation.measured, evaluation.low, evaluation.high)
    )
    return replace(EVALUATION_SHARE, measured=measured, low=low, high=high)


def _measure() -> Iterator[Figure]:
    step, evaluation = dict(step_costs()), evaluation_over_step()
    yield WITH_RECORD.with_overhead(step.pop(ON_DISK))
    for name, cost in step.items():
        yield Figure(f"+ {name}", "%", "plain step").with_overhead(cost)
    yield evaluation
    yield evaluation_share(evaluation)
    for name, cost in evaluation_costs():
        label = f"+ {name}, at evaluations" if name == EVERY_SIGNAL else f"+ {name}"
        yield Figure(label, "%", "plain evaluation").with_overhead(cost)


SECTION = Section("Recording", (WITH_RECORD, EVALUATION, EVALUATION_SHARE), _measure)
