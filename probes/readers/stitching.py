"""Puts the rows of a log in order of their steps, whatever the log went through: sparse rows, repeats, resumed runs.

Rows of one step are one row, and the last value of a signal counts. A row at a step that was passed before either adds
a signal there (evaluations written after all the rest), or repeats one: then the run was resumed from an earlier step,
and all that the log holds from that step on is replaced.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from math import isfinite

CAP = 200_000
"""Rows of a record that was read from a log; a longer one is thinned (`thinned`), or memory would have no bound."""
KEPT_PER_BUCKET = 4
"""First, lowest, highest and first non-finite value of each signal."""
MOST_NOTES = 10
"""Sentences about single places; a log that jumps back at every other row is told of in one more."""


class Stitcher:
    """The rows so far: `steps` strictly increasing and, beside them, what was measured there.

    bucket   how many rows are thinned to a few at a time; 0 keeps all
    """

    def __init__(self, bucket: int = 0) -> None:
        self.steps: list[int] = []
        self.rows: list[dict[str, float]] = []
        self._bucket, self._thinned = bucket, 0
        self._notes: list[str] = []
        self._jumps = self._repeats = self._late = 0

    def add(self, step: int, row: Mapping[str, float], where: str) -> None:
        """Put one row where it belongs."""
        if not self.steps or step > self.steps[-1]:
            self._append(step, row)
            return
        at = bisect_left(self.steps, step)
        there = self.steps[at] == step
        if at == len(self.steps) - 1:
            self._repeats += not row.keys().isdisjoint(self.rows[at])
            self.rows[at].update(row)
        elif all(row.keys().isdisjoint(later) for later in self.rows[at:]):
            self._late += 1
            if there:
                self.rows[at].update(row)
            else:
                self._insert(at, step, row)
        else:
            self._resume(at, step, row, where)

    def notes(self) -> list[str]:
        """What was done, in sentences."""
        said = [*self._notes]
        if self._jumps > MOST_NOTES:
            said.append(f"the steps jumped back at {self._jumps - MOST_NOTES} more places, with the same consequence")
        if self._repeats:
            said.append(f"{_times(self._repeats)} a step was logged again at once: the last value was kept")
        if self._late:
            said.append(f"{_times(self._late)} a step got values after later steps had theirs: they were put in place")
        if self._thinned:
            said.append(
                f"{self._thinned} rows were thinned, {self._bucket} at a time, to the first, lowest, highest and first "
                "non-finite value of each signal, each at its own step"
            )
        return said

    def _append(self, step: int, row: Mapping[str, float]) -> None:
        self.steps.append(step)
        self.rows.append(dict(row))
