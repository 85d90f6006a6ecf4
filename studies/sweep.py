"""Choose HEALTHY's peak learning rate and length, on seeds that nothing else uses (`model.seeds`).

    python -m studies.sweep            print the tables
    python -m studies.sweep --write    and write them into docs/why.md

The rule for lr_max: the largest whose mean smoothed minimum of the validation loss is within 3 % of
the best, and at which training without warmup ends with a full-split train loss at least 20 %
higher on every seed. The rule for the length: on twenty fresh seeds the smoothed validation loss
ends within 3 % of its minimum on at least eighteen."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from model import HEALTHY, Config, build
from model.config import change
from model.seeds import LENGTH_SEEDS, SWEEP_SEEDS
from probes.common.markdown import markdown_table
from probes.diagnosis.curves import centred_mean
from testing.marker_blocks import write_block
from testing.parallel import map_on_all_cores

LRS = (5e-3, 7e-3, 1e-2, 1.4e-2, 1.5e-2, 1.6e-2, 1.7e-2, 1.8e-2, 1.9e-2, 2e-2, 2.8e-2, 4e-2)
"""Factors of 1.4, and steps of 1e-3 between 1.4e-2 and 2e-2: at either of these two only one half
of the rule holds."""
RUN_LENGTHS = (80, 120, 160, 200, 280)
EVALUATIONS_PER_RUN = 40
MAX_OVER_BEST = 0.03
"""How far a minimum may lie above the best one, and the end of a run above its own minimum."""
MIN_HARM = 0.20
"""How much higher the train loss must end without warmup."""
PAGE = Path(__file__).resolve().parent.parent / "docs" / "why.md"


class Outcome(NamedTuple):
    """Losses of a run in nats per token."""

    val_minimum: float  # smoothed
    val_end: float  # smoothed
    train_end: float  # full split


def train(config: Config) -> Outcome:
    evaluations = [step.evaluation for step in build(config).steps() if step.evaluation is not None]
    val = centred_mean([e["val_loss"] for e in evaluations])
    return Outcome(float(val.min()), float(val[-1]), evaluations[-1]["train_loss"])


def train_all(configs: Iterable[Config]) -> list[Outcome]:
    return map_on_all_cores(train, list(configs), "runs trained")


def lr_table() -> tuple[str, float]:
    """One row per lr_max, trained with and without warmup on the same seeds, and the lr_max that
    the rule chooses. Raises SystemExit when no lr_max satisfies the rule."""
    warm_configs = [
        replace(change(HEALTHY, "optimizer.lr_max", lr), seed=seed)
        for lr in LRS
        for seed in SWEEP_SEEDS
    ]
    cold_configs = [change(config, "optimizer.warmup_steps", 0) for config in warm_configs]
    shape = (len(LRS), len(SWEEP_SEEDS), len(Outcome._fields))
    warm = np.array(train_all(warm_configs)).reshape(shape)
    cold = np.array(train_all(cold_configs)).reshape(shape)
    minimum = warm[:, :, 0].mean(axis=1)
    over_best = minimum / minimum.min() - 1
    harm = cold[:, :, 2] / warm[:, :, 2] - 1
    eligible = (over_best <= MAX_OVER_BEST) & (harm.min(axis=1) >= MIN_HARM)
    lines = markdown_table(
        ("lr_max", "mean val minimum", "over best", "harm of no warmup on train, worst and mean",
         "eligible"),
        [
            (f"{lr:g}", f"{minimum[i]:.3f}", f"{over_best[i]:+.1%}",
             f"{harm[i].min():+.0%}, {harm[i].mean():+.0%}", "yes" if eligible[i] else "no")
            for i, lr in enumerate(LRS)
        ],
    )  # fmt: skip
    table = "\n".join(lines)
    if not eligible.any():
        raise SystemExit(f"{table}\n\nNo lr_max of the grid satisfies the rule.")
    chosen = max(lr for lr, fits in zip(LRS, eligible, strict=True) if fits)
    return f"{table}\n\nChosen: lr_max = {chosen:g}.", chosen


def length_table(lr_max: float) -> str:
    """One row per length on the sweep's seeds, then the length of HEALTHY on the fresh seeds."""
    rows = []
    for steps, seeds in [
        *((steps, SWEEP_SEEDS) for steps in RUN_LENGTHS),
        (HEALTHY.steps, LENGTH_SEEDS),
    ]:
        config = replace(HEALTHY, steps=steps, eval_every=max(1, steps // EVALUATIONS_PER_RUN))
        config = change(config, "optimizer.lr_max", lr_max)
        outcomes = train_all(replace(config, seed=seed) for seed in seeds)
        near_minimum = sum(o.val_end <= (1 + MAX_OVER_BEST) * o.val_minimum for o in outcomes)
        mean = np.mean([o.val_minimum for o in outcomes])
        rows.append(
            (
                str(steps),
                f"{seeds.start}-{seeds.stop - 1}",
                f"{near_minimum} of {len(seeds)}",
                f"{mean:.3f}",
            )
        )
    head = ("steps", "seeds", "smoothed val ends within 3 % of its minimum", "mean val minimum")
    return "\n".join(markdown_table(head, rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the tables into docs/why.md")
    arguments = parser.parse_args()
    lrs, lr_max = lr_table()
    print(lrs, flush=True)
    lengths = length_table(lr_max)
    print(lengths)
    if arguments.write:
        write_block(PAGE, "sweep of lr_max", lrs)
        write_block(PAGE, "sweep of length", lengths)


if __name__ == "__main__":
    main()
