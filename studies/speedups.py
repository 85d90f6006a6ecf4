"""What each idea that makes a step fast buys: a step of HEALTHY without it over a step with it, in
interleaved pairs.

    python studies/speedups.py            print the table
    python studies/speedups.py --write    and put it into docs/why.md

An idea is taken away by putting back what stood in its place; the rest of the step stays as it is.
Ratios of CPU time with the interval of `bench.overhead`; evaluations of both splits likewise."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from threadpoolctl import threadpool_limits

from bench.overhead import Overhead
from model import HEALTHY, attention, build, layers, memory
from model.params import Array
from studies.sweep import write

ROUNDS, WARMUP, EVALUATIONS = 100, 5, 20
HEAD = ("without", "a step takes longer by", "99 % interval", "an evaluation by", "99 % interval")


class Idea(NamedTuple):
    """`owner.name` is what the idea put there, `before` what would stand in its place."""

    label: str
    owner: Any
    name: str
    before: Any


def mean_by_reduction(x: Array) -> Array:
    mean: Array = x.mean(axis=1, keepdims=True)
    return mean


IDEAS = (
    Idea("rows of about equal length attended to together", attention, "SHORTEST", 0.0),
    Idea("softmax without a shift where none is needed", attention, "UNSHIFTED", -1.0),
    Idea("arrays on cache lines, in blocks for huge pages", memory, "empty", np.empty),
    Idea("means over short rows as products", layers, "_mean", mean_by_reduction),
)


@contextmanager
def without(idea: Idea) -> Iterator[None]:
    kept = getattr(idea.owner, idea.name)
    setattr(idea.owner, idea.name, idea.before)
    try:
        yield
    finally:
        setattr(idea.owner, idea.name, kept)


def seconds(work: Callable[[], object]) -> float:
    start = process_time()
    work()
    return process_time() - start


def gain(idea: Idea) -> tuple[Overhead, Overhead]:
    """What a step and an evaluation lose without the idea."""
    config = replace(HEALTHY, steps=ROUNDS + WARMUP + 1, eval_every=ROUNDS + WARMUP + 1)
    with without(idea):
        old = build(config)
        old_steps = old.steps()
        next(old_steps)
    new = build(config)
    new_steps = new.steps()
    next(new_steps)

    def pairs(
        rounds: int, with_it: Callable[[], object], without_it: Callable[[], object]
    ) -> Overhead:
        times: tuple[list[float], list[float]] = [], []
        for _ in range(rounds):
            times[0].append(seconds(with_it))
            with without(idea):
                times[1].append(seconds(without_it))
        return Overhead.of(*(series[WARMUP:] for series in times))

    with threadpool_limits(1, user_api="blas"):
        step = pairs(ROUNDS + WARMUP - 1, lambda: next(new_steps), lambda: next(old_steps))
        evaluation = pairs(
            EVALUATIONS + WARMUP, lambda: new.evaluate(new.model), lambda: old.evaluate(old.model)
        )
    return step, evaluation


def table() -> str:
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    for idea in IDEAS:
        cells = [idea.label]
        for measured in gain(idea):
            cells += [f"{measured.estimate:+.0%}", f"{measured.low:+.0%} to {measured.high:+.0%}"]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], file=sys.stderr)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="put the table into docs/why.md")
    arguments = parser.parse_args()
    made = table()
    print(made)
    if arguments.write:
        write("speedups", made)


if __name__ == "__main__":
    main()
