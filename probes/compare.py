"""Compare a run with an earlier one of its kind: is it worse, in which signal, and since when?

Three things are compared: the level at which a loss ends, the speed of learning, and the level of
signals that show the health of a run. Both runs are put on one grid of steps, so their lengths and
cadences may differ. A signal that only one run has is not compared, and the result says so.
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
"""By how much a run may be worse, relative to the baseline. Runs of one config with different seeds
never differ by more in anything that is compared here (`studies/compare.py`, seeds 0-9)."""
LOSSES = ("loss", "train_loss", "val_loss")
HEALTH_SIGNALS = ("grad_norm", "activation", "update_weight_ratio", "dead_fraction")
MAX_CELLS = 50
"""Cells of the grid: narrow enough to name a step, wide enough to average out the noise of
batches."""
MIN_POINTS = 5
"""A signal with fewer points in either run is not compared."""
FALL_FRACTIONS = (0.5, 0.75)
"""Speed of learning is compared at the steps where these fractions of the baseline's fall are
reached."""
END_SHARE = 0.1
"""The last tenth of the grid, and at least MIN_END_CELLS cells, is the end of a loss."""
MIN_END_CELLS = 3
SMALLEST_LEVEL = 1e-12
"""Relative to the larger level. Smaller values are raised to it, so that a 0 has a logarithm."""


@dataclass(frozen=True)
class Difference:
    """One thing in which the run is worse.

    signal    name of the signal, with its site if it has one
    what      the property that was compared
    step      the step at which the runs part
    observed  the value of the run
    baseline  the value of the baseline
    ratio     how many times worse, above 1
    """

    signal: str
    what: str
    step: int | None
    observed: float
    baseline: float
    ratio: float

    def __str__(self) -> str:
        by = "beyond measure" if self.ratio == inf else f"{self.ratio:.3g} times"
        parting = "" if self.step is None else f", parting at step {self.step}"
        values = f"{_text(self.observed)}, baseline {_text(self.baseline)}"
        return f"{printable(self.signal)}: {self.what} {values}, worse by {by}{parting}"


def _text(value: float) -> str:
    """The value, or "never" for a step that was not reached, which is infinity."""
    return "never" if value == inf else f"{value:.4g}"


@dataclass(frozen=True)
class Regression:
    """The result of comparing two runs; true when the run is worse than the baseline.

    differences   everything in which it is worse by more than the tolerance, the worst first
    compared      signals, with their sites
    not_compared  signal -> why it was not compared
    """

    differences: tuple[Difference, ...]
    compared: tuple[str, ...]
    not_compared: Mapping[str, str]
    tolerance: float

    def __bool__(self) -> bool:
        return bool(self.differences)

    def __repr__(self) -> str:
        """One line, which pytest shows for a failed assertion."""
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

    tolerance  by how much the run may be worse, relative to the baseline: a higher loss, a fraction
               of the baseline's fall reached later, a larger or smaller level of a signal, fewer
               living neurons

    Raises ValueError when the tolerance is not above 0, and when no signal can be compared.
    """
    if not 0 < tolerance < inf:
        raise ValueError(
            f"tolerance is {tolerance}; it must be above 0, as 0.5 for half as much again"
        )
    found: list[Difference] = []
    compared: list[str] = []
    not_compared: dict[str, str] = {}
    for signal, site in _places(record, baseline):
        name = f"{signal} at {site}" if site else signal
        both = _grid(record, baseline, signal, site)
        if isinstance(both, str):
            not_compared[name] = both
            continue
        compared.append(name)
        found += (
            _losses(name, both, tolerance)
            if signal in LOSSES
            else _health(name, signal, both, tolerance)
        )
    if not compared:
        reasons = (
            "; ".join(f"{name}: {why}" for name, why in not_compared.items())
            or "neither has a signal of these"
        )
        raise ValueError(
            "the runs have nothing that can be compared, of "
            f"{', '.join((*LOSSES, *HEALTH_SIGNALS))} ({reasons})"
        )
    found += _nonfinite(record, baseline)
    found.sort(key=lambda difference: -difference.ratio)
    return Regression(tuple(found), tuple(compared), not_compared, tolerance)


# The grid


@dataclass(frozen=True)
class _Grid:
    """Two series on the cells of one grid; only cells in which both have values.

    steps     [n] middle of each cell
    first     [n] first step of each cell
    values    [n] median of the run in each cell
    baseline  [n] median of the baseline in each cell
    """

    steps: Column
    first: Column
    values: Column
    baseline: Column


def _places(record: Record, baseline: Record) -> Iterator[tuple[str, str]]:
    """Each signal and site that one of the runs has, losses first."""
    for signal in (*LOSSES, *HEALTH_SIGNALS):
        yield from (
            (signal, site)
            for site in dict.fromkeys([*record.sites(signal), *baseline.sites(signal)])
        )


def _grid(record: Record, baseline: Record, signal: str, site: str) -> _Grid | str:
    """A signal of both runs on the grid of their common steps, or the reason why it cannot be
    compared."""
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
    edges = np.linspace(start, end, min(MAX_CELLS, fewest) + 1)
    ours, theirs = (_medians(steps, values, edges) for steps, values in series)
    both = np.isfinite(ours) & np.isfinite(theirs)
    if both.sum() < MIN_POINTS:
        return f"{both.sum()} stretches in which both have finite values; {MIN_POINTS} are needed"
    return _Grid(
        ((edges[1:] + edges[:-1]) / 2)[both], np.ceil(edges[:-1])[both], ours[both], theirs[both]
    )


