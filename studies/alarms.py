"""How often a training that is in order raises an alarm, however its log was written: thinned,
smoothed, cut, rounded.

    python studies/alarms.py [FIRST LAST]   seeds 500-599 if none are given

Small networks, each trained as its seed draws it (task, rows in a batch, optimizer, rate, schedule,
evaluations); of each log several versions, with the four signals that most logs have. Every alarm
is printed, then the verdicts per version."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from probes.diagnosis.diagnose import diagnose
from studies.spikes import STEPS, Rng
from testing.log_files import record_of
from testing.small_net import (
    Adam,
    Loop,
    Net,
    Row,
    Sgd,
    blobs,
    constant,
    cosine,
    curve,
    restarts,
    train,
)

Log = list[Row]


def trained(seed: int) -> Log:
    """A run in order."""
    rng = np.random.default_rng([seed, 12])
    classes, adam = rng.random() < 0.5, rng.random() < 0.5
    rate = 10 ** (
        rng.uniform(-3, -1.8)
        if adam
        else rng.uniform(-2, -1)
        if classes
        else rng.uniform(-2.3, -1.3)
    )
    momentum = 0.9 * (not adam and rng.random() < 0.5)
    rate *= 0.2 if momentum else 1.0
    shapes = (
        constant(rate),
        cosine(rate, STEPS, 60),
        cosine(rate, STEPS),
        restarts(rate, 300),
        cosine(rate, STEPS, 300),
    )
    if classes:
        k = int(rng.integers(2, 9))
        data, net = blobs(seed, k=k, spread=rng.uniform(0.3, 2)), Net((8, 16, k), "classes", seed)
    else:
        data, net = curve(seed, noise=rng.uniform(0.05, 1)), Net((4, 32, 1), "squares", seed)
    batch, every = 2 ** int(rng.integers(1, 8)), int(rng.choice((20, 50, 100, 200)))
    optimizer = Adam if adam else lambda: Sgd(momentum)
    return train(
        net,
        data,
        Loop(shapes[rng.integers(5)], STEPS, optimizer, batch, eval_every=every, seed=seed),
    )


def thinned(log: Log, every: int) -> Log:
    """Each so-and-so-many-th row, and every evaluation."""
    kept = []
    for place, row in enumerate(log, start=1):
        if place % every == 0:
            kept.append(row)
        elif "val_loss" in row:
            kept.append({"step": row["step"], "val_loss": row["val_loss"]})
    return kept


def means(log: Log, width: int) -> Log:
    """The loss as the mean of so many steps up to a row."""
    losses = np.convolve([row["loss"] for row in log], np.full(width, 1 / width), "valid")
    return [row | {"loss": float(loss)} for row, loss in zip(log[width - 1 :], losses, strict=True)]


def decaying(log: Log, kept: float = 0.95) -> Log:
    """The loss as an exponential moving average."""
    mean, smooth = log[0]["loss"], []
    for row in log:
        mean = kept * mean + (1 - kept) * row["loss"]
        smooth.append(row | {"loss": mean})
    return smooth


def rounded(log: Log) -> Log:
    return [
        {name: v if name in ("step", "lr") else round(v, 4) for name, v in row.items()}
        for row in log
    ]


def scaled(log: Log, by: float) -> Log:
    return [
        {name: v if name in ("step", "lr") else by * v for name, v in row.items()} for row in log
    ]


def versions(log: Log, rng: Rng) -> Iterator[tuple[str, Log]]:
    """Name and log of each way of writing it down."""
    yield "as it is", log
    yield "every 10th row", thinned(log, 10)
    yield "every 50th row", thinned(log, 50)
    yield "means of 10", thinned(means(log, 10), 10)
    yield "means of 20", thinned(means(log, 20), 20)
    yield "running means of 10", means(log, 10)
    yield "decaying means", decaying(log)
    yield "decaying means, every 10th", thinned(decaying(log), 10)
    yield "cut", log[: int(rng.uniform(0.2, 1) * len(log))]
    yield "cut, every 10th row", thinned(log[: int(rng.uniform(0.2, 1) * len(log))], 10)
    yield "begun late", log[int(rng.uniform(0, 0.6) * len(log)) :]
    yield (
        "begun late, every 10th row",
        rounded(thinned(log[int(rng.uniform(0, 0.6) * len(log)) :], 10)),
    )
    yield "rounded", rounded(log)
    yield "in millions", scaled(log, 1e6)
    yield "in millionths", scaled(log, 1e-6)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seeds", nargs="*", type=int, default=[500, 599])
    first, last = parser.parse_args().seeds
    counts: dict[str, Counter[str]] = {}
    for seed in range(first, last + 1):
        for name, log in versions(trained(seed), np.random.default_rng(seed)):
            diagnosis = diagnose(record_of(log))
            counts.setdefault(name, Counter())
            counts[name][diagnosis.verdict] += 1
            counts[name]["alarm"] += diagnosis.alarm
            if diagnosis.alarm:
                print(f"seed {seed}, {name}: {diagnosis.headline}", flush=True)
    print(f"\n{'of ' + str(last - first + 1) + ' runs each':<28}healthy  cannot judge  alarms")
    for name, count in counts.items():
        print(f"{name:<28}{count['healthy']:>7}{count['undetermined']:>14}{count['alarm']:>8}")


if __name__ == "__main__":
    main()
