"""How often a healthy training raises an alarm, in whatever way its log was written: thinned,
smoothed, cut, rounded.

    python -m studies.alarms [FIRST LAST]   seeds 500-599 unless given

Each seed draws a small network and its training (task, batch size, optimizer, learning rate,
schedule, evaluations). The log, with the four signals that most logs have, is rewritten in several
ways. Every alarm is printed, then the verdicts per way of writing."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator

import numpy as np

from probes.diagnosis.diagnose import diagnose
from studies.spikes import RUN_STEPS, Rng
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


def train_drawn(seed: int) -> Log:
    """Train a network that the seed draws; nothing is wrong with it."""
    rng = np.random.default_rng([seed, 12])
    classes, adam = rng.random() < 0.5, rng.random() < 0.5
    low, high = (-3, -1.8) if adam else (-2, -1) if classes else (-2.3, -1.3)
    rate = 10 ** rng.uniform(low, high)
    momentum = 0.9 * (not adam and rng.random() < 0.5)
    rate *= 0.2 if momentum else 1.0
    schedules = (
        constant(rate),
        cosine(rate, RUN_STEPS, 60),
        cosine(rate, RUN_STEPS),
        restarts(rate, 300),
        cosine(rate, RUN_STEPS, 300),
    )
    if classes:
        k = int(rng.integers(2, 9))
        data, net = blobs(seed, k=k, spread=rng.uniform(0.3, 2)), Net((8, 16, k), "classes", seed)
    else:
        data, net = curve(seed, noise=rng.uniform(0.05, 1)), Net((4, 32, 1), "squares", seed)
    batch, every = 2 ** int(rng.integers(1, 8)), int(rng.choice((20, 50, 100, 200)))
    optimizer = Adam if adam else lambda: Sgd(momentum)
    schedule = schedules[rng.integers(5)]
    return train(
        net, data, Loop(schedule, RUN_STEPS, optimizer, batch, eval_every=every, seed=seed)
    )


def thinned(log: Log, every: int) -> Log:
    """Every n-th row, and every evaluation."""
    kept = []
    for place, row in enumerate(log, start=1):
        if place % every == 0:
            kept.append(row)
        elif "val_loss" in row:
            kept.append({"step": row["step"], "val_loss": row["val_loss"]})
    return kept


def running_mean(log: Log, width: int) -> Log:
    """The loss is the mean of the last `width` steps."""
    losses = np.convolve([row["loss"] for row in log], np.full(width, 1 / width), "valid")
    return [row | {"loss": float(loss)} for row, loss in zip(log[width - 1 :], losses, strict=True)]


def moving_average(log: Log, kept: float = 0.95) -> Log:
    """The loss is an exponential moving average."""
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


def scaled(log: Log, factor: float) -> Log:
    return [
        {name: v if name in ("step", "lr") else factor * v for name, v in row.items()}
        for row in log
    ]


def versions(log: Log, rng: Rng) -> Iterator[tuple[str, Log]]:
    """Yield a description and the log for each way of writing it."""

    def cut() -> Log:
        return log[: int(rng.uniform(0.2, 1) * len(log))]

    def begun_late() -> Log:
        return log[int(rng.uniform(0, 0.6) * len(log)) :]

    yield "as it is", log
    yield "every 10th row", thinned(log, 10)
    yield "every 50th row", thinned(log, 50)
    yield "means of 10", thinned(running_mean(log, 10), 10)
    yield "means of 20", thinned(running_mean(log, 20), 20)
    yield "running means of 10", running_mean(log, 10)
    yield "moving average", moving_average(log)
    yield "moving average, every 10th", thinned(moving_average(log), 10)
    yield "cut", cut()
    yield "cut, every 10th row", thinned(cut(), 10)
    yield "begun late", begun_late()
    yield "begun late, every 10th row", rounded(thinned(begun_late(), 10))
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
        for name, log in versions(train_drawn(seed), np.random.default_rng(seed)):
            diagnosis = diagnose(record_of(log))
            counts.setdefault(name, Counter())
            counts[name][diagnosis.verdict] += 1
            counts[name]["alarm"] += diagnosis.alarm
            if diagnosis.alarm:
                print(f"seed {seed}, {name}: {diagnosis.headline}", flush=True)
    runs = f"of {last - first + 1} runs each"
    print(f"\n{runs:<28}{'healthy':>7}{'cannot judge':>14}{'alarms':>8}")
    for name, count in counts.items():
        print(f"{name:<28}{count['healthy']:>7}{count['undetermined']:>14}{count['alarm']:>8}")


if __name__ == "__main__":
    main()
