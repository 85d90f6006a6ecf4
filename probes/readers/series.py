"""Puts the rows of a log in the order of their steps and limits how many points are kept.

Each signal and each metric is stored as a separate series. The signals of one step may therefore be
in several rows, and evaluations may come after all other rows. If a signal has a value at a step
before its last one, the run was resumed at that step. The points of all signals from that step on
are then dropped, and the rows that follow replace them. A metric never shows that a run was
resumed: a value of a metric at a step before its last one is left out.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from probes.readers.column_names import LOSSES
from probes.record import Column, Steps

MAX_POINTS = 200_000
"""Maximum number of points that are kept, summed over all signals. A longer log is thinned, so that
memory stays bounded."""
MAX_METRIC_POINTS = 40_000
"""Maximum number of points that are kept, summed over all metrics. Metrics are measured at
evaluations, so few logs have as many."""
KEPT_PER_BUCKET = 4
"""Maximum number of points kept per bucket: the first, the lowest, the highest and the first
non-finite one."""
MIN_THINNED = 4096
"""While points are added, a series is thinned only when at least this many points are not thinned
yet. The number changes the speed, not the result."""
MIN_POINTS_LOST = 5
"""If a row at an earlier step would drop at least this many points, the run counts as resumed only
if the next row goes on from that step. A single row at an earlier step may be a glitch or an
evaluation after the end."""
MAX_RESUMES = 100
"""At most this many steps at which the run was resumed are kept."""
MAX_RESUME_NOTES = 10
"""Number of resumed runs that get a note each. Further ones are only counted."""


def bucket_size(rows: int, signals: int) -> int:
    """The number of points per bucket that keeps a log within MAX_POINTS; 0 means no thinning.

    rows     number of rows of the log
    signals  number of its signals

    A bucket is a group of consecutive points of a signal. It is thinned to KEPT_PER_BUCKET points.
    """
    return _bucket_size(rows * signals, MAX_POINTS)


def metric_bucket_size(points: int) -> int:
    """The number of points per bucket that keeps metrics within MAX_METRIC_POINTS; 0 means no
    thinning.

    points  number of points, summed over all metrics
    """
    return _bucket_size(points, MAX_METRIC_POINTS)


def _bucket_size(points: int, max_points: int) -> int:
    return 0 if points <= max_points else -(-points * KEPT_PER_BUCKET // max_points)


class Series:
    """The points of one signal in the order of their steps, thinned in buckets as points are added.

    steps    increasing steps: [n]
    values   the value at each step: [n]
    bucket   number of points per bucket; 0 means no thinning
    thinned  number of points at the beginning that are already thinned
    dropped  number of points that thinning has removed

    The last bucket is never thinned, because the next point may replace its last point.
    """

    def __init__(self, bucket: int) -> None:
        self.steps, self.values = array("q"), array("d")
        self.bucket, self.thinned, self.dropped = bucket, 0, 0

    def __bool__(self) -> bool:
        return bool(self.steps)

    def append(self, step: int, value: float) -> bool:
        """Add a point at a step >= the last one. A point at the last step replaces the old one.

        Returns whether a point was replaced.
        """
        if self.steps and step == self.steps[-1]:
            self.values[-1] = value
            return True
        self.steps.append(step)
        self.values.append(value)
        self._thin(at_least=MIN_THINNED)
        return False

    def extend(self, steps: Steps, values: Column) -> None:
        """Add points with increasing steps, all after the last step: [n], [n]."""
        self.steps.frombytes(steps.tobytes())
        self.values.frombytes(values.tobytes())
        self._thin(at_least=MIN_THINNED)

    def cut(self, step: int) -> None:
        """Drop the points from this step on."""
        self._thin()
        end = bisect_left(self.steps, step)
        del self.steps[end:], self.values[end:]
        self.thinned = min(self.thinned, end)

    def arrays(self) -> tuple[Steps, Column]:
        """Steps and values, thinned in all full buckets except the last one: ([n], [n])."""
        self._thin()
        return np.array(self.steps, dtype=np.int64), np.array(self.values)

    def _thin(self, at_least: int = 0) -> None:
        waiting = len(self.steps) - self.thinned
        if not self.bucket or waiting < max(2 * self.bucket, at_least):
            return
        begin, end = self.thinned, self.thinned + (waiting // self.bucket - 1) * self.bucket
        steps = np.array(self.steps[begin:end], dtype=np.int64)
        values = np.array(self.values[begin:end])
        kept = representatives(values.reshape(-1, self.bucket)).ravel()
        self.steps[begin:end] = array("q", steps[kept].tobytes())
        self.values[begin:end] = array("d", values[kept].tobytes())
        self.thinned += int(kept.sum())
        self.dropped += len(kept) - int(kept.sum())


def representatives(values: Column) -> npt.NDArray[np.bool_]:
    """Mark the first, the lowest, the highest and the first non-finite value in each row.

    [rows, bucket] -> [rows, bucket]. Of several lowest values the first one is marked, of several
    highest values the last one.
    """
    finite = np.isfinite(values)
    kept = np.zeros(values.shape, dtype=bool)
    kept[:, 0] = True
    rows = np.flatnonzero(finite.any(axis=1))
    lowest = np.where(finite, values, np.inf)[rows].argmin(axis=1)
    reversed_highest = np.where(finite, values, -np.inf)[rows, ::-1].argmax(axis=1)
    kept[rows, lowest] = True
    kept[rows, values.shape[1] - 1 - reversed_highest] = True
    rows = np.flatnonzero(~finite.all(axis=1))
    kept[rows, finite[rows].argmin(axis=1)] = True
    return kept


class SeriesMerger:
    """Takes rows in the order of the log and returns a series for each signal, ordered by step.

    signals        names of the signals
    bucket         number of points per bucket, for thinning; 0 means no thinning
    metrics        names of the metrics, different from those of the signals
    metric_bucket  the same as `bucket`, for the metrics
    resumed_at     the increasing steps at which the run was resumed, if earlier points remain
    """

    def __init__(
        self,
        signals: Iterable[str],
        bucket: int = 0,
        metrics: Iterable[str] = (),
        metric_bucket: int = 0,
    ) -> None:
        self._series = {signal: Series(bucket) for signal in signals}
        self._metrics = frozenset(metrics)
        self._series |= {metric: Series(metric_bucket) for metric in metrics}
        self.resumed_at: list[int] = []
        self._resume_notes: list[str] = []
        self._resumes = self._repeated_rows = self._dropped_rows = 0
        self._held: list[tuple[int, Mapping[str, float], str]] = []
        self._step_before_held = 0
        self._odd_rows: list[str] = []

    def add(self, step: int, values: Mapping[str, float], where: str) -> None:
        """Add one row.

        step    the step of the row
        values  signal or metric -> value
        where   the place of the row in the file, for a note, such as "line 7"
        """
        if not self._held:
            self._add(step, values, where, hold=True)
            return
        is_held_step = step == self._held[0][0]
        # The held rows are at an earlier step. Only a later row that has a signal in common with
        # them shows whether the run was resumed at that step.
        if not is_held_step and values.keys() & self._held[0][1].keys():
            if step >= self._step_before_held:
                self._drop_held()
            else:
                held, self._held = self._held, []
                for held_row in held:
                    self._add(*held_row)
        self._add(step, values, where, hold=not self._held or is_held_step)

    def _add(self, step: int, values: Mapping[str, float], where: str, hold: bool = False) -> None:
        """Add one row. With `hold`, a row at an earlier step waits for the row that follows it."""
        last_steps = {name: steps[-1] for name in values if (steps := self._series[name].steps)}
        ahead = [name for name, last_step in last_steps.items() if last_step > step]
        passed = [last_steps[signal] for signal in ahead if signal not in self._metrics]
        if passed and not LOSSES & values.keys() and LOSSES & self._series.keys():
            # The run was not resumed. The row belongs to an evaluation that counts its own batches
            # and repeats the learning rate, as MMSegmentation logs it.
            self._dropped_rows += 1
            return
        if hold and (self._held or passed):
            own_steps = (self._series[name].steps for name in values)
            lost = max(len(steps) - bisect_left(steps, step) for steps in own_steps)
            if self._held or lost >= MIN_POINTS_LOST:
                if not self._held:
                    self._step_before_held = max(passed)
                self._held.append((step, dict(values), where))
                return
        if passed:
            self._resumes += 1
            if self._resumes <= MAX_RESUME_NOTES:
                first = min(series.steps[0] for series in self._series.values() if series)
                consequence = (
                    "the log begins again; the run before it was left out"
                    if step <= first
                    else f"the run was resumed; what the log held from step {step} on was replaced"
                )
                self._resume_notes.append(
                    f"{where}: step {step} comes after step {max(passed)}, so {consequence}"
                )
            for series in self._series.values():
                series.cut(step)
            del self.resumed_at[bisect_left(self.resumed_at, step) :]
            if any(self._series.values()) and len(self.resumed_at) < MAX_RESUMES:
                self.resumed_at.append(step)
            late = []
        else:
            late = ahead  # metrics only
        self._dropped_rows += len(late) == len(values)
        is_repeated = False
        for name, value in values.items():
            if name not in late:
                is_repeated |= self._series[name].append(step, value)
        self._repeated_rows += is_repeated

    def extend(self, steps: Steps, columns: Mapping[str, tuple[Steps, Column]]) -> bool:
        """Add many rows at once if the steps of every signal increase.

        steps    the step of each row: [n]
        columns  signal or metric -> positions of the rows in which it was measured, and its values
                 in them: ([m], [m])

        Returns whether the rows were added: either all of them or none.
        """
        if self._held:
            return False
        added = {signal: (steps[rows], values) for signal, (rows, values) in columns.items()}
        added = {signal: points for signal, points in added.items() if len(points[0])}
        for signal, (own_steps, _) in added.items():
            before = self._series[signal].steps
            if (before and before[-1] >= own_steps[0]) or (own_steps[1:] <= own_steps[:-1]).any():
                return False
        for signal, (own_steps, values) in added.items():
            self._series[signal].extend(own_steps, values)
        return True

    def series(self) -> dict[str, tuple[Steps, Column]]:
        """Signal or metric -> its increasing steps and its values: ([n], [n])."""
        self._drop_held()
        return {signal: series.arrays() for signal, series in self._series.items()}

    @property
    def was_resumed(self) -> bool:
        """Whether any rows were replaced because the run was resumed or began again."""
        return self._resumes > 0

    def notes(self) -> list[str]:
        """What was replaced and what was left out, one sentence each."""
        self._drop_held()
        notes = [*self._resume_notes]
        if self._resumes > MAX_RESUME_NOTES:
            more = self._resumes - MAX_RESUME_NOTES
            notes.append(f"the steps jumped back at {more} more places, with the same consequence")
        notes += self._odd_rows[:MAX_RESUME_NOTES]
        if len(self._odd_rows) > MAX_RESUME_NOTES:
            notes.append(f"{len(self._odd_rows) - MAX_RESUME_NOTES} more such rows were left out")
        if self._repeated_rows:
            notes.append(
                f"{self._repeated_rows} rows repeat a step; their values replaced the earlier ones"
            )
        if self._dropped_rows:
            notes.append(
                f"{self._dropped_rows} rows were left out: they have no loss, and their step "
                "lies before one that was read earlier"
            )
        for what, names in (
            ("signal", self._series.keys() - self._metrics),
            ("metric", self._metrics),
        ):
            if dropped := sum(self._series[name].dropped for name in names):
                bucket = self._series[next(iter(names))].bucket
                notes.append(
                    f"{dropped} points were left out: of {bucket} neighbouring points of a {what}, "
                    "the first, the lowest, the highest and the first non-finite one were kept, "
                    "each at its own step"
                )
        return notes

    def _drop_held(self) -> None:
        """Leave out the rows that wait, because no row that follows them resumed the run."""
        for step, _, where in self._held:
            self._odd_rows.append(
                f"{where}: step {step} comes after step {self._step_before_held}, and no row "
                "continues from there; the row was left out"
            )
        self._held = []
