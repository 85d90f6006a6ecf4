"""Whether a run is worse than an earlier one of its kind: where its loss ends, how fast it learns,
its signals' health.

Both are laid on one grid of steps, so that neither length nor cadence matters; what only one of
them has is not compared, and said to be so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, inf, log

import numpy as np

from probes.common.text import printable
from probes.record import Column, Record, Steps

TOLERANCE = 0.5
"""Relative. Between seeds of one config no comparison here differs by more (`studies/compare.py`,
seeds 0-9)."""
LOSSES = ("loss", "train_loss", "val_loss")
HEALTH = ("grad_norm", "activation", "update_weight_ratio", "dead_fraction")
BINS = 50
"""Cells of the grid at most: fine enough to name a step, wide enough to take out a batch's
noise."""
POINTS = 5
"""Fewer on either side are not compared."""
FRACTIONS = (0.5, 0.75)
"""Of the baseline's fall in loss: by when has the other run made as much of it?"""
TAIL = 0.1
"""Share of the grid over which a loss ends, of three cells at least."""
TINY = 1e-12
"""Of the larger level: nothing is taken to be smaller, so that a signal that is 0 has a
logarithm."""


@dataclass(frozen=True)
class Difference:
    """One thing in which the run is worse.

    signal    its name, with the site where it has one
    what      what was compared of it
    step      where the two part; None where that is no step
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
        values = f"{_written(self.observed)}, baseline {_written(self.baseline)}"
        return f"{printable(self.signal)}: {self.what} {values}, worse by {by}{parting}"


def _written(value: float) -> str:
    """A value; of a step that never came, infinity, the word for that."""
    return "never" if value == inf else f"{value:.4g}"


@dataclass(frozen=True)
class Regression:
    """What came of comparing two runs; true when the one is worse.

    differences   in what it is worse by more than the tolerance, the worst first
    compared      signals, with their sites
    not_compared  signal -> why not
    """

    differences: tuple[Difference, ...]
    compared: tuple[str, ...]
    not_compared: Mapping[str, str]
    tolerance: float

    def __bool__(self) -> bool:
        return bool(self.differences)

    def __repr__(self) -> str:
        """One line, which is what a failing assertion shows."""
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


def regressed(record: Record, baseline: Record, tolerance: float = TOLERANCE) -> Regression:
    """Compare a run with an earlier one, signal by signal, over the steps that both have.

    tolerance  by how much a quantity may be worse, relative to the baseline's: a loss higher, a
               fraction of the baseline's fall reached later, a signal's level larger or smaller,
               living neurons fewer

    Raises ValueError for a tolerance that is not above 0, and when there is nothing that can be
    compared."""
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
            f"the runs have nothing that can be compared, of {', '.join((*LOSSES, *HEALTH))} ({reasons})"
        )
    found += _nonfinite(record, baseline)
    found.sort(key=lambda difference: -difference.ratio)
    return Regression(tuple(found), tuple(compared), not_compared, tolerance)


# The grid


@dataclass(frozen=True)
class _Grid:
    """Two series on the cells of one grid: [n] middles of the cells, [n] medians within, of cells
    that both have."""

    steps: Column
    first: Column
    values: Column
    baseline: Column


def _places(record: Record, baseline: Record) -> Iterator[tuple[str, str]]:
    """Each signal and site that either run has, the losses first."""
    for signal in (*LOSSES, *HEALTH):
        yield from (
            (signal, site)
            for site in dict.fromkeys([*record.sites(signal), *baseline.sites(signal)])
        )


def _grid(record: Record, baseline: Record, signal: str, site: str) -> _Grid | str:
    """The two runs' series over the steps that both have, or why there is no such thing."""
    series = []
    for whose, run in (("the run", record), ("the baseline", baseline)):
        if site not in run.sites(signal):
            return f"{whose} does not have it"
        series.append(run.series(signal, site))
    start, end = max(s[0] for s, _ in series), min(s[-1] for s, _ in series)
    series = [(s[(s >= start) & (s <= end)], v[(s >= start) & (s <= end)]) for s, v in series]
    fewest = min(len(steps) for steps, _ in series)
    if fewest < POINTS:
        return f"{fewest} points over the steps that both have; {POINTS} are needed"
    edges = np.linspace(start, end, min(BINS, fewest) + 1)
    ours, theirs = (_medians(steps, values, edges) for steps, values in series)
    both = np.isfinite(ours) & np.isfinite(theirs)
    if both.sum() < POINTS:
        return f"{both.sum()} stretches in which both have finite values; {POINTS} are needed"
    return _Grid(
        ((edges[1:] + edges[:-1]) / 2)[both], np.ceil(edges[:-1])[both], ours[both], theirs[both]
    )


