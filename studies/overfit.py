"""What runs carried past convergence look like on the choosing seeds: the length of OVERFIT, its
detector, its tax.

    python studies/overfit.py                 print the table for 8 and 24 times the length of
                                              HEALTHY
    python studies/overfit.py 16 --seeds 100  for another multiple or other seeds
    python studies/overfit.py --write         and put the table into docs/why.md

Records are kept in the folder of the calibration, so that nothing is trained twice. The rule for
the length: smoothed val ends at least 5 % above its minimum on every seed."""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from calibration.conditions import FOLDER
from model import HEALTHY, OVERFIT, Config, build, fingerprint
from model.seeds import SWEEP_SEEDS
from probes import Experiment, Record, diagnose
from probes.diagnosis.curves import WINDOW, centred_mean
from probes.diagnosis.val_trend import trend_of
from probes.plugin.run_cache import Store
from studies.sweep import write

HEAD = (
    "times HEALTHY", "seeds", "smoothed val, end over minimum", "the trend's, end over minimum",
    "before t*, highest over its minimum so far", "noise of val in the first third", "and between neighbours",
    "minimum (t*) at step", "called overfit",
    "called before t*", "called after t* by steps, median and most", "tax, last quarter over third",
    "tax, last quarter over t*", "tax on training rows",
)  # fmt: skip


NEIGHBOURS = 21
"""Evaluations whose centred mean is what val wanders around."""


class Outcome(NamedTuple):
    end_over_minimum: float
    trend_rise: float
    highest_before: float  # smoothed val over its minimum so far, at any time before t*
    noise: float  # relative standard deviation around the mean of NEIGHBOURS evaluations
    correlation: float  # of that between one evaluation and the next
    best: int  # t*, step
    called: int | None  # step of the finding
    over_third: float
    over_best: float
    train_tax: float  # nats, last quarter


def outcome(config: Config) -> Outcome:
    record = train(config)
    steps, val = record.series("val_loss")
    smooth = centred_mean(val)
    best = int(smooth.argmin())
    held_out, rows = (tax(record, split) for split in ("val", "train"))
    third, last = (
        held_out[len(val) // 2 : 3 * len(val) // 4].mean(),
        held_out[3 * len(val) // 4 :].mean(),
    )
    trend = trend_of(steps, val)
    assert trend is not None
    waves = val[NEIGHBOURS // 2 : -(NEIGHBOURS // 2)] / centred_mean(val, NEIGHBOURS) - 1
    waves = waves[NEIGHBOURS : len(val) // 3]  # past the first steep fall, at all but the peak rate
    called = [
        finding.step
        for finding in diagnose(record).findings
        if finding.symptom == "val-loss-rising"
    ]
    return Outcome(
        float(smooth[-1] / smooth[best]),
        trend.rise,
        float((smooth / np.minimum.accumulate(smooth))[: best + 1].max()),
        float(waves.std()),
        float(np.corrcoef(waves[1:], waves[:-1])[0, 1]),
        int(steps[best + WINDOW // 2]),
        called[0] if called else None,
        float(last / third),
        float(last / centred_mean(held_out)[best]),
        float(rows[3 * len(val) // 4 :].mean()),
    )


def train(config: Config) -> Record:
    """The run's record, from the folder where it was trained before."""
    times = "" if config.steps == OVERFIT.steps else f"{config.steps // HEALTHY.steps}x-"
    experiment = Experiment(partial(build, config), fingerprint(config), "overfit")
    return Store(FOLDER, uuid4().hex).fetch(f"overfit-{times}{config.seed}", experiment).record


def tax(record: Record, split: str) -> np.ndarray:
    regular, irregular = (
        record.series(f"{split}_loss_by_class", site)[1] for site in ("regular", "irregular")
    )
    return irregular - regular


def row(multiple: int, seeds: list[int], outcomes: list[Outcome]) -> tuple[str, ...]:
    called = [o for o in outcomes if o.called is not None]
    delays = sorted(o.called - o.best for o in called if o.called is not None)
    of = f"of {len(outcomes)}"
    return (
        str(multiple),
        f"{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else str(seeds[0]),
        between([o.end_over_minimum for o in outcomes], ".3f"),
        between([o.trend_rise for o in outcomes], ".3f"),
        between([o.highest_before for o in outcomes], ".3f"),
        between([o.noise for o in outcomes], ".1%"),
        between([o.correlation for o in outcomes], ".2f"),
        between([o.best for o in outcomes], "d"),
        f"{len(called)} {of}",
        f"{sum(delay < 0 for delay in delays)} {of}",
        f"{np.median(delays):.0f}, {delays[-1]}" if delays else "–",
        between([o.over_third for o in outcomes], ".2f"),
        between([o.over_best for o in outcomes], ".2f"),
        between([o.train_tax for o in outcomes], "+.3f"),
    )


def between(values: list[float] | list[int], form: str) -> str:
    low, high = min(values), max(values)
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "multiples", nargs="*", type=int, default=[8, OVERFIT.steps // HEALTHY.steps]
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SWEEP_SEEDS))
    parser.add_argument("--write", action="store_true", help="put the table into docs/why.md")
    arguments = parser.parse_args()
    lines = [HEAD, ("---",) * len(HEAD)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for multiple in arguments.multiples:
            longer = replace(HEALTHY, steps=multiple * HEALTHY.steps)
            runs = list(pool.map(outcome, (replace(longer, seed=seed) for seed in arguments.seeds)))
            lines.append(row(multiple, arguments.seeds, runs))
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    print(table)
    if arguments.write:
        write("overfit runs", table)


if __name__ == "__main__":
    main()
