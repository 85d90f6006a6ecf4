"""Puts what a log holds in order of its steps, whatever the log went through: sparse rows, repeats, resumed runs.

Every signal is a series of its own until the end, so a step may be spread over several rows and evaluations may be
written after all the rest. A signal that comes again at a step it has passed says that the run was resumed there: all
that the log held from that step on, of every signal, is replaced by what follows.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from math import isfinite

CAP = 200_000
"""Points of all signals together that are kept of a log; a longer one is thinned, or memory would have no bound."""
KEPT_PER_BUCKET = 4
"""First, lowest, highest and first non-finite value."""
MOST_NOTES = 10
"""Jumps that are told of one by one."""


def bucket_for(rows: int, signals: int) -> int:
    """How many neighbouring points of a signal are thinned to KEPT_PER_BUCKET, so that CAP holds; 0: none need be."""
    points = rows * signals
    return 0 if points <= CAP else -(-points * KEPT_PER_BUCKET // CAP)


class Series:
    """One signal's points so far, by increasing step; those before `closed` are thinned already."""

    def __init__(self, bucket: int) -> None:
        self.steps, self.values = array("q"), array("d")
        self.bucket, self.closed, self.left_out = bucket, 0, 0

    def __bool__(self) -> bool:
        return bool(self.steps)

    def put(self, step: int, value: float) -> bool:
        """Take in a point that comes at the last step or later; whether it replaces the last one."""
        if self.steps and step == self.steps[-1]:
            self.values[-1] = value
            return True
        self.steps.append(step)
        self.values.append(value)
        # The points of the last bucket stay whole: the next one may replace the last of them.
        if self.bucket and len(self.steps) - self.closed >= 2 * self.bucket:
            self._thin()
        return False

    def cut(self, step: int) -> None:
        """Forget the points from a step on."""
        at = bisect_left(self.steps, step)
        del self.steps[at:], self.values[at:]
        self.closed = min(self.closed, at)

    def _thin(self) -> None:
        begin, end = self.closed, self.closed + self.bucket
        kept = [begin + i for i in worth_keeping(self.values[begin:end])]
        self.steps[begin:end] = array("q", (self.steps[i] for i in kept))
        self.values[begin:end] = array("d", (self.values[i] for i in kept))
        self.closed += len(kept)
        self.left_out += self.bucket - len(kept)


def worth_keeping(values: Iterable[float]) -> list[int]:
    """Positions of the first, the lowest, the highest and the first non-finite of some values, in order."""
    numbered = list(enumerate(values))
    finite = [(value, at) for at, value in numbered if isfinite(value)]
    lost = [at for at, value in numbered if not isfinite(value)]
    extremes = [min(finite)[1], max(finite)[1]] if finite else []
    return sorted({0, *extremes, *lost[:1]})


class Stitcher:
    """Takes rows in the order of the log and gives them in the order of the steps."""

    def __init__(self, signals: Iterable[str], bucket: int = 0) -> None:
        self._series = {signal: Series(bucket) for signal in signals}
        self._notes: list[str] = []
        self._jumps = self._repeats = 0

    def add(self, step: int, row: Mapping[str, float], where: str) -> None:
        """Put one row where it belongs."""
        passed = [s.steps[-1] for signal in row if (s := self._series[signal]) and s.steps[-1] > step]
        if passed:
            self._resume(step, max(passed), where)
        again = [self._series[signal].put(step, value) for signal, value in row.items()]
        self._repeats += any(again)

    def rows(self) -> list[tuple[int, dict[str, float]]]:
        """Step and values of every row, steps increasing."""
        rows: dict[int, dict[str, float]] = {}
        for signal, series in self._series.items():
            for step, value in zip(series.steps, series.values, strict=True):
                rows.setdefault(step, {})[signal] = value
        return sorted(rows.items(), key=lambda pair: pair[0])

    def notes(self) -> list[str]:
        """What was done, in sentences."""
        said = [*self._notes]
        if self._jumps > MOST_NOTES:
            said.append(f"the steps jumped back at {self._jumps - MOST_NOTES} more places, with the same consequence")
        if self._repeats:
            said.append(f"values at a step that had them already replaced the earlier ones, in {self._repeats} rows")
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
