"""What each optimisation of a training step gains: a step of HEALTHY without it over one with it.

    python -m studies.speedups            print the table
    python -m studies.speedups --write    and write it into docs/why.md

An optimisation is removed by putting back the code that it replaced. Steps with and without it are
timed in turn, in CPU seconds, and so are evaluations of both splits (`testing.overhead`)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from model import HEALTHY, attention, build, layers, memory
from model.params import Array
from probes.common.markdown import markdown_table
from testing.marker_blocks import write_block
from testing.overhead import Overhead

PAGE = Path(__file__).resolve().parent.parent / "docs" / "why.md"
BLOCK = "speedups"
STEP_ROUNDS, EVALUATION_ROUNDS, WARMUP_ROUNDS = 100, 20, 5
HEAD = ("without", "a step takes longer by", "99 % interval", "an evaluation by", "99 % interval")


class Optimisation(NamedTuple):
    """`owner.name` is the optimised code or constant; `before` is what it replaced."""

    label: str
    owner: Any
    name: str
    before: Any


def mean_by_reduction(x: Array) -> Array:
    mean: Array = x.mean(axis=1, keepdims=True)
    return mean


OPTIMISATIONS = (
    Optimisation(
        "rows of about equal length attended to together", attention, "MIN_LENGTH_RATIO", 0.0
    ),
    Optimisation(
        "softmax without a shift where none is needed", attention, "MAX_UNSHIFTED_SCORE", -1.0
    ),
    Optimisation("arrays on cache lines, in blocks for huge pages", memory, "empty", np.empty),
    Optimisation("means over short rows as products", layers, "_mean", mean_by_reduction),
)


@contextmanager
def without(optimisation: Optimisation) -> Iterator[None]:
    optimised = getattr(optimisation.owner, optimisation.name)
    setattr(optimisation.owner, optimisation.name, optimisation.before)
    try:
        yield
    finally:
        setattr(optimisation.owner, optimisation.name, optimised)


def measure(optimisation: Optimisation) -> tuple[Overhead, Overhead]:
    """What a step and an evaluation take longer without the optimisation."""
    steps = STEP_ROUNDS + WARMUP_ROUNDS + 1
    config = replace(HEALTHY, steps=steps, eval_every=steps)
    with without(optimisation):
        old = build(config)
        old_run = old.steps()
        next(old_run)
    new = build(config)
    new_run = new.steps()
    next(new_run)

    def in_turn(
        rounds: int, optimised: Callable[[], object], replaced: Callable[[], object]
    ) -> Overhead:
        seconds: tuple[list[float], list[float]] = [], []
        for _ in range(rounds):
            seconds[0].append(_cpu_seconds(optimised))
            with without(optimisation):
                seconds[1].append(_cpu_seconds(replaced))
        return Overhead.of(*(series[WARMUP_ROUNDS:] for series in seconds))

    with threadpool_limits(1, user_api="blas"):
        step = in_turn(
            STEP_ROUNDS + WARMUP_ROUNDS - 1, lambda: next(new_run), lambda: next(old_run)
        )
        evaluation = in_turn(
            EVALUATION_ROUNDS + WARMUP_ROUNDS,
            lambda: new.evaluate(new.model),
            lambda: old.evaluate(old.model),
        )
    return step, evaluation


def _cpu_seconds(work: Callable[[], object]) -> float:
    start = process_time()
    work()
    return process_time() - start


def table() -> str:
    rows = []
    for optimisation in OPTIMISATIONS:
        cells = [optimisation.label]
        for added in measure(optimisation):
            cells += [f"{added.estimate:+.0%}", f"{added.low:+.0%} to {added.high:+.0%}"]
        rows.append(cells)
        print(cells, file=sys.stderr)
    return "\n".join(markdown_table(HEAD, rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the table into docs/why.md")
    arguments = parser.parse_args()
    measured = table()
    print(measured)
    if arguments.write:
        write_block(PAGE, BLOCK, measured)


if __name__ == "__main__":
    main()
