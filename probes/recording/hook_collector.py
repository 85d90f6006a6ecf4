"""What was seen during one training step: hooks fill it, the table of signals reads it off.

Which hook goes where is decided by the kind that the specimen declares for each site
(`probes.recording.protocols.Specimen`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import inf, isfinite, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from probes.record.signals import SIGNALS, Reading, Signal, known
from probes.recording.inspector import Inspector
from probes.recording.protocols import Specimen, Step, check
from probes.recording.spectral import SpectralNorm

DEAD_BELOW = -3.0
"""Pre-activation under which a GELU unit is silent: GELU(-3) = -0.004, and its slope there is
-0.012."""

SAFE_SQUARE = 1e-30
"""Below it, squares of float32 entries may have been rounded to nothing (the smallest normal
float32 is 1e-38)."""

NEEDS = {
    "grad_norm_by_layer": ("gradient",),
    "activation": ("layer",),
    "grad_activation_ratio": ("layer", "gradient"),
    "dead_fraction": ("ffn",),
    "attention_entropy": ("attention",),
    "nonfinite_count": ("layer", "gradient"),
}
"""What a signal needs beyond the step's parameters and updates: hooks on sites of a kind, the
step's gradients."""

Floats = npt.NDArray[np.floating[Any]]


class SignalCollector:
    """Attaches to a specimen through an inspector; `readings(step)` measures the signals and clears
    the view.

    Only the hooks that the given rows of the table of signals need are put on: what passes inside a
    step is seen by hooks, what a step leaves is read off it."""

    def __init__(
        self,
        specimen: Specimen,
        inspector: Inspector,
        sites: Mapping[str, str],
        signals: Iterable[Signal] = SIGNALS,
    ) -> None:
        check(specimen, sites)
        self.step: Step
        self._signals = tuple(signals)
        self._layers = [name for name, kind in sites.items() if kind == "layer"]
        self._matrices = [name for name, kind in sites.items() if kind == "matrix"]
        self._params_of = {
            layer: [name for name in specimen.params if name.startswith(layer + ".")]
            for layer in self._layers
        }
        layer_of = {name: layer for layer, names in self._params_of.items() for name in names}
        self._gradient_site = {name: f"{layer_of.get(name, name)}.grad" for name in specimen.params}
        self._size_of = {
            layer: sum(specimen.params[name].data.size for name in names)
            for layer, names in self._params_of.items()
        }
        of_layers = [name for layer in reversed(self._layers) for name in self._params_of[layer]]
        self._backwards = of_layers + [name for name in specimen.params if name not in layer_of]
        self._weight_norms: dict[str, float] = {}
        self._spectral = SpectralNorm()
        self._clear()
        self._attach(inspector, sites)

    def _attach(self, inspector: Inspector, sites: Mapping[str, str]) -> None:
        needs = {need for signal in self._signals for need in NEEDS.get(signal.name, ())}
        wanted = {name: kind for name, kind in sites.items() if kind in needs}
        at_evaluations = [name for name, kind in wanted.items() if kind in ("ffn", "attention")]
        for name in at_evaluations[:1]:
            inspector.register_output(name, hook=self._forget_evaluation, during="training")
        for name, kind in wanted.items():
            if kind == "layer":
                inspector.register_output(
                    name, hook=partial(self._see_layer, name), during="training"
                )
            elif kind == "ffn":
                inspector.register_output(
                    name, hook=partial(self._see_ffn, name), during="evaluation"
                )
            elif kind == "attention":
                inspector.register_forward(
                    name, hook=partial(self._see_attention, name), during="evaluation"
                )
        self._sees_gradients = "gradient" in needs

    def readings(self, step: Step) -> dict[str, Reading]:
        """One reading for every signal."""
        self.step = step
        _check_evaluation(step.evaluation or {})
        if self._sees_gradients:
            self._see_gradients(step)
        evaluated = step.evaluation is not None
        readings = {
            s.name: MEASURES[s.name](self) if evaluated or s.cadence == "step" else None
            for s in self._signals
        }
        self._clear()
        return readings

    # What the table of signals asks for.

    def activations(self) -> Reading:
        return {
            layer: self._magnitude[layer] for layer in self._layers if layer in self._magnitude
        } or None

    def grad_norms(self) -> Reading:
        return {layer: sqrt(square) for layer, square in self._layer_squares().items()} or None

    def grad_activation_ratios(self) -> Reading:
        ratios = {}
        for layer, square in self._layer_squares().items():
            if self._magnitude.get(layer, 0.0) > 0:
                ratios[layer] = sqrt(square / self._size_of[layer]) / self._magnitude[layer]
        return ratios or None

    def update_weight_ratios(self) -> Reading:
        ratios = {}
        for name in self._matrices:
            weight, update = self.step.params[name], self.step.updates[name]
            before = self._weight_norms.get(name)
            if before is None:
                before = norm(weight - update)
            self._weight_norms[name] = norm(weight)
            if before > 0:
                ratios[name] = norm(update) / before
        return ratios or None

    def spectral_norms(self) -> Reading:
        return {
            name: self._spectral(name, self.step.params[name]) for name in self._matrices
        } or None

    def dead_fractions(self) -> Reading:
        return {
            name: float((highest < DEAD_BELOW).mean()) for name, highest in self._highest.items()
        } or None

    def attention_entropies(self) -> Reading:
        means = {
            name: total / queries for name, (total, queries) in self._entropy.items() if queries
        }
        return {
            f"{name}.{head}": float(mean)
            for name, heads in means.items()
            for head, mean in enumerate(heads)
        } or None

    def nonfinite_counts(self) -> Reading:
        """In the order of computation: activations, the loss, gradients from the last layer back to
        the first."""
        counts = {**self._nonfinite, "loss": int(not isfinite(self.step.loss))}
        counts |= dict.fromkeys(map(self._gradient_site.__getitem__, self._squares), 0)
        for name, count in self._bad_grads.items():
            counts[self._gradient_site[name]] += count
        return counts

    def _see_gradients(self, step: Step) -> None:
        """From the last layer back to the first; a parameter that is not trained has none."""
        for name in self._backwards:
            if (grad := step.grads.get(name)) is None:
                continue
            square = self._squares[name] = norm_squared(grad)
            if not isfinite(square):  # a finite one proves that every value is finite
                self._bad_grads[name] = count_nonfinite(grad)

    # What the hooks do. They keep numbers and reduced arrays, never views.

    def _see_layer(self, name: str, output: Floats) -> None:
        mean = self._magnitude[name] = mean_magnitude(output)
        self._nonfinite[name] = 0 if isfinite(mean) else count_nonfinite(output)

    def _see_ffn(self, name: str, output: Floats) -> None:
        highest = output.max(axis=tuple(range(output.ndim - 1)))
        self._highest[name] = (
            np.maximum(self._highest[name], highest) if name in self._highest else highest
        )

    def _see_attention(
        self, name: str, _module: Any, _args: Any, kwargs: Mapping[str, Any], output: Floats
    ) -> None:
        visible = np.broadcast_to(kwargs["visible"], (len(output), *output.shape[-2:]))
        entropies, queries = entropies_by_head(output, visible)
        total, count = self._entropy.get(name, (0.0, 0))
        self._entropy[name] = (total + entropies, count + queries)

    def _forget_evaluation(self, _: Floats) -> None:
        """A training pass begins: forward passes since the last step were somebody else's."""
        self._highest.clear()
        self._entropy.clear()

    def _layer_squares(self) -> dict[str, float]:
        squares = self._squares
        return {
            layer: sum(map(squares.__getitem__, names))
            for layer, names in self._params_of.items()
            if names and squares.keys() >= set(names)
        }

    def _clear(self) -> None:
        self._magnitude: dict[str, float] = {}
        self._squares: dict[str, float] = {}
        self._bad_grads: dict[str, int] = {}
        self._nonfinite: dict[str, int] = {}
        self._highest: dict[str, Floats] = {}
        self._entropy: dict[str, tuple[Any, int]] = {}


