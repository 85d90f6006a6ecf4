"""Remembers on which line of a log each step is, in little memory.

In most logs, each row is the same number of steps and lines after the row before. Such a sequence
of rows is a stretch, and only its beginning and the two differences are kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import numpy as np

from probes.record import Steps

MAX_STRETCHES = 500
"""A log with more stretches is too irregular: its lines are not remembered."""
Stretch = list[int]
"""Four numbers: the step and the line at which a stretch begins, and the differences of step and
line from each of its rows to the next. The differences of a single row are 0."""


class LineMarks:
    """The lines of a log that was not resumed, collected row by row."""

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []
        self._last_step: int | None = None
        self._is_irregular = False

    def add(self, step: int, line: int) -> None:
        """Add a row. It is left out unless its step is after all earlier ones, so the first of
        several rows of the same step is kept."""
        if self._is_irregular or (self._last_step is not None and step <= self._last_step):
            return
        self._last_step = step
        if self.stretches:
            first_step, first_line, steps, lines = stretch = self.stretches[-1]
            if not steps:
                stretch[2:] = [step - first_step, line - first_line]
                return
            rows, rest = divmod(step - first_step, steps)
            if not rest and line == first_line + rows * lines:
                return
        self.stretches.append([step, line, 0, 0])
        if len(self.stretches) > MAX_STRETCHES:
            self.stretches.clear()
            self._is_irregular = True

    def extend(self, steps: Steps, lines: Steps) -> None:
        """Add many rows: [n], [n]."""
        if self._is_irregular or not len(steps):
            return
        is_even = len(steps) > 2 and not np.diff(steps, 2).any() and not np.diff(lines, 2).any()
        # If the rows are evenly spaced, four of them are enough. The first row may still belong to
        # the stretch before. The second and the third row then define a new stretch, to which all
        # later rows belong.
        places = (0, 1, 2, len(steps) - 1) if is_even and steps[1] > steps[0] else range(len(steps))
        for place in places:
            self.add(int(steps[place]), int(lines[place]))


def line_of(lines: object, step: int) -> int | None:
    """The line of a step; None if it is not known.

    lines  the entry "lines" of a record's provenance: {"stretches": [...]}. A record may come from
           anywhere, so this may be of any type.
    """
    stretches: Any = lines.get("stretches") if isinstance(lines, Mapping) else None
    try:
        place = bisect_right(stretches, step, key=lambda stretch: stretch[0]) - 1
        if place < 0:
            return None
        first_step, first_line, steps, rises = stretches[place]
        rows, rest = divmod(step - first_step, steps) if steps else (0, step - first_step)
        return None if rest else int(first_line + rows * rises)
    except (TypeError, ValueError, IndexError):
        return None
