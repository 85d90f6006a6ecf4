"""What runs look like that are trained past convergence: the length of OVERFIT, the detector of
overfitting, and what irregular verbs cost over regular ones.

    python -m studies.overfit                   print the table for 8 and 24 times HEALTHY's length
    python -m studies.overfit 16 --seeds 100    use another multiple or other seeds
    python -m studies.overfit --eval-every 3    use another cadence than OVERFIT's
    python -m studies.overfit --write           and write the table into docs/why.md

Records are kept in the folder of the calibration, so that nothing is trained twice. The rule for
the length: the smoothed validation loss ends at least 5 % above its minimum on every seed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from model import HEALTHY, OVERFIT, Config
from model.seeds import SWEEP_SEEDS
from probes import Record, diagnose
from probes.common.markdown import markdown_table
from probes.diagnosis.curves import SMOOTHING_WINDOW, centred_mean
from probes.diagnosis.val_trend import trend_of
from testing.marker_blocks import write_block
from testing.parallel import map_on_all_cores
from testing.tables import NO_VALUE
from testing.trained_runs import load_or_train

PAGE = Path(__file__).resolve().parent.parent / "docs" / "why.md"
BLOCK = "overfit runs"
HEAD = (
    "times HEALTHY", "evaluated every", "seeds", "smoothed val, end over minimum",
    "the trend's, end over minimum", "before t*, highest over its minimum so far",
    "noise of val in the first third", "and between neighbours", "minimum (t*) at step",
    "called overfit", "called before t*", "called after t* by steps, median and most",
    "tax, last quarter over third", "tax, last quarter over t*", "tax on training rows",
)  # fmt: skip
NOISE_WINDOW = 21
"""Evaluations. The noise of the validation loss is measured around this centred mean."""


class Outcome(NamedTuple):
    """What one run shows. t* is the step at which the smoothed validation loss is lowest."""

    end_over_minimum: float
    trend_rise: float
    highest_before: float  # largest ratio of the smoothed loss to its minimum so far, before t*
    noise: float  # relative standard deviation around the mean of NOISE_WINDOW evaluations
    correlation: float  # of that noise between one evaluation and the next
    best_step: int  # t*
    found_at: int | None  # step of the first finding of overfitting
    tax_over_third_quarter: float
    tax_over_best: float
    train_tax: float  # nats, last quarter


def outcome(config: Config) -> Outcome:
    """Train a config, or load its record, and measure it."""
    record = load_or_train(run_name(config), config)
    steps, val = record.series("val_loss")
    smooth = centred_mean(val)
    best = int(smooth.argmin())
    val_tax, train_tax = (tax(record, split) for split in ("val", "train"))
    half, last_quarter = len(val) // 2, 3 * len(val) // 4
    tax_at_end = val_tax[last_quarter:].mean()
    trend = trend_of(steps, val)
    assert trend is not None
    noise = val[NOISE_WINDOW // 2 : -(NOISE_WINDOW // 2)] / centred_mean(val, NOISE_WINDOW) - 1
    # After the first steep fall, and while the learning rate is still near its peak.
    noise = noise[NOISE_WINDOW : len(val) // 3]
    found = [f.step for f in diagnose(record).findings if f.symptom == "val-loss-rising"]
    return Outcome(
        end_over_minimum=float(smooth[-1] / smooth[best]),
        trend_rise=trend.rise,
        highest_before=float((smooth / np.minimum.accumulate(smooth))[: best + 1].max()),
        noise=float(noise.std()),
        correlation=float(np.corrcoef(noise[1:], noise[:-1])[0, 1]),
        best_step=int(steps[best + SMOOTHING_WINDOW // 2]),
        found_at=found[0] if found else None,
        tax_over_third_quarter=float(tax_at_end / val_tax[half:last_quarter].mean()),
        tax_over_best=float(tax_at_end / centred_mean(val_tax)[best]),
        train_tax=float(train_tax[last_quarter:].mean()),
    )


def run_name(config: Config) -> str:
    """The name of the record. OVERFIT's runs have the name that the calibration gives them."""
    if replace(config, seed=OVERFIT.seed) == OVERFIT:
        return f"overfit-{config.seed}"
    return f"overfit-{config.steps // HEALTHY.steps}x-every-{config.eval_every}-{config.seed}"


def tax(record: Record, split: str) -> np.ndarray:
    """Loss on irregular verbs minus loss on regular ones, in nats, per evaluation."""
    regular, irregular = (
        record.series(f"{split}_loss_by_class", site)[1] for site in ("regular", "irregular")
    )
    return irregular - regular


def row(
    multiple: int, eval_every: int, seeds: Sequence[int], outcomes: Sequence[Outcome]
) -> tuple[str, ...]:
    delays = sorted(o.found_at - o.best_step for o in outcomes if o.found_at is not None)
    of = f"of {len(outcomes)}"
    return (
        str(multiple),
        f"{eval_every} steps",
        f"{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else str(seeds[0]),
        interval([o.end_over_minimum for o in outcomes], ".3f"),
        interval([o.trend_rise for o in outcomes], ".3f"),
        interval([o.highest_before for o in outcomes], ".3f"),
        interval([o.noise for o in outcomes], ".1%"),
        interval([o.correlation for o in outcomes], ".2f"),
        interval([o.best_step for o in outcomes], "d"),
        f"{len(delays)} {of}",
        f"{sum(delay < 0 for delay in delays)} {of}",
        f"{np.median(delays):.0f}, {delays[-1]}" if delays else NO_VALUE,
        interval([o.tax_over_third_quarter for o in outcomes], ".2f"),
        interval([o.tax_over_best for o in outcomes], ".2f"),
        interval([o.train_tax for o in outcomes], "+.3f"),
    )


def interval(values: Sequence[float], form: str) -> str:
    """The lowest and the highest value: "1.05 to 1.19"."""
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
    parser.add_argument("--eval-every", type=int, default=OVERFIT.eval_every, metavar="STEPS")
    parser.add_argument("--write", action="store_true", help="write the table into docs/why.md")
    arguments = parser.parse_args()
    rows = []
    for multiple in arguments.multiples:
        longer = replace(HEALTHY, steps=multiple * HEALTHY.steps, eval_every=arguments.eval_every)
        configs = [replace(longer, seed=seed) for seed in arguments.seeds]
        outcomes = map_on_all_cores(outcome, configs, "runs trained")
        rows.append(row(multiple, arguments.eval_every, arguments.seeds, outcomes))
    table = "\n".join(markdown_table(HEAD, rows))
    print(table)
    if arguments.write:
        write_block(PAGE, BLOCK, table)


if __name__ == "__main__":
    main()