def _medians(steps: Steps, values: Column, edges: Column) -> Column:
    """The median of the values in each cell: [cells]; NaN for an empty cell."""
    cells = np.clip(np.searchsorted(edges, steps, side="right") - 1, 0, len(edges) - 2)
    bounds = np.searchsorted(cells, np.arange(len(edges)))
    with np.errstate(invalid="ignore"):
        return np.array([np.median(values[a:b]) if b > a else np.nan for a, b in pairwise(bounds)])


# What is compared


def _losses(name: str, grid: _Grid, tolerance: float) -> Iterator[Difference]:
    """A loss that ends higher, and one that falls more slowly."""
    cells = max(MIN_END_CELLS, round(END_SHARE * len(grid.steps)))
    ends = [float(np.mean(values[-cells:])) for values in (grid.values, grid.baseline)]
    if ends[1] > 0 and ends[0] > (1 + tolerance) * ends[1]:
        step = _parting(
            grid, grid.values / np.maximum(grid.baseline, SMALLEST_LEVEL * ends[1]), tolerance
        )
        yield Difference(name, "level at the end", step, ends[0], ends[1], ends[0] / ends[1])
    late = [
        difference
        for f in FALL_FRACTIONS
        for difference in _late(name, grid, f, ends[1], tolerance)
    ]
    yield from sorted(late, key=lambda difference: -difference.ratio)[:1]


def _late(
    name: str, grid: _Grid, fraction: float, end: float, tolerance: float
) -> Iterator[Difference]:
    """A run that reaches a fraction of the baseline's fall later than the tolerance allows.

    Not compared where the curve is so flat that a loss which is higher by the tolerance alone would
    reach the level late or never.
    """
    ours, theirs = _smooth(grid.values), _smooth(grid.baseline)
    target = theirs[0] - fraction * (theirs[0] - end)
    if not target > end * (1 + tolerance) ** 2 > 0:
        return
    reached, expected = _crossing(grid.steps, ours, target), _crossing(grid.steps, theirs, target)
    origin = grid.first[0]
    ratio = float((reached - origin) / max(expected - origin, 1.0))
    if ratio > 1 + tolerance and reached - expected > grid.steps[1] - grid.steps[0]:
        what = f"step at which {fraction:.0%} of the baseline's fall is made (to {target:.4g})"
        yield Difference(name, what, int(expected), reached, expected, ratio)


def _crossing(steps: Column, values: Column, target: float) -> float:
    """The step at which a curve first reaches a level, interpolated between cells; infinity when it
    never does."""
    below = np.flatnonzero(values <= target)
    if not below.size:
        return inf
    at = int(below[0])
    if at == 0:
        return float(steps[0])
    share = (values[at - 1] - target) / (values[at - 1] - values[at])
    return float(steps[at - 1] + share * (steps[at] - steps[at - 1]))


def _smooth(values: Column) -> Column:
    """The median of each cell and its two neighbours, so that one noisy cell reaches no level."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    middle: Column = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)
    return middle


def _health(name: str, signal: str, grid: _Grid, tolerance: float) -> Iterator[Difference]:
    """A signal whose geometric mean over time is larger or smaller.

    For dead neurons the share that lives is compared, and only a smaller one is worse.
    """
    lives = signal == "dead_fraction"
    ours, theirs = (
        (1 - grid.values, 1 - grid.baseline)
        if lives
        else (np.abs(grid.values), np.abs(grid.baseline))
    )
    least = SMALLEST_LEVEL * max(float(np.max(ours)), float(np.max(theirs)))
    if not least > 0:
        return  # both are 0 throughout
    ours, theirs = np.maximum(ours, least), np.maximum(theirs, least)
    ratios = theirs / ours if lives else np.maximum(ours / theirs, theirs / ours)
    levels = [exp(float(np.mean(np.log(values)))) for values in (ours, theirs)]
    ratio = levels[1] / levels[0] if lives else exp(abs(log(levels[0] / levels[1])))
    if ratio > 1 + tolerance:
        what = "share of living neurons" if lives else "level over time"
        yield Difference(name, what, _parting(grid, ratios, tolerance), levels[0], levels[1], ratio)


def _nonfinite(record: Record, baseline: Record) -> Iterator[Difference]:
    """A run whose first value that is not finite comes earlier than the baseline's.

    The other comparisons do not see it, because a series ends there.
    """
    ours, theirs = _first_nonfinite(record), _first_nonfinite(baseline)
    if ours < theirs and ours <= (baseline.steps[-1] if len(baseline.steps) else inf):
        yield Difference("nonfinite_count", "first step above 0", int(ours), ours, theirs, inf)


def _first_nonfinite(record: Record) -> float:
    """The first step at which any value was not finite; infinity when all were."""
    counts = (record.series("nonfinite_count", s) for s in record.sites("nonfinite_count"))
    first = [steps[values > 0][:1] for steps, values in counts]
    return min((float(step) for found in first for step in found), default=inf)


def _parting(grid: _Grid, ratios: Column, tolerance: float) -> int:
    """The first step of the stretch in which the run is worse by more than the tolerance.

    It is the stretch with the largest number of worse cells minus other cells: the maximum subarray
    of +1 and -1 (Bentley 1984, "Programming Pearls: algorithm design techniques").
    """
    sums = np.cumsum(np.where(ratios > 1 + tolerance, 1, -1))
    before = np.minimum.accumulate(np.concatenate([[0], sums[:-1]]))
    last = int(np.argmax(sums - before))
    first = int(np.argmin(np.concatenate([[0], sums[:last]])))
    return int(grid.first[first])
