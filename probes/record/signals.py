"""The table of all signals that a record may hold.

To add a signal, add a row here. If the signal is computed from arrays, also add a function of the
same name to `probes.recording.reducers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy.typing as npt

from probes.common.text import did_you_mean

Scope = Literal["run", "layer", "matrix", "head", "class", "metric", "site", "batch"]
Cadence = Literal["step", "evaluation", "proof"]
Reading = float | Mapping[str, float] | Sequence[float] | npt.NDArray[Any] | None
"""The value of one signal in one row: a number, a mapping from site to number, a sequence of
numbers, or None if the signal was not measured."""


class UnknownSignalError(KeyError):
    """Raised for a name that is not in the table of signals. The message gives the most similar
    names."""

    def __str__(self) -> str:
        return str(self.args[0])


class Signal(NamedTuple):
    """A row of the table of signals.

    unit     the unit of its values
    scope    the signal has one value for the whole run, or one value for each layer, matrix, head,
             class, metric, site or row of the batch
    cadence  whether it is measured at every step, at evaluations, or at the few steps at which
             proofs run (`probes.proofs`)
    formula  how it is computed, in words
    source   publication or definition from which the formula comes
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
        "train_loss over the rows of one class, counting only the tokens in which classes are "
        "compared, such as those of the verb",
        "per-class decomposition of the loss",
    ),
    Signal(
        "val_loss_by_class", NATS, "class", "evaluation",
        "val_loss over the rows of one class, counting only the tokens in which classes are "
        "compared, such as those of the verb",
        "per-class decomposition of the loss",
    ),
    Signal(
        "val_loss_by_class_compositional", NATS, "class", "evaluation",
        "val_loss_by_class over only the rows whose word can be inferred from other rows",
        "per-class decomposition of the loss",
    ),
    Signal(
        "metric", "unit of the metric", "metric", "evaluation",
        "a measure of quality other than the loss, such as accuracy; its name says which",
        "the log; its name, or the fact `metric_direction`, says whether higher is better",
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
        "root mean square of the gradient of a layer's parameters, "
        "divided by the layer's activation",
        "Glorot and Bengio 2010",
    ),
    Signal(
        "update_weight_ratio", "1", "matrix", "step",
        "L2 norm of the step's update of a matrix, "
        "divided by the norm of the matrix before the update",
        "Karpathy 2015, CS231n notes: about 1e-3 is usual",
    ),
    Signal(
        "spectral_norm", "1", "matrix", "evaluation",
        "largest singular value, by power iteration that starts from the previous evaluation",
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
        "mean over queries, without the first position, of the entropy of the attention weights "
        "divided by ln(visible keys)",
        "Zhai et al. 2023 (entropy collapse)",
    ),
    Signal(
        "nonfinite_count", "values", "site", "step",
        "number of NaN and infinite values at a site",
        "IEEE 754",
    ),
    Signal(
        "loss_repeat_error", "ratio", "site", "proof",
        "relative difference of two losses of the same batch and the same weights, in training and "
        "in an evaluation",
        "definition",
    ),
    Signal(
        "future_attention", "1", "head", "step",
        "mean over queries of the attention weight on keys after the query, in a few rows of the "
        "training batch",
        "0 in a model that predicts the next token",
    ),
    Signal(
        "hidden_keys", "ratio", "head", "proof",
        "share of the keys up to the query's own whose attention weight is exactly 0, over all "
        "queries of a row, at weights of Xavier scale",
        "0 for a softmax over all keys up to the query",
    ),
    Signal(
        "attention_sum_error", "1", "head", "proof",
        "largest distance from 1 of the sum of a query's attention weights, in a row at weights of "
        "Xavier scale",
        "0, up to rounding, for a softmax over the keys",
    ),
    Signal(
        "future_influence", "ratio", "run", "proof",
        "largest change of a logit before the first changed token of a row, relative to the "
        "largest change from that token on",
        "0 in a model that predicts the next token",
    ),
    Signal(
        "unreached_share", "ratio", "run", "proof",
        "of the positions from a changed token to the end of the row, the share whose logits stay "
        "equal to the last bit",
        "0 in a model that uses the whole prefix",
    ),
    Signal(
        "order_influence", "ratio", "run", "proof",
        "the larger of two ratios of root mean squares: the change of later logits if two "
        "neighbouring tokens are exchanged, relative to the change if one of them is replaced; and "
        "the change along a row of equal tokens, relative to the change if all are replaced",
        "definition",
    ),
    Signal(
        "row_influence", "ratio", "run", "proof",
        "largest change of a logit in the rows of a batch whose tokens did not change, relative to "
        "the largest change in its other rows",
        "0 in a model whose rows are independent",
    ),
    Signal(
        "company_influence", "ratio", "run", "proof",
        "largest difference between the logits of a row alone and in a batch, relative to their "
        "standard deviation",
        "0, up to rounding, in a model whose rows are independent",
    ),
    Signal(
        "loss_ratio", "ratio", "site", "proof",
        "a reported loss, divided by the mean cross-entropy that the logits and the data set give. "
        "step: the loss of the step; repeated: of the batch, computed again; evaluated: of an "
        "evaluation of the batch; val_loss: of the validation split. The loss of the step is also "
        "divided by what a mistake would give. step.sum: the sum over tokens; step.row-sum: the "
        "mean over rows of their sums; step.unshifted and step.shifted-twice: the cross-entropy of "
        "targets that are the tokens themselves, or the tokens after the next",
        "cross-entropy",
    ),
    Signal(
        "stretch", "1", "matrix", "proof",
        "factor by which a matrix stretches a vector: a lower bound of the spectral norm. The "
        "vector begins as the longest row, and four rounds of products with the matrix and its "
        "transpose bring it near the first singular vector",
        "definition of the spectral norm",
    ),
    Signal(
        "data_mismatch", "share", "site", "step",
        "tokens, targets: share that differs from the rows in batch_ids; rows: relative deviation "
        "of the number of rows from the batch size; held-out: share of rows outside the training "
        "split; repeated: share of rows drawn before in this epoch. At the end of an epoch, "
        "sorted: correlation of a row's place with its number or length; same-order: share of rows "
        "in the same batch as in the epoch before. At an evaluation, evaluation: wrong rows per "
        "row of the validation split; validated: training rows evaluated twice, per missing "
        "validation row",
        "definition",
    ),
    Signal(
        "gradient_error", "ratio", "site", "proof",
        "e / (e + g), where e is the norm of the wrong part of a gradient, measured by differences "
        "of losses, and g the norm of the gradient. used: the gradient that the step used. If it "
        "is wrong, also fresh: that of a fresh backward pass; repeated: that of a second pass "
        "right after it, compared with the fresh one; and each tensor of the fresh one",
        "central differences (Griewank and Walther 2008)",
    ),
    Signal(
        "update_per_rate", "1", "site", "proof",
        "root mean square of the step's update of a tensor whose gradient is not 0, divided by the "
        "learning rate",
        "definition",
    ),
    Signal(
        "first_update_scale", "1", "site", "proof",
        "factor a in the least-squares fit of -a sign(gradient) - b weight to the first update of "
        "a tensor, divided by the learning rate",
        "Kingma and Ba 2015, section 2.1: 1 for Adam",
    ),
    Signal(
        "unexplained_change", "ratio", "site", "step",
        "L2 norm of (a tensor's change since the last step, minus the step's update), divided by "
        "the norm of the tensor. largest: the largest value of all tensors. A tensor has a value "
        "of its own if it is more than rounding",
        "definition: an optimizer alone writes the weights",
    ),
    Signal(
        "batch_ids", "index", "batch", "step",
        "indices of the corpus rows in the batch",
        "the specimen's data order",
    ),
)  # fmt: skip

BY_NAME: Mapping[str, Signal] = {signal.name: signal for signal in SIGNALS}


def signal_named(name: str) -> Signal:
    """The signal of this name. Raises UnknownSignalError, with the most similar names, if there is
    no such signal."""
    if name not in BY_NAME:
        hint = did_you_mean(name, BY_NAME, "the signals are " + ", ".join(BY_NAME))
        raise UnknownSignalError(f"there is no signal {name!r}; {hint}")
    return BY_NAME[name]
