"""Layers as pairs: `forward` returns its output and a cache, `backward` is the forward in reverse.

Every module works on the N real tokens of a batch, packed without padding; only attention spreads them over [B, T].
The gradient of x is dx. A backward pass writes its parameters' gradients in place and returns dx. `Module` is where
hooks fire: after a call, with the module, its arguments and its output. Dimension legend: `model.config`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model.params import Array, Param

Ids = npt.NDArray[np.int64]


class Module:
    """Something with a forward pass that can be watched; calling it runs `forward`, then every hook."""

    forward_hooks: tuple[Callable[..., None], ...] = ()

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Array, Any]:
        output, cache = self.forward(*args, **kwargs)
        for hook in self.forward_hooks:
            hook(self, args, kwargs, output)
        return output, cache

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Array, Any]:
        raise NotImplementedError(f"{type(self).__name__} has no forward pass")


class Embedding(Module):
    """Rows of a table: tokens [N] -> [N, C]."""

    def __init__(self, weight: Param) -> None:
        self.weight = weight  # [V, C]

    def forward(self, tokens: Ids) -> tuple[Array, Ids]:
        return self.weight.data[tokens], tokens

    def backward(self, dy: Array, tokens: Ids) -> None:
        """Adds to the gradient, which the tied head has begun; as a product with one-hot rows, in a fixed order."""
        one_hot = np.zeros((len(tokens), len(self.weight.data)), dy.dtype)  # [N, V]
        one_hot[np.arange(len(tokens)), tokens] = 1
        self.weight.grad += one_hot.T @ dy
        self.weight.filled()


class Linear(Module):
    """x W^T + b: [N, in] -> [N, out]."""

    def __init__(self, weight: Param, bias: Param | None = None) -> None:
        self.weight = weight  # [out, in]
        self.bias = bias  # [out]

    def forward(self, x: Array) -> tuple[Array, Array]:
        y = x @ self.weight.data.T
        if self.bias is not None:
            y += self.bias.data
        return y, x

    def backward(self, dy: Array, x: Array) -> Array:
        np.matmul(dy.T, x, out=self.weight.grad)
        self.weight.filled()
        if self.bias is not None:
            dy.sum(axis=0, out=self.bias.grad)
            self.bias.filled()
        return dy @ self.weight.data


class TiedHead(Module):
    """Logits by the embedding table itself: [N, C] -> [N, V]."""

    def __init__(self, weight: Param) -> None:
        self.weight = weight  # [V, C]

    def forward(self, x: Array) -> tuple[Array, Array]:
        return x @ self.weight.data.T, x

    def backward(self, dy: Array, x: Array) -> Array:
        """Begins the table's gradient; the embedding adds its own share and declares it filled."""
        np.matmul(dy.T, x, out=self.weight.grad)
        return dy @ self.weight.data


class LayerNormCache(NamedTuple):
    xhat: Array  # [N, C]
    rstd: Array  # [N, 1]


class LayerNorm(Module):
    """(x - mean) / std * scale + shift over the last axis: [N, C] -> [N, C]."""

    def __init__(self, scale: Param, shift: Param, eps: float) -> None:
        self.scale, self.shift, self.eps = scale, shift, eps  # [C], [C]

    def forward(self, x: Array) -> tuple[Array, LayerNormCache]:
        xhat = x - x.mean(axis=1, keepdims=True)
        variance = np.einsum("nc,nc->n", xhat, xhat)[:, None] / x.shape[1]
        rstd = 1 / np.sqrt(variance + self.eps)
        xhat *= rstd
        y = xhat * self.scale.data
        y += self.shift.data
        return y, LayerNormCache(xhat, rstd)

    def backward(self, dy: Array, cache: LayerNormCache) -> Array:
        xhat, rstd = cache
        np.einsum("nc,nc->c", dy, xhat, out=self.scale.grad)
        self.scale.filled()
        dy.sum(axis=0, out=self.shift.grad)
        self.shift.filled()
        dx = dy * self.scale.data  # dxhat
        along = np.einsum("nc,nc->n", dx, xhat)[:, None] / xhat.shape[1]
        dx -= dx.mean(axis=1, keepdims=True)  # what moves the mean changes nothing
        dx -= xhat * along  # what stretches the vector changes nothing
        dx *= rstd
        return dx


GELU_SLOPE = float(np.sqrt(2 / np.pi))
GELU_CUBIC = 0.044715


class Gelu(Module):
    """x Phi(x) in its tanh form (Hendrycks and Gimpel 2016): x (1 + tanh(u)) / 2, u = sqrt(2/pi) (x + 0.044715 x^3)."""

    def forward(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
        tanh = x * x
        tanh *= GELU_CUBIC * GELU_SLOPE
        tanh += GELU_SLOPE
        tanh *= x
        np.tanh(tanh, out=tanh)
        y = tanh + 1
        y *= x
        y *= 0.5
        return y, (x, tanh)

    def backward(self, dy: Array, cache: tuple[Array, Array]) -> Array:
        """dy/dx = (1 + tanh) / 2 + x (1 - tanh^2) / 2 * du/dx."""
        x, tanh = cache
        du = x * x
        du *= 3 * GELU_CUBIC * GELU_SLOPE
        du += GELU_SLOPE
        du *= x
        dx = 1 - tanh * tanh
        dx *= du
        dx += tanh
        dx += 1
        dx *= 0.5
        dx *= dy
        return dx


def cross_entropy_forward(logits: Array, targets: Ids) -> tuple[Array, Array]:
    """-ln softmax(logits)[target] of each token, stable for any finite logits: [N, V], [N] -> [N], log-probs [N, V]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -shifted[np.arange(len(targets)), targets], shifted


def cross_entropy_backward(log_probs: Array, targets: Ids) -> Array:
    """Gradient of the mean over tokens: (softmax - one-hot) / N."""
    dlogits = np.exp(log_probs)
    dlogits[np.arange(len(targets)), targets] -= 1
    dlogits /= len(targets)
    return dlogits
