"""How often a run with few evaluations is called overfit: of runs that overfit, and of runs that do
not.

    python -m studies.few_evaluations           the seeds that judge, 50-99
    python -m studies.few_evaluations choosing  the seeds on which the limits were chosen, 0-49

Each seed draws a network with enough rows, and one with far more weights than rows and some wrong
labels, each validated on 50 to 1,000 rows. Whether a run overfits is decided by the loss on all
1,000 held-out rows: how far its end lies above its minimum."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import NamedTuple

import numpy as np

from probes.diagnosis.detectors.overfitting import DETECTOR_OF_END as DETECTOR
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from testing.log_files import record_of
from testing.small_net import (
    Adam,
    Data,
    Loop,
    Net,
    Row,
    blobs,
    constant,
    cosine,
    curve,
    restarts,
    train,
)

EVALUATION_COUNTS = (5, 7, 10, 20, 39)
RUN_STEPS = 1170
MAX_OF_SOUND, MIN_OF_OVERFIT = 1.05, 1.25
"""End of the loss on all held-out rows, over its minimum."""
KINDS = {"sound": "within 5 %", "between": "5 to 25 % above", "overfit": "over 25 %"}
LOGS = {
    "every step": "train loss at every step",
    "evaluations only": "train loss only beside val_loss",
}


class Run(NamedTuple):
    """A log, and the loss on all held-out rows at the end over its minimum."""

    rows: list[Row]
    end_over_minimum: float

    @property
    def kind(self) -> str:
        if self.end_over_minimum > MIN_OF_OVERFIT:
            return "overfit"
        return "sound" if self.end_over_minimum < MAX_OF_SOUND else "between"


def train_drawn(seed: int, evaluations: int, enough_rows: bool) -> Run:
    """Train a network that the seed draws, on enough rows or on far too few."""
    rng = np.random.default_rng([seed, 17])
    classes = rng.random() < 0.5
    rows = int(rng.integers(1000, 4000) if enough_rows else rng.integers(30, 120))
    width = int(rng.choice((16, 32) if enough_rows else (64, 128)))
    data = (
        blobs(seed, rows, spread=rng.uniform(0.4, 1))
        if classes
        else curve(seed, rows, noise=rng.uniform(0.3, 1))
    )
    sizes = (data.x.shape[1], width, data.y.shape[1])
    net = Net(sizes, "classes" if classes else "squares", seed)
    net.dropout = 0.3 * (rng.random() < 0.3)
    validated = int(rng.choice((50, 200, 1000)))
    logged = Data(data.x, data.y, data.val_x[:validated], data.val_y[:validated])
    rate = 10 ** rng.uniform(-3, -2)
    schedules = (
        constant(rate),
        cosine(rate, RUN_STEPS, 60),
        cosine(rate, RUN_STEPS),
        restarts(rate, 300),
    )
    schedule = schedules[int(rng.integers(4))]
    every = RUN_STEPS // evaluations
    val_losses: list[float] = []

    def before(step: int, net: Net) -> None:
        if step % every == 0 and step:
            val_losses.append(net.loss(data.val_x, data.val_y))

    loop = Loop(schedule, RUN_STEPS, Adam, eval_every=every, seed=seed, before=before)
    log = train(net, logged, loop)
    return Run(log, val_losses[-1] / min(val_losses))


def called_overfit(rows: list[Row]) -> bool:
    try:
        return bool(DETECTOR.judge(Evidence(record_of(rows))))
    except CannotJudgeError:
        return False


def print_counts(seeds: range) -> None:
    for evaluations in EVALUATION_COUNTS:
        counts: Counter[tuple[str, str, bool]] = Counter()
        for seed in seeds:
            for enough_rows in (True, False):
                run = train_drawn(seed, evaluations, enough_rows)
                evaluated = [row for row in run.rows if "val_loss" in row]
                counts["every step", run.kind, called_overfit(run.rows)] += 1
                counts["evaluations only", run.kind, called_overfit(evaluated)] += 1
        for log, description in LOGS.items():
            shares = []
            for kind, place in KINDS.items():
                called, not_called = counts[log, kind, True], counts[log, kind, False]
                shares.append(f"{place}: {called} of {called + not_called}")
            print(
                f"{evaluations:>3} evaluations, {description}, called overfit of the runs that end "
                f"{', '.join(shares)}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seeds", nargs="?", choices=("choosing", "judging"), default="judging")
    chosen = parser.parse_args().seeds
    print_counts(range(50) if chosen == "choosing" else range(50, 100))


if __name__ == "__main__":
    main()
