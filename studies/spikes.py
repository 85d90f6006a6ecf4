"""The error rates of the detector loss-spike: false alarms at runs without a spike, and spikes that
are found.

    python -m studies.spikes           the seeds that judge, 50-99
    python -m studies.spikes choosing  the seeds on which the limits were chosen, 0-49

Runs without a spike are small networks that each seed trains in its own way, and synthetic noise of
many kinds around a falling level, up to a million points. Runs with a spike are the same networks
with one update at 3 to 300 times its learning rate. A spike stands out if two points in a row are
more than twice as high as any of the hundred points before."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from probes.diagnosis.detectors.loss_spike import DETECTOR
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Record, Table
from testing.small_net import (
    Adam,
    Loop,
    Net,
    Schedule,
    Sgd,
    blobs,
    constant,
    cosine,
    curve,
    restarts,
    train,
)

Column = npt.NDArray[np.float64]
Rng = np.random.Generator
Noise = Callable[[Rng, int], Column]
RUN_STEPS, SPIKE_AT = 1200, 700
RATE_FACTORS = (3, 10, 30, 100, 300)
CADENCES = (1, 10, 50)
"""Points of the loss that a log holds: every one, every tenth, every fiftieth."""
RUNS_PER_SEED = 2
LONGEST_NOISE = 1_000_000


def train_drawn(seed: int, factor: float = 1.0) -> tuple[Column, Column]:
    """Train a network that the seed draws, with one update at `factor` times its learning rate;
    return losses and learning rates."""
    rng = np.random.default_rng([seed, 11])
    classes, adam = rng.random() < 0.5, rng.random() < 0.5
    low, high = (-3, -1.8) if adam else (-2, -1) if classes else (-2.3, -1.3)
    rate = 10 ** rng.uniform(low, high)
    schedules: tuple[Schedule, ...] = (
        constant(rate),
        cosine(rate, RUN_STEPS, 60),
        cosine(rate, RUN_STEPS),
        restarts(rate, 300),
    )
    schedule = schedules[rng.integers(4 if factor == 1 else 3)]
    momentum, batch = 0.9 * (rng.random() < 0.5), 2 ** int(rng.integers(1, 8))
    scale = 0.2 if momentum and not adam else 1.0
    if classes:
        k = int(rng.integers(2, 9))
        data, net = blobs(seed, k=k, spread=rng.uniform(0.3, 2)), Net((8, 16, k), "classes", seed)
    else:
        data, net = curve(seed, noise=rng.uniform(0.05, 1)), Net((4, 32, 1), "squares", seed)

    def spiked(step: int) -> float:
        return scale * schedule(step) * (factor if step == SPIKE_AT else 1)

    optimizer = Adam if adam else lambda: Sgd(momentum)
    rows = train(net, data, Loop(spiked, RUN_STEPS, optimizer, batch, seed=seed))
    return np.array([row["loss"] for row in rows]), np.array([row["lr"] for row in rows])


# Synthetic noise


def _gaussian(rng: Rng, n: int) -> Column:
    return rng.standard_normal(n)


def _gaussian_with_outliers(rng: Rng, n: int) -> Column:
    """One point in a hundred is ten times as wide."""
    wide: Column = rng.standard_normal(n) * np.where(rng.random(n) < 0.01, 10, 1)
    return wide


def _exponential(rng: Rng, n: int) -> Column:
    return rng.exponential(size=n) - 1


def _running_mean(noise: Noise, width: int = 10) -> Noise:
    """Mean of `width` values, scaled to the variance of one."""
    kernel = np.full(width, width**-0.5)
    return lambda rng, n: np.convolve(noise(rng, n + width - 1), kernel, mode="valid")


NOISES: dict[str, Noise] = {
    "Gaussian": _gaussian,
    "Laplace": lambda rng, n: rng.laplace(size=n) / 2**0.5,
    "exponential": _exponential,
    "lognormal": lambda rng, n: (rng.lognormal(size=n) - 1.65) / 2.16,
    "t of 3": lambda rng, n: rng.standard_t(3, n) / 3**0.5,
    "t of 3, squared": lambda rng, n: rng.standard_t(3, n) ** 2 / 3 - 1,
    "outliers": _gaussian_with_outliers,
    "running mean of 10": _running_mean(_gaussian),
    "running mean of 10 exponentials": _running_mean(_exponential),
    "running mean of 10, outliers": _running_mean(_gaussian_with_outliers),
}
NOISE_LENGTHS = (30, 100, 1000, 10_000, 100_000)


def synthetic(kind: str, length: int, seed: int) -> Column:
    """Noise around a level that falls by 0.1 to 30 of its standard deviations. The noise grows or
    shrinks on the way, and losses of odd seeds are rounded to four digits."""
    rng = np.random.default_rng([seed, length, list(NOISES).index(kind)])
    fall, growth = 10 ** rng.uniform(-1, 1.5), 10 ** rng.uniform(-0.7, 0.7)
    time = np.arange(length) / length
    level = fall * np.exp(-time * 10 ** rng.uniform(0, 2))
    unit = 10 ** rng.uniform(-6, 6)
    losses: Column = unit * (level + 3 + growth**time * NOISES[kind](rng, length))
    if seed % 2 and length <= 1000:
        return np.array([float(f"{v:.4g}") for v in losses])
    return losses


# What the detector says


def spike_onsets(losses: Column, rates: Column | None = None) -> list[int]:
    """The onsets of the spikes that the detector finds."""
    signals = {"loss": losses} if rates is None else {"loss": losses, "lr": rates}
    tables = {name: Table(("",), values[:, None]) for name, values in signals.items()}
    try:
        found = DETECTOR.judge(Evidence(Record({}, np.arange(len(losses)), tables)))
    except CannotJudgeError:
        return []
    return [finding.step if finding.onset is None else finding.onset for finding in found]


def stands_out(losses: Column) -> bool:
    """Whether two points in a row, right after the large update, are more than twice as high as any
    of the hundred before."""
    after = losses[SPIKE_AT + 1 : SPIKE_AT + 4]
    before = losses[SPIKE_AT - 99 : SPIKE_AT + 1]
    return bool(np.minimum(after[:-1], after[1:]).max() > 2 * before.max())


def report(seeds: range) -> Iterator[str]:
    yield from _false_alarms_at_trainings(seeds)
    yield from _false_alarms_at_noise(seeds)
    for factor in RATE_FACTORS:
        yield _spikes_found(seeds, factor)


def _false_alarms_at_trainings(seeds: range) -> Iterator[str]:
    alarms: Counter[int] = Counter()
    for seed in (RUNS_PER_SEED * s + i for s in seeds for i in range(RUNS_PER_SEED)):
        losses, rates = train_drawn(seed)
        for every in CADENCES:
            kept = slice(every - 1, None, every)
            alarms[every] += bool(
                spike_onsets(losses[kept]) or spike_onsets(losses[kept], rates[kept])
            )
    runs = RUNS_PER_SEED * len(seeds)
    yield "healthy trainings with a false alarm: " + ", ".join(
        f"{alarms[every]} of {runs} at every {every}" for every in CADENCES
    )


def _false_alarms_at_noise(seeds: range) -> Iterator[str]:
    def alarms(kind: str, length: int, seeds: range) -> str:
        count = sum(bool(spike_onsets(synthetic(kind, length, seed))) for seed in seeds)
        return f"{count} of {len(seeds)}"

    for kind in NOISES:
        counts = (f"{alarms(kind, length, seeds)} at {length:,}" for length in NOISE_LENGTHS)
        yield f"{kind:<32}" + ", ".join(counts)
    kinds = ("Gaussian", "exponential", "t of 3, squared")
    yield f"at {LONGEST_NOISE:,} points: " + ", ".join(
        f"{kind} {alarms(kind, LONGEST_NOISE, seeds[:5])}" for kind in kinds
    )


def _spikes_found(seeds: range, factor: int) -> str:
    """How many spikes are found, separately for those that stand out and those that do not, and how
    many runs have a finding before the spike."""
    found: Counter[tuple[bool, int]] = Counter()
    runs: Counter[bool] = Counter()
    elsewhere = 0
    for seed in seeds:
        losses, _ = train_drawn(seed, factor)
        if not np.isfinite(losses).all():
            continue
        clear = stands_out(losses)
        runs[clear] += 1
        for every in CADENCES[:2]:
            onsets = [every * (at + 1) - 1 for at in spike_onsets(losses[every - 1 :: every])]
            found[clear, every] += any(SPIKE_AT < at <= SPIKE_AT + 3 * every for at in onsets)
            elsewhere += any(at <= SPIKE_AT for at in onsets)
    counts = ", ".join(
        f"{label} {found[clear, 1]} found of {runs[clear]} ({found[clear, 10]} at every 10th point)"
        for clear, label in ((True, "stands out:"), (False, "does not:"))
    )
    return f"one update at {factor:>3} times its rate: {counts}, elsewhere {elsewhere}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seeds", nargs="?", choices=("choosing", "judging"), default="judging")
    chosen = parser.parse_args().seeds
    for line in report(range(50) if chosen == "choosing" else range(50, 100)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
