"""Layers as pairs: `forward` returns its output and a cache, `backward` goes back through the same
operations.

Every module works on the N real tokens of a batch, packed without padding; only attention spreads
them over [B, T]. The gradient of x is called dx. A backward pass writes the gradients of its
parameters in place and returns dx. `Module` calls the hooks after each forward pass, with the
module, its arguments and its output. Dimension legend: `model.config`.

A module returns its output in a buffer that its next call overwrites, because the page faults of
new arrays would cost more than the arithmetic. Copy an output to keep it. A backward pass may
overwrite its cache and dy, which are not needed after it."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model import memory
from model.params import Array, Param

Ids = npt.NDArray[np.int64]

BUFFER_GROWTH = 2
"""A buffer that is too small is replaced by one that is larger by this factor. All replaced buffers
together are then no larger than the last one."""


class Module:
    """A layer that can be hooked: calling it runs `forward`, then every hook."""

    forward_hooks: tuple[Callable[..., None], ...] = ()

    def __init__(self) -> None:
        self._buffers: dict[str, Array] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Array, Any]:
        output, cache = self.forward(*args, **kwargs)
        for hook in self.forward_hooks:
            hook(self, args, kwargs, output)
        return output, cache

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Array, Any]:
        raise NotImplementedError(f"{type(self).__name__} has no forward pass")

    def buffer(self, name: str, shape: tuple[int, ...], like: Array) -> Array:
        """An uninitialised array of the dtype of `like`: the same memory on every call, or larger
        memory when that is too small."""
        size = prod(shape)
        held = self._buffers.get(name)
        if held is None or held.size < size:
            held = self._buffers[name] = memory.empty(
                size * BUFFER_GROWTH if held is not None else size, like.dtype
            )
        return held[:size].reshape(shape)


class Embedding(Module):
    """Rows of a table: tokens [N] -> [N, C]."""

    def __init__(self, weight: Param) -> None:
        super().__init__()
        self.weight = weight  # [V, C]

    def forward(self, tokens: Ids) -> tuple[Array, Ids]:
        y = self.buffer("y", (len(tokens), self.weight.data.shape[1]), self.weight.data)
        np.take(self.weight.data, tokens, axis=0, out=y, mode="clip")
        return y, tokens

    def backward(self, dy: Array, tokens: Ids) -> None:
        """Add to the gradient that the tied head has written. The sum is a product with one-hot
        rows, so that its order is fixed."""
        one_hot = self.buffer("one_hot", (len(tokens), len(self.weight.data)), dy)  # [N, V]
        one_hot[...] = 0
        one_hot[np.arange(len(tokens)), tokens] = 1
        self.weight.grad += one_hot.T @ dy
        self.weight.filled()


class Linear(Module):
    """x W^T + b: [N, in] -> [N, out]."""

    def __init__(self, weight: Param, bias: Param | None = None) -> None:
        super().__init__()
        self.weight = weight  # [out, in]
        self.bias = bias  # [out]

    def forward(self, x: Array) -> tuple[Array, Array]:
        y = np.matmul(
            x, self.weight.data.T, out=self.buffer("y", (len(x), len(self.weight.data)), x)
        )
        if self.bias is not None:
            y += self.bias.data
        return y, x

    def backward(self, dy: Array, x: Array) -> Array:
        np.matmul(dy.T, x, out=self.weight.grad)
        self.weight.filled()
        if self.bias is not None:
            dy.sum(axis=0, out=self.bias.grad)
            self.bias.filled()
        return np.matmul(dy, self.weight.data, out=self.buffer("dx", x.shape, x))


class TiedHead(Module):
    """Logits by the embedding table itself: [N, C] -> [N, V]."""

    def __init__(self, weight: Param) -> None:
        super().__init__()
        self.weight = weight  # [V, C]

    def forward(self, x: Array) -> tuple[Array, Array]:
        return np.matmul(
            x, self.weight.data.T, out=self.buffer("y", (len(x), len(self.weight.data)), x)
        ), x

    def backward(self, dy: Array, x: Array) -> Array:
        """Write the head's part of the table's gradient. `Embedding.backward` adds its own part and
        then calls the hooks."""
        np.matmul(dy.T, x, out=self.weight.grad)
        return np.matmul(dy, self.weight.data, out=self.buffer("dx", x.shape, x))


class LayerNormCache(NamedTuple):
    xhat: Array  # [N, C]
    rstd: Array  # [N, 1]


class LayerNorm(Module):
    """(x - mean) / std * scale + shift over the last axis: [N, C] -> [N, C]."""

    def __init__(self, scale: Param, shift: Param, eps: float) -> None:
        super().__init__()
        self.scale, self.shift, self.eps = scale, shift, eps  # [C], [C]

    def forward(self, x: Array) -> tuple[Array, LayerNormCache]:
        xhat = np.subtract(x, _mean(x), out=self.buffer("xhat", x.shape, x))
        variance = np.vecdot(xhat, xhat)[:, None] / x.shape[1]
        rstd = 1 / np.sqrt(variance + self.eps)
        xhat *= rstd
        y = np.multiply(xhat, self.scale.data, out=self.buffer("y", x.shape, x))
        y += self.shift.data
        return y, LayerNormCache(xhat, rstd)

    def backward(self, dy: Array, cache: LayerNormCache) -> Array:
        """dx = rstd (dxhat - mean(dxhat) - xhat mean(dxhat xhat)), dxhat = dy scale."""
        xhat, rstd = cache
        np.einsum("nc,nc->c", dy, xhat, out=self.scale.grad)
        self.scale.filled()
        dy.sum(axis=0, out=self.shift.grad)
        self.shift.filled()
        dx = np.multiply(dy, self.scale.data, out=dy)
        along = np.vecdot(dx, xhat)[:, None] / xhat.shape[1]
        dx -= _mean(dx)  # a change of the mean does not change the output
        dx -= np.multiply(xhat, along, out=xhat)  # nor does a change of the length
        dx *= rstd
        return dx


def _mean(x: Array) -> Array:
    """Mean over the last axis, [N, C] -> [N, 1]. A product is much faster than a reduction along
    short rows."""
    mean: Array = (x @ np.ones(x.shape[1], x.dtype))[:, None] / x.shape[1]
    return mean


GELU_SLOPE = float(np.sqrt(2 / np.pi))
GELU_CUBIC = 0.044715


class GeluCache(NamedTuple):
    x: Array  # [N, F]
    gate: Array  # [N, F]
    y: Array  # [N, F]


class Gelu(Module):
    """x Phi(x) in its tanh form (Hendrycks and Gimpel 2016): x gate, gate = (1 + tanh(u)) / 2, u =
    a x + b x^3, a = sqrt(2/pi), b = 0.044715 a."""

    def forward(self, x: Array) -> tuple[Array, GeluCache]:
        gate = np.multiply(x, x, out=self.buffer("gate", x.shape, x))
        gate *= GELU_CUBIC * GELU_SLOPE
        gate += GELU_SLOPE
        gate *= x
        np.tanh(gate, out=gate)
        gate += 1
        gate *= 0.5
        y = np.multiply(gate, x, out=self.buffer("y", x.shape, x))
        return y, GeluCache(x, gate, y)

    def backward(self, dy: Array, cache: GeluCache) -> Array:
        """dy/dx = gate + x dgate/dx, and x dgate/dx = y (1 - gate) 2 du/dx, since tanh' = 1 -
        tanh^2."""
        x, gate, y = cache
        du = np.multiply(x, x, out=x)
        du *= 2 * 3 * GELU_CUBIC * GELU_SLOPE
        du += 2 * GELU_SLOPE
        y *= du
        gate *= np.subtract(1, y, out=du)
        gate += y
        return np.multiply(dy, gate, out=dy)


class CrossEntropyCache(NamedTuple):
    exp: Array  # [N, V]
    total: Array  # [N] sum of exp over the vocabulary
    targets: Ids  # [N]


class CrossEntropy(Module):
    """-ln softmax(logits)[target], stable for any finite logits: [N, V], [N] -> [N] in nats."""

    def forward(self, logits: Array, targets: Ids) -> tuple[Array, CrossEntropyCache]:
        largest = logits.max(axis=1, keepdims=True)
        shifted = np.subtract(logits, largest, out=self.buffer("shifted", logits.shape, logits))
        exp = np.exp(shifted, out=self.buffer("exp", logits.shape, logits))
        total = exp @ np.ones(exp.shape[1], exp.dtype)
        return np.log(total) - shifted[np.arange(len(targets)), targets], CrossEntropyCache(
            exp, total, targets
        )

    def mean(self, losses: Array) -> float:
        """Mean over the tokens of a batch, [N] -> the loss that a step reports."""
        return float(losses.mean(dtype=np.float64))

    def backward(self, cache: CrossEntropyCache) -> Array:
        """Gradient of the mean over tokens: (softmax - one-hot) / N. Overwrites exp."""
        dlogits, total, targets = cache
        N = len(targets)
        dlogits /= N * total[:, None]
        dlogits[np.arange(N), targets] -= 1 / N
        return dlogits
