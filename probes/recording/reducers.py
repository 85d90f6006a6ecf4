"""The formulas of all signals that are computed from arrays. No other file computes these signals.

A *reduction* computes a small summary, called a *part*, from arrays as soon as they are handed
over, so that no array is kept. Within one row, all parts of the same place are added, for example
those of the micro-batches of a step or of the chunks of an evaluation. A *formula* computes the
values of one signal from the summed parts.

To add a signal, write a formula here with the name of the signal in `probes.record.signals`. The
formula may use an existing reduction or a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import inf, isfinite, sqrt
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from probes.record.signals import signal_named
from probes.recording.spectral import SpectralNorm

DEAD_BELOW = -3.0
"""A GELU unit is dead if its pre-activation never reaches this value: GELU(-3) = -0.004, and the
slope at -3 is -0.012."""

ROWS_WITH_ATTENTION = 2
"""Rows of each chunk of a training batch whose attention is measured. A mask is wrong in all rows
or in none, and two rows take little time."""

SMALLEST_SAFE_SQUARE = 1e-30
"""If a sum of squares in float32 is smaller than this, some terms may have been rounded to 0. The
smallest normal float32 is 1e-38."""

MAX_ROUNDINGS_OF_CHANGE = 8.0
"""A change of a parameter counts as rounding up to this multiple of the precision of its dtype. A
rounded sum errs by half of the precision; an optimizer may add an update in two or three parts."""
LARGEST = "largest"
"""The site of `unexplained_change` that holds its largest value."""

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]
Kind = Literal[
    "output",
    "loss",
    "gradient",
    "update",
    "change",
    "weight",
    "pre_activation",
    "attention",
    "training_attention",
]
"""The kinds of arrays that can be handed over. `Reducer` has a method for each kind; its docstring
gives the shapes."""


@dataclass(slots=True)
class Sum:
    """A sum over parts.

    total      sum of the reduced values: a number, or an array with one number per head
    count      number of values or queries in the sum
    nonfinite  number of values that are NaN or infinite
    whole      False if some parameters of the layer are missing from the sum
    """

    total: Any
    count: int
    nonfinite: int = 0
    whole: bool = True

    def __add__(self, other: Sum) -> Sum:
        return Sum(
            self.total + other.total,
            self.count + other.count,
            self.nonfinite + other.nonfinite,
            self.whole and other.whole,
        )


class Reduction(NamedTuple):
    """A function that computes a part from arrays of one kind. Parts are added with `+`."""

    kind: Kind
    reduce: Callable[..., Any]


class Formula(NamedTuple):
    """A function that computes site -> value. Its arguments are, for each of `reductions`, a
    mapping from place to the summed part."""

    reductions: tuple[Reduction, ...]
    values: Callable[..., Mapping[str, float]]


FORMULAS: dict[str, Formula] = {}
"""Signal name -> its formula."""
F = TypeVar("F", bound=Callable[..., Mapping[str, float]])


def reduction(kind: Kind) -> Callable[[Callable[..., Any]], Reduction]:
    """Decorator: makes a function the reduction of one kind of array."""
    return partial(Reduction, kind)


def formula(*reductions: Reduction) -> Callable[[F], F]:
    """Decorator: registers a function as the formula of the signal of the same name. The function
    is called with the summed parts of the given reductions.

    Raises UnknownSignalError when no signal has that name."""

    def register(values: F) -> F:
        FORMULAS[signal_named(values.__name__).name] = Formula(reductions, values)
        return values

    return register


class Reducer:
    """Reduces the arrays of one row and computes signals from the parts.

    It keeps only numbers and small arrays, never a view of an array that was handed over. Only the
    reductions that the given signals need are computed; `kinds` holds the kinds of arrays that
    these reductions use."""

    def __init__(self, signals: Iterable[str] = FORMULAS) -> None:
        self._formulas = {name: FORMULAS[name] for name in signals if name in FORMULAS}
        used = [each for formula in self._formulas.values() for each in formula.reductions]
        self._parts: dict[Reduction, dict[str, Any]] = {each: {} for each in used}
        self._of_kind = {
            kind: [(each.reduce, parts) for each, parts in self._parts.items() if each.kind == kind]
            for kind in get_args(Kind)
        }
        self.kinds = frozenset(each.kind for each in used)
        self._spectral_norm = SpectralNorm()

    def output(self, layer: str, output: Floats) -> None:
        """A layer's output on the training batch, or on a micro-batch of it; any shape."""
        self._add("output", layer, output)

    def gradient(self, layer: str, gradients: Sequence[Floats], whole: bool = True) -> None:
        """Gradients of a layer's parameters before clipping, any shapes. Set `whole` to False if
        gradients of some parameters are missing: values that are not finite are then counted, but
        no norm is computed."""
        self._add("gradient", layer, gradients, whole)

    def update(self, matrix: str, update: Floats, norm_before: float) -> None:
        """The step's update of a matrix, and the matrix's norm before it; once per row."""
        self._add("update", matrix, update, norm_before)

    def change(self, parameter: str, expected: Floats, found: Floats) -> None:
        """A parameter after the step: the sum of its values after the last step and of the step's
        update, and the values found; once per row."""
        self._add("change", parameter, expected, found)

    def weight(self, matrix: str, weight: Floats) -> None:
        """A weight matrix [m, n]; once per row."""
        self._add("weight", matrix, weight, partial(self._spectral_norm, matrix))

    def pre_activation(self, layer: str, values: Floats) -> None:
        """Inputs of an FFN's GELU [..., neurons] without padding, on a chunk of the evaluation."""
        self._add("pre_activation", layer, values)

    def attention(self, site: str, weights: Floats, visible: Bools) -> None:
        """Attention weights [B, H, Tq, Tk] on a chunk of the evaluation. `visible`, broadcastable
        to [B, Tq, Tk], is True where a query may see a key; a padding query must see no key."""
        self._add("attention", site, weights, visible)

    def training_attention(self, site: str, weights: Floats) -> None:
        """Attention weights [B, H, Tq, Tk] on the training batch, or on a few rows of it."""
        self._add("training_attention", site, weights)

    def _add(self, kind: Kind, place: str, *arrays: Any) -> None:
        for reduce, parts in self._of_kind[kind]:
            part = reduce(*arrays)
            parts[place] = parts[place] + part if place in parts else part

    @property
    def empty(self) -> bool:
        """Whether nothing was handed over since the last `clear`."""
        return not any(self._parts.values())

    def readings(self, loss: float | None) -> dict[str, Mapping[str, float]]:
        """The values of all signals for which arrays were handed over: signal -> site -> value.

        `loss` is the loss of the row; None if the row has no loss."""
        losses = {} if loss is None else {"loss": nonfinite_loss.reduce(loss)}
        parts = {**self._parts, nonfinite_loss: losses}
        readings = {
            name: values(*[parts[each] for each in reductions])
            for name, (reductions, values) in self._formulas.items()
        }
        return {name: values for name, values in readings.items() if values}

    def clear(self) -> None:
        """Remove all parts, to start a new row."""
        for parts in self._parts.values():
            parts.clear()


