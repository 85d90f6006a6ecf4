"""A linear regression that is trained by gradient descent: the smallest class that meets
`probes.recording.protocols`.

Tests of the plugin copy this file into the projects on which they run pytest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

STEPS = 24


class TinySpecimen:
    """Fits y = x w. With `lr` 0 it learns nothing; at step `dies_at` the training raises. The seed
    decides x."""

    def __init__(self, lr: float = 0.1, dies_at: int | None = None, seed: int = 0) -> None:
        self.lr, self.dies_at, self.seed = lr, dies_at, seed
        self._layer: Any = SimpleNamespace(forward_hooks=())
        self._weight: Any = SimpleNamespace(
            backward_hooks=(), data=np.zeros((4, 1)), grad=np.zeros((4, 1))
        )
        self.model: Any = SimpleNamespace(sites={"linear": self._layer}, training=True)
        self.params = {"linear.weight": self._weight}

    def facts(self) -> dict[str, Any]:
        return {"total_steps": STEPS, "sites": {"linear": "layer", "linear.weight": "matrix"}}

    def provenance(self) -> dict[str, Any]:
        return {"name": "tiny", "config": {"lr": self.lr}}

    def steps(self) -> Iterator[Any]:
        x = np.random.default_rng(self.seed).normal(size=(32, 4))
        y = x @ np.array([[1.0], [-1.0], [0.5], [0.25]])
        for index in range(STEPS):
            if index == self.dies_at:
                raise ArithmeticError(f"told to die at step {index}")
            yield self._step(index, x, y)

    def _step(self, index: int, x: Any, y: Any) -> Any:
        weight = self._weight
        output = x @ weight.data
        for hook in self._layer.forward_hooks:
            hook(self._layer, (x,), {}, output)
        weight.grad = 2 * x.T @ (output - y) / len(x)
        for hook in weight.backward_hooks:
            hook(weight, weight.grad)
        update = -self.lr * weight.grad
        weight.data = weight.data + update
        return SimpleNamespace(
            index=index,
            loss=float(((output - y) ** 2).mean()),
            lr=self.lr,
            grad_norm=float(np.linalg.norm(weight.grad)),
            batch_ids=list(range(len(x))),
            params={"linear.weight": weight.data},
            grads={"linear.weight": weight.grad},
            updates={"linear.weight": update},
            evaluation=None,
        )


def build(log: Path, **settings: Any) -> TinySpecimen:
    """Make a specimen, and append a line to a file, so that tests can count how often one was
    built."""
    with open(log, "a", encoding="utf-8") as file:
        file.write("built\n")
    return TinySpecimen(**settings)
