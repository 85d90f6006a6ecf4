"""The formulas of all signals that are computed from arrays. No other file computes them.

A *reduction* turns the arrays of one hand-over into a small part, at once, so that no array is
kept. Parts of the same place within one row are added: the micro-batches of a step, the chunks of
an evaluation. A *formula* turns the summed parts into the values of one signal.

To add a signal, write its formula here under the name that it has in `probes.record.signals`.
It may use a reduction that exists or bring its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf, isfinite, sqrt
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from probes.record.signals import known
from probes.recording.spectral import SpectralNorm

DEAD_BELOW = -3.0
"""A GELU unit is dead when its pre-activation never reaches this: GELU(-3) = -0.004, and the slope
there is -0.012."""

SMALLEST_SAFE_SQUARE = 1e-30
"""A sum of squares below this may lack terms that were rounded to 0 in float32, whose smallest
normal number is 1e-38."""

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]
Kind = Literal["output", "loss", "gradient", "update", "weight", "pre_activation", "attention"]
"""What is handed over; `Reducer` has a method for each, which says the shapes."""


@dataclass(slots=True)
class Sum:
    """A sum over parts.

    total      sum of the reduced values: a number, or one per head
    count      how many values, or queries, it covers
    nonfinite  how many of the values are NaN or infinite
    whole      False when some parameters of the layer are missing from it
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
    """A function from the arrays of one hand-over to a part. Parts are added with `+`."""

    kind: Kind
    reduce: Callable[..., Any]


class Formula(NamedTuple):
    """A function from the parts of some reductions, each by place, to values by site."""

    reductions: tuple[Reduction, ...]
    values: Callable[..., Mapping[str, float]]


FORMULAS: dict[str, Formula] = {}
"""Signal -> its formula."""
F = TypeVar("F", bound=Callable[..., Mapping[str, float]])


def reduction(kind: Kind) -> Callable[[Callable[..., Any]], Reduction]:
    """Make a function the reduction of one kind of array."""
    return partial(Reduction, kind)


def formula(*reductions: Reduction) -> Callable[[F], F]:
    """Register a function as the formula of the signal of the same name. It is called with the
    parts of the given reductions.

    Raises UnknownSignalError when no signal has that name."""

    def register(values: F) -> F:
        FORMULAS[known(values.__name__).name] = Formula(reductions, values)
        return values

    return register


class Reducer:
    """Reduces the arrays of one row, and computes the signals from what they were reduced to.

    Keeps numbers and small arrays, never a view of what was handed over. `signals` limits it to
    what those signals need; `kinds` says which kinds of arrays that are."""

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
        """Gradients of a layer's parameters before clipping, any shapes. With `whole` False they
        are not all of them: values that are not finite are counted, and no norm is computed."""
        self._add("gradient", layer, gradients, whole)

    def update(self, matrix: str, update: Floats, norm_before: float) -> None:
        """The step's update of a matrix, and the matrix's norm before it; once per row."""
        self._add("update", matrix, update, norm_before)

    def weight(self, matrix: str, weight: Floats) -> None:
        """A matrix [m, n]; once per row."""
        self._add("weight", matrix, weight, partial(self._spectral_norm, matrix))

    def pre_activation(self, layer: str, values: Floats) -> None:
        """Inputs of an FFN's GELU [..., neurons] at real tokens, on a chunk of the evaluation."""
        self._add("pre_activation", layer, values)

    def attention(self, site: str, weights: Floats, visible: Bools) -> None:
        """Attention weights [B, H, Tq, Tk] on a chunk of the evaluation. `visible`, broadcastable
        to [B, Tq, Tk], says which keys a query may see; a query that is padding sees none."""
        self._add("attention", site, weights, visible)

    def _add(self, kind: Kind, place: str, *arrays: Any) -> None:
        for reduce, parts in self._of_kind[kind]:
            part = reduce(*arrays)
            parts[place] = parts[place] + part if place in parts else part

    @property
    def empty(self) -> bool:
        """Whether nothing was handed over since the last `clear`."""
        return not any(self._parts.values())

    def readings(self, loss: float | None) -> dict[str, Mapping[str, float]]:
        """Signal -> values by site, without the signals for which nothing was handed over.

        `loss` is the row's loss, or None when the row has none."""
        losses = {} if loss is None else {"loss": nonfinite_loss.reduce(loss)}
        parts = {**self._parts, nonfinite_loss: losses}
        readings = {
            name: values(*[parts[each] for each in reductions])
            for name, (reductions, values) in self._formulas.items()
        }
        return {name: values for name, values in readings.items() if values}

    def clear(self) -> None:
        """Start a new row."""
        for parts in self._parts.values():
            parts.clear()


# Reductions


@reduction("output")
def magnitudes(output: Floats) -> Sum:
    """Sum of |x|; in float64 where the sum leaves float32's range."""
    values = np.abs(output).ravel()
    total = float(np.einsum("i->", values))  # faster than sum(), and silent when it overflows
    if not isfinite(total):
        total = float(values.sum(dtype=np.float64))
    return Sum(total, output.size, 0 if isfinite(total) else count_nonfinite(output))


@reduction("loss")
def nonfinite_loss(loss: float) -> int:
    """1 when the loss is NaN or infinite."""
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
    return norm(update), norm_before


@reduction("weight")
def largest_singular_value(weight: Floats, estimate: Callable[[Floats], float]) -> float:
    """By power iteration that starts from the matrix's singular vectors at the last evaluation."""
    return estimate(weight)


@reduction("pre_activation")
def alive(values: Floats) -> Bools:
    """Which neurons reach DEAD_BELOW on some token: [neurons]. The sum of two such arrays is their
    "or"."""
    highest: Floats = values.max(axis=tuple(range(values.ndim - 1)))
    return ~(highest < DEAD_BELOW)


@reduction("attention")
def entropies(weights: Floats, visible: Bools) -> Sum:
    """Entropy of the attention of each query over ln(visible keys), summed over queries: [H].

    The first position and a query that sees a single key have no choice and are left out."""
    visible = np.broadcast_to(visible, (len(weights), *weights.shape[-2:]))
    ones = np.ones(weights.shape[-1], weights.dtype)
    # [B, Tq]; a matrix product sums along short rows faster than a reduction does.
    keys = visible.astype(weights.dtype) @ ones
    judged = keys >= 2
    judged[:, 0] = False
    surprise = np.maximum(weights, np.finfo(weights.dtype).tiny)
    np.log(surprise, out=surprise)
    surprise *= weights
    shares = judged / np.log(np.maximum(keys, 2), dtype=np.float64)
    return Sum(-np.einsum("bhq,bq->h", surprise @ ones, shares), int(np.count_nonzero(judged)))


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
    """Not measured where the matrix was zero."""
    return {matrix: update / weight for matrix, (update, weight) in norms.items() if weight > 0}


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


@formula(magnitudes, nonfinite_loss, squares)
def nonfinite_count(
    outputs: Mapping[str, Sum], losses: Mapping[str, int], gradients: Mapping[str, Sum]
) -> dict[str, float]:
    """In the order of computation, so that the first site with a count is where it began: layers
    forward, the loss, gradients in the order in which they were handed over."""
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
    """Square of the L2 norm; in float64 where it leaves float32's range, above or below."""
    square = float(np.vdot(array, array))  # unlike dot(), silent when it overflows
    if not SMALLEST_SAFE_SQUARE < square < inf:
        wide = array.astype(np.float64)
        square = float(np.vdot(wide, wide))
    return square


def count_nonfinite(array: Floats) -> int:
    """How many values are NaN or infinite."""
    return int(array.size - np.isfinite(array).sum())