def _evaluated(name: str) -> Callable[[SignalCollector], Reading]:
    """A signal that the specimen's own evaluation reports: `name` itself, or `name/site` for each
    of its sites."""

    def measure(collected: SignalCollector) -> Reading:
        evaluation = collected.step.evaluation
        if evaluation is None:
            return None
        if name in evaluation:
            return float(evaluation[name])
        prefix = name + "/"
        by_site = {
            key.removeprefix(prefix): value
            for key, value in evaluation.items()
            if key.startswith(prefix)
        }
        return by_site or None

    return measure


MEASURES: Mapping[str, Callable[[SignalCollector], Reading]] = {
    "loss": lambda collected: collected.step.loss,
    "train_loss": _evaluated("train_loss"),
    "val_loss": _evaluated("val_loss"),
    "train_loss_by_class": _evaluated("train_loss_by_class"),
    "val_loss_by_class": _evaluated("val_loss_by_class"),
    "val_loss_by_class_compositional": _evaluated("val_loss_by_class_compositional"),
    "lr": lambda collected: collected.step.lr,
    "grad_norm": lambda collected: collected.step.grad_norm,
    "grad_norm_by_layer": SignalCollector.grad_norms,
    "activation": SignalCollector.activations,
    "grad_activation_ratio": SignalCollector.grad_activation_ratios,
    "update_weight_ratio": SignalCollector.update_weight_ratios,
    "spectral_norm": SignalCollector.spectral_norms,
    "dead_fraction": SignalCollector.dead_fractions,
    "attention_entropy": SignalCollector.attention_entropies,
    "nonfinite_count": SignalCollector.nonfinite_counts,
    "batch_ids": lambda collected: collected.step.batch_ids,
}
"""Signal -> how it is read off what was collected during a step."""