# Reductions


@reduction("output")
def magnitudes(output: Floats) -> Sum:
    """Sum of |x|. It is computed in float64 if it overflows float32."""
    values = np.abs(output).ravel()
    total = float(np.einsum("i->", values))  # faster than sum(), and silent when it overflows
    if not isfinite(total):
        total = float(values.sum(dtype=np.float64))
    return Sum(total, output.size, 0 if isfinite(total) else count_nonfinite(output))


@reduction("loss")
def nonfinite_loss(loss: float) -> int:
    """1 if the loss is NaN or infinite, otherwise 0."""
    return int(not isfinite(loss))


@reduction("gradient")
def squares(gradients: Sequence[Floats], whole: bool) -> Sum:
    """Sum of the squares of all gradients of a layer."""
    total, count = 0.0, 0
    for gradient in gradients:
        total += norm_squared(gradient)
        count += gradient.size
    # A finite sum of squares proves that every value is finite.
    nonfinite = 0 if isfinite(total) else sum(map(count_nonfinite, gradients))
    return Sum(total, count, nonfinite, whole)


@reduction("update")
def update_and_weight_norm(update: Floats, norm_before: float) -> tuple[float, float]:
    """L2 norm of the update, and of the matrix before it."""
    return norm(update), norm_before


@reduction("change")
def relative_error(expected: Floats, found: Floats) -> tuple[float, float]:
    """L2 norm of the difference of two arrays divided by that of the second, and the largest value
    that rounding explains. Values that should not be finite are not compared."""
    rounding = MAX_ROUNDINGS_OF_CHANGE * float(np.finfo(found.dtype).eps)
    if np.array_equal(expected, found):
        return 0.0, rounding
    finite = np.isfinite(expected)
    difference, length = norm(found[finite] - expected[finite]), norm(found[finite])
    if not isfinite(difference):
        return inf, rounding
    return (difference / length if length else difference and inf), rounding


@reduction("weight")
def largest_singular_value(weight: Floats, estimate: Callable[[Floats], float]) -> float:
    """Largest singular value. `estimate` is the power iteration of this matrix, which starts from
    the singular vectors of the previous evaluation."""
    return estimate(weight)


@reduction("pre_activation")
def alive(values: Floats) -> Bools:
    """Whether each neuron reaches DEAD_BELOW on at least one token: [neurons]. Adding two boolean
    arrays gives their logical "or"."""
    highest: Floats = values.max(axis=tuple(range(values.ndim - 1)))
    return ~(highest < DEAD_BELOW)


