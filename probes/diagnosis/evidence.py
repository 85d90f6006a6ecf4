"""The evidence that detectors use: the facts and signals of a record, but not its provenance.

Several detectors need the same curve, so computed results are cached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from math import inf, isfinite, log
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from probes.diagnosis.curves import MIN_POINTS, Curve
from probes.record import ADVERSARIAL, REINFORCEMENT, Column, Record, Steps

T = TypeVar("T")
LOSS_SIGNALS = frozenset({"loss", "train_loss", "val_loss", "grad_norm"})
"""Signals whose rules assume that training should lower the loss. These rules do not apply in
reinforcement learning."""
MIN_POINTS_FOR_SIGNS = 20
"""Minimum number of points of loss for counting their signs."""
MIN_SHARE_OF_SIGN = 0.2
"""A loss counts as the loss of a policy if at least this share of its values is positive, and at
least this share negative, both in the first and in the last quarter of the log. The negative
log-likelihood of a continuous density crosses 0 once, so it has both signs in at most one of these
quarters."""
MIN_EARLY_POINTS = 8
"""If the first eighth of a log has at least this many points, it must contain both signs as well:
the negative log-likelihood of a density may cross 0 within the first quarter."""

ROUNDING = 1e-3
"""By how much a float32 sum may leave a range that its exact value cannot leave."""
POSSIBLE: Mapping[str, tuple[float, float]] = {
    "attention_entropy": (-ROUNDING, 1 + ROUNDING),
    "dead_fraction": (0, 1),
    "spectral_norm": (0, inf),
    "update_weight_ratio": (0, inf),
    "activation": (0, inf),
    "grad_activation_ratio": (0, inf),
    "grad_norm_by_layer": (0, inf),
}
"""Signal -> the lowest and the highest value that it can have, whatever the model does. A signal
is not listed if foreign logs use it otherwise, as some write -1 for an unknown gradient norm."""


class CannotJudgeError(Exception):
    """Raised when the evidence lacks a signal or fact that a detector needs. The message is the
    reason that the report shows."""


class Evidence:
    """The facts and signals of one record, and a cache of results computed from them."""

    def __init__(self, record: Record) -> None:
        self._record = record.anonymous()
        self._results: dict[Any, Any] = {}
        self.facts: Mapping[str, Any] = record.facts
        self.steps: Steps = record.steps

    def cached(self, compute: Callable[[Evidence], T]) -> T:
        """The result of `compute(self)`, which is called at most once."""
        if compute not in self._results:
            self._results[compute] = compute(self)
        result: T = self._results[compute]
        return result

    # Facts

    def fact(self, name: str) -> Any:
        """The fact of this name. Raises CannotJudgeError when the record does not state it."""
        if self.facts.get(name) is None:
            raise CannotJudgeError(f"the record does not state {name}")
        return self.facts[name]

    def number(self, name: str) -> float:
        """The fact of this name as a number. Raises CannotJudgeError when the record does not state
        it or when it is not a finite number."""
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
        """One loss from the fact `ladder` (docs/record.md), in nats per token: that of the simple
        predictor `name` on `split`. None if the record states no positive number for it."""
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
        """The signal to use as training loss: `loss`, the loss of each batch, or `train_loss` if
        `loss` was not recorded."""
        return "loss" if self.sites("loss") else "train_loss"

    @property
    def evaluated_loss_signal(self) -> str:
        """The signal to use as training loss where noise matters: `train_loss`, the loss over the
        whole split, or `loss` if `train_loss` was not recorded."""
        return "train_loss" if self.sites("train_loss") else "loss"

    def sites(self, signal: str) -> tuple[str, ...]:
        """The sites at which a signal was measured; () if it was not recorded."""
        return self._record.sites(signal)

    def measured_sites(self, signal: str) -> tuple[str, ...]:
        """Like `sites`. Raises CannotJudgeError when the signal was not recorded."""
        if sites := self.sites(signal):
            return sites
        raise CannotJudgeError(f"{signal} was not recorded")

    def series(self, signal: str, site: str = "") -> tuple[Steps, Column]:
        """The steps at which a signal was measured, and its values at these steps: [n], [n].
        Impossible values (POSSIBLE) are left out.

        Raises CannotJudgeError when the signal was not recorded. For LOSS_SIGNALS it is also raised
        when the rules for a loss do not apply to this run (`no_loss_rules`)."""
        steps, values = self.unchecked_series(signal, site)
        if signal in LOSS_SIGNALS and self.no_loss_rules:
            raise CannotJudgeError(self.no_loss_rules)
        return steps, values

    def unchecked_series(self, signal: str, site: str = "") -> tuple[Steps, Column]:
        """Like `series`, but also allowed when the rules for a loss do not apply. It serves the
        check for values that are not finite, which are a fault in any run."""
        steps, values = self._record.series(signal, site)
        if signal in POSSIBLE:
            lowest, highest = POSSIBLE[signal]
            is_possible = (values >= lowest) & (values <= highest)
            steps, values = steps[is_possible], values[is_possible]
        if not len(steps):
            raise CannotJudgeError(f"{signal} was not recorded")
        return steps, values

    def impossible(self, signal: str, site: str) -> tuple[Steps, Column]:
        """The steps at which a signal has an impossible value (POSSIBLE), and the distance of each
        from the possible ones: [n], [n]. `series` leaves these values out."""
        lowest, highest = POSSIBLE[signal]
        steps, values = self._record.series(signal, site)
        distances = np.maximum(lowest - values, values - highest)
        return steps[distances > 0], distances[distances > 0]

    def curve(self, signal: str) -> Curve:
        """The finite points of a signal of scope "run". Raises CannotJudgeError in the same cases
        as `series`."""
        if signal not in self._results:
            self._results[signal] = Curve(*self.series(signal))
        curve: Curve = self._results[signal]
        return curve

    def curve_or_empty(self, signal: str) -> Curve:
        """Like `curve`, but an empty curve if the signal was not recorded."""
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
        """The value of a signal at step 0. Raises CannotJudgeError when it was not measured at
        step 0."""
        steps, values = self.series(signal, site)
        if steps[0] != 0:
            raise CannotJudgeError(f"{signal} was first measured at step {steps[0]}, not at step 0")
        return float(values[0])

    @cached_property
    def no_loss_rules(self) -> str:
        """The reason why the rules for a loss do not apply to this run; "" if they apply."""
        if self.facts.get("objective") == REINFORCEMENT:
            return f"{REINFORCEMENT}: the loss of a policy does not measure its success"
        if self.facts.get("objective") == ADVERSARIAL:
            return f"{ADVERSARIAL}: the losses of networks that compete need not fall"
        if _has_both_signs_throughout(self._record.series("loss")[1]):
            return f"{REINFORCEMENT}, probably: the loss has both signs throughout"
        return ""


def _has_both_signs_throughout(losses: Column) -> bool:
    """Whether a loss looks like the loss of a policy: it has both signs at its start and at its
    end."""
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
