"""What looking adds to a step and to an evaluation (`scripts/looking.py`), and how much of a run is evaluation."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from threadpoolctl import threadpool_limits

from bench.figures import Figure, Section
from bench.step import interleaved
from model import HEALTHY, build
from probes.overhead import Overhead
from scripts.looking import EVERY, ON_DISK, evaluation_costs, looking_costs

ROUNDS = 50
"""Pairs of evaluations, each of which takes as long as several steps."""
WARMUP = 5
ROOT = Path(__file__).resolve().parent.parent
PYTEST = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]
OVERALL = Figure("looking, every signal, on disk", "%", f"bare; budget {100 * PYTEST['overhead_budget']:.0f} %", 0.05)
EVALUATION = Figure("evaluation / step", "x", "neither looked at")
SHARE = Figure("evaluations, share of a run", "%", f"every {HEALTHY.eval_every} steps, bare")


def share(ratio: Figure) -> Figure:
    """Of a run's time that its evaluations take, from how many steps one takes: r / (r + eval_every)."""
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
        yield _of(Figure(f"+ {name}{', at evaluations' * (name == EVERY)}", "%", "bare evaluation"), cost)


def _of(figure: Figure, cost: Overhead) -> Figure:
    return replace(figure, measured=cost.estimate, low=cost.low, high=cost.high)


def _evaluation() -> Figure:
    specimen = build(replace(HEALTHY, eval_every=HEALTHY.steps))
    run = specimen.steps()
    with threadpool_limits(1):
        seconds = interleaved(
            {"step": lambda _: next(run), "evaluation": lambda _: specimen.evaluate(specimen.model)}, WARMUP, ROUNDS
        )
    return EVALUATION.ratio(seconds["evaluation"], seconds["step"])


SECTION = Section("Looking", (OVERALL, EVALUATION, SHARE), _measure)
