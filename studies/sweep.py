"""Choose HEALTHY: the peak learning rate and the length, on seeds that nothing else uses
(`model.seeds`).

    python studies/sweep.py            print the tables
    python studies/sweep.py --write    and put them into docs/why.md

The rule for lr_max: the largest whose mean smoothed val minimum is within 3 % of the best, and at
which leaving the warmup out makes the final full-split train loss at least 20 % worse on every
paired seed. The rule for the length: on twenty fresh seeds smoothed val ends within 3 % of its
minimum on at least eighteen."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from model import HEALTHY, Config, build
from model.config import change
from model.seeds import LENGTH_SEEDS, SWEEP_SEEDS
from probes.diagnosis.curves import centred_mean

LRS = (5e-3, 7e-3, 1e-2, 1.4e-2, 1.5e-2, 1.6e-2, 1.7e-2, 1.8e-2, 1.9e-2, 2e-2, 2.8e-2, 4e-2)
"""Factors of 1.4, and steps of 1e-3 between 1.4e-2 and 2e-2, where the coarse grid met one half of
the rule each."""
LENGTHS = (80, 120, 160, 200, 280)
EVALUATIONS = 40
WITHIN = 0.03
HARM = 0.20
DOC = Path(__file__).resolve().parent.parent / "docs" / "why.md"


class Outcome(NamedTuple):
    val_minimum: float  # smoothed, nats/token
    val_end: float  # smoothed, nats/token
    train_end: float  # full split, nats/token


def train(config: Config) -> Outcome:
    evaluations = [step.evaluation for step in build(config).steps() if step.evaluation is not None]
    val = centred_mean([e["val_loss"] for e in evaluations])
    return Outcome(float(val.min()), float(val[-1]), evaluations[-1]["train_loss"])


def train_all(configs: Iterable[Config]) -> list[Outcome]:
    configs = list(configs)
    outcomes = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for outcome in pool.map(train, configs):
            outcomes.append(outcome)
            print(f"\r{len(outcomes)} of {len(configs)} runs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return outcomes


def lr_table() -> tuple[str, float]:
    """One row per lr_max, with and without warmup on the same seeds; and the lr_max that the rule
    chooses."""
    seeds = len(SWEEP_SEEDS)
    grid = [
        replace(change(HEALTHY, "optimizer.lr_max", lr), seed=seed)
        for lr in LRS
        for seed in SWEEP_SEEDS
    ]
    warm = np.array(train_all(grid)).reshape(len(LRS), seeds, -1)
    cold = np.array(train_all(change(c, "optimizer.warmup_steps", 0) for c in grid)).reshape(
        len(LRS), seeds, -1
    )
    minimum = warm[:, :, 0].mean(axis=1)
    over_best = minimum / minimum.min() - 1
    harm = cold[:, :, 2] / warm[:, :, 2] - 1
    eligible = (over_best <= WITHIN) & (harm.min(axis=1) >= HARM)
    rows = [
        "| lr_max | mean val minimum | over best | harm of no warmup on train, worst and mean | eligible |",
        "|" + "---|" * 5,
    ]
    rows += [
        f"| {lr:g} | {minimum[i]:.3f} | {over_best[i]:+.1%} | {harm[i].min():+.0%}, {harm[i].mean():+.0%} "
        f"| {'yes' if eligible[i] else 'no'} |"
        for i, lr in enumerate(LRS)
    ]
    if not eligible.any():
        raise SystemExit("\n".join([*rows, "", "No lr_max of the grid satisfies the rule."]))
    chosen = max(lr for lr, fits in zip(LRS, eligible, strict=True) if fits)
    return "\n".join([*rows, "", f"Chosen: lr_max = {chosen:g}."]), chosen


def length_table(lr_max: float) -> str:
    """One row per length on the sweep's seeds, then the length of HEALTHY on the fresh ones."""
    rows = [
        "| steps | seeds | smoothed val ends within 3 % of its minimum | mean val minimum |",
        "|" + "---|" * 4,
    ]
    plan = [(steps, SWEEP_SEEDS) for steps in LENGTHS] + [(HEALTHY.steps, LENGTH_SEEDS)]
    for steps, seeds in plan:
        config = replace(HEALTHY, steps=steps, eval_every=max(1, steps // EVALUATIONS))
        config = change(config, "optimizer.lr_max", lr_max)
        outcomes = train_all(replace(config, seed=seed) for seed in seeds)
        ended_well = sum(o.val_end <= (1 + WITHIN) * o.val_minimum for o in outcomes)
        mean = np.mean([o.val_minimum for o in outcomes])
        rows.append(
            f"| {steps} | {seeds.start}-{seeds.stop - 1} | {ended_well} of {len(seeds)} | {mean:.3f} |"
        )
    return "\n".join(rows)


def write(name: str, table: str) -> None:
    """Replace the block between the markers of that name in docs/why.md."""
    text = DOC.read_text(encoding="utf-8")
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
    if not block.search(text):
        raise SystemExit(f"{DOC} has no block named {name!r}")
    DOC.write_text(block.sub(lambda m: f"{m[1]}{table}\n{m[2]}", text), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="put the tables into docs/why.md")
    arguments = parser.parse_args()
    lrs, lr_max = lr_table()
    print(lrs, flush=True)
    lengths = length_table(lr_max)
    print(lengths)
    if arguments.write:
        write("sweep of lr_max", lrs)
        write("sweep of length", lengths)


if __name__ == "__main__":
    main()
