"""What healthy runs show on the choosing seeds: the figures behind the bands of test_healthy.py.

python -m studies.bands [SEEDS]    print the lowest and the highest value of each quantity over
                                   seeds 0 to SEEDS - 1 (default 10)
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from model import HEALTHY, build
from probes import Record, diagnose, watch
from probes.diagnosis.curves import centred_mean, first_step_below
from testing.parallel import map_on_all_cores

CLASSES = ("regular", "irregular")


def quantities(seed: int) -> dict[str, float]:
    """Train HEALTHY on a seed and measure it."""
    record = watch(build(replace(HEALTHY, seed=seed)))
    val, train = (centred_mean(record.series(f"{split}_loss")[1]) for split in ("val", "train"))
    ladder = record.facts["ladder"]
    grad_norm = record.column("grad_norm")
    first_updates = [
        record.column("update_weight_ratio", site)[0]
        for site in record.sites("update_weight_ratio")
    ]
    val_reach, train_reach = (_steps_to_baseline(record, split) for split in ("val", "train"))
    tax = np.subtract(*(record.series("val_loss_by_class", site)[1] for site in reversed(CLASSES)))
    return {
        "loss at step 0": float(record.column("loss")[0]),
        "smoothed train at the end": train[-1],
        "smoothed val at the end": val[-1],
        "val end over its minimum": val[-1] / val.min(),
        "train n-gram": ladder["train"]["ngram"],
        "val n-gram": ladder["val"]["ngram"],
        "least distance of train from its floor": _least_above_floor(record, "train"),
        "least distance of val from its floor": _least_above_floor(record, "val"),
        "first gradient norm": float(grad_norm[0]),
        "smallest gradient norm": float(grad_norm.min()),
        "largest gradient norm": float(grad_norm.max()),
        "smallest activation": min(_all_values(record, "activation")),
        "largest activation": max(_all_values(record, "activation")),
        "smallest spectral norm": min(_all_values(record, "spectral_norm")),
        "largest spectral norm": max(_all_values(record, "spectral_norm")),
        "largest dead fraction": max(_all_values(record, "dead_fraction")),
        "smallest attention entropy": min(_all_values(record, "attention_entropy")),
        "largest first update/weight ratio": float(max(first_updates)),
        "held-out regular reaches the baseline": val_reach["regular"],
        "held-out irregular reaches the baseline": val_reach["irregular"],
        "trained regular reaches the baseline": train_reach["regular"],
        "trained irregular reaches the baseline": train_reach["irregular"],
        "trained irregular minus regular": train_reach["irregular"] - train_reach["regular"],
        "mean tax on held-out forms": float(tax.mean()),
        "alarm": float(diagnose(record).alarm),
    }


def _steps_to_baseline(record: Record, split: str) -> dict[str, float]:
    """Class -> first step at which its loss is below the baseline."""
    baseline = record.facts["ladder"]["val"]["class_baseline"]
    signal = f"{split}_loss_by_class"
    return {name: first_step_below(*record.series(signal, name), baseline) for name in CLASSES}


def _least_above_floor(record: Record, split: str) -> float:
    loss = record.series(f"{split}_loss")[1]
    return float(loss.min() - record.facts["ladder"][split]["floor"])


def _all_values(record: Record, signal: str) -> list[float]:
    """Every measured value of a signal, at all of its sites."""
    return [v for site in record.sites(signal) for v in record.series(signal, site)[1].tolist()]


def main() -> None:
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
    runs = map_on_all_cores(quantities, seeds, "runs trained")
    for name in runs[0]:
        values = [run[name] for run in runs]
        print(f"{name:42} {min(values):10.4g} {max(values):10.4g}")


if __name__ == "__main__":
    main()
