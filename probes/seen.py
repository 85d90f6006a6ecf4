"""What was seen during one training step: hooks fill it, the table of signals reads it off.

Which hook goes where is decided by the kind that the specimen declares for each site (`probes.specimen.Specimen`).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from probes.inspector import Inspector, ParamView
from probes.signals import SIGNALS, Reading, known
from probes.specimen import Specimen, Step, check
from probes.spectral import SpectralNorm

DEAD_BELOW = -3.0
"""Pre-activation under which a GELU unit is silent: GELU(-3) = -0.004, and its slope there is -0.012."""

SAFE_SQUARE = 1e-30
"""Below it, squares of float32 entries may have been rounded to nothing (the smallest normal float32 is 1e-38)."""

Floats = npt.NDArray[np.floating[Any]]


class Seen:
    """Attaches to a specimen through an inspector; `readings(step)` measures every signal and clears the view."""

    def __init__(self, specimen: Specimen, inspector: Inspector, sites: Mapping[str, str]) -> None:
        check(specimen, sites)
        self.step: Step
        self._model = specimen.model
        self._layers = [name for name, kind in sites.items() if kind == "layer"]
        self._matrices = [name for name, kind in sites.items() if kind == "matrix"]
        self._params_of = {
            layer: [name for name in specimen.params if name.startswith(layer + ".")] for layer in self._layers
        }
        self._layer_of = {name: layer for layer, names in self._params_of.items() for name in names}
        self._sizes = {name: param.data.size for name, param in specimen.params.items()}
        self._weight_norms: dict[str, float] = {}
        self._spectral = SpectralNorm()
        self._clear()
        hooks = {"layer": self._see_layer, "ffn": self._see_ffn, "attention": self._see_attention}
        for name, kind in sites.items():
            if kind in hooks:
                inspector.register_forward(name, hook=_with_name(hooks[kind], name))
        for name in specimen.params:
            inspector.register_backward(name, hook=self._see_gradient)

    def readings(self, step: Step) -> dict[str, Reading]:
        """One reading for every row of the table of signals."""
        self.step = step
        _check_evaluation(step.evaluation or {})
        evaluated = step.evaluation is not None
        readings = {s.name: s.measure(self) if s.cadence == "step" or evaluated else None for s in SIGNALS}
        self._clear()
        return readings

    # What the table of signals asks for.

    def activations(self) -> Reading:
        return {layer: self._magnitude[layer] for layer in self._layers if layer in self._magnitude} or None

    def grad_norms(self) -> Reading:
        return {layer: sqrt(square) for layer, square in self._layer_squares().items()} or None

    def grad_activation_ratios(self) -> Reading:
        ratios = {}
        for layer, square in self._layer_squares().items():
            size = sum(self._sizes[name] for name in self._params_of[layer])
            if self._magnitude.get(layer, 0.0) > 0:
                ratios[layer] = sqrt(square / size) / self._magnitude[layer]
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
        return {name: self._spectral(name, self.step.params[name]) for name in self._matrices} or None

    def dead_fractions(self) -> Reading:
        return {name: float((highest < DEAD_BELOW).mean()) for name, highest in self._highest.items()} or None

    def attention_entropies(self) -> Reading:
        means = {name: total / queries for name, (total, queries) in self._entropy.items() if queries}
        return {
            f"{name}.{head}": float(mean) for name, heads in means.items() for head, mean in enumerate(heads)
        } or None

    def nonfinite_counts(self) -> Reading:
        """In the order of computation: activations, the loss, gradients from the last layer back to the first."""
        counts = {**self._nonfinite, "loss": int(not isfinite(self.step.loss))}
        for name, count in self._bad_grads.items():
            site = f"{self._layer_of.get(name, name)}.grad"
            counts[site] = counts.get(site, 0) + count
        return counts

    # What the hooks do. They keep numbers and reduced arrays, never views.

    def _see_layer(self, name: str, output: Floats, _: Mapping[str, Any]) -> None:
        if self._model.training:
            self._highest.clear()  # of a forward pass that somebody else made since the last step
            self._entropy.clear()
            self._magnitude[name] = mean_magnitude(output)
            self._nonfinite[name] = self._count_nonfinite(output, self._magnitude[name])

    def _see_gradient(self, param: ParamView, grad: Floats) -> None:
        self._squares[param.name] = norm(grad) ** 2
        self._bad_grads[param.name] = self._count_nonfinite(grad, self._squares[param.name])

    def _see_ffn(self, name: str, output: Floats, _: Mapping[str, Any]) -> None:
        if not self._model.training:
            highest = output.max(axis=tuple(range(output.ndim - 1)))
            self._highest[name] = np.maximum(self._highest[name], highest) if name in self._highest else highest

    def _see_attention(self, name: str, output: Floats, kwargs: Mapping[str, Any]) -> None:
        if self._model.training:
            return
        visible = np.broadcast_to(kwargs["visible"], (len(output), *output.shape[-2:]))
        keys = visible.sum(axis=-1)  # [B, Tq]
        judged = keys >= 2
        judged[:, 0] = False
        surprise = np.log(np.maximum(output, np.finfo(output.dtype).tiny))
        entropy = -np.einsum("bhqk,bhqk->bhq", output, surprise)
        weights = judged / np.log(np.maximum(keys, 2))
        total, queries = self._entropy.get(name, (0.0, 0))
        self._entropy[name] = (total + np.einsum("bhq,bq->h", entropy, weights), queries + int(judged.sum()))

    def _layer_squares(self) -> dict[str, float]:
        return {
            layer: sum(self._squares[name] for name in names)
            for layer, names in self._params_of.items()
            if names and all(name in self._squares for name in names)
        }

    @staticmethod
    def _count_nonfinite(array: Floats, reduced: float) -> int:
        """Counts only when a reduction over the array came out non-finite: a finite one proves there are none."""
        return 0 if isfinite(reduced) else int(array.size - np.isfinite(array).sum())

    def _clear(self) -> None:
        self._magnitude: dict[str, float] = {}
        self._squares: dict[str, float] = {}
        self._bad_grads: dict[str, int] = {}
        self._nonfinite: dict[str, int] = {}
        self._highest: dict[str, Floats] = {}
        self._entropy: dict[str, tuple[Any, int]] = {}


def mean_magnitude(array: Floats) -> float:
    """Mean of |x|; in float64 where the sum leaves float32's range."""
    magnitudes = np.abs(array)
    with np.errstate(over="ignore"):
        mean = float(magnitudes.mean())
    return mean if isfinite(mean) else float(magnitudes.mean(dtype=np.float64))


def norm(array: Floats) -> float:
    """L2 norm; in float64 where the square leaves float32's range, above or below."""
    square = float(np.vdot(array, array))
    if not SAFE_SQUARE < square < inf:
        wide = array.astype(np.float64)
        square = float(np.vdot(wide, wide))
    return sqrt(square)


def _check_evaluation(evaluation: Mapping[str, float]) -> None:
    """Raises UnknownSignalError or ValueError for a key that would be dropped without a word."""
    for key in evaluation:
        name, _, site = key.partition("/")
        signal = known(name)
        if signal.cadence != "evaluation" or (site == "") != (signal.scope == "run"):
            form = name if signal.scope == "run" else f"{name}/<{signal.scope}>"
            raise ValueError(f"evaluation[{key!r}]: {name} has cadence {signal.cadence} and is written {form!r}")


def _with_name(see: Any, name: str) -> Any:
    return lambda module, args, kwargs, output: see(name, output, kwargs)  # noqa: ARG005
