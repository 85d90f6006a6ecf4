"""A classifier in NumPy with a hand-written backward pass that `probes.watch` can train.

    python examples/mlp.py                     train; write runs/mlp.jsonl and runs/mlp.html;
                                               print the diagnosis
    python examples/mlp.py --init-scale 100    the same, from weights that are far too large

It learns three spiral arms in the plane, with two hidden layers, momentum, and a cosine schedule
after a warmup.

    N points in a batch    I inputs and O outputs of a layer    K classes
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from probes import diagnose, render, watch

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
K, HIDDEN = 3, 32


class Param:
    """A parameter and its gradient. `backward_hooks` are called once the gradient is filled."""

    def __init__(self, data: Array) -> None:
        self.data, self.grad = data, np.zeros_like(data)
        self.backward_hooks: tuple[Any, ...] = ()

    def fill(self, grad: Array) -> None:
        self.grad[...] = grad
        for hook in self.backward_hooks:
            hook(self, self.grad)


class Layer:
    """x [N, I] -> x W^T + b [N, O], then a ReLU except in the last layer. `forward_hooks` are
    called with the output."""

    def __init__(
        self, rng: np.random.Generator, inputs: int, outputs: int, relu: bool, scale: float
    ) -> None:
        self.relu = relu
        he = sqrt((2 if relu else 1) / inputs)
        self.weight = Param(scale * he * rng.standard_normal((outputs, inputs)))
        self.bias = Param(np.zeros(outputs))
        self.forward_hooks: tuple[Any, ...] = ()

    def forward(self, x: Array) -> Array:
        out = x @ self.weight.data.T + self.bias.data
        self.x, self.out = x, np.maximum(out, 0) if self.relu else out
        for hook in self.forward_hooks:
            hook(self, (x,), {}, self.out)
        return self.out

    def backward(self, dout: Array) -> Array:
        """dout [N, O] -> dx [N, I]; fills the gradients."""
        if self.relu:
            dout = dout * (self.out > 0)
        self.weight.fill(dout.T @ self.x)
        self.bias.fill(dout.sum(axis=0))
        dx: Array = dout @ self.weight.data
        return dx


class Network:
    """The layers, by their names in the record. `training` is True during a training pass."""

    def __init__(self, rng: np.random.Generator, scale: float) -> None:
        sizes = {"hidden1": (2, HIDDEN), "hidden2": (HIDDEN, HIDDEN), "out": (HIDDEN, K)}
        self.sites = {
            name: Layer(rng, i, o, name != "out", scale) for name, (i, o) in sizes.items()
        }
        self.training = False

    def loss(self, x: Array, y: Labels) -> tuple[float, Array]:
        """Mean cross-entropy in nats, and its gradient with respect to the logits [N, K]."""
        for layer in self.sites.values():
            x = layer.forward(x)
        shifted = x - x.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return float(-log_p[np.arange(len(y)), y].mean()), (np.exp(log_p) - np.eye(K)[y]) / len(y)

    def backward(self, dout: Array) -> None:
        for layer in reversed(self.sites.values()):
            dout = layer.backward(dout)


@dataclass(frozen=True)
class Step:
    """One finished step, as `probes.recording.protocols.Step` describes it."""

    index: int
    loss: float
    lr: float
    grad_norm: float
    batch_ids: Labels
    params: Mapping[str, Array]
    grads: Mapping[str, Array]
    updates: Mapping[str, Array]
    evaluation: Mapping[str, float] | None


class Classifier:
    """The specimen: `watch` uses its model, params, facts() and steps()."""

    def __init__(
        self, seed: int = 0, steps: int = 400, lr: float = 0.1, init_scale: float = 1.0
    ) -> None:
        self.total_steps, self.lr_max, self.rng = steps, lr, np.random.default_rng(seed)
        self.x, self.y = spirals(self.rng, 900)
        self.val_x, self.val_y = spirals(self.rng, 300)
        self.model = Network(self.rng, init_scale)
        self.params = {
            f"{name}.{part}": getattr(layer, part)
            for name, layer in self.model.sites.items()
            for part in ("weight", "bias")
        }
        self.velocity = {name: np.zeros_like(param.data) for name, param in self.params.items()}

    def facts(self) -> dict[str, Any]:
        """What detectors may use besides the signals (docs/record.md)."""
        matrices = {name: param.data for name, param in self.params.items() if param.data.ndim == 2}
        return {
            "vocab_size": K,
            "total_steps": self.total_steps,
            "schedule": "cosine",
            "sites": {
                **dict.fromkeys(self.model.sites, "layer"),
                **dict.fromkeys(matrices, "matrix"),
            },
            "fan_in": {name: weight.shape[1] for name, weight in matrices.items()},
        }

    def provenance(self) -> dict[str, Any]:
        return {"name": "mlp"}

    def steps(self) -> Iterator[Step]:
        for index in range(self.total_steps):
            ids = self.rng.integers(0, len(self.x), 64)
            self.model.training = True
            loss, dlogits = self.model.loss(self.x[ids], self.y[ids])
            self.model.training = False
            self.model.backward(dlogits)
            grads = {name: param.grad for name, param in self.params.items()}
            lr, updates = self.lr(index), {}
            for name, param in self.params.items():
                self.velocity[name] = 0.9 * self.velocity[name] + grads[name]
                updates[name] = -lr * self.velocity[name]
                param.data += updates[name]
            yield Step(
                index=index,
                loss=loss,
                lr=lr,
                grad_norm=sqrt(sum(float((grad**2).sum()) for grad in grads.values())),
                batch_ids=ids,
                params={name: param.data for name, param in self.params.items()},
                grads=grads,
                updates=updates,
                evaluation=self.evaluate() if (index + 1) % 10 == 0 else None,
            )

    def lr(self, index: int) -> float:
        """Linear warmup over a tenth of the run, then a cosine down to 0."""
        warmup = self.total_steps // 10
        if index < warmup:
            return self.lr_max * (index + 1) / warmup
        return self.lr_max * (1 + cos(pi * (index - warmup) / (self.total_steps - warmup))) / 2

    def evaluate(self) -> dict[str, float]:
        return {
            "train_loss": self.model.loss(self.x, self.y)[0],
            "val_loss": self.model.loss(self.val_x, self.val_y)[0],
        }


def spirals(rng: np.random.Generator, points: int) -> tuple[Array, Labels]:
    """K spiral arms with noise: points x [points, 2], and their arms y [points]."""
    y = np.arange(points) % K
    radius = rng.uniform(0.2, 1, points)
    angle = 2 * pi * (radius + y / K) + 0.2 * rng.standard_normal(points)
    return 2 * np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), y


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train a small classifier and diagnose it.")
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), help="where to write (default: %(default)s)"
    )
    parser.add_argument(
        "--init-scale", type=float, default=1.0, help="factor on every weight at the start"
    )
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)

    specimen = Classifier(init_scale=options.init_scale)
    record = watch(specimen, options.out / "mlp.jsonl", overwrite=True)
    diagnosis = diagnose(record)
    print(diagnosis)
    print(render([record], options.out / "mlp.html"))
    return 0 if diagnosis.verdict == "healthy" else 1


if __name__ == "__main__":
    raise SystemExit(main())
