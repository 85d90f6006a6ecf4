"""Collects the signals of a specimen. Hooks hand the arrays of a step to the reducer.

The specimen declares a kind for each site, and the kind decides which hook is attached to the site
(`probes.recording.protocols.Specimen`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from probes.record.signals import SIGNALS, Reading, Signal, signal_named
from probes.recording.inspector import Inspector
from probes.recording.protocols import Specimen, Step, check
from probes.recording.reducers import Floats, Reducer, norm

STEP_SIGNALS = ("loss", "lr", "grad_norm", "batch_ids")
"""Signals that are attributes of `Step` with the same name."""


class SignalCollector:
    """Attaches hooks to a specimen and measures its signals after each step.

    Only the hooks that the given signals need are attached. Raises ValueError when the declared
    sites do not fit the specimen."""

    def __init__(
        self,
        specimen: Specimen,
        inspector: Inspector,
        sites: Mapping[str, str],
        signals: Iterable[Signal] = SIGNALS,
    ) -> None:
        check(specimen, sites)
        self._signals = tuple(signals)
        self._reducer = Reducer(signal.name for signal in self._signals)
        self._matrices = [name for name, kind in sites.items() if kind == "matrix"]
        self._weight_norms: dict[str, float] = {}
        self._last_params = (
            {name: np.array(param.data) for name, param in specimen.params.items()}
            if "change" in self._reducer.kinds
            else {}
        )
        self._params_of = {
            layer: [name for name in specimen.params if name.startswith(layer + ".")]
            for layer, kind in sites.items()
            if kind == "layer"
        }
        in_a_layer = {name for names in self._params_of.values() for name in names}
        self._params_of_no_layer = [name for name in specimen.params if name not in in_a_layer]
        reducer = self._reducer
        for name, kind in sites.items():
            if kind == "layer" and "output" in reducer.kinds:
                inspector.register_output(
                    name, hook=partial(reducer.output, name), during="training"
                )
            elif kind == "ffn" and "pre_activation" in reducer.kinds:
                inspector.register_output(
                    name, hook=partial(reducer.pre_activation, name), during="evaluation"
                )
            elif kind == "attention":
                if "attention" in reducer.kinds:
                    inspector.register_forward(
                        name, hook=partial(self._hand_over_attention, name), during="evaluation"
                    )
                if "training_attention" in reducer.kinds:
                    inspector.register_output(
                        name, hook=partial(reducer.training_attention, name), during="training"
                    )

    def _hand_over_attention(
        self, name: str, _module: Any, _args: Any, kwargs: Mapping[str, Any], output: Floats
    ) -> None:
        self._reducer.attention(name, output, kwargs["visible"])

    def readings(self, step: Step) -> dict[str, Reading]:
        """One reading for every signal: signal -> reading, or None if this step did not measure it.

        Raises UnknownSignalError or ValueError when `step.evaluation` contains anything other than
        signals of cadence "evaluation"."""
        evaluated = step.evaluation is not None
        reported = _by_signal(step.evaluation or {})
        if "gradient" in self._reducer.kinds:
            self._hand_over_gradients(step)
        if "update" in self._reducer.kinds:
            self._hand_over_updates(step)
        self._hand_over_changes(step)
        if evaluated and "weight" in self._reducer.kinds:
            for name in self._matrices:
                self._reducer.weight(name, step.params[name])
        measured: dict[str, Reading] = {
            **{name: getattr(step, name) for name in STEP_SIGNALS},
            **reported,
            **self._reducer.readings(step.loss),
        }
        self.clear()
        return {
            signal.name: measured.get(signal.name)
            if evaluated or signal.cadence == "step"
            else None
            for signal in self._signals
        }

    def clear(self) -> None:
        """Drop what the hooks have collected since the last step."""
        self._reducer.clear()

    def _hand_over_gradients(self, step: Step) -> None:
        """Hand over gradients in the order of the backward pass, from the last layer to the first,
        then those of parameters that belong to no layer. A parameter that is not trained has no
        gradient."""
        for layer in reversed(self._params_of):
            names = self._params_of[layer]
            gradients = [grad for name in names if (grad := step.grads.get(name)) is not None]
            if gradients:
                self._reducer.gradient(layer, gradients, whole=len(gradients) == len(names))
        for name in self._params_of_no_layer:
            if (grad := step.grads.get(name)) is not None:
                self._reducer.gradient(name, [grad], whole=False)

    def _hand_over_updates(self, step: Step) -> None:
        """Hand over the updates of all matrices. The norm of a matrix after this step is kept,
        because it is also the norm before the next step."""
        params, updates, norms = step.params, step.updates, self._weight_norms
        for name in self._matrices:
            weight, update = params[name], updates[name]
            if name not in norms:
                norms[name] = norm(weight - update)
            self._reducer.update(name, update, norms[name])
            norms[name] = norm(weight)

    def _hand_over_changes(self, step: Step) -> None:
        """Hand over each parameter and the value that it should have: that after the last step plus
        this step's update."""
        for name, value in self._last_params.items():
            value += step.updates[name]
            self._reducer.change(name, value, step.params[name])
            value[...] = step.params[name]


def _by_signal(evaluation: Mapping[str, float]) -> dict[str, Reading]:
    """Convert the values of an evaluation, with keys "signal" or "signal/site", to readings.

    Raises UnknownSignalError or ValueError for any other key."""
    runs: dict[str, float] = {}
    sites: dict[str, dict[str, float]] = {}
    for key, value in evaluation.items():
        name, _, site = key.partition("/")
        signal = signal_named(name)
        if signal.cadence != "evaluation":
            raise ValueError(
                f"evaluation[{key!r}]: {name} is a signal of every step; "
                "an evaluation may report signals of cadence 'evaluation' only"
            )
        if (site == "") != (signal.scope == "run"):
            form = name if signal.scope == "run" else f"{name}/<{signal.scope}>"
            raise ValueError(f"evaluation[{key!r}]: {name} must be written {form!r}")
        if site:
            sites.setdefault(name, {})[site] = value
        else:
            runs[name] = float(value)
    return {**runs, **sites}
