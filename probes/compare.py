"""Compares a run with an earlier one, the baseline: its final loss, its learning speed and the
levels of its signals.

Both runs are reduced to medians on one grid of steps, so they may differ in length and in how often
they logged. A signal that only one of them has is listed as not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import exp, inf, log

import numpy as np

from probes.common.text import printable
from probes.record import Column, Record, Steps

DEFAULT_TOLERANCE = 0.5
"""The default tolerance, relative. Of the values tried, it is the smallest that no two runs of the
same config with different seeds exceeded (`studies/compare.py`, seeds 0-9)."""
LOSS_SIGNALS = ("loss", "train_loss", "val_loss")
HEALTH_SIGNALS = ("grad_norm", "activation", "update_weight_ratio", "dead_fraction")
"""Signals whose level over the whole run is compared."""
MAX_GRID_CELLS = 50
"""The grid has at most this many cells. They are narrow enough to tell at which step a run becomes
worse, and wide enough to remove the noise of single batches."""
MIN_POINTS = 5
"""A signal is compared only if both runs have at least this many points, and as many grid cells in
which both are finite."""
FALL_FRACTIONS = (0.5, 0.75)
"""Fractions of the baseline's fall in loss. For each, the steps at which the two runs have reached
it are compared."""
TAIL_FRACTION = 0.1
"""The final loss is the mean over the last cells of the grid. This is their fraction of all
cells."""
MIN_TAIL_CELLS = 3
"""The final loss is the mean of at least this many cells."""
RELATIVE_FLOOR = 1e-12
"""Smallest level that is compared, as a fraction of the final loss or of the highest level of a
signal. Lower levels are raised to it, so that a level of 0 can be a divisor and has a logarithm."""


@dataclass(frozen=True)
class Difference:
    """One quantity in which the run is worse than the baseline.

    signal    name of the signal, followed by " at " and the site if it has one
    what      the quantity that was compared, such as "level at the end"
    step      the step from which the run is worse; None if there is no such step
    observed  the quantity in the run; infinity for a step that it never reached
    baseline  the same quantity in the baseline
    ratio     the factor by which the run is worse, above 1
    """

    signal: str
    what: str
    step: int | None
    observed: float
    baseline: float
    ratio: float

    def __str__(self) -> str:
        factor = (
            "infinitely worse" if self.ratio == inf else f"worse by a factor of {self.ratio:.3g}"
        )
        start = "" if self.step is None else f", starting at step {self.step}"
        values = f"{_format_value(self.observed)}, baseline {_format_value(self.baseline)}"
        return f"{printable(self.signal)}: {self.what} {values}, {factor}{start}"


def _format_value(value: float) -> str:
    """The value as text: "never" for infinity, which stands for a step that was not reached."""
    return "never" if value == inf else f"{value:.4g}"


@dataclass(frozen=True)
class Regression:
    """The result of comparing a run with a baseline. It is true if the run is worse.

    differences   quantities in which the run is worse by more than the tolerance, the worst first
    compared      names of the compared signals, with their sites
    not_compared  signal, with its site -> the reason why it was not compared
    tolerance     the relative tolerance that was applied
    """

    differences: tuple[Difference, ...]
    compared: tuple[str, ...]
    not_compared: Mapping[str, str]
    tolerance: float

    def __bool__(self) -> bool:
        return bool(self.differences)

    def __repr__(self) -> str:
        """One line. pytest shows it when `assert not regressed(...)` fails."""
        if not self.differences:
            return f"<no regression in {len(self.compared)} signals>"
        more = f"; and {len(self.differences) - 1} more" if len(self.differences) > 1 else ""
        return f"<{self.differences[0]}{more}>"

    def __str__(self) -> str:
        verdict = (
            f"worse than the baseline by more than {self.tolerance:.0%}"
            if self
            else "no regression"
        )
        return "\n".join(
            [
                verdict,
                *(f"  {difference}" for difference in self.differences),
                f"compared: {', '.join(map(printable, self.compared))}",
                *(
                    f"not compared: {printable(name)}: {why}"
                    for name, why in self.not_compared.items()
                ),
            ]
        )


def regressed(record: Record, baseline: Record, tolerance: float = DEFAULT_TOLERANCE) -> Regression:
    """Compare a run with an earlier one, signal by signal, over the steps that both have.

    tolerance  by how much a quantity may be worse, relative to the baseline. Worse means: a higher
               final loss; a slower fall of the loss; a larger or smaller level of a signal; or a
               smaller share of living neurons.

    Raises ValueError if the tolerance is not a finite number above 0, and if no signal can be
    compared.
    """
    if not 0 < tolerance < inf:
        raise ValueError(
            f"tolerance is {tolerance}; it must be a finite number above 0, such as 0.5 for 50 %"
        )
    found: list[Difference] = []
    compared: list[str] = []
    not_compared: dict[str, str] = {}
    for signal in (*LOSS_SIGNALS, *HEALTH_SIGNALS):
        for site in dict.fromkeys([*record.sites(signal), *baseline.sites(signal)]):
            name = f"{signal} at {site}" if site else signal
            grid = _common_grid(record, baseline, signal, site)
            if isinstance(grid, str):
                not_compared[name] = grid
                continue
            compared.append(name)
            found += (
                _compare_loss(name, grid, tolerance)
                if signal in LOSS_SIGNALS
                else _compare_level(name, signal, grid, tolerance)
            )
    if not compared:
        reasons = (
            "; ".join(f"{name}: {why}" for name, why in not_compared.items())
            or "neither run has any of these signals"
        )
        raise ValueError(
            "the runs have nothing that can be compared; one of these signals is needed in both: "
            f"{', '.join((*LOSS_SIGNALS, *HEALTH_SIGNALS))} ({reasons})"
        )
    # The comparisons above use only the cells in which both runs are finite, so the steps of the
    # first non-finite values are compared as well, up to the end of the baseline.
    ours, theirs = _first_nonfinite(record), _first_nonfinite(baseline)
    if ours < theirs and ours <= (baseline.steps[-1] if len(baseline.steps) else inf):
        found.append(
            Difference("nonfinite_count", "first step above 0", int(ours), ours, theirs, inf)
        )
    found.sort(key=lambda difference: -difference.ratio)
    return Regression(tuple(found), tuple(compared), not_compared, tolerance)


# The grid


@dataclass(frozen=True)
class _Grid:
    """A signal of both runs on one grid of steps, in the n cells in which both have finite values.

    middles   the middle of each cell, a step: [n]
    starts    the first whole step of each cell: [n]
    observed  median of the run's values in each cell: [n]
    baseline  median of the baseline's values in each cell: [n]
    """

    middles: Column
    starts: Column
    observed: Column
    baseline: Column


def _common_grid(record: Record, baseline: Record, signal: str, site: str) -> _Grid | str:
    """The signal of both runs on one grid over the steps that both have. If it cannot be compared,
    the reason, as text."""
    series = []
    for whose, run in (("the run", record), ("the baseline", baseline)):
        if site not in run.sites(signal):
            return f"{whose} does not have it"
        series.append(run.series(signal, site))
    start, end = max(s[0] for s, _ in series), min(s[-1] for s, _ in series)
    series = [(s[(s >= start) & (s <= end)], v[(s >= start) & (s <= end)]) for s, v in series]
    fewest = min(len(steps) for steps, _ in series)
    if fewest < MIN_POINTS:
        return f"{fewest} points over the steps that both have; {MIN_POINTS} are needed"
    edges = np.linspace(start, end, min(MAX_GRID_CELLS, fewest) + 1)
    ours, theirs = (_medians(steps, values, edges) for steps, values in series)
    both = np.isfinite(ours) & np.isfinite(theirs)
    if both.sum() < MIN_POINTS:
        return (
            f"{both.sum()} intervals of steps in which both runs have finite values; "
            f"{MIN_POINTS} are needed"
        )
    return _Grid(
        ((edges[1:] + edges[:-1]) / 2)[both], np.ceil(edges[:-1])[both], ours[both], theirs[both]
    )


def _medians(steps: Steps, values: Column, edges: Column) -> Column:
    """The median of the values in each cell, NaN for an empty cell.

    steps, values  increasing steps and the value at each: [m], [m]
    edges          borders of the n cells: [n + 1]

    Returns [n].
    """
    cells = np.clip(np.searchsorted(edges, steps, side="right") - 1, 0, len(edges) - 2)
    bounds = np.searchsorted(cells, np.arange(len(edges)))
    with np.errstate(invalid="ignore"):
        return np.array([np.median(values[a:b]) if b > a else np.nan for a, b in pairwise(bounds)])


# What is compared


def _compare_loss(name: str, grid: _Grid, tolerance: float) -> Iterator[Difference]:
    """Yield a difference if the loss ends higher than the baseline's, and one if it falls later.

    If the run is late at several of FALL_FRACTIONS, only the one with the largest ratio is yielded.
    """
    tail = max(MIN_TAIL_CELLS, round(TAIL_FRACTION * len(grid.middles)))
    end, base_end = (float(np.mean(v[-tail:])) for v in (grid.observed, grid.baseline))
    if base_end > 0 and end > (1 + tolerance) * base_end:
        ratios = grid.observed / np.maximum(grid.baseline, RELATIVE_FLOOR * base_end)
        step = _first_worse_step(grid, ratios, tolerance)
        yield Difference(name, "level at the end", step, end, base_end, end / base_end)
    late = [
        difference
        for fraction in FALL_FRACTIONS
        for difference in _compare_speed(name, grid, fraction, base_end, tolerance)
    ]
    yield from sorted(late, key=lambda difference: -difference.ratio)[:1]


def _compare_speed(
    name: str, grid: _Grid, fraction: float, base_end: float, tolerance: float
) -> Iterator[Difference]:
    """Yield a difference if the run reaches a fraction of the baseline's fall later than tolerated.

    base_end  the baseline's final loss

    The loss at the fraction must be well above the baseline's final loss: above
    `base_end * (1 + tolerance)**2`. Otherwise nothing is compared, for two reasons. A run with a
    tolerated final loss need only fall to `base_end * (1 + tolerance)`, so it might never reach a
    lower loss. And near its end the curve is flat, so a small difference in loss would mean a long
    delay.
    """
    ours, theirs = _smooth(grid.observed), _smooth(grid.baseline)
    target = theirs[0] - fraction * (theirs[0] - base_end)
    if not target > base_end * (1 + tolerance) ** 2 > 0:
        return
    reached = _first_step_at_level(grid.middles, ours, target)
    expected = _first_step_at_level(grid.middles, theirs, target)
    origin = grid.starts[0]
    ratio = float((reached - origin) / max(expected - origin, 1.0))
    # The grid cannot resolve a delay of less than one cell.
    if ratio > 1 + tolerance and reached - expected > grid.middles[1] - grid.middles[0]:
        what = f"step at which the loss reaches {target:.4g}, {fraction:.0%} of the baseline's fall"
        yield Difference(name, what, int(expected), reached, expected, ratio)


def _first_step_at_level(steps: Column, values: Column, level: float) -> float:
    """The first step at which a curve is at or below a level, interpolated linearly between cells.

    Infinity if it never is.
    """
    below = np.flatnonzero(values <= level)
    if not below.size:
        return inf
    at = int(below[0])
    if at == 0:
        return float(steps[0])
    share = (values[at - 1] - level) / (values[at - 1] - values[at])
    return float(steps[at - 1] + share * (steps[at] - steps[at - 1]))


def _smooth(values: Column) -> Column:
    """The median of each cell and its two neighbours, so that a dip in one cell does not count as a
    level that was reached: [n] -> [n]."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    middle: Column = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)
    return middle


