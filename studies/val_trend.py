"""Curves of validation losses whose minimum is known, and how well it is found: the figures in
docs/why.md.

python studies/val_trend.py    print both tables: turns found within a twentieth of the run, level
                               curves called risen
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import numpy.typing as npt

from probes.diagnosis.curves import WINDOW, centred_mean
from probes.diagnosis.detectors.overfitting import RISE, counts
from probes.diagnosis.val_trend import trend_of

Curve = npt.NDArray[np.float64]
Family = Callable[[float], Curve]

RUN = 1920
STEPS = np.arange(2, RUN, 3)
"""Of a run of 16 times HEALTHY: an evaluation every third step."""
TIME = STEPS + 1.0
END = 0.10
"""Rise of a curve's end over its minimum: those of 24 times HEALTHY rise by 8 to 20 %
(`studies/overfit.py`)."""
SIGMA = np.interp(TIME, [0, RUN / 2, RUN], [0.045, 0.033, 0.012])
"""Relative standard deviation of an evaluation around its trend, which falls with the learning
rate: at peak rates a little above what `studies/overfit.py` prints, whose mean of neighbours
follows part of the noise."""
CORRELATION = 0.62
"""Between the noise of neighbouring evaluations: the upper end of what `studies/overfit.py`
prints."""
DRAWS = 100
LEVEL_CURVES = 60
"""Of each length in LENGTHS, with the noise of peak learning rates throughout."""
LENGTHS = (60, 200, 640)
LEVEL_SIGMA = 0.04
PART = 3
"""The design that was not taken compares the last third of the evaluations with the lowest stretch
of that length."""


def log_and_line(turn: float) -> Curve:
    return _scaled(np.log(turn / TIME) + TIME / turn)


def parabola_in_log_time(turn: float) -> Curve:
    return _scaled(np.log(TIME / turn) ** 2)


def decay_and_line(turn: float) -> Curve:
    tau = turn / 4
    return _scaled(np.exp(-TIME / tau) + TIME * np.exp(-turn / tau) / tau)


FAMILIES: tuple[Family, ...] = (log_and_line, parabola_in_log_time, decay_and_line)


def _scaled(shape: Curve) -> Curve:
    """1 at its lowest and 1 + END at its end; the first fall is cut off at twice the minimum."""
    shape = shape - shape.min()
    curve: Curve = np.minimum(1 + END * shape / shape[-1], 2.0)
    return curve


def noise(rng: np.random.Generator, length: int = len(STEPS)) -> Curve:
    """Unit variance, neighbours correlated by CORRELATION."""
    fresh = rng.standard_normal(length)
    values = np.empty(length)
    values[0] = fresh[0]
    for i in range(1, length):
        values[i] = CORRELATION * values[i - 1] + np.sqrt(1 - CORRELATION**2) * fresh[i]
    return values


def level(rng: np.random.Generator, length: int) -> Curve:
    """A curve that falls and stays, and only wanders."""
    return (1 + 2 / np.arange(1, length + 1)) * (1 + LEVEL_SIGMA * noise(rng, length))


def errors_seen(losses: Curve) -> float:
    """The most standard errors that a rise of RISE ever counted while the curve grew, asked as the
    detector asks."""
    steps = 3 * np.arange(1, len(losses) + 1) - 1
    trends = (trend_of(steps[:count], losses[:count]) for count in counts(len(losses)))
    return max((trend.errors for trend in trends if trend and trend.rise > RISE), default=0.0)


def thirds_rise(losses: Curve) -> bool:
    """Whether, at any time, the mean of the last third stood RISE above the lowest third."""
    for count in counts(len(losses)):
        means = centred_mean(losses[:count], count // PART // 2 * 2 + 1)
        if means[-1] > RISE * means.min():
            return True
    return False


def found_turns() -> None:
    print(
        "within a twentieth of the run, of 100 draws: turn of the trend, minimum of the smoothed curve"
    )
    for family in FAMILIES:
        for turn in (400, 640, 800, 960):
            rng, curve = np.random.default_rng(0), family(turn)
            hits = np.zeros(2, dtype=int)
            for _ in range(DRAWS):
                losses = curve * (1 + SIGMA * noise(rng))
                trend, lowest = (
                    trend_of(STEPS, losses),
                    STEPS[WINDOW // 2 + centred_mean(losses).argmin()],
                )
                assert trend is not None
                hits += np.abs(np.array([trend.turn, lowest]) + 1 - turn) <= 0.05 * RUN
            print(
                f"{family.__name__:22} minimum at {turn / RUN:.0%} of the run: {hits[0]:3} {hits[1]:3}"
            )


def called_risen() -> None:
    rng = np.random.default_rng(3)
    curves = [level(rng, length) for length in LENGTHS for _ in range(LEVEL_CURVES)]
    errors = np.array([errors_seen(losses) for losses in curves])
    print(f"\nof {len(curves)} level curves, called risen at a limit of n standard errors")
    print(", ".join(f"{limit}: {np.sum(errors > limit)}" for limit in (3, 4, 5, 6, 7)))
    print(f"by thirds of the run: {sum(map(thirds_rise, curves))}")


if __name__ == "__main__":
    found_turns()
    called_risen()
