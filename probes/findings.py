"""What a detector returns: findings, each with its evidence, or the reason why it cannot judge.

The rule that keeps online and offline diagnosis the same: **a finding, once raised, is never withdrawn**. A detector's
findings on the first n steps of a record are exactly those of the whole record whose step is among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, log10
from typing import Any, Literal

from probes.record import Column, Record, Steps

MAX_STRENGTH = 10.0
"""Strength of an observation that is infinitely far from its limit, so that ranks stay finite numbers."""


class CannotJudgeError(Exception):
    """Raised by a detector that lacks what it needs; the message is the reason a reader sees."""


@dataclass(frozen=True)
class Finding:
    """One observation that broke one limit.

    step      the first step after which it could be known
    worse     on which side of `limit` the observation lies
    source    where the limit comes from
    """

    symptom: str
    site: str
    step: int
    observed: float
    limit: float
    worse: Literal["above", "below"]
    source: str

    @property
    def strength(self) -> float:
        """log10 of observed over limit, of limit over observed when below is worse; at most MAX_STRENGTH in size."""
        above, under = (self.observed, self.limit) if self.worse == "above" else (self.limit, self.observed)
        if not isfinite(above) or under <= 0:
            return MAX_STRENGTH
        return max(-MAX_STRENGTH, min(MAX_STRENGTH, log10(above / under))) if above > 0 else -MAX_STRENGTH

    def __str__(self) -> str:
        at = f" at {self.site}" if self.site else ""
        return f"{self.symptom}{at}, step {self.step}: {self.observed:.4g}, limit {self.limit:.4g} ({self.source})"


class Evidence:
    """What a detector may look at: facts and signals, and no way to the provenance."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.facts: Mapping[str, Any] = record.facts
        self.steps: Steps = record.steps

    def fact(self, name: str) -> Any:
        """A fact. Raises CannotJudgeError when the record does not state it."""
        if self.facts.get(name) is None:
            raise CannotJudgeError(f"the record does not state {name}")
        return self.facts[name]

    def sites(self, signal: str) -> tuple[str, ...]:
        return self._record.sites(signal)

    def series(self, signal: str, site: str = "") -> tuple[Steps, Column]:
        """The steps at which a signal was measured and its values. Raises CannotJudgeError when it never was."""
        steps, values = self._record.series(signal, site)
        if not len(steps):
            raise CannotJudgeError(f"{signal} was not recorded")
        return steps, values


@dataclass(frozen=True)
class Detector:
    """One symptom's test: `judge` returns its findings, [] when all is well, or raises CannotJudgeError."""

    name: str
    judge: Callable[[Evidence], Sequence[Finding]]
