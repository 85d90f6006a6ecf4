"""How often a validation loss of few evaluations is called risen: runs that overfit, and runs that
do not.

    python studies/few_evaluations.py           the seeds it is judged on, 50-99
    python studies/few_evaluations.py choosing  those that its limits were chosen on, 0-49

Networks with far more weights than rows, some labels wrong, and networks with rows enough, each as
the seed draws it, validated on 50 to 1,000 rows. Whether a run overfits is told by all of its 1,000
held-out rows: how far its end lies above its lowest."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from probes.diagnosis.detectors.overfitting import OF_FEW as DETECTOR
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

EVALUATIONS = (5, 7, 10, 20, 39)
STEPS = 1170
WELL, OVER = 1.05, 1.25


class Run(NamedTuple):
    """A log, and the end of the loss on all held-out rows over its lowest."""

    rows: list[Row]
    ends_above: float


def run(seed: int, evaluations: int, much: bool) -> Run:
    """A training as the seed draws it, with rows enough or far too few."""
    rng = np.random.default_rng([seed, 17])
    classes, rows = (
        rng.random() < 0.5,
        int(rng.integers(1000, 4000) if much else rng.integers(30, 120)),
    )
    width = int(rng.choice((16, 32) if much else (64, 128)))
    made = (
        blobs(seed, rows, spread=rng.uniform(0.4, 1))
        if classes
        else curve(seed, rows, noise=rng.uniform(0.3, 1))
    )
    sizes = (made.x.shape[1], width, made.y.shape[1])
    net = Net(sizes, "classes" if classes else "squares", seed)
    net.dropout = 0.3 * (rng.random() < 0.3)
    kept = int(rng.choice((50, 200, 1000)))
    data = Data(made.x, made.y, made.val_x[:kept], made.val_y[:kept])
    rate = 10 ** rng.uniform(-3, -2)
    shape = (constant(rate), cosine(rate, STEPS, 60), cosine(rate, STEPS), restarts(rate, 300))[
        int(rng.integers(4))
    ]
    curve_of: list[float] = []
    every = STEPS // evaluations

    def before(step: int, net: Net) -> None:
        if step % every == 0 and step:
            curve_of.append(net.loss(made.val_x, made.val_y))

    log = train(net, data, Loop(shape, STEPS, Adam, eval_every=every, seed=seed, before=before))
    return Run(log, curve_of[-1] / min(curve_of))


def called(rows: list[Row]) -> bool:
    try:
        return bool(DETECTOR.judge(Evidence(record_of(rows))))
    except CannotJudgeError:
        return False


def report(seeds: range) -> None:
    for evaluations in EVALUATIONS:
        counts: Counter[tuple[str, str, bool]] = Counter()
        for seed in seeds:
            for much in (True, False):
                made = run(seed, evaluations, much)
                kind = (
                    "over"
                    if made.ends_above > OVER
                    else "well"
                    if made.ends_above < WELL
                    else "between"
                )
                counts["all", kind, called(made.rows)] += 1
                counts["few", kind, called([row for row in made.rows if "val_loss" in row])] += 1
        for rows, words in (
            ("all", "train loss at every step"),
            ("few", "train loss beside val_loss alone"),
        ):
            shares = [
                f"{where} {counts[rows, kind, True]} of {counts[rows, kind, True] + counts[rows, kind, False]}"
                for kind, where in (
                    ("well", "within 5 %:"),
                    ("between", "5 to 25 % above:"),
                    ("over", "over 25 %:"),
                )
            ]
            print(
                f"{evaluations:>3} evaluations, {words}, called overfit of those that end {', '.join(shares)}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seeds", nargs="?", choices=("choosing", "judging"), default="judging")
    report(range(50) if parser.parse_args().seeds == "choosing" else range(50, 100))


if __name__ == "__main__":
    main()
