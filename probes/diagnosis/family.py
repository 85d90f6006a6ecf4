"""Compares a run with its family: healthy runs of the same config with other seeds.

Some faults break no rule that holds for every training: a weight decay a hundred times too large,
swapped betas, clipping far too tight. A comparison with healthy runs shows them. Each signal is
reduced to a few summaries at each site. A summary of the run is odd if it lies further from the
median of the family than healthy runs do.

Because many summaries are compared, the largest deviation of a healthy run is large too. The limit
therefore comes from the largest deviation of each member, measured against the other members. The
logarithms of these N numbers are taken as normally distributed. The limit is the upper end of the
prediction interval for one more number, so that a healthy run exceeds it with a probability of
FALSE_ALARM_RATE (Hahn and Meeker 1991, Statistical Intervals, section 4.8)."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import exp, log, sqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from probes.common.arrays import median
from probes.common.text import printable
from probes.diagnosis.evidence import finite_number
from probes.record import Column, Record, Steps
from probes.record.signals import BY_NAME

MIN_MEMBERS = 5
"""Minimum number of members. With fewer, the limit is so high that hardly any fault exceeds it."""
FALSE_ALARM_RATE = 0.005
"""Share of healthy runs that exceed the limit, if the logarithm of the largest deviation is
normally distributed. Measured with families of 12, on healthy runs outside the family: 0 of 1,040
comparisons on HEALTHY, 0.4 % of 4,640 on a smaller model (docs/diagnosis.md)."""
EDGES = (0, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 7 / 8, 1)
"""A run is divided into parts at these fractions of its steps. The level of a signal in a part is
the median of its values. The parts are shortest at the start, where a run changes most, and at the
end, which shows the result."""
HALVES = (0, 1 / 2, 1)
"""The variation of a signal from step to step is measured in each half of the run."""
UNIT_RANGE = frozenset({"dead_fraction", "attention_entropy"})
"""Signals from 0 to 1. They are compared by differences, because 0 has no ratio scale."""
LEFT_OUT = frozenset({"nonfinite_count", "batch_ids"})
"""Signals that are not compared. Any value above 0 of the first is a fault, and the second says
nothing about the model. Signals of proofs are not compared either, because they have limits that
hold for every run."""
SMALLEST = 1e-30
"""If a signal is compared by ratios, smaller values count as this one, so that 0 has a logarithm
too."""
MIN_SPREAD, MIN_SPREAD_OF_VARIATION = 0.01, 0.1
"""Lower bounds of the standard deviation of a summary: of a level, and of a variation. They are
relative, but absolute for signals in UNIT_RANGE. Without them, any difference would be odd in a
signal that is the same in all members, such as the learning rate."""
MIN_LOG_SPREAD = 0.2
"""Lower bound of the standard deviation, over runs, of the logarithm of the largest deviation,
because a dozen runs estimate it badly. For the largest of 100 independent numbers from Student's t
distribution with 11 degrees of freedom, it is 0.20."""
FACTS_OF_FAMILY = ("vocab_size", "total_steps", "objective", "sites", "fan_in")
"""Facts that must be equal in all runs of a family. Other facts that are numbers, such as the
clipping norm, are compared like a signal."""
MAX_NAMED = 3
"""A sentence about a run names at most this many odd signals with their numbers."""

Matrix = npt.NDArray[np.float64]


class FamilyError(ValueError):
    """Some records do not form a family, or a run does not belong to a family.

    problem  what is wrong, without the number of the member
    member   index of the member that is wrong; None if it is the run, or the family as a whole
    """

    def __init__(self, problem: str, member: int | None = None) -> None:
        super().__init__(problem if member is None else f"member {member + 1}: {problem}")
        self.problem, self.member = problem, member


class Kind(NamedTuple):
    """A quantity that is compared: one signal in one part of the run.

    signal      name of the signal, or of a fact
    what        "level", "variation" or "fact"
    first, last first and last step of the part; 0 for a fact
    all_sites   whether the quantity is the mean over all sites, rather than one value per site
    """

    signal: str
    what: str
    first: int
    last: int
    all_sites: bool


class Key(NamedTuple):
    """One summary: a quantity, and a site. The site is "" for the run as a whole."""

    kind: Kind
    site: str


@dataclass(frozen=True)
class OddSignal:
    """A summary of a run that lies beyond what its family shows.

    signal     name of the signal, or of a fact
    site       the place in the model; "" for the run as a whole, or for all sites together
    quantity   what was compared, in words
    observed   value of the run
    low, high  lowest and highest value of the members
    is_ratio   whether the three values are ratios to the median of the members
    excess     the deviation divided by its limit, above 1
    """

    signal: str
    site: str
    quantity: str
    observed: float
    low: float
    high: float
    is_ratio: bool
    excess: float

    def __str__(self) -> str:
        """The quantity with its numbers."""
        times = " times the healthy median" if self.is_ratio else ""
        healthy = f"healthy runs: {self.low:.3g} to {self.high:.3g}"
        return f"{self.quantity} is {self.observed:.3g}{times} ({healthy})"


class Family:
    """What the healthy runs of one config show. Their provenance is not used.

    size  number of members, N

    Raises FamilyError for fewer than MIN_MEMBERS members, for an incomplete member, for two members
    that are the same run, and for members that differ in a fact of FACTS_OF_FAMILY, in their last
    step or in the sites of a signal."""

    def __init__(self, members: Sequence[Record]) -> None:
        if len(members) < MIN_MEMBERS:
            raise FamilyError(
                f"a family needs at least {MIN_MEMBERS} healthy runs of one config, with other "
                f"seeds; this one has {len(members)}"
            )
        self.size = len(members)
        self._example = members[0].anonymous()
        for i, member in enumerate(members):
            if not member.complete or not len(member.steps):
                raise FamilyError("its record is incomplete", i)
            if why := _misfit(member, self._example):
                raise FamilyError(f"it does not fit the first member: {why}", i)
        self._last_step = _last_step(self._example)
        self._linear = UNIT_RANGE | {
            name
            for member in members
            for name, table in member.tables.items()
            if (table.values < 0).any()
        }
        rows = [summaries(member, self._last_step, self._linear) for member in members]
        self._keys = sorted(
            key for key in rows[0] if all(np.isfinite(row.get(key, np.nan)) for row in rows)
        )
        if not self._keys:
            raise FamilyError("the members have no signal in common that can be compared")
        self._values: Matrix = np.array([[row[key] for key in self._keys] for row in rows])
        for i, j in combinations(range(self.size), 2):
            if np.array_equal(self._values[i], self._values[j]):
                raise FamilyError(f"it is the same run as member {i + 1}", j)
        groups: dict[Hashable, int] = {}
        self._group = np.array(
            [
                groups.setdefault(
                    (kind.signal, kind.what, kind.all_sites, kind.first == kind.last), len(groups)
                )
                for kind, _ in self._keys
            ]
        )
        self._least = self._least_spread()
        self._median, self._spread = self._reference(self._values)
        self._limit = self._limit_for_one_more()

    def odd_signals(self, record: Record) -> tuple[OddSignal, ...]:
        """The summaries of a run that lie beyond the limit, the most deviating first.

        A part of the run is compared only if the record reaches the end of this part. A longer
        record of the same run therefore has the same odd signals and perhaps more.

        Raises FamilyError if the run does not fit the family or is one of its members."""
        if why := _misfit(record, self._example):
            raise FamilyError(f"the run does not fit its family: {why}")
        found = summaries(record, self._last_step, self._linear)
        observed = np.array([found.get(key, np.nan) for key in self._keys])
        for i, member in enumerate(self._values):
            if np.array_equal(observed, member):
                raise FamilyError(f"the run is member {i + 1} of its family; leave it out there")
        excess = np.abs(observed - self._median) / self._spread / self._limit
        beyond = np.flatnonzero(np.nan_to_num(excess, posinf=0.0) > 1)
        return tuple(
            self._odd_signal(int(i), observed, float(excess[i]))
            for i in sorted(beyond, key=lambda i: -excess[i])
        )

    def _least_spread(self) -> Column:
        """The smallest standard deviation of each summary: [K]."""
        level = self._pooled(np.abs(median(self._values.T)))
        return np.array(
            [
                MIN_SPREAD_OF_VARIATION
                if kind.what == "variation"
                # If the range of a signal is not known, differences are relative to its level.
                else MIN_SPREAD * (size if kind.signal in self._linear - UNIT_RANGE else 1)
                for (kind, _), size in zip(self._keys, level, strict=True)
            ]
        )

    def _pooled(self, values: Column) -> Column:
        """The mean over all summaries of the same signal, in all parts of the run and at all sites,
        repeated for each of them: [K] -> [K]. First values have a mean of their own, because they
        differ less from run to run than later values."""
        means: Column = np.bincount(self._group, values) / np.bincount(self._group)
        repeated: Column = means[self._group]
        return repeated

    def _reference(self, values: Matrix) -> tuple[Column, Column]:
        """The median and the standard deviation of each summary: [n, K] -> [K], [K].

        A dozen runs estimate a variance badly. It is therefore averaged with the mean variance of
        the same signal (shrinkage; Smyth 2004)."""
        variance = values.var(axis=0, ddof=1)
        variance = (variance + self._pooled(variance)) / 2
        return median(values.T), np.sqrt(np.maximum(variance, self._least**2))

    def _limit_for_one_more(self) -> float:
        """The limit of the deviation of one more healthy run, in standard deviations."""
        largest = np.empty(self.size)
        for i, member in enumerate(self._values):
            middle, spread = self._reference(np.delete(self._values, i, axis=0))
            largest[i] = (np.abs(member - middle) / spread).max()
        logs = np.log(np.maximum(largest, 1))
        log_spread = max(float(logs.std(ddof=1)), MIN_LOG_SPREAD)
        quantile = student_quantile(1 - FALSE_ALARM_RATE, self.size - 1)
        return exp(logs.mean() + quantile * log_spread * sqrt(1 + 1 / self.size))

    def _odd_signal(self, i: int, observed: Column, excess: float) -> OddSignal:
        kind, site = self._keys[i]
        of_members = self._values[:, i]
        values = np.array([observed[i], of_members.min(), of_members.max()])
        is_ratio = kind.what == "variation" or kind.signal not in self._linear
        if is_ratio:
            values = np.exp(values - self._median[i])
        where = f" of {printable(site)}" if site else ""
        if kind.all_sites:
            where = f" at all {len(self._example.sites(kind.signal))} sites"
        name = "change from step to step of " if kind.what == "variation" else ""
        when = f" in steps {kind.first} to {kind.last}"
        if kind.first == kind.last:
            when = "" if kind.what == "fact" else f" at step {kind.first}"
        return OddSignal(
            signal=kind.signal,
            site=site,
            quantity=f"{name}{kind.signal}{where}{when}",
            observed=float(values[0]),
            low=float(values[1]),
            high=float(values[2]),
            is_ratio=is_ratio,
            excess=excess,
        )


def sentence(odd: Sequence[OddSignal], size: int) -> str:
    """The odd signals of a run in one sentence: for each signal, its most deviating summary.

    size  number of members of the family"""
    by_signal: dict[str, list[OddSignal]] = {}
    for one in odd:
        by_signal.setdefault(one.signal, []).append(one)
    named = [str(ones[0]) for ones in by_signal.values()]
    also = list(by_signal)[MAX_NAMED:]
    more = f"; also odd: {', '.join(also)}" if also else ""
    return (
        f"{size} healthy runs of the same config do not show this: "
        f"{'; '.join(named[:MAX_NAMED])}{more}"
    )


def student_quantile(probability: float, freedom: int) -> float:
    """A quantile of Student's t distribution. The error is at most 2 % from 4 degrees of freedom on
    and up to a probability of 0.995 (Abramowitz and Stegun 1964, 26.7.5)."""
    from statistics import NormalDist  # imported here because loading it takes 10 ms

    z = NormalDist().inv_cdf(probability)
    terms: tuple[float, ...] = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / float(freedom) ** i for i, term in enumerate(terms))


# Summaries


def summaries(record: Record, last_step: int, linear: Set[str] = UNIT_RANGE) -> dict[Key, float]:
    """All summaries of a record: the logarithm of each level and variation and of each fact that is
    a number.

    last_step  the last step of a whole run
    linear     signals that are compared by differences: their levels are not logarithms"""
    found: dict[Key, float] = {}
    for name, table in record.tables.items():
        if not _is_compared(name):
            continue
        rows = ~np.isnan(table.values).all(axis=1)
        if not rows.any():
            continue
        values = table.values[rows]
        if name not in linear:
            values = np.log(np.maximum(values, SMALLEST))
        for kind, by_site in _quantities(name, record, record.steps[rows], values, last_step):
            for site, value in zip(table.sites, by_site, strict=True):
                found[Key(kind, site)] = float(value)
            if len(table.sites) > 1:
                found[Key(kind._replace(all_sites=True), "")] = float(by_site.mean())
    for name, value in record.facts.items():
        number = finite_number(value)
        if number is not None and name not in FACTS_OF_FAMILY:
            found[Key(Kind(name, "fact", 0, 0, False), "")] = log(max(number, SMALLEST))
    return found


def _is_compared(signal: str) -> bool:
    return signal not in LEFT_OUT and BY_NAME[signal].cadence != "proof"


def _quantities(
    name: str, record: Record, steps: Steps, values: Matrix, last_step: int
) -> Iterator[tuple[Kind, Column]]:
    """Each quantity of a signal, and its value at each site: [sites].

    steps, values  the rows in which the signal was measured: [n], [n, sites]"""
    yield Kind(name, "level", int(steps[0]), int(steps[0]), False), values[0]
    reached = int(record.steps[-1])
    for first, last, rows in _parts(steps, EDGES, last_step, reached):
        yield Kind(name, "level", first, last, False), median(values[rows].T)
    if BY_NAME[name].cadence != "step" or name == "lr":
        return
    for first, last, rows in _parts(steps, HALVES, last_step, reached):
        changes = np.abs(np.diff(values[rows], axis=0))
        if len(changes):
            variation = np.log(np.maximum(median(changes.T), SMALLEST))
            yield Kind(name, "variation", first, last, False), variation


def _parts(
    steps: Steps, edges: Sequence[float], last_step: int, reached: int
) -> Iterator[tuple[int, int, slice]]:
    """First step, last step and rows of each part of the run that has rows.

    reached  the last step of the record; parts that end later are left out"""
    borders = [round(edge * (last_step + 1)) for edge in edges]
    for first, end in pairwise(borders):
        start, stop = np.searchsorted(steps, (first, end))
        if stop > start and reached >= end - 1:
            yield first, end - 1, slice(int(start), int(stop))


# Which runs fit together


def _last_step(record: Record) -> int:
    """The last step of a whole run like this one."""
    total = finite_number(record.facts.get("total_steps"))
    return int(record.steps[-1]) if total is None else int(total) - 1


def _misfit(record: Record, example: Record) -> str:
    """Why two records cannot be of one config; "" if they can."""
    for name in FACTS_OF_FAMILY:
        ours, theirs = record.facts.get(name), example.facts.get(name)
        if ours is None or theirs is None or ours == theirs:
            continue
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            return f"the fact {name} differs {_difference(ours, theirs)}"
        return f"{name} is {ours} instead of {theirs}"
    if record.complete and len(record.steps) and _last_step(record) != _last_step(example):
        return f"its last step is {_last_step(record)} instead of {_last_step(example)}"
    for name, table in record.tables.items():
        if not _is_compared(name) or name not in example.tables:
            continue
        missing = set(example.sites(name)) - set(table.sites)
        # A run that has not ended may not have measured every site yet.
        if set(table.sites) - set(example.sites(name)) or (missing and record.complete):
            ours, theirs = dict.fromkeys(table.sites, 0), dict.fromkeys(example.sites(name), 0)
            return f"{name} was measured at other sites, {_difference(ours, theirs)}"
    return ""


def _difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """The first site in which two mappings differ, in words."""
    for site in dict.fromkeys((*theirs, *ours)):
        if site not in ours:
            return f"at {printable(site)}, which is missing"
        if site not in theirs:
            return f"at {printable(site)}, which is new"
        if ours[site] != theirs[site]:
            return f"at {printable(site)}: {ours[site]} instead of {theirs[site]}"
    return ""
