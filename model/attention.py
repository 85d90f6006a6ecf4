"""Causal self-attention with rotary positions: the one place where packed tokens are spread over rows and positions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.config import Mask
from model.layers import Linear, Module
from model.params import Array

Ids = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Layout(NamedTuple):
    """Where the N packed tokens of a batch stand in its B rows of at most T positions."""

    positions: Ids  # [N] position within the row
    slots: Ids  # [N] index into the flattened [B, T]
    visible: Bools  # [B, T, T] may this query see this key; padding is seen by nobody and sees nothing

    @staticmethod
    def of(lengths: Ids, mask: Mask) -> Layout:
        """The layout of rows of the given lengths [B]. `all-ones` lets every real token see every real token."""
        longest = int(lengths.max())
        real = np.arange(longest) < lengths[:, None]
        shape = (longest, longest)
        seen = np.tril(np.ones(shape, np.bool_)) if mask == "causal" else np.ones(shape, np.bool_)
        rows, positions = np.nonzero(real)
        return Layout(positions, rows * longest + positions, seen & real[:, None, :] & real[:, :, None])


HIDDEN = -1e30
"""Score of a key that a query may not see: finite, so that a query that sees none yields no NaN; exp(HIDDEN) is 0."""


class AttentionPattern(Module):
    """Softmax over the visible keys: scores [B, H, T, T], visible [B, T, T] bool -> weights [B, H, T, T]."""

    def forward(self, scores: Array, *, visible: Bools) -> tuple[Array, Array]:
        pattern = scores + np.where(visible, 0, HIDDEN).astype(scores.dtype)[:, None]
        pattern -= pattern.max(axis=-1, keepdims=True)
        np.exp(pattern, out=pattern)
        pattern /= pattern.sum(axis=-1, keepdims=True)
        return pattern, pattern

    def backward(self, dpattern: Array, pattern: Array) -> Array:
        along = np.einsum("bhqk,bhqk->bhq", dpattern, pattern)[..., None]
        dscores = dpattern - along
        dscores *= pattern
        return dscores


class Rotary:
    """Turns each pair of a head's components by position * base^(-2i/D) (Su et al. 2021), as a complex factor."""

    def __init__(self, d_head: int, base: float, dtype: npt.DTypeLike) -> None:
        self._frequencies = base ** (-np.arange(0, d_head, 2) / d_head)  # [D/2]
        self._complex = np.result_type(dtype, np.complex64)

    def turns(self, positions: Ids) -> Array:
        """Unit complex factors [N, 1, 1, D/2], to be broadcast over Q and K and over heads."""
        factors: Array = np.exp(1j * positions[:, None] * self._frequencies).astype(self._complex)
        return factors[:, None, None]

    def rotate(self, qk: Array, turns: Array) -> None:
        """Turn [N, 2, H, D] in place; the backward pass turns by the conjugate."""
        pairs: Array = qk.view(self._complex)
        pairs *= turns


class AttentionCache(NamedTuple):
    layout: Layout
    x: Array  # [N, C] what went into the projections
    turns: Array  # [N, 1, 1, D/2]
    qkv: Array  # [3, B, H, T, D] Q and K rotated
    pattern: Array  # [B, H, T, T]
    context: Array  # [N, C]


class Attention(Module):
    """Multi-head attention over the rows of a batch: [N, C] -> [N, C]."""

    def __init__(self, qkv: Linear, out: Linear, n_heads: int, rotary: Rotary) -> None:
        self.qkv, self.out, self.pattern = qkv, out, AttentionPattern()
        self.n_heads, self.rotary = n_heads, rotary

    def forward(self, x: Array, layout: Layout) -> tuple[Array, AttentionCache]:
        N, C = x.shape
        packed, _ = self.qkv(x)
        packed = packed.reshape(N, 3, self.n_heads, C // self.n_heads)
        turns = self.rotary.turns(layout.positions)
        self.rotary.rotate(packed[:, :2], turns)
        qkv = self._spread(packed, layout)
        q, k, v = qkv
        scores = q @ k.swapaxes(-1, -2)
        scores *= (C // self.n_heads) ** -0.5
        pattern, _ = self.pattern(scores, visible=layout.visible)
        context = self._pack((pattern @ v)[None], layout).reshape(N, C)
        y, _ = self.out(context)
        return y, AttentionCache(layout, x, turns, qkv, pattern, context)

    def backward(self, dy: Array, cache: AttentionCache) -> Array:
        layout, x, turns, (q, k, v), pattern, context = cache
        N, C = x.shape
        dcontext = self.out.backward(dy, context).reshape(N, 1, self.n_heads, -1)
        (dcontext,) = self._spread(dcontext, layout)
        dscores = self.pattern.backward(dcontext @ v.swapaxes(-1, -2), pattern)
        dscores *= (C // self.n_heads) ** -0.5
        dqkv = np.empty((3, *q.shape), x.dtype)
        np.matmul(dscores, k, out=dqkv[0])
        np.matmul(dscores.swapaxes(-1, -2), q, out=dqkv[1])
        np.matmul(pattern.swapaxes(-1, -2), dcontext, out=dqkv[2])
        dpacked = self._pack(dqkv, layout)
        self.rotary.rotate(dpacked[:, :2], turns.conj())
        return self.qkv.backward(dpacked.reshape(N, 3 * C), x)

    def _spread(self, packed: Array, layout: Layout) -> Array:
        """Packed [N, parts, H, D] -> padded with zeros [parts, B, H, T, D]."""
        B, T, _ = layout.visible.shape
        padded = np.zeros((B * T, *packed.shape[1:]), packed.dtype)
        padded[layout.slots] = packed
        return padded.reshape(B, T, *packed.shape[1:]).transpose(2, 0, 3, 1, 4)

    def _pack(self, padded: Array, layout: Layout) -> Array:
        """Padded [parts, B, H, T, D] -> [N, parts, H, D]: the reverse of `_spread`."""
        parts, B, H, T, D = padded.shape
        return padded.transpose(1, 3, 0, 2, 4).reshape(B * T, parts, H, D)[layout.slots]
