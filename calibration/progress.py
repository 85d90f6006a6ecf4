"""How many of the runs are trained, and how much longer the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable

from calibration.conditions import Planned

MINUTE, HOUR = 60, 3600


class Progress:
    """Counts runs as they are trained. Runs that were trained before count as done, but not for the
    estimate of the remaining time."""

    def __init__(
        self,
        runs: Iterable[Planned],
        trained_before: Collection[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = {run.name: run.work for run in runs}
        self._waiting = self._work.keys() - set(trained_before)
        self._work_to_do = sum(self._work[name] for name in self._waiting)
        self._clock, self._start = clock, clock()

    def done(self, name: str) -> None:
        self._waiting.discard(name)

    @property
    def finished(self) -> bool:
        return not self._waiting

    def __str__(self) -> str:
        total = len(self._work)
        counted = f"{total - len(self._waiting)} of {total} runs trained"
        left = self._seconds_left()
        if self.finished or left is None:
            return counted
        return f"{counted}, about {duration(left)} left"

    def _seconds_left(self) -> float | None:
        """None before the first run is trained."""
        work_left = sum(self._work[name] for name in self._waiting)
        work_done = self._work_to_do - work_left
        return (self._clock() - self._start) * work_left / work_done if work_done > 0 else None


def duration(seconds: float) -> str:
    """Round to what an estimate deserves: "40 s", "12 min", "1 h 05 min"."""
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    hours, rest = divmod(round(seconds / MINUTE) * MINUTE, HOUR)
    return f"{hours:.0f} h {rest // MINUTE:02.0f} min" if hours else f"{rest // MINUTE:.0f} min"