def _medians(steps: Steps, values: Column, edges: Column) -> Column:
    """Median of the values in each cell; NaN in one that is empty."""
    cells = np.clip(np.searchsorted(edges, steps, side="right") - 1, 0, len(edges) - 2)
    bounds = np.searchsorted(cells, np.arange(len(edges)))
    with np.errstate(invalid="ignore"):
        return np.array([np.median(values[a:b]) if b > a else np.nan for a, b in pairwise(bounds)])


# What is compared


def _losses(name: str, grid: _Grid, tolerance: float) -> Iterator[Difference]:
    """Where a loss ends, and when it has made as much of the baseline's fall as the baseline
    had."""
    ends = [float(np.mean(values[-_tail(grid) :])) for values in (grid.values, grid.baseline)]
    if ends[1] > 0 and ends[0] > (1 + tolerance) * ends[1]:
        step = _parting(grid, grid.values / np.maximum(grid.baseline, TINY * ends[1]), tolerance)
        yield Difference(name, "level at the end", step, ends[0], ends[1], ends[0] / ends[1])
    late = [
        difference for f in FRACTIONS for difference in _late(name, grid, f, ends[1], tolerance)
    ]
    yield from sorted(late, key=lambda difference: -difference.ratio)[:1]


def _late(
    name: str, grid: _Grid, fraction: float, end: float, tolerance: float
) -> Iterator[Difference]:
    """When a fraction of the fall is made, if a run makes it too that is higher throughout by what
    is tolerated.

    Nearer to the baseline's end a curve is so flat that a small difference in level is a large one
    in time."""
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
    """The step at which a curve is first at a level, on a straight line between cells; infinity
    when it never is."""
    below = np.flatnonzero(values <= target)
    if not below.size:
        return inf
    at = int(below[0])
    if at == 0:
        return float(steps[0])
    share = (values[at - 1] - target) / (values[at - 1] - values[at])
    return float(steps[at - 1] + share * (steps[at] - steps[at - 1]))


def _smooth(values: Column) -> Column:
    """Median of three neighbours: one cell's noise is no level that was reached."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    middle: Column = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)
    return middle


def _health(name: str, signal: str, grid: _Grid, tolerance: float) -> Iterator[Difference]:
    """Geometric means over time, one over the other; of dead neurons those that live, of which more
    are no harm."""
    lives = signal == "dead_fraction"
    ours, theirs = (
        (1 - grid.values, 1 - grid.baseline)
        if lives
        else (np.abs(grid.values), np.abs(grid.baseline))
    )
    least = TINY * max(float(np.max(ours)), float(np.max(theirs)))
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
    """A run in which something is not finite before it is in the baseline, whose series end
    there."""
    ours, theirs = _first_nonfinite(record), _first_nonfinite(baseline)
    if ours < theirs and ours <= (baseline.steps[-1] if len(baseline.steps) else inf):
        yield Difference("nonfinite_count", "first step above 0", int(ours), ours, theirs, inf)


def _first_nonfinite(record: Record) -> float:
    """The first step at which anything was not finite; infinity when all was."""
    first = [
        steps[values > 0][:1]
        for steps, values in (record.series("nonfinite_count", s) for s in _sites(record))
    ]
    return min((float(step) for found in first for step in found), default=inf)


def _sites(record: Record) -> Sequence[str]:
    return record.sites("nonfinite_count")


def _tail(grid: _Grid) -> int:
    return max(3, round(TAIL * len(grid.steps)))


def _parting(grid: _Grid, ratios: Column, tolerance: float) -> int:
    """The first step of the stretch in which the run is worse by more than the tolerance.

    Of all stretches the one with the most cells in which it is, less those in which it is not
    (Bentley 1984)."""
    sums = np.cumsum(np.where(ratios > 1 + tolerance, 1, -1))
    before = np.minimum.accumulate(np.concatenate([[0], sums[:-1]]))
    last = int(np.argmax(sums - before))
    first = int(np.argmin(np.concatenate([[0], sums[:last]])))
    return int(grid.first[first])