@reduction("attention")
def entropies(weights: Floats, visible: Bools) -> Sum:
    """Entropy of the attention weights of each query, divided by ln(visible keys) and summed over
    queries: [H].

    The first position and queries that see fewer than two keys are left out, because they have no
    choice of key."""
    visible = np.broadcast_to(visible, (len(weights), *weights.shape[-2:]))
    ones = np.ones(weights.shape[-1], weights.dtype)
    # [B, Tq]; for short rows, a matrix product is a faster sum than `sum`.
    keys = visible.astype(weights.dtype) @ ones
    judged = keys >= 2
    judged[:, 0] = False
    surprise = np.maximum(weights, np.finfo(weights.dtype).tiny)
    np.log(surprise, out=surprise)
    surprise *= weights
    shares = judged / np.log(np.maximum(keys, 2), dtype=np.float64)
    return Sum(-np.einsum("bhq,bq->h", surprise @ ones, shares), int(np.count_nonzero(judged)))


@reduction("training_attention")
def weights_on_later_keys(weights: Floats) -> Sum:
    """Attention weight on keys after the query, summed over the queries of the first rows: [H]."""
    rows = weights[:ROWS_WITH_ATTENTION]
    B, H, Tq, Tk = rows.shape
    # For short rows, a matrix product is a faster sum than `sum`.
    total = rows.reshape(B * H, Tq * Tk) @ _later_keys(Tq, Tk).astype(rows.dtype, copy=False)
    return Sum(total.reshape(B, H).sum(axis=0), B * Tq)


@lru_cache(maxsize=256)
def _later_keys(Tq: int, Tk: int) -> Floats:
    """1 for each pair of a query and a key after it, otherwise 0: [Tq Tk]. The last query stands at
    the last key."""
    return 1 - np.tri(Tq, Tk, Tk - Tq, dtype=np.float32).ravel()


# Formulas


@formula(magnitudes)
def activation(outputs: Mapping[str, Sum]) -> dict[str, float]:
    return {layer: output.total / output.count for layer, output in outputs.items()}


@formula(squares)
def grad_norm_by_layer(gradients: Mapping[str, Sum]) -> dict[str, float]:
    return {layer: sqrt(gradient.total) for layer, gradient in gradients.items() if gradient.whole}


@formula(magnitudes, squares)
def grad_activation_ratio(
    outputs: Mapping[str, Sum], gradients: Mapping[str, Sum]
) -> dict[str, float]:
    magnitude = activation(outputs)
    return {
        layer: sqrt(gradient.total / gradient.count) / magnitude[layer]
        for layer, gradient in gradients.items()
        if gradient.whole and magnitude.get(layer, 0.0) > 0
    }


@formula(update_and_weight_norm)
def update_weight_ratio(norms: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """A matrix that was zero before the update has no value."""
    return {matrix: update / weight for matrix, (update, weight) in norms.items() if weight > 0}


@formula(relative_error)
def unexplained_change(errors: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """The largest of all parameters at the site LARGEST, then those that are more than rounding."""
    if not errors:
        return {}
    return {
        LARGEST: max(error for error, _ in errors.values()),
        **{name: error for name, (error, rounding) in errors.items() if error > rounding},
    }


@formula(largest_singular_value)
def spectral_norm(singular_values: Mapping[str, float]) -> dict[str, float]:
    return dict(singular_values)


@formula(alive)
def dead_fraction(neurons: Mapping[str, Bools]) -> dict[str, float]:
    return {layer: float((~living).mean()) for layer, living in neurons.items()}


@formula(entropies)
def attention_entropy(sites: Mapping[str, Sum]) -> dict[str, float]:
    return {
        f"{site}.{head}": float(total / heads.count)
        for site, heads in sites.items()
        if heads.count
        for head, total in enumerate(heads.total)
    }


@formula(weights_on_later_keys)
def future_attention(sites: Mapping[str, Sum]) -> dict[str, float]:
    return {
        f"{site}.{head}": float(total / heads.count)
        for site, heads in sites.items()
        for head, total in enumerate(heads.total)
    }


@formula(magnitudes, nonfinite_loss, squares)
def nonfinite_count(
    outputs: Mapping[str, Sum], losses: Mapping[str, int], gradients: Mapping[str, Sum]
) -> dict[str, float]:
    """The sites are in the order of computation: layers in forward order, the loss, gradients in
    the order in which they were handed over. The first site with a count is thus where the first
    value became non-finite."""
    if not outputs and not gradients:
        return {}
    return {
        **{layer: output.nonfinite for layer, output in outputs.items()},
        **losses,
        **{f"{layer}.grad": gradient.nonfinite for layer, gradient in gradients.items()},
    }


# Shared by reductions


def norm(array: Floats) -> float:
    """L2 norm."""
    return sqrt(norm_squared(array))


def norm_squared(array: Floats) -> float:
    """Square of the L2 norm. It is computed in float64 if it overflows or underflows float32."""
    square = float(np.vdot(array, array))  # unlike dot(), silent when it overflows
    if not SMALLEST_SAFE_SQUARE < square < inf:
        wide = array.astype(np.float64)
        square = float(np.vdot(wide, wide))
    return square


def count_nonfinite(array: Floats) -> int:
    """Number of values that are NaN or infinite."""
    return int(array.size - np.isfinite(array).sum())
