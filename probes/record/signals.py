"""The table of all signals that a record may hold.

To add a signal, add a row here. If it is computed from arrays, add its formula to
`probes.recording.reducers` under the same name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt

from probes.common.text import did_you_mean

Scope = Literal["run", "layer", "matrix", "head", "class", "site", "batch"]
Cadence = Literal["step", "evaluation"]
Reading = float | Mapping[str, float] | Sequence[float] | npt.NDArray[Any] | None
"""What one row holds of a signal: one value, a value per site, a value per position, or None when
it was not measured."""


class UnknownSignalError(KeyError):
    """A name that is not in the table of signals; the message gives the nearest names that are."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Signal:
    """A row of the table of signals.

    scope    what has a value of its own: the run, each layer, matrix, head, class or site, or each
             row of the batch
    cadence  whether it is measured at every step or at every evaluation
    formula  how it is computed, in words
    source   where the formula comes from
    """

    name: str
    unit: str
    scope: Scope
    cadence: Cadence
    formula: str
    source: str


NATS = "nats/token"

SIGNALS: tuple[Signal, ...] = (
    Signal(
        "loss", NATS, "run", "step",
        "mean of -ln p(target) over the batch's predicted tokens, before the step's update",
        "cross-entropy",
    ),
    Signal(
        "train_loss", NATS, "run", "evaluation",
        "mean of -ln p(target) over every predicted token of the training split, "
        "after the step's update",
        "cross-entropy",
    ),
    Signal(
        "val_loss", NATS, "run", "evaluation",
        "mean of -ln p(target) over every predicted token of the validation split, "
        "after the step's update",
        "cross-entropy",
    ),
    Signal(
        "train_loss_by_class", NATS, "class", "evaluation",
        "train_loss over the class tokens of one class of rows",
        "per-class decomposition of the loss",
    ),
    Signal(
        "val_loss_by_class", NATS, "class", "evaluation",
        "val_loss over the class tokens of one class of rows",
        "per-class decomposition of the loss",
    ),
    Signal(
        "val_loss_by_class_compositional", NATS, "class", "evaluation",
        "val_loss_by_class over rows whose word can be inferred from other rows",
        "per-class decomposition of the loss",
    ),
    Signal(
        "lr", "1", "run", "step",
        "learning rate of the step's update",
        "Goyal et al. 2017 (warmup); Loshchilov and Hutter 2017 (cosine)",
    ),
    Signal(
        "grad_norm", "nats/token per unit of weight", "run", "step",
        "L2 norm of the whole gradient before clipping",
        "Pascanu, Mikolov and Bengio 2013",
    ),
    Signal(
        "grad_norm_by_layer", "nats/token per unit of weight", "layer", "step",
        "L2 norm of the gradient of one layer's parameters before clipping",
        "Pascanu, Mikolov and Bengio 2013",
    ),
    Signal(
        "activation", "1", "layer", "step",
        "mean of |x| over a layer's output on the training batch",
        "Glorot and Bengio 2010",
    ),
    Signal(
        "grad_activation_ratio", "nats/token per unit squared", "layer", "step",
        "root mean square of the gradient of a layer's parameters over its activation",
        "Glorot and Bengio 2010",
    ),
    Signal(
        "update_weight_ratio", "1", "matrix", "step",
        "L2 norm of the step's update of a matrix over the norm of the matrix before it",
        "Karpathy 2015, CS231n notes: about 1e-3 is usual",
    ),
    Signal(
        "spectral_norm", "1", "matrix", "evaluation",
        "largest singular value, by power iteration warm-started from the evaluation before",
        "Miyato et al. 2018",
    ),
    Signal(
        "dead_fraction", "1", "layer", "evaluation",
        "fraction of an FFN's neurons whose pre-activation is below -3 "
        "on every real token of the evaluation",
        "GELU(-3) = -0.004: the neuron passes neither signal nor gradient",
    ),
    Signal(
        "attention_entropy", "1", "head", "evaluation",
        "mean over queries of the attention's entropy divided by ln(visible keys), "
        "first position left out",
        "Zhai et al. 2023 (entropy collapse)",
    ),
    Signal(
        "nonfinite_count", "values", "site", "step",
        "number of NaN and infinite values at a site",
        "IEEE 754",
    ),
    Signal(
        "batch_ids", "index", "batch", "step",
        "which rows of the corpus the batch held",
        "the specimen's data order",
    ),
)  # fmt: skip

BY_NAME: Mapping[str, Signal] = {signal.name: signal for signal in SIGNALS}


def known(name: str) -> Signal:
    """The signal of this name. Raises UnknownSignalError, with the nearest names, when there is
    none."""
    if name not in BY_NAME:
        hint = did_you_mean(name, BY_NAME, "the signals are " + ", ".join(BY_NAME))
        raise UnknownSignalError(f"there is no signal {name!r}; {hint}")
    return BY_NAME[name]
