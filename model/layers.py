"""Layers as pairs: `forward` returns its output and a cache, `backward` is the forward in reverse.

Every module works on the N real tokens of a batch, packed without padding; only attention spreads them over [B, T].
The gradient of x is dx. A backward pass writes its parameters' gradients in place and returns dx. `Module` is where
hooks fire: after a call, with the module, its arguments and its output. Dimension legend: `model.config`.

What a module returns lies in a buffer of its own, which its next call overwrites: at this size the page faults of
fresh arrays would cost more than the arithmetic. Whoever wants to keep an output copies it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model.params import Array, Param

Ids = npt.NDArray[np.int64]


class Module:
    """Something with a forward pass that can be watched; calling it runs `forward`, then every hook."""

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
        """An array to be written, of the dtype of `like`: the same memory on every call, grown when it is too small."""
        size = prod(shape)
        held = self._buffers.get(name)
        if held is None or held.size < size:
            held = self._buffers[name] = np.empty(size, like.dtype)
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
        """Adds to the gradient, which the tied head has begun; as a product with one-hot rows, in a fixed order."""
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
        y = np.matmul(x, self.weight.data.T, out=self.buffer("y", (len(x), len(self.weight.data)), x))
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
        return np.matmul(x, self.weight.data.T, out=self.buffer("y", (len(x), len(self.weight.data)), x)), x

    def backward(self, dy: Array, x: Array) -> Array:
        """Begins the table's gradient; the embedding adds its own share and declares it filled."""
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
        xhat = np.subtract(x, x.mean(axis=1, keepdims=True), out=self.buffer("xhat", x.shape, x))
        variance = np.einsum("nc,nc->n", xhat, xhat)[:, None] / x.shape[1]
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
        dx = np.multiply(dy, self.scale.data, out=self.buffer("dx", dy.shape, dy))
        along = np.einsum("nc,nc->n", dx, xhat)[:, None] / xhat.shape[1]
        dx -= dx.mean(axis=1, keepdims=True)  # what moves the mean changes nothing
        dx -= np.multiply(xhat, along, out=self.buffer("along", dy.shape, dy))  # nor does what stretches the vector
        dx *= rstd
        return dx


GELU_SLOPE = float(np.sqrt(2 / np.pi))
GELU_CUBIC = 0.044715


class Gelu(Module):
    """x Phi(x) in its tanh form (Hendrycks and Gimpel 2016): x (1 + tanh(u)) / 2, u = sqrt(2/pi) (x + 0.044715 x^3)."""

    def forward(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        tanh = np.multiply(x, x, out=self.buffer("tanh", x.shape, x))
        tanh *= GELU_CUBIC * GELU_SLOPE
        tanh += GELU_SLOPE
        tanh *= x
        np.tanh(tanh, out=tanh)
        y = np.add(tanh, 1, out=self.buffer("y", x.shape, x))
        y *= x
        y *= 0.5
        return y, (x, tanh)

    def backward(self, dy: Array, cache: tuple[Array, Array]) -> Array:
        """dy/dx = (1 + tanh + (1 - tanh^2) x du/dx) / 2."""
        x, tanh = cache
        du = np.multiply(x, x, out=self.buffer("du", x.shape, x))
        du *= 3 * GELU_CUBIC * GELU_SLOPE
        du += GELU_SLOPE
        du *= x
        dx = np.multiply(tanh, tanh, out=self.buffer("dx", x.shape, x))
        np.subtract(1, dx, out=dx)
        dx *= du
        dx += tanh
        dx += 1
        dx *= 0.5
        dx *= dy
        return dx


class CrossEntropyCache(NamedTuple):
    log_probs: Array  # [N, V]
    targets: Ids  # [N]


class CrossEntropy(Module):
    """-ln softmax(logits)[target], stable for any finite logits: [N, V], [N] -> [N] in nats."""

    def forward(self, logits: Array, targets: Ids) -> tuple[Array, CrossEntropyCache]:
        largest = logits.max(axis=1, keepdims=True)
        log_probs = np.subtract(logits, largest, out=self.buffer("log_probs", logits.shape, logits))
        exp = np.exp(log_probs, out=self.buffer("exp", logits.shape, logits))
        log_probs -= np.log(exp.sum(axis=1, keepdims=True))
        return -log_probs[np.arange(len(targets)), targets], CrossEntropyCache(log_probs, targets)

    def backward(self, cache: CrossEntropyCache) -> Array:
        """Gradient of the mean over tokens: (softmax - one-hot) / N."""
        log_probs, targets = cache
        dlogits = np.exp(log_probs, out=self.buffer("exp", log_probs.shape, log_probs))
        dlogits[np.arange(len(targets)), targets] -= 1
        dlogits /= len(targets)
        return dlogits
