"""A small network in NumPy, trained in the usual ways, and the log that its training loop writes.

N rows in a batch    F features    K classes, or 1 for the number that a regression predicts
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import cos, pi
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Row = dict[str, float]
Schedule = Callable[[int], float]
Kind = Literal["classes", "squares", "gaussian"]


class Data(NamedTuple):
    """Training rows x [N, F] with targets y [N, K], and held-out rows."""

    x: Array
    y: Array
    val_x: Array
    val_y: Array


class Net:
    """A multilayer perceptron. The kind decides the loss: cross-entropy, squared error, or the
    negative log density of a Gaussian whose mean and log standard deviation are predicted, which
    can be negative.

    sizes    units of each layer, inputs and outputs included
    scale    factor on He initialisation; the last layer starts at a tenth of it
    sigmoid  sigmoids instead of ReLU
    dropout  share of the hidden units that are dropped in training
    frozen   indices of parameters that get no gradient
    """

    def __init__(
        self, sizes: Sequence[int], kind: Kind, seed: int, scale: float = 1.0, sigmoid: bool = False
    ) -> None:
        rng = np.random.default_rng(seed)
        self.kind, self.sigmoid, self.dropout = kind, sigmoid, 0.0
        self.frozen: tuple[int, ...] = ()
        self.params: list[Array] = []
        for fan_in, fan_out in pairwise(sizes):
            self.params += [
                scale * rng.standard_normal((fan_in, fan_out)) * (2 / fan_in) ** 0.5,
                np.zeros(fan_out),
            ]
        self.params[-2] *= 0.1

    def outputs(self, x: Array) -> Array:
        return self._forward(x, None)[-1]

    def loss(self, x: Array, y: Array) -> float:
        return self._loss(self.outputs(x), y)[0]

    def loss_and_grads(
        self, x: Array, y: Array, rng: np.random.Generator
    ) -> tuple[float, list[Array]]:
        outputs = self._forward(x, rng if self.dropout else None)
        loss, dout = self._loss(outputs[-1], y)
        grads: list[Array] = []
        for i in reversed(range(len(self.params) // 2)):
            grads = [outputs[i].T @ dout, dout.sum(axis=0), *grads]
            if i:
                h = outputs[i]
                dout = (
                    dout
                    @ self.params[2 * i].T
                    * (h * (1 - h) if self.sigmoid else (h > 0) / (1 - self.dropout))
                )
        return loss, [0 * grad if i in self.frozen else grad for i, grad in enumerate(grads)]

    def _forward(self, x: Array, rng: np.random.Generator | None) -> list[Array]:
        outputs = [x]
        for i in range(0, len(self.params), 2):
            z = outputs[-1] @ self.params[i] + self.params[i + 1]
            if i + 2 < len(self.params):
                z = 1 / (1 + np.exp(-z)) if self.sigmoid else np.maximum(z, 0)
                if rng is not None:
                    z *= (rng.random(z.shape) >= self.dropout) / (1 - self.dropout)
            outputs.append(z)
        return outputs

    def _loss(self, out: Array, y: Array) -> tuple[float, Array]:
        """The mean loss, and its gradient with respect to the outputs [N, K]."""
        n = len(out)
        if self.kind == "classes":
            shifted = out - out.max(axis=1, keepdims=True)
            log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
            return float((y * -log_p).sum() / n), (
                np.exp(log_p) * y.sum(axis=1, keepdims=True) - y
            ) / n
        if self.kind == "squares":
            return float(((out - y) ** 2).mean()), 2 * (out - y) / out.size
        mean, log_sd = out[:, :1], out[:, 1:]
        z = (y - mean) * np.exp(-log_sd)
        return float((log_sd + z**2 / 2).mean()), np.hstack([-z * np.exp(-log_sd), 1 - z**2]) / n


class Sgd:
    def __init__(self, momentum: float = 0.0) -> None:
        self.momentum, self.velocity = momentum, [np.zeros(0)]

    def updates(self, grads: list[Array]) -> list[Array]:
        """The updates, to be multiplied by the learning rate."""
        if not self.velocity[0].size:
            self.velocity = [np.zeros_like(g) for g in grads]
        self.velocity = [self.momentum * v + g for v, g in zip(self.velocity, grads, strict=True)]
        return self.velocity


class Adam:
    def __init__(self) -> None:
        self.count, self.first, self.second = 0, [np.zeros(0)], [np.zeros(0)]

    def updates(self, grads: list[Array]) -> list[Array]:
        """The updates, to be multiplied by the learning rate."""
        if not self.count:
            self.first, self.second = ([np.zeros_like(g) for g in grads] for _ in range(2))
        self.count += 1
        self.first = [0.9 * m + 0.1 * g for m, g in zip(self.first, grads, strict=True)]
        self.second = [0.99 * v + 0.01 * g * g for v, g in zip(self.second, grads, strict=True)]
        scale = (1 - 0.99**self.count) ** 0.5 / (1 - 0.9**self.count)
        return [
            scale * m / (np.sqrt(v) + 1e-8) for m, v in zip(self.first, self.second, strict=True)
        ]


@dataclass(frozen=True)
class Loop:
    """How a network is trained.

    batch    rows per batch; 0 for all rows
    clip     largest gradient norm; 0 for no clipping
    decay    weight decay
    before   called as before(step, net) ahead of each step; it may change the network
    data_at  data_at(step, x, y) returns the batch that is used instead
    """

    lr: Schedule
    steps: int = 1200
    optimizer: Callable[[], Sgd | Adam] = Sgd
    batch: int = 32
    clip: float = 0.0
    eval_every: int = 20
    decay: float = 0.0
    seed: int = 0
    before: Callable[[int, Net], None] = field(default=lambda step, net: None)
    data_at: Callable[[int, Array, Array], tuple[Array, Array]] = field(
        default=lambda step, x, y: (x, y)
    )


def train(net: Net, data: Data, loop: Loop) -> list[Row]:
    """Train the network and return its log: for each step the batch's loss before the update, the
    learning rate, the gradient norm before clipping and, every `eval_every` steps, the validation
    loss."""
    rng, optimizer = np.random.default_rng([loop.seed, 7]), loop.optimizer()
    rows: list[Row] = []
    with np.errstate(all="ignore"):
        for step in range(loop.steps):
            loop.before(step, net)
            ids = rng.integers(0, len(data.x), loop.batch) if loop.batch else slice(None)
            loss, grads = net.loss_and_grads(*loop.data_at(step, data.x[ids], data.y[ids]), rng)
            norm = float(sum((g * g).sum() for g in grads) ** 0.5)
            if loop.clip and norm > loop.clip:
                grads = [g * (loop.clip / norm) for g in grads]
            lr = loop.lr(step)
            for param, update in zip(net.params, optimizer.updates(grads), strict=True):
                param -= lr * (update + loop.decay * param)
            rows.append({"step": step, "loss": loss, "lr": lr, "grad_norm": norm})
            if (step + 1) % loop.eval_every == 0:
                rows[-1]["val_loss"] = net.loss(data.val_x, data.val_y)
    return rows


def constant(lr: float) -> Schedule:
    return lambda step: lr


def cosine(peak: float, steps: int = 1200, warmup: int = 0, end: float = 0.0) -> Schedule:
    """Linear warmup from peak / warmup, then a cosine down to `end` times the peak, where it
    stays."""

    def lr(step: int) -> float:
        if step < warmup:
            return peak * (step + 1) / warmup
        share = min(1.0, (step - warmup) / (steps - warmup))
        return peak * (end + (1 - end) * (1 + cos(pi * share)) / 2)

    return lr


def restarts(peak: float, cycle: int) -> Schedule:
    """A cosine that restarts after each cycle (Loshchilov and Hutter 2017)."""
    return lambda step: peak * (0.01 + 0.99 * (1 + cos(pi * (step % cycle) / cycle)) / 2)


def blobs(seed: int, rows: int = 2000, k: int = 4, features: int = 8, spread: float = 0.6) -> Data:
    """Classes as overlapping Gaussian clouds, so that no model reaches a loss of 0."""
    rng = np.random.default_rng([seed, 1])
    centres = rng.standard_normal((k, features))

    def drawn(n: int) -> tuple[Array, Array]:
        labels = rng.integers(0, k, n)
        return centres[labels] * spread + rng.standard_normal((n, features)), np.eye(k)[labels]

    return Data(*drawn(rows), *drawn(1000))


def curve(
    seed: int, rows: int = 2000, features: int = 4, noise: float = 0.3, scale: float = 1.0
) -> Data:
    """A regression on a smooth function of a few features, with noise. The targets have a standard
    deviation of about 1.1 times `scale`."""
    rng = np.random.default_rng([seed, 2])
    weights = rng.standard_normal((features, 6))
    out = rng.standard_normal((6, 1)) / 6**0.5

    def drawn(n: int) -> tuple[Array, Array]:
        x = rng.standard_normal((n, features))
        return x, scale * (np.sin(x @ weights) @ out * 1.4 + noise * rng.standard_normal((n, 1)))

    return Data(*drawn(rows), *drawn(1000))


def line(seed: int, rows: int, features: int = 20, noise: float = 1.0) -> Data:
    """A linear regression. With hardly more rows than features, training loss ends far below
    validation loss."""
    rng = np.random.default_rng([seed, 3])
    weights = rng.standard_normal((features, 1))

    def drawn(n: int) -> tuple[Array, Array]:
        x = rng.standard_normal((n, features))
        return x, x @ weights + noise * rng.standard_normal((n, 1))

    return Data(*drawn(rows), *drawn(1000))