def entropies_by_head(weights: Floats, visible: npt.NDArray[np.bool_]) -> tuple[Floats, int]:
    """The entropy of attention [B, H, Tq, Tk] over ln(visible keys), summed over queries: [H], and
    over how many.

    visible: [B, Tq, Tk]. A first position and a query that sees a single key have no choice, and
    are left out."""
    ones = np.ones(weights.shape[-1], weights.dtype)
    keys = (
        visible.astype(weights.dtype) @ ones
    )  # [B, Tq]; a product sums along short rows faster than a reduction
    judged = keys >= 2
    judged[:, 0] = False
    surprise = np.maximum(weights, np.finfo(weights.dtype).tiny)
    np.log(surprise, out=surprise)
    surprise *= weights
    shares = judged / np.log(np.maximum(keys, 2), dtype=np.float64)
    return -np.einsum("bhq,bq->h", surprise @ ones, shares), int(np.count_nonzero(judged))


def mean_magnitude(array: Floats) -> float:
    """Mean of |x|; in float64 where the sum leaves float32's range."""
    magnitudes = np.abs(array).ravel()
    total = float(np.einsum("i->", magnitudes))  # faster than sum(), and silent when it overflows
    return (total if isfinite(total) else float(magnitudes.sum(dtype=np.float64))) / array.size


def norm_squared(array: Floats) -> float:
    """Square of the L2 norm; in float64 where it leaves float32's range, above or below."""
    square = float(np.vdot(array, array))
    if not SAFE_SQUARE < square < inf:
        wide = array.astype(np.float64)
        square = float(np.vdot(wide, wide))
    return square


def norm(array: Floats) -> float:
    """L2 norm."""
    return sqrt(norm_squared(array))


def count_nonfinite(array: Floats) -> int:
    return int(array.size - np.isfinite(array).sum())


def _check_evaluation(evaluation: Mapping[str, float]) -> None:
    """Raises UnknownSignalError or ValueError for a key that would be dropped without a word."""
    for key in evaluation:
        name, _, site = key.partition("/")
        signal = known(name)
        if signal.cadence != "evaluation" or (site == "") != (signal.scope == "run"):
            form = name if signal.scope == "run" else f"{name}/<{signal.scope}>"
            raise ValueError(
                f"evaluation[{key!r}]: {name} has cadence {signal.cadence} and is written {form!r}"
            )