def _compare_level(name: str, signal: str, grid: _Grid, tolerance: float) -> Iterator[Difference]:
    """Yield a difference if the geometric mean of a signal over time differs from the baseline's.

    A level may differ in either direction. For `dead_fraction`, the share of living neurons is
    compared instead, and only a smaller share counts as worse.
    """
    is_dead_fraction = signal == "dead_fraction"
    ours, theirs = (
        (1 - grid.observed, 1 - grid.baseline)
        if is_dead_fraction
        else (np.abs(grid.observed), np.abs(grid.baseline))
    )
    least = RELATIVE_FLOOR * max(float(np.max(ours)), float(np.max(theirs)))
    if not least > 0:
        return  # both are 0 throughout
    ours, theirs = np.maximum(ours, least), np.maximum(theirs, least)
    ratios = theirs / ours if is_dead_fraction else np.maximum(ours / theirs, theirs / ours)
    level, base_level = (exp(float(np.mean(np.log(values)))) for values in (ours, theirs))
    ratio = base_level / level if is_dead_fraction else exp(abs(log(level / base_level)))
    if ratio > 1 + tolerance:
        what = "share of living neurons" if is_dead_fraction else "level over time"
        step = _first_worse_step(grid, ratios, tolerance)
        yield Difference(name, what, step, level, base_level, ratio)


def _first_nonfinite(record: Record) -> float:
    """The first step at which any value was not finite; infinity if all values are finite."""
    counts = (record.series("nonfinite_count", site) for site in record.sites("nonfinite_count"))
    first = [steps[values > 0][:1] for steps, values in counts]
    return min((float(step) for found in first for step in found), default=inf)


def _first_worse_step(grid: _Grid, ratios: Column, tolerance: float) -> int:
    """The first step of the stretch of cells in which the run is worse by more than the tolerance.

    ratios  how many times worse the run is in each cell: [n]

    A cell scores 1 if the run is worse by more than the tolerance there, else -1. The stretch is
    the sequence of neighbouring cells with the largest sum of scores, so a single spike and a
    single good cell change little. It is a maximum subarray (Bentley 1984, "Programming Pearls:
    algorithm design techniques").
    """
    sums = np.cumsum(np.where(ratios > 1 + tolerance, 1, -1))
    before = np.minimum.accumulate(np.concatenate([[0], sums[:-1]]))
    last = int(np.argmax(sums - before))
    first = int(np.argmin(np.concatenate([[0], sums[:last]])))
    return int(grid.starts[first])
