"""How far the training of many runs is, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable

from calibration.conditions import Planned

MINUTE, HOUR = 60, 3600


class Progress:
    """Counts runs as they are trained; those that were there before count as done, and not for the
    estimate."""

    def __init__(
        self,
        runs: Iterable[Planned],
        there: Collection[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = {run.name: run.work for run in runs}
        self._waiting = self._work.keys() - set(there)
        self._to_do = sum(self._work[name] for name in self._waiting)
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
        return (
            counted if self.finished or left is None else f"{counted}, about {duration(left)} left"
        )

    def _seconds_left(self) -> float | None:
        """None before anything was trained: there is nothing yet to tell the pace from."""
        left = sum(self._work[name] for name in self._waiting)
        trained = self._to_do - left
        return (self._clock() - self._start) * left / trained if trained > 0 else None


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "1 h 05 min": as exact as an estimate deserves."""
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    hours, rest = divmod(round(seconds / MINUTE) * MINUTE, HOUR)
    return f"{hours:.0f} h {rest // MINUTE:02.0f} min" if hours else f"{rest // MINUTE:.0f} min"
