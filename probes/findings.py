"""What a detector returns: findings, each with its evidence, or the reason why it cannot judge.

The rule that keeps online and offline diagnosis the same: **a finding, once raised, is never withdrawn**. A detector's
findings on the first n steps of a record are exactly those of the whole record whose step is among them. What can only
be said of a run that has ended is found by detectors that are not asked before (`Detector.at_end`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite, log, log10
from numbers import Real
from typing import Any, Literal

import numpy as np

from probes.record import Column, Record, Steps

Side = Literal["above", "below"]
MAX_STRENGTH = 10.0
"""Strength of an observation that is infinitely far from its limit, so that ranks stay finite numbers."""


REINFORCEMENT = "reinforcement learning"
"""The fact `objective` of a run whose loss is a policy's: near 0, of both signs, and no measure of how well it does."""
OF_A_LOSS = frozenset({"loss", "train_loss", "val_loss", "grad_norm"})
"""Signals that are judged by rules for a loss that is to fall."""
SIGNED_POINTS = 20
"""Points of loss of which signs are counted."""
EACH_SIGN = 0.2
"""Share of either sign, in the first and in the last quarter of a log, by which its loss is a policy's. The loss of a
density falls through 0 and has both signs in one of them at most."""
EARLY = 8
"""Points of the first eighth, with which it too must have both: a fall may be over within the first quarter."""


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
        """log10 of observed over limit, of limit over observed when below is worse; at most MAX_STRENGTH in size."""
        above, under = (self.observed, self.limit) if self.worse == "above" else (self.limit, self.observed)
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


class Evidence:
    """What a detector may look at: facts and signals, and no way to the provenance."""

    def __init__(self, record: Record) -> None:
        self._record = record.anonymous()
        self._without_rules: str | None = None
        self.facts: Mapping[str, Any] = record.facts
        self.steps: Steps = record.steps

    def fact(self, name: str) -> Any:
        """A fact. Raises CannotJudgeError when the record does not state it."""
        if self.facts.get(name) is None:
            raise CannotJudgeError(f"the record does not state {name}")
        return self.facts[name]

    def number(self, name: str) -> float:
        """A fact that is a finite number. Raises CannotJudgeError when the record does not state one."""
        value = _finite(self.fact(name))
        if value is None:
            raise CannotJudgeError(f"the record states {name} as {self.fact(name)!r:.60}, which is not a finite number")
        return value

    def uniform(self) -> float:
        """ln V: what a model scores that knows nothing. Raises CannotJudgeError without a usable vocab_size."""
        vocab_size = self.number("vocab_size")
        if vocab_size < 2:
            raise CannotJudgeError(f"vocab_size is {vocab_size:g}; there is nothing to predict")
        return log(vocab_size)

    def rung(self, split: str, name: str) -> float | None:
        """A rung of a split's ladder; None when the record states no positive number there."""
        rungs: Any = self.facts
        for key in ("ladder", split, name):
            rungs = rungs.get(key) if isinstance(rungs, Mapping) else None
        value = _finite(rungs)
        return value if value is not None and value > 0 else None

    def sites(self, signal: str) -> tuple[str, ...]:
        return self._record.sites(signal)

    @property
    def of_loss(self) -> str:
        """The signal that holds the training loss: `loss`, the batch's, or `train_loss` where it is the only one."""
        return "loss" if self.sites("loss") else "train_loss"

    def series(self, signal: str, site: str = "") -> tuple[Steps, Column]:
        """The steps at which a signal was measured and its values.

        Raises CannotJudgeError when it never was, and for a loss or its gradient in reinforcement learning.
        """
        steps, values = self.observed(signal, site)
        if signal in OF_A_LOSS and (why := self._of_a_policy()):
            raise CannotJudgeError(why)
        return steps, values

    def observed(self, signal: str, site: str = "") -> tuple[Steps, Column]:
        """As `series`, also where rules for a loss mean nothing: whether a value is finite means as much there."""
        steps, values = self._record.series(signal, site)
        if not len(steps):
            raise CannotJudgeError(f"{signal} was not recorded")
        return steps, values

    def at_start(self, signal: str, site: str = "") -> float:
        """A signal at step 0. Raises CannotJudgeError when it was not measured there."""
        steps, values = self.series(signal, site)
        if steps[0] != 0:
            raise CannotJudgeError(f"{signal} was first measured at step {steps[0]}, not at step 0")
        return float(values[0])

    def _of_a_policy(self) -> str:
        """Why the rules for a loss mean nothing here, "" where they do mean something."""
        if self._without_rules is None:
            self._without_rules = ""
            if self.facts.get("objective") == REINFORCEMENT:
                self._without_rules = f"{REINFORCEMENT}: the loss of a policy does not say how well it does"
            elif _of_both_signs(self._record.series("loss")[1]):
                self._without_rules = f"{REINFORCEMENT}, it seems: the loss has both signs from first to last"
        return self._without_rules


def _of_both_signs(losses: Column) -> bool:
    losses = losses[np.isfinite(losses)]
    quarter = len(losses) // 4
    if len(losses) < SIGNED_POINTS:
        return False
    shares = [float(np.mean(sign * part > 0)) for part in (losses[:quarter], losses[-quarter:]) for sign in (1, -1)]
    early = losses[: len(losses) // 8]
    return min(shares) >= EACH_SIGN and (len(early) < EARLY or early.min() < 0 < early.max())


def _finite(value: object) -> float | None:
    with suppress(OverflowError):
        if isinstance(value, Real) and not isinstance(value, bool) and isfinite(value):
            return float(value)
    return None


WORSE_BY = 10**0.5
"""A finding is repeated when its observation has become worse by this factor, half a unit of strength."""


def worsening(values: Column, limit: float, worse: Side) -> Iterator[int]:
    """Where a series first passes its limit, and then each time it is worse than ever before by WORSE_BY.

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
    at_end    judges how a run ended, so only one that has: the step of its findings is the record's last, and a prefix
              of the record is another run with another end
    """

    name: str
    judge: Callable[[Evidence], Sequence[Finding]]
    limits: Mapping[str, str] = field(default_factory=dict)
    at_end: bool = False
