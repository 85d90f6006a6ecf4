"""Diagnosis while a run is going: at evaluations, in time linear in the length of the record."""

from __future__ import annotations

from collections.abc import Callable

from probes.diagnosis.diagnose import diagnose
from probes.record import Record

EACH = 20
"""So many evaluations are judged one by one."""
GROWTH = 1.05
"""After them the record is judged again when it has seen this many times as many: none comes more
than 5 % of the run late, and all of them together look at 1 / (1 - 1/GROWTH) = 21 times what the
last one does."""
CONFIRMATIONS = 3
"""Judgements in a row that must name the same cause first before a run is ended for it. Once a
cause is named the next evaluations are judged to confirm it, which at most multiplies the cost by
this number."""


class EarlyStop:
    """Asked at every evaluation; answers with a cause once it was named first CONFIRMATIONS times
    in a row."""

    def __init__(self) -> None:
        self._evaluations, self._due = 0, 1
        self._to_confirm = 0
        self._cause: str | None = None
        self._times = 0

    def certain_cause(self, record: Callable[[], Record]) -> str | None:
        """The cause that is certain by now, None when there is none; `record` is called only when
        it is judged."""
        self._evaluations += 1
        if self._evaluations >= self._due:
            self._due = max(
                self._evaluations + 1,
                int(self._evaluations * GROWTH) if self._evaluations > EACH else 0,
            )
            self._to_confirm = CONFIRMATIONS - 1
        elif self._cause is None or self._to_confirm == 0:
            return None
        else:
            self._to_confirm -= 1
        cause = diagnose(record(), ended=False).cause
        self._times = self._times + 1 if cause == self._cause else 1
        self._cause = cause
        return cause if self._times >= CONFIRMATIONS else None
