"""What a detector returns: findings, each with its evidence, or the reason why it cannot judge.

The rule that keeps online and offline diagnosis the same: **a finding, once raised, is never withdrawn**. A detector's
findings on the first n steps of a record are exactly those of the whole record whose step is among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite, log10
from numbers import Real
from typing import Any, Literal

from probes.record import Column, Record, Steps

MAX_STRENGTH = 10.0
"""Strength of an observation that is infinitely far from its limit, so that ranks stay finite numbers."""


def printable(text: str) -> str:
    """The text without control characters: a name from somebody's log must not steer a terminal or forge a line."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


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
        if not isfinite(above) or not under > 0:
            return MAX_STRENGTH
        if above <= 0:
            return -MAX_STRENGTH
        return max(-MAX_STRENGTH, min(MAX_STRENGTH, log10(above) - log10(under)))

    def __str__(self) -> str:
        at = f" at {printable(self.site)}" if self.site else ""
        return f"{self.symptom}{at}, step {self.step}: {self.observed:.4g}, limit {self.limit:.4g} ({self.source})"


class Evidence:
    """What a detector may look at: facts and signals, and no way to the provenance."""

    def __init__(self, record: Record) -> None:
        self._record = record.anonymous()
        self.facts: Mapping[str, Any] = record.facts
        self.steps: Steps = record.steps

    def fact(self, name: str) -> Any:
        """A fact. Raises CannotJudgeError when the record does not state it."""
        if self.facts.get(name) is None:
            raise CannotJudgeError(f"the record does not state {name}")
        return self.facts[name]

    def number(self, name: str) -> float:
        """A fact that is a finite number. Raises CannotJudgeError when the record does not state one."""
        value = self.fact(name)
        with suppress(OverflowError):
            if isinstance(value, Real) and not isinstance(value, bool) and isfinite(value):
                return float(value)
        raise CannotJudgeError(f"the record states {name} as {value!r:.60}, which is not a finite number")

    def sites(self, signal: str) -> tuple[str, ...]:
        return self._record.sites(signal)

    def series(self, signal: str, site: str = "") -> tuple[Steps, Column]:
        """The steps at which a signal was measured and its values. Raises CannotJudgeError when it never was."""
        steps, values = self._record.series(signal, site)
        if not len(steps):
            raise CannotJudgeError(f"{signal} was not recorded")
        return steps, values

    def at_start(self, signal: str) -> float:
        """A run's signal at step 0. Raises CannotJudgeError when it was not measured there."""
        steps, values = self.series(signal)
        if steps[0] != 0:
            raise CannotJudgeError(f"{signal} was first measured at step {steps[0]}, not at step 0")
        return float(values[0])


@dataclass(frozen=True)
class Detector:
    """One test: `judge` returns its findings, [] when all is well, or raises CannotJudgeError.

    limits    each symptom it can find -> the limit in words, with its source: what `explain` shows
    """

    name: str
    judge: Callable[[Evidence], Sequence[Finding]]
    limits: Mapping[str, str] = field(default_factory=dict)
