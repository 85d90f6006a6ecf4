"""Diagnosis while a run goes on: at evaluations, in time that is linear in the length of the
record."""

from __future__ import annotations

from collections.abc import Callable

from probes.diagnosis.diagnose import diagnose
from probes.record import Record

FIRST_EVALUATIONS = 20
"""Diagnose after each of the first 20 evaluations."""
DIAGNOSIS_GROWTH = 1.05
"""After them, diagnose when the record has this many times as many evaluations as last time. No
diagnosis comes more than 5 % of the run late, and all of them together cost at most
1 / (1 - 1/1.05) = 21 times the last one."""
CONFIRMATIONS = 3
"""Diagnoses in a row that must rank the same cause first before a run is ended for it. Once a cause
is named, the next evaluations are diagnosed to confirm it, which multiplies the cost by this number
at most."""


class EarlyStop:
    """Decides after each evaluation whether the cause of a failing run is certain."""

    def __init__(self) -> None:
        self._evaluations, self._next_due = 0, 1
        self._to_confirm = 0
        self._cause: str | None = None
        self._times_in_a_row = 0

    def certain_cause(self, record: Callable[[], Record]) -> str | None:
        """The cause that was ranked first CONFIRMATIONS times in a row; None when there is none. To
        be called after each evaluation. `record` is called only when the record is diagnosed."""
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
