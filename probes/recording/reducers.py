"""From the arrays of any training loop to signals, by the formulas of the table of signals.

The loop hands over what it has at hand, a layer's output or a matrix before and after its update,
and the next `log` writes what that comes to. What is handed over for one place before that is one
whole in parts: the micro-batches of a step, the chunks of an evaluation, the parameters of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, sqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from probes.record import RecordError
from probes.record.signals import Reading
from probes.recording.hook_collector import (
    DEAD_BELOW,
    Floats,
    count_nonfinite,
    entropies_by_head,
    mean_magnitude,
    norm,
    norm_squared,
)
from probes.recording.spectral import SpectralNorm

Arrays = Any
"""Whatever `numpy.asarray` takes, and tensors that are part of a graph or on a device."""

REAL = "biufV"
"""Kinds of types that are real numbers; V are those that other libraries add, as JAX does
bfloat16."""

PLAIN = frozenset({float, int, dict, list, np.ndarray, type(None)})
"""What readings are as a rule, and what is certainly no tensor: asking costs as much as all the
rest."""


class Sum(NamedTuple):
    """What has come together so far, and of how many values."""

    total: float
    size: int

    def plus(self, total: float, size: int) -> Sum:
        return Sum(self.total + total, self.size + size)


NOTHING = Sum(0.0, 0)


class Reductions:
    """What was handed over since the last row. Numbers and reduced arrays are kept, never views.

    All methods raise RecordError, naming the place, for what is no array of real numbers of the
    right shape."""

    def __init__(self) -> None:
        self._spectral = SpectralNorm()
        self._forget()

    def activation(self, layer: str, output: Arrays) -> None:
        """A layer's output on the training batch, of any shape -> `activation`,
        `nonfinite_count`."""
        array = _array("activation", layer, output)
        mean = mean_magnitude(array)
        self._magnitude[layer] = self._magnitude.get(layer, NOTHING).plus(
            mean * array.size, array.size
        )
        self._count(self._outputs, layer, array, mean)

    def gradient(self, layer: str, *gradients: Arrays) -> None:
        """Gradients of a layer's parameters before clipping -> `grad_norm_by_layer`,
        `nonfinite_count`.

        With the layer's activation, `grad_activation_ratio` as well.
        """
        if not gradients:
            raise RecordError(
                f"gradient {layer!r} was given no array; give those of the layer's parameters"
            )
        for array in [_array("gradient", layer, gradient) for gradient in gradients]:
            square = norm_squared(array)
            self._squares[layer] = self._squares.get(layer, NOTHING).plus(square, array.size)
            self._count(self._gradients, f"{layer}.grad", array, square)

    def update(self, matrix: str, before: Arrays, after: Arrays) -> None:
        """A matrix before the step's update, a copy, and after it -> `update_weight_ratio`."""
        old, new = _matrix("update", matrix, before), _matrix("update", matrix, after)
        if old.shape != new.shape:
            raise RecordError(
                f"update {matrix!r} goes from shape {old.shape} to {new.shape}; they must be the same"
            )
        _once("update", matrix, self._updates)
        size = norm(old)
        self._updates[matrix] = norm(new - old) / size if size > 0 else None

    def weight(self, matrix: str, weight: Arrays) -> None:
        """A matrix -> `spectral_norm`. By iteration, so at evaluations rather than at every
        step."""
        array = _matrix("weight", matrix, weight)
        _once("weight", matrix, self._spectra)
        self._spectra[matrix] = self._spectral(matrix, array)

    def pre_activation(self, layer: str, values: Arrays) -> None:
        """What goes into an FFN's GELU, real tokens alone, [..., neurons], at an evaluation ->
        `dead_fraction`."""
        array = _array("pre_activation", layer, values)
        highest = array.max(axis=tuple(range(array.ndim - 1)))
        before = self._highest.get(layer, highest)
        if before.shape != highest.shape:
            raise RecordError(
                f"pre_activation {layer!r} has {highest.size} neurons and had {before.size}; the last axis counts them"
            )
        self._highest[layer] = np.maximum(before, highest)

    def attention(self, site: str, weights: Arrays, visible: Arrays) -> None:
        """Attention weights [B, H, Tq, Tk] at an evaluation -> `attention_entropy` of each head.

        visible: bool, broadcastable to [B, Tq, Tk], which keys a query may see; none for a query
        that is padding."""
        array = _array("attention", site, weights)
        if array.ndim != 4:
            raise RecordError(
                f"attention {site!r} has shape {array.shape}; it must have four axes: batch, head, query, key"
            )
        entropies, queries = entropies_by_head(
            array, _mask(site, visible, (len(array), *array.shape[-2:]))
        )
        total, count = self._entropy.get(site, (np.zeros(array.shape[1]), 0))
        if total.shape != entropies.shape:
            raise RecordError(f"attention {site!r} has {entropies.size} heads and had {total.size}")
        self._entropy[site] = (total + entropies, count + queries)

    def _handed_over(self) -> bool:
        """Whether there were arrays since the last row."""
        handed = (
            self._outputs
            or self._gradients
            or self._updates
            or self._spectra
            or self._highest
            or self._entropy
        )
        return bool(handed)

    def _merged(self, readings: Mapping[str, Reading]) -> Mapping[str, Reading]:
        """What is logged by hand, and what was handed over. Raises RecordError for a signal that is
        both."""
        row = readings
        if not PLAIN.issuperset(map(type, readings.values())):
            row = {name: detached(reading) for name, reading in readings.items()}
        if not self._handed_over():
            return row
        reduced = self._reduced(with_loss="loss" in row)
        if twice := [name for name in reduced if name in row]:
            raise RecordError(
                f"{', '.join(twice)} is logged by hand, and arrays were handed over for it; do either"
            )
        return {**row, **reduced}

    def _reduced(self, with_loss: bool) -> dict[str, Reading]:
        activation = {layer: total / size for layer, (total, size) in self._magnitude.items()}
        ratios = {
            layer: sqrt(square / size) / activation[layer]
            for layer, (square, size) in self._squares.items()
            if activation.get(layer, 0.0) > 0
        }
        reduced: dict[str, dict[str, float]] = {
            "grad_norm_by_layer": {
                layer: sqrt(square) for layer, (square, _) in self._squares.items()
            },
            "activation": activation,
            "grad_activation_ratio": ratios,
            "update_weight_ratio": {
                name: ratio for name, ratio in self._updates.items() if ratio is not None
            },
            "spectral_norm": self._spectra,
            "dead_fraction": {
                name: float((top < DEAD_BELOW).mean()) for name, top in self._highest.items()
            },
            "attention_entropy": {
                f"{site}.{head}": float(total / queries)
                for site, (totals, queries) in self._entropy.items()
                if queries
                for head, total in enumerate(totals)
            },
        }
        if self._outputs or self._gradients:
            # In the order of computation; whether the loss is finite is seen when it is logged.
            reduced["nonfinite_count"] = {
                **self._outputs,
                **({"loss": 0} if with_loss else {}),
                **self._gradients,
            }
        return {name: sites for name, sites in reduced.items() if sites}

    @staticmethod
    def _count(counts: dict[str, int], site: str, array: Floats, reduced: float) -> None:
        """A reduction over an array that came out finite proves that every value is."""
        bad = 0 if isfinite(reduced) else count_nonfinite(array)
        counts[site] = counts.get(site, 0) + bad

    def _forget(self) -> None:
        self._magnitude: dict[str, Sum] = {}
        self._squares: dict[str, Sum] = {}
        self._outputs: dict[str, int] = {}
        self._gradients: dict[str, int] = {}
        self._updates: dict[str, float | None] = {}
        self._spectra: dict[str, float] = {}
        self._highest: dict[str, Floats] = {}
        self._entropy: dict[str, tuple[Floats, int]] = {}


