"""How well the minimum of a noisy validation loss is found, on synthetic curves whose minimum is
known: the figures in docs/why.md.

python -m studies.val_trend    print both tables: minima found within 5 % of the run, and level
                               curves that are called risen
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from probes.diagnosis.curves import SMOOTHING_WINDOW, centred_mean
from probes.diagnosis.detectors.overfitting import MIN_TREND_RISE, fit_counts
from probes.diagnosis.val_trend import trend_of

Curve = npt.NDArray[np.float64]
Family = Callable[[float], Curve]
"""Makes a curve whose minimum is at the given step."""

RUN = 1920
EVALUATED_STEPS = np.arange(2, RUN, 3)
"""A run of 16 times HEALTHY's length, evaluated every third step."""
TIME = EVALUATED_STEPS + 1.0
FINAL_RISE = 0.10
"""How far a curve ends above its minimum. Runs of 24 times HEALTHY end 8 to 20 % above it
(`studies.overfit`)."""
SIGMA = np.interp(TIME, [0, RUN / 2, RUN], [0.045, 0.033, 0.012])
"""Relative standard deviation of an evaluation around its trend, which falls with the learning
rate. At peak rates it is a little above what `studies.overfit` prints, because the centred mean
that is subtracted there follows part of the noise."""
CORRELATION = 0.62
"""Correlation of the noise of neighbouring evaluations: the highest that `studies.overfit`
prints."""
DRAWS = 100
LEVEL_CURVES = 60
"""Number of flat curves of each length in CURVE_LENGTHS."""
CURVE_LENGTHS = (60, 200, 640)
LEVEL_SIGMA = 0.04
"""Level curves have the noise of peak learning rates throughout."""
PARTS = 3
"""The design that was rejected compares the last third of the evaluations with the lowest stretch
of that length."""


def log_and_line(minimum: float) -> Curve:
    return _scaled(np.log(minimum / TIME) + TIME / minimum)


def parabola_in_log_time(minimum: float) -> Curve:
    return _scaled(np.log(TIME / minimum) ** 2)


def decay_and_line(minimum: float) -> Curve:
    tau = minimum / 4
    return _scaled(np.exp(-TIME / tau) + TIME * np.exp(-minimum / tau) / tau)


FAMILIES: tuple[Family, ...] = (log_and_line, parabola_in_log_time, decay_and_line)


def _scaled(shape: Curve) -> Curve:
    """Scale a shape to 1 at its minimum and 1 + FINAL_RISE at its end. The first steep fall is
    limited to twice the minimum."""
    shape = shape - shape.min()
    curve: Curve = np.minimum(1 + FINAL_RISE * shape / shape[-1], 2.0)
    return curve


def noise(rng: np.random.Generator, length: int = len(EVALUATED_STEPS)) -> Curve:
    """Noise of unit variance, whose neighbours are correlated by CORRELATION."""
    fresh = rng.standard_normal(length)
    values = np.empty(length)
    values[0] = fresh[0]
    for i in range(1, length):
        values[i] = CORRELATION * values[i - 1] + np.sqrt(1 - CORRELATION**2) * fresh[i]
    return values


def level(rng: np.random.Generator, length: int) -> Curve:
    """A noisy curve that falls to a level and stays there."""
    return (1 + 2 / np.arange(1, length + 1)) * (1 + LEVEL_SIGMA * noise(rng, length))


def largest_error_count(losses: Curve) -> float:
    """The highest number of standard errors of a rise above MIN_TREND_RISE while the curve grew, at
    the lengths at which the detector judges."""
    steps = 3 * np.arange(1, len(losses) + 1) - 1
    trends = (trend_of(steps[:count], losses[:count]) for count in fit_counts(len(losses)))
    return max(
        (trend.rise_errors for trend in trends if trend and trend.rise > MIN_TREND_RISE),
        default=0.0,
    )


def rises_by_thirds(losses: Curve) -> bool:
    """Whether the mean of the last third was ever MIN_TREND_RISE above that of the lowest third."""
    for count in fit_counts(len(losses)):
        means = centred_mean(losses[:count], count // PARTS // 2 * 2 + 1)
        if means[-1] > MIN_TREND_RISE * means.min():
            return True
    return False


def print_found_minima() -> None:
    print(
        f"minima found within 5 % of the run, of {DRAWS} draws: by the trend, by the smoothed curve"
    )
    for family in FAMILIES:
        for minimum in (400, 640, 800, 960):
            rng, curve = np.random.default_rng(0), family(minimum)
            hits = np.zeros(2, dtype=int)
            for _ in range(DRAWS):
                losses = curve * (1 + SIGMA * noise(rng))
                trend = trend_of(EVALUATED_STEPS, losses)
                lowest = EVALUATED_STEPS[SMOOTHING_WINDOW // 2 + centred_mean(losses).argmin()]
                assert trend is not None
                hits += np.abs(np.array([trend.turn, lowest]) + 1 - minimum) <= 0.05 * RUN
            place = f"minimum at {minimum / RUN:.0%} of the run"
            print(f"{family.__name__:22} {place}: {hits[0]:3} {hits[1]:3}")


def print_level_curves_called_risen() -> None:
    rng = np.random.default_rng(3)
    curves = [level(rng, length) for length in CURVE_LENGTHS for _ in range(LEVEL_CURVES)]
    errors = np.array([largest_error_count(losses) for losses in curves])
    print(f"\nof {len(curves)} flat curves, called risen at a limit of n standard errors")
    print(", ".join(f"{limit}: {np.sum(errors > limit)}" for limit in (3, 4, 5, 6, 7)))
    print(f"by thirds of the run: {sum(map(rises_by_thirds, curves))}")


if __name__ == "__main__":
    print_found_minima()
    print_level_curves_called_risen()
