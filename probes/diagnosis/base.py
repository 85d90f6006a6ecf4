"""What a detector returns: findings, each with its evidence, or the reason why it cannot judge.

The rule that keeps online and offline diagnosis the same: **a finding, once raised, is never
withdrawn**. A detector's findings on the first n steps of a record are exactly those of the whole
record whose step is among them. What can only be said of a run that has ended is found by detectors
that are not asked before (`Detector.at_end`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, log10
from typing import Literal

import numpy as np

from probes.common.text import printable
from probes.diagnosis.evidence import Evidence
from probes.record import Column

Side = Literal["above", "below"]
MAX_STRENGTH = 10.0
"""Strength of an observation that is infinitely far from its limit, so that ranks stay finite
numbers."""


@dataclass(frozen=True)
class Finding:
    """One observation that broke one limit.

    step      the first step after which it could be known
    worse     on which side of `limit` the observation lies
    source    where the limit comes from
    onset     the step at which it began, where that is earlier than `step`
    """

    symptom: str
    site: str
    step: int
    observed: float
    limit: float
    worse: Side
    source: str
    onset: int | None = None

    @property
    def strength(self) -> float:
        """log10 of observed over limit, of limit over observed when below is worse; at most
        MAX_STRENGTH in size."""
        above, under = (
            (self.observed, self.limit) if self.worse == "above" else (self.limit, self.observed)
        )
        if not isfinite(above) or not under > 0:
            return MAX_STRENGTH
        if above <= 0:
            return -MAX_STRENGTH
        return max(-MAX_STRENGTH, min(MAX_STRENGTH, log10(above) - log10(under)))

    def __str__(self) -> str:
        """Symptom, site, step, observed and limit: one line, without where the limit comes from."""
        began = "" if self.onset is None else f", began at step {self.onset}"
        return f"{self.place}, step {self.step}{began}: {self.observed:.4g}, limit {self.limit:.4g}"

    @property
    def place(self) -> str:
        """The symptom, and the site where there is one."""
        return f"{self.symptom} at {printable(self.site)}" if self.site else self.symptom


WORSE_BY = 10**0.5
"""A finding is repeated when its observation has become worse by this factor, half a unit of
strength."""


def worsening(values: Column, limit: float, worse: Side) -> Iterator[int]:
    """Where a series first passes its limit, and then each time it is worse than ever before by
    WORSE_BY.

    Repeating a finding lets its strength grow with what is seen, without withdrawing anything.
    """
    beyond = (values > limit) if worse == "above" else (values < limit)
    at = -1
    while (left := np.flatnonzero(beyond[at + 1 :])).size:
        at += 1 + int(left[0])
        yield at
        value = float(values[at])
        beyond = values > value * WORSE_BY if worse == "above" else values < value / WORSE_BY


@dataclass(frozen=True)
class Detector:
    """One test: `judge` returns its findings, [] when all is well, or raises CannotJudgeError.

    limits    each symptom it can find -> the limit in words, with its source: what `explain` shows
    at_end    judges how a run ended, so only one that has: the step of its findings is the record's
              last, and a prefix of the record is another run with another end
    """

    name: str
    judge: Callable[[Evidence], Sequence[Finding]]
    limits: Mapping[str, str] = field(default_factory=dict)
    at_end: bool = False
