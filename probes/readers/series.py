"""Puts what a log holds in order of its steps, whatever the log went through: sparse rows, repeats,
resumed runs.

Every signal is a series of its own until the end, so a step may be spread over several rows and
evaluations may be written after all the rest. A signal that comes again at a step it has passed
says that the run was resumed there: all that the log held from that step on, of every signal, is
replaced by what follows."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from probes.readers.column_names import LOSSES
from probes.record import Column, Steps

CAP = 200_000
"""Points of all signals together that are kept of a log; a longer one is thinned, or memory would
have no bound."""
KEPT_PER_BUCKET = 4
"""First, lowest, highest and first non-finite value."""
WAITING = 4096
"""Points of a signal that are thinned together, at least; whenever it is done, the same are
kept."""
MOST_NOTES = 10
"""Jumps that are told of one by one."""


def bucket_for(rows: int, signals: int) -> int:
    """How many neighbouring points of a signal are thinned to KEPT_PER_BUCKET, so that CAP holds;
    0: none need be."""
    points = rows * signals
    return 0 if points <= CAP else -(-points * KEPT_PER_BUCKET // CAP)


class Series:
    """One signal's points so far, by increasing step; those before `closed` are thinned already.

    The points of the last bucket stay whole, since the next one may replace the last of them.
    """

    def __init__(self, bucket: int) -> None:
        self.steps, self.values = array("q"), array("d")
        self.bucket, self.closed, self.left_out = bucket, 0, 0

    def __bool__(self) -> bool:
        return bool(self.steps)

    def put(self, step: int, value: float) -> bool:
        """Take in a point that comes at the last step or later; whether it replaces the last
        one."""
        if self.steps and step == self.steps[-1]:
            self.values[-1] = value
            return True
        self.steps.append(step)
        self.values.append(value)
        self._thin(at_least=WAITING)
        return False

    def extend(self, steps: Steps, values: Column) -> None:
        """Take in points that come later than the last step and increase."""
        self.steps.frombytes(steps.tobytes())
        self.values.frombytes(values.tobytes())
        self._thin(at_least=WAITING)

    def cut(self, step: int) -> None:
        """Forget the points from a step on."""
        self._thin()
        at = bisect_left(self.steps, step)
        del self.steps[at:], self.values[at:]
        self.closed = min(self.closed, at)

    def arrays(self) -> tuple[Steps, Column]:
        """Steps and values, thinned as far as they can be."""
        self._thin()
        return np.array(self.steps, dtype=np.int64), np.array(self.values)

    def _thin(self, at_least: int = 0) -> None:
        waiting = len(self.steps) - self.closed
        if not self.bucket or waiting < max(2 * self.bucket, at_least):
            return
        begin, end = self.closed, self.closed + (waiting // self.bucket - 1) * self.bucket
        steps, values = (
            np.array(self.steps[begin:end], dtype=np.int64),
            np.array(self.values[begin:end]),
        )
        kept = worth_keeping(values.reshape(-1, self.bucket)).ravel()
        self.steps[begin:end] = array("q", steps[kept].tobytes())
        self.values[begin:end] = array("d", values[kept].tobytes())
        self.closed += int(kept.sum())
        self.left_out += len(kept) - int(kept.sum())


def worth_keeping(values: Column) -> npt.NDArray[np.bool_]:
    """Of each row the first, the lowest, the highest and the first non-finite value: [n, m] -> [n,
    m].

    Of equals the first is the lowest and the last is the highest.
    """
    finite = np.isfinite(values)
    kept = np.zeros(values.shape, dtype=bool)
    kept[:, 0] = True
    some, lost = np.flatnonzero(finite.any(axis=1)), np.flatnonzero(~finite.all(axis=1))
    kept[some, np.where(finite, values, np.inf)[some].argmin(axis=1)] = True
    kept[
        some, values.shape[1] - 1 - np.where(finite, values, -np.inf)[some, ::-1].argmax(axis=1)
    ] = True
    kept[lost, finite[lost].argmin(axis=1)] = True
    return kept


class Stitcher:
    """Takes rows in the order of the log and gives them in the order of the steps."""

    def __init__(self, signals: Iterable[str], bucket: int = 0) -> None:
        self._series = {signal: Series(bucket) for signal in signals}
        self._notes: list[str] = []
        self._jumps = self._repeats = self._astray = 0

    def add(self, step: int, row: Mapping[str, float], where: str) -> None:
        """Put one row where it belongs."""
        passed = [
            s.steps[-1] for signal in row if (s := self._series[signal]) and s.steps[-1] > step
        ]
        if passed and not LOSSES & row.keys() and LOSSES & self._series.keys():
            # A row of an evaluation that repeats the rate and counts its own batches, as
            # MMSegmentation writes it.
            self._astray += 1
            return
        if passed:
            self._resume(step, max(passed), where)
        again = [self._series[signal].put(step, value) for signal, value in row.items()]
        self._repeats += any(again)

    def extend(self, steps: Steps, row_of: Mapping[str, tuple[Steps, Column]]) -> bool:
        """Put many rows where they belong, if each signal's come in the order of its steps; whether
        they do.

        steps [n]; signal -> the rows in which it was measured and its values there: ([m], [m]).
        """
        added = {signal: (steps[at], values) for signal, (at, values) in row_of.items() if len(at)}
        for signal, (own, _) in added.items():
            before = self._series[signal].steps
            if (before and before[-1] >= own[0]) or (np.diff(own) <= 0).any():
                return False
        for signal, points in added.items():
            self._series[signal].extend(*points)
        return True

    def series(self) -> dict[str, tuple[Steps, Column]]:
        """Steps and values of every signal, the steps increasing."""
        return {signal: series.arrays() for signal, series in self._series.items()}

    def notes(self) -> list[str]:
        """What was done, in sentences."""
        said = [*self._notes]
        if self._jumps > MOST_NOTES:
            said.append(
                f"the steps jumped back at {self._jumps - MOST_NOTES} more places, with the same consequence"
            )
        if self._repeats:
            said.append(
                f"values at a step that had them already replaced the earlier ones, in {self._repeats} rows"
            )
        if self._astray:
            said.append(
                f"{self._astray} rows without a loss whose step had been passed were left out"
            )
        if left_out := sum(series.left_out for series in self._series.values()):
            bucket = next(iter(self._series.values())).bucket
            said.append(
                f"{left_out} points were left out: of {bucket} in a row, the first, the lowest, the highest and the "
                "first non-finite one of each signal were kept, each at its own step"
            )
        return said

    def _resume(self, step: int, last: int, where: str) -> None:
        self._jumps += 1
        if self._jumps <= MOST_NOTES:
            first = min(series.steps[0] for series in self._series.values() if series)
            self._notes.append(
                f"{where}: step {step} comes after step {last}, so the log begins again; the run before it was left out"
                if step <= first
                else f"{where}: step {step} comes after step {last}, so the run was resumed; "
                f"what the log held from step {step} on was replaced"
            )
        for series in self._series.values():
            series.cut(step)
