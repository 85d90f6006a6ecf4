"""Diagnoses a run at its evaluations, to stop it once a cause is certain. The total time is linear
in the length of the record."""

from __future__ import annotations

from collections.abc import Callable

from probes.diagnosis.diagnose import diagnose
from probes.record import Record

FIRST_EVALUATIONS = 20
"""Diagnose after each of the first 20 evaluations."""
DIAGNOSIS_GROWTH = 1.05
"""After the first 20 evaluations, diagnose again when the number of evaluations has grown by this
factor. Each diagnosis is then at most 5 % of the run later than with a diagnosis at every
evaluation, and all diagnoses together cost at most 1 / (1 - 1/1.05) = 21 times as much as the last
one."""
CONFIRMATIONS = 3
"""A run is stopped when this many diagnoses in a row rank the same cause first. Once a cause is
named, the next evaluations are diagnosed to confirm it, which multiplies the cost by at most this
number."""


class EarlyStop:
    """Decides after each evaluation whether the cause of a failing run is certain."""

    def __init__(self) -> None:
        self._evaluations, self._next_due = 0, 1
        self._to_confirm = 0
        self._cause: str | None = None
        self._times_in_a_row = 0

    def certain_cause(self, record: Callable[[], Record]) -> str | None:
        """The cause that the last CONFIRMATIONS diagnoses ranked first; None if there is no such
        cause.

        Call this after each evaluation. `record` is a function that returns the record so far; it
        is called only when a diagnosis is due."""
        self._evaluations += 1
        if self._evaluations >= self._next_due:
            grown = int(self._evaluations * DIAGNOSIS_GROWTH)
            self._next_due = max(
                self._evaluations + 1, grown if self._evaluations > FIRST_EVALUATIONS else 0
            )
            self._to_confirm = CONFIRMATIONS - 1
        elif self._cause is None or self._to_confirm == 0:
            return None
        else:
            self._to_confirm -= 1
        cause = diagnose(record(), ended=False).cause
        self._times_in_a_row = self._times_in_a_row + 1 if cause == self._cause else 1
        self._cause = cause
        return cause if self._times_in_a_row >= CONFIRMATIONS else None
