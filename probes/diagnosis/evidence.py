"""What detectors may look at: the facts and signals of a record, without a way to its provenance.

Several detectors need the same curve, so what one of them computes is kept for the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from math import isfinite, log
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from probes.diagnosis.curves import MIN_POINTS, Curve
from probes.record import REINFORCEMENT, Column, Record, Steps

T = TypeVar("T")
LOSS_SIGNALS = frozenset({"loss", "train_loss", "val_loss", "grad_norm"})
"""Signals that detectors judge by rules for a loss which training is to lower."""
MIN_POINTS_FOR_SIGNS = 20
"""Points of loss from which their signs are counted."""
MIN_SHARE_OF_SIGN = 0.2
"""Share of positive and of negative values, each in the first and in the last quarter of a log,
from which its loss is a policy's. The loss of a density falls through 0 and has both signs in one
of those quarters at most."""
MIN_EARLY_POINTS = 8
"""Points from which the first eighth of a log must hold both signs as well, since a fall may be
over within the first quarter."""


class CannotJudgeError(Exception):
    """Raised when the evidence lacks what a detector needs; the message is the reason that the
    reader sees."""


class Evidence:
    """The facts and signals of one record, and what was computed from them."""

    def __init__(self, record: Record) -> None:
        self._record = record.anonymous()
        self._results: dict[Any, Any] = {}
        self.facts: Mapping[str, Any] = record.facts
        self.steps: Steps = record.steps

    def once(self, compute: Callable[[Evidence], T]) -> T:
        """The result of a function of this evidence, which is called at most once."""
        if compute not in self._results:
            self._results[compute] = compute(self)
        result: T = self._results[compute]
        return result

    # Facts

    def fact(self, name: str) -> Any:
        """A fact. Raises CannotJudgeError when the record does not state it."""
        if self.facts.get(name) is None:
            raise CannotJudgeError(f"the record does not state {name}")
        return self.facts[name]

    def number(self, name: str) -> float:
        """A fact as a number. Raises CannotJudgeError when the record does not state it or states
        something else than a finite number."""
        value = finite_number(self.fact(name))
        if value is None:
            raise CannotJudgeError(
                f"the record states {name} as {self.fact(name)!r:.60}, which is not a finite number"
            )
        return value

    def uniform_loss(self) -> float:
        """ln V: the loss of a model that knows nothing. Raises CannotJudgeError without a usable
        vocab_size."""
        vocab_size = self.number("vocab_size")
        if vocab_size < 2:
            raise CannotJudgeError(f"vocab_size is {vocab_size:g}; there is nothing to predict")
        return log(vocab_size)

    def rung(self, split: str, name: str) -> float | None:
        """A rung of a split's ladder (docs/record.md, fact `ladder`); None when the record states
        no positive number there."""
        rungs: Any = self.facts
        for key in ("ladder", split, name):
            rungs = rungs.get(key) if isinstance(rungs, Mapping) else None
        value = finite_number(rungs)
        return value if value is not None and value > 0 else None

    # Signals

    @property
    def last_step(self) -> int:
        return int(self.steps[-1])

    @property
    def loss_signal(self) -> str:
        """The signal that holds the training loss: `loss`, the loss of each batch, or `train_loss`
        when only that was recorded."""
        return "loss" if self.sites("loss") else "train_loss"

    @property
    def evaluated_loss_signal(self) -> str:
        """The signal that holds the training loss with the least noise: `train_loss`, the loss over
        the whole split, or `loss` when only that was recorded."""
        return "train_loss" if self.sites("train_loss") else "loss"

    def sites(self, signal: str) -> tuple[str, ...]:
        """The sites at which a signal was measured; () when it never was."""
        return self._record.sites(signal)

    def series(self, signal: str, site: str = "") -> tuple[Steps, Column]:
        """The steps at which a signal was measured, and its values there: [n], [n].

        Raises CannotJudgeError when it never was, and for LOSS_SIGNALS when rules for a loss do not
        apply to this run."""
        steps, values = self.unchecked_series(signal, site)
        if signal in LOSS_SIGNALS and self.no_loss_rules:
            raise CannotJudgeError(self.no_loss_rules)
        return steps, values

    def unchecked_series(self, signal: str, site: str = "") -> tuple[Steps, Column]:
        """As `series`, but also where rules for a loss do not apply. A value that is not finite is
        a fault in any run."""
        steps, values = self._record.series(signal, site)
        if not len(steps):
            raise CannotJudgeError(f"{signal} was not recorded")
        return steps, values

    def curve(self, signal: str) -> Curve:
        """The finite points of a signal of the whole run. Raises CannotJudgeError as `series`
        does."""
        if signal not in self._results:
            self._results[signal] = Curve(*self.series(signal))
        curve: Curve = self._results[signal]
        return curve

    def curve_or_empty(self, signal: str) -> Curve:
        """As `curve`, but without points when the signal was not recorded."""
        return self.curve(signal) if self.sites(signal) else Curve(self.steps[:0], np.empty(0))

    def training_loss(self) -> Curve:
        """The curve of the training loss. Raises CannotJudgeError for fewer than MIN_POINTS finite
        points."""
        curve = self.curve(self.loss_signal)
        if not curve.has_segments:
            raise CannotJudgeError(
                f"{len(curve)} finite points of {self.loss_signal}; {MIN_POINTS} are needed"
            )
        return curve

    def at_start(self, signal: str, site: str = "") -> float:
        """The value of a signal at step 0. Raises CannotJudgeError when it was not measured
        there."""
        steps, values = self.series(signal, site)
        if steps[0] != 0:
            raise CannotJudgeError(f"{signal} was first measured at step {steps[0]}, not at step 0")
        return float(values[0])

    @cached_property
    def no_loss_rules(self) -> str:
        """Why rules for a loss do not apply to this run; "" when they do."""
        if self.facts.get("objective") == REINFORCEMENT:
            return f"{REINFORCEMENT}: the loss of a policy does not say how well it does"
        if _has_both_signs_throughout(self._record.series("loss")[1]):
            return f"{REINFORCEMENT}, it seems: the loss has both signs from first to last"
        return ""


def _has_both_signs_throughout(losses: Column) -> bool:
    """Whether a loss looks like a policy's: of both signs at its start and at its end."""
    losses = losses[np.isfinite(losses)]
    if len(losses) < MIN_POINTS_FOR_SIGNS:
        return False
    quarter = len(losses) // 4
    shares = [
        float(np.mean(sign * part > 0))
        for part in (losses[:quarter], losses[-quarter:])
        for sign in (1, -1)
    ]
    early = losses[: len(losses) // 8]
    return min(shares) >= MIN_SHARE_OF_SIGN and (
        len(early) < MIN_EARLY_POINTS or early.min() < 0 < early.max()
    )


def finite_number(value: object) -> float | None:
    """The value as a float when it is a finite number, else None."""
    with suppress(OverflowError):
        if isinstance(value, Real) and not isinstance(value, bool) and isfinite(value):
            return float(value)
    return None
