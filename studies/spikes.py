"""How often a spike is seen that is none, and how often one that is: the error rates of the
detector loss-spike.

    python studies/spikes.py           the seeds it is judged on, 50-99
    python studies/spikes.py choosing  those that its limits were chosen on, 0-49

Innocent runs are small networks trained in every way that the seed draws, in order throughout, and
invented noise of many kinds around a falling level, up to a million points. Wild ones are the same
networks with one update at 3 to 300 times its rate. A spike `stands out` if two points in a row are
over twice as high as any of the hundred before."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

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
STEPS, WILD_AT = 1200, 700
FACTORS = (3, 10, 30, 100, 300)
EVERY = (1, 10, 50)
RUNS = 2
"""Innocent trainings a seed."""


def trained(seed: int, factor: float = 1.0) -> tuple[Column, Column]:
    """Losses and rates of a run as the seed draws it, with one update at so many times its rate."""
    rng = np.random.default_rng([seed, 11])
    classes, adam = rng.random() < 0.5, rng.random() < 0.5
    rate = 10 ** (
        rng.uniform(-3, -1.8)
        if adam
        else rng.uniform(-2, -1)
        if classes
        else rng.uniform(-2.3, -1.3)
    )
    shape: Schedule = (
        constant(rate),
        cosine(rate, STEPS, 60),
        cosine(rate, STEPS),
        restarts(rate, 300),
    )[rng.integers(4 if factor == 1 else 3)]
    momentum, batch = 0.9 * (rng.random() < 0.5), 2 ** int(rng.integers(1, 8))
    if momentum and not adam:
        shape = _scaled(shape, 0.2)
    if classes:
        k = int(rng.integers(2, 9))
        data, net = blobs(seed, k=k, spread=rng.uniform(0.3, 2)), Net((8, 16, k), "classes", seed)
    else:
        data, net = curve(seed, noise=rng.uniform(0.05, 1)), Net((4, 32, 1), "squares", seed)
    loop = Loop(
        _wild(shape, factor), STEPS, Adam if adam else lambda: Sgd(momentum), batch, seed=seed
    )
    rows = train(net, data, loop)
    return np.array([row["loss"] for row in rows]), np.array([row["lr"] for row in rows])


def _scaled(shape: Schedule, by: float) -> Schedule:
    return lambda step: by * shape(step)


def _wild(shape: Schedule, factor: float) -> Schedule:
    return lambda step: shape(step) * (factor if step == WILD_AT else 1)


def _mixed(rng: Rng, n: int) -> Column:
    """Gaussian but for one point in a hundred, ten times as wide."""
    wide: Column = rng.standard_normal(n) * np.where(rng.random(n) < 0.01, 10, 1)
    return wide


def _smooth(draw: Callable[[Rng, int], Column], width: int) -> Callable[[Rng, int], Column]:
    return lambda rng, n: np.convolve(
        draw(rng, n + width - 1), np.full(width, width**-0.5), mode="valid"
    )


def _exponential(rng: Rng, n: int) -> Column:
    return rng.exponential(size=n) - 1


NOISES: dict[str, Callable[[Rng, int], Column]] = {
    "Gaussian": lambda rng, n: rng.standard_normal(n),
    "Laplace": lambda rng, n: rng.laplace(size=n) / 2**0.5,
    "exponential": _exponential,
    "lognormal": lambda rng, n: (rng.lognormal(size=n) - 1.65) / 2.16,
    "t of 3": lambda rng, n: rng.standard_t(3, n) / 3**0.5,
    "t of 3, squared": lambda rng, n: rng.standard_t(3, n) ** 2 / 3 - 1,
    "outliers": _mixed,
    "running mean of 10": _smooth(lambda rng, n: rng.standard_normal(n), 10),
    "running mean of 10 exponentials": _smooth(_exponential, 10),
    "running mean of 10, outliers": _smooth(_mixed, 10),
}
LENGTHS = (30, 100, 1000, 10_000, 100_000)


def invented(kind: str, length: int, seed: int) -> Column:
    """Such noise around a level that falls by 0.1 to 30 of its deviations, growing or shrinking on
    the way."""
    rng = np.random.default_rng([seed, length, list(NOISES).index(kind)])
    fall, ends = 10 ** rng.uniform(-1, 1.5), 10 ** rng.uniform(-0.7, 0.7)
    time = np.arange(length) / length
    level = fall * np.exp(-time * 10 ** rng.uniform(0, 2))
    losses: Column = 10 ** rng.uniform(-6, 6) * (level + 3 + ends**time * NOISES[kind](rng, length))
    return np.array([float(f"{v:.4g}") for v in losses]) if seed % 2 and length <= 1000 else losses


def seen(losses: Column, rates: Column | None = None) -> list[int]:
    """Onsets of the spikes that are found."""
    signals = {"loss": losses} if rates is None else {"loss": losses, "lr": rates}
    tables = {name: Table(("",), values[:, None]) for name, values in signals.items()}
    try:
        found = DETECTOR.judge(Evidence(Record({}, np.arange(len(losses)), tables)))
    except CannotJudgeError:
        return []
    return [finding.step if finding.onset is None else finding.onset for finding in found]


def stands_out(losses: Column) -> bool:
    """Two points in a row over twice as high as any of the hundred before, right after the wild
    update."""
    after = losses[WILD_AT + 1 : WILD_AT + 4]
    return bool(
        np.minimum(after[:-1], after[1:]).max() > 2 * losses[WILD_AT - 99 : WILD_AT + 1].max()
    )


def report(seeds: range) -> Iterator[str]:
    false: Counter[int] = Counter()
    for seed in (RUNS * s + i for s in seeds for i in range(RUNS)):
        losses, rates = trained(seed)
        for every in EVERY:
            thin = slice(every - 1, None, every)
            false[every] += bool(seen(losses[thin]) or seen(losses[thin], rates[thin]))
    yield "trainings in order, with a false alarm: " + ", ".join(
        f"{false[e]} of {RUNS * len(seeds)} at every {e}" for e in EVERY
    )
    for kind in NOISES:
        counts = [sum(bool(seen(invented(kind, n, seed))) for seed in seeds) for n in LENGTHS]
        yield f"{kind:<32}" + ", ".join(
            f"{c} of {len(seeds)} at {n:,}" for c, n in zip(counts, LENGTHS, strict=True)
        )
    kinds = ("Gaussian", "exponential", "t of 3, squared")
    few = seeds[:5]
    counts = [sum(bool(seen(invented(kind, 1_000_000, seed))) for seed in few) for kind in kinds]
    yield "a million points: " + ", ".join(
        f"{kind} {c} of {len(few)}" for kind, c in zip(kinds, counts, strict=True)
    )
    for factor in FACTORS:
        hit: Counter[tuple[bool, int]] = Counter()
        clear = early = 0
        for seed in seeds:
            losses, _ = trained(seed, factor)
            if not np.isfinite(losses).all():
                continue
            plain = stands_out(losses)
            clear += plain
            for every in EVERY[:2]:
                onsets = [every * (at + 1) - 1 for at in seen(losses[every - 1 :: every])]
                hit[plain, every] += any(WILD_AT < at <= WILD_AT + 3 * every for at in onsets)
                early += any(at <= WILD_AT for at in onsets)
            hit[plain, 0] += 1
        yield (
            f"one update at {factor:>3} times its rate: "
            + ", ".join(
                f"{word} {hit[plain, 1]} found of {hit[plain, 0]} ({hit[plain, 10]} at every 10th point)"
                for plain, word in ((True, "stands out:"), (False, "does not:"))
            )
            + f", elsewhere {early}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seeds", nargs="?", choices=("choosing", "judging"), default="judging")
    for line in report(range(50) if parser.parse_args().seeds == "choosing" else range(50, 100)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
