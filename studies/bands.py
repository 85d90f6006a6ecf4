"""What healthy runs show on the choosing seeds: the figures behind the bands of test_healthy.py.

python studies/bands.py [SEEDS]    lowest and highest of each quantity over seeds 0 .. SEEDS - 1
                                   (default 10)
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from model import HEALTHY, build
from probes import diagnose, watch
from probes.diagnosis.curves import centred_mean, first_step_below

CLASSES = ("regular", "irregular")


def figures(seed: int) -> dict[str, float]:
    record = watch(build(replace(HEALTHY, seed=seed)))
    val, train = (centred_mean(record.series(f"{split}_loss")[1]) for split in ("val", "train"))
    ladder = record.facts["ladder"]
    level = ladder["val"]["class_baseline"]

    def over_sites(signal: str, pick: str) -> float:
        return float(
            getattr(np, pick)(
                [getattr(record.series(signal, s)[1], pick)() for s in record.sites(signal)]
            )
        )

    held_out, trained = (
        {site: first_step_below(record, f"{split}_loss_by_class", site, level) for site in CLASSES}
        for split in ("val", "train")
    )
    tax = np.subtract(*(record.series("val_loss_by_class", site)[1] for site in reversed(CLASSES)))
    return {
        "loss at step 0": float(record.column("loss")[0]),
        "smoothed train at the end": train[-1],
        "smoothed val at the end": val[-1],
        "val end over its minimum": val[-1] / val.min(),
        "train n-gram": ladder["train"]["ngram"],
        "val n-gram": ladder["val"]["ngram"],
        "train at least above floor": float(
            record.series("train_loss")[1].min() - ladder["train"]["floor"]
        ),
        "val at least above floor": float(
            record.series("val_loss")[1].min() - ladder["val"]["floor"]
        ),
        "first gradient norm": float(record.column("grad_norm")[0]),
        "smallest gradient norm": float(record.column("grad_norm").min()),
        "largest gradient norm": float(record.column("grad_norm").max()),
        "smallest activation": over_sites("activation", "min"),
        "largest activation": over_sites("activation", "max"),
        "smallest spectral norm": over_sites("spectral_norm", "min"),
        "largest spectral norm": over_sites("spectral_norm", "max"),
        "largest dead fraction": over_sites("dead_fraction", "max"),
        "smallest attention entropy": over_sites("attention_entropy", "min"),
        "first update/weight, largest": float(
            max(
                record.column("update_weight_ratio", s)[0]
                for s in record.sites("update_weight_ratio")
            )
        ),
        "held-out regular reaches the baseline": held_out["regular"],
        "held-out irregular reaches the baseline": held_out["irregular"],
        "trained regular reaches the baseline": trained["regular"],
        "trained irregular reaches the baseline": trained["irregular"],
        "trained irregular minus regular": trained["irregular"] - trained["regular"],
        "mean tax on held-out forms": float(tax.mean()),
        "alarm": float(diagnose(record).alarm),
    }


def main() -> None:
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        runs = list(pool.map(figures, seeds))
    for name in runs[0]:
        values = [run[name] for run in runs]
        print(f"{name:42} {min(values):10.4g} {max(values):10.4g}")


if __name__ == "__main__":
    main()
