"""What a detector may look at: the facts and signals of a record, and no way to its provenance."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from math import isfinite, log
from numbers import Real
from typing import Any

import numpy as np

from probes.record import REINFORCEMENT, Column, Record, Steps

OF_A_LOSS = frozenset({"loss", "train_loss", "val_loss", "grad_norm"})
"""Signals that are judged by rules for a loss that is to fall."""

SIGNED_POINTS = 20
"""Points of loss of which signs are counted."""

EACH_SIGN = 0.2
"""Share of either sign, in the first and in the last quarter of a log, by which its loss is a
policy's. The loss of a density falls through 0 and has both signs in one of them at most."""

EARLY = 8
"""Points of the first eighth, with which it too must have both: a fall may be over within the first
quarter."""


class CannotJudgeError(Exception):
    """Raised by a detector that lacks what it needs; the message is the reason a reader sees."""


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
        """A fact that is a finite number. Raises CannotJudgeError when the record does not state
        one."""
        value = _finite(self.fact(name))
        if value is None:
            raise CannotJudgeError(
                f"the record states {name} as {self.fact(name)!r:.60}, which is not a finite number"
            )
        return value

    def uniform(self) -> float:
        """ln V: what a model scores that knows nothing. Raises CannotJudgeError without a usable
        vocab_size."""
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
        """The signal that holds the training loss: `loss`, the batch's, or `train_loss` where it is
        the only one."""
        return "loss" if self.sites("loss") else "train_loss"

    def series(self, signal: str, site: str = "") -> tuple[Steps, Column]:
        """The steps at which a signal was measured and its values.

        Raises CannotJudgeError when it never was, and for a loss or its gradient in reinforcement
        learning."""
        steps, values = self.observed(signal, site)
        if signal in OF_A_LOSS and (why := self._of_a_policy()):
            raise CannotJudgeError(why)
        return steps, values

    def observed(self, signal: str, site: str = "") -> tuple[Steps, Column]:
        """As `series`, also where rules for a loss mean nothing: whether a value is finite means as
        much there."""
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
                self._without_rules = (
                    f"{REINFORCEMENT}: the loss of a policy does not say how well it does"
                )
            elif _of_both_signs(self._record.series("loss")[1]):
                self._without_rules = (
                    f"{REINFORCEMENT}, it seems: the loss has both signs from first to last"
                )
        return self._without_rules


def _of_both_signs(losses: Column) -> bool:
    losses = losses[np.isfinite(losses)]
    quarter = len(losses) // 4
    if len(losses) < SIGNED_POINTS:
        return False
    shares = [
        float(np.mean(sign * part > 0))
        for part in (losses[:quarter], losses[-quarter:])
        for sign in (1, -1)
    ]
    early = losses[: len(losses) // 8]
    return min(shares) >= EACH_SIGN and (len(early) < EARLY or early.min() < 0 < early.max())


def _finite(value: object) -> float | None:
    with suppress(OverflowError):
        if isinstance(value, Real) and not isinstance(value, bool) and isfinite(value):
            return float(value)
    return None