def detached(value: Any) -> Any:
    """A tensor out of its graph, off its device and in a type that NumPy has; anything else as it
    is."""
    if not hasattr(value, "detach"):
        return value
    tensor = value.detach().cpu()
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor


def _array(what: str, site: str, value: Arrays) -> Floats:
    """As float32 or float64, at least one axis."""
    if not site:
        raise RecordError(f"{what} has no name; say which site it belongs to")
    try:
        array: npt.NDArray[Any] = np.atleast_1d(np.asarray(detached(value)))
        if array.dtype not in (np.float32, np.float64):
            array = _widened(array)
    except (TypeError, ValueError):
        raise RecordError(
            f"{what} {site!r} is {value!r:.60}; it must be an array of real numbers"
        ) from None
    if not array.size:
        raise RecordError(f"{what} {site!r} is empty, of shape {array.shape}")
    return array


def _widened(array: npt.NDArray[Any]) -> Floats:
    if array.dtype.kind not in REAL:
        raise TypeError(f"{array.dtype} is no real number")
    return array.astype(np.float64)


def _matrix(what: str, name: str, value: Arrays) -> Floats:
    array = _array(what, name, value)
    if array.ndim != 2:
        raise RecordError(
            f"{what} {name!r} has shape {array.shape}; it must be a matrix, of two axes"
        )
    return array


def _mask(site: str, visible: Arrays, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    mask = np.asarray(detached(visible))
    if mask.dtype != bool:
        raise RecordError(
            f"attention {site!r}: visible is of {mask.dtype}; it must be bool, true where a key is seen"
        )
    try:
        return np.broadcast_to(mask, shape)
    except ValueError:
        raise RecordError(
            f"attention {site!r}: visible has shape {mask.shape}, which does not fit {shape}"
        ) from None


def _once(what: str, name: str, known: Mapping[str, object]) -> None:
    if name in known:
        raise RecordError(f"{what} {name!r} was handed over before; log a row in between")
