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
        seen = np.ones((longest, longest), np.bool_)
        if mask == "causal":
            seen = np.tril(seen)
        rows, positions = np.nonzero(real)
        return Layout(positions, rows * longest + positions, seen & real[:, None, :] & real[:, :, None])


HIDDEN = -1e30
"""Added to the score of a key that a query may not see: its weight is exactly 0. Finite, so that a query that sees
no key, which is padding, yields no NaN."""


class AttentionPattern(Module):
    """Softmax over the visible keys: scores [B, H, T, T], visible [B, T, T] bool -> weights [B, H, T, T]."""

    def forward(self, scores: Array, *, visible: Bools) -> tuple[Array, Array]:
        hidden = self.buffer("hidden", visible.shape, scores)
        np.logical_not(visible, out=hidden)
        hidden *= HIDDEN
        pattern = np.add(scores, hidden[:, None], out=self.buffer("pattern", scores.shape, scores))
        pattern -= pattern.max(axis=-1, keepdims=True)
        np.exp(pattern, out=pattern)
        pattern /= pattern.sum(axis=-1, keepdims=True)
        return pattern, pattern

    def backward(self, dpattern: Array, pattern: Array) -> Array:
        """Overwrites dpattern with dscores = pattern (dpattern - sum over keys of dpattern pattern)."""
        dpattern -= np.einsum("bhqk,bhqk->bhq", dpattern, pattern)[..., None]
        dpattern *= pattern
        return dpattern


class Rotary:
    """Turns each pair of a head's components by position * base^(-2i/D) (Su et al. 2021), as a complex factor."""

    def __init__(self, d_head: int, base: float, dtype: npt.DTypeLike) -> None:
        self._frequencies = base ** (-np.arange(0, d_head, 2) / d_head)  # [D/2]
        self._complex = np.result_type(dtype, np.complex64)

    def turns(self, positions: Ids) -> Array:
        """Unit complex factors [N, 1, 1, D/2], to be broadcast over Q and K and over heads."""
        longest = np.arange(positions.max() + 1)
        factors: Array = np.exp(1j * longest[:, None] * self._frequencies).astype(self._complex)
        return factors[positions][:, None, None]

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
        super().__init__()
        self.qkv, self.out, self.pattern = qkv, out, AttentionPattern()
        self.n_heads, self.rotary = n_heads, rotary

    def forward(self, x: Array, layout: Layout) -> tuple[Array, AttentionCache]:
        N, C = x.shape
        packed, _ = self.qkv(x)
        packed = packed.reshape(N, 3, self.n_heads, -1)
        turns = self.rotary.turns(layout.positions)
        self.rotary.rotate(packed[:, :2], turns)
        qkv = self._spread("qkv", packed, layout)
        q, k, v = qkv
        B, H, T, D = q.shape
        scores = np.matmul(q, k.swapaxes(-1, -2), out=self.buffer("scores", (B, H, T, T), x))
        scores *= D**-0.5
        pattern, _ = self.pattern(scores, visible=layout.visible)
        padded = self.buffer("context", (B, T, 1, H, D), x)
        np.matmul(pattern, v, out=_by_head(padded)[0])
        context = self._pack("packed_context", padded, layout).reshape(N, C)
        y, _ = self.out(context)
        return y, AttentionCache(layout, x, turns, qkv, pattern, context)

    def backward(self, dy: Array, cache: AttentionCache) -> Array:
        layout, x, turns, (q, k, v), pattern, context = cache
        N, C = x.shape
        B, H, T, D = q.shape
        dpacked = self.out.backward(dy, context).reshape(N, 1, H, D)
        (dcontext,) = self._spread("dcontext", dpacked, layout)
        dpattern = np.matmul(dcontext, v.swapaxes(-1, -2), out=self.buffer("scores", (B, H, T, T), x))
        dscores = self.pattern.backward(dpattern, pattern)
        dscores *= D**-0.5
        dpadded = self.buffer("dqkv", (B, T, 3, H, D), x)
        dq, dk, dv = _by_head(dpadded)
        np.matmul(dscores, k, out=dq)
        np.matmul(dscores.swapaxes(-1, -2), q, out=dk)
        np.matmul(pattern.swapaxes(-1, -2), dcontext, out=dv)
        dqkv = self._pack("packed_dqkv", dpadded, layout)
        self.rotary.rotate(dqkv[:, :2], turns.conj())
        return self.qkv.backward(dqkv.reshape(N, 3 * C), x)

    def _spread(self, name: str, packed: Array, layout: Layout) -> Array:
        """Packed [N, parts, H, D] -> padded with zeros, by head [parts, B, H, T, D]."""
        B, T, _ = layout.visible.shape
        padded = self.buffer(name, (B, T, *packed.shape[1:]), packed)
        padded[...] = 0
        padded.reshape(B * T, *packed.shape[1:])[layout.slots] = packed
        return _by_head(padded)

    def _pack(self, name: str, padded: Array, layout: Layout) -> Array:
        """Padded [B, T, parts, H, D] -> [N, parts, H, D]: the reverse of `_spread`."""
        B, T, *rest = padded.shape
        packed = self.buffer(name, (len(layout.slots), *rest), padded)
        np.take(padded.reshape(B * T, *rest), layout.slots, axis=0, out=packed, mode="clip")
        return packed


def _by_head(padded: Array) -> Array:
    """[B, T, parts, H, D] seen as [parts, B, H, T, D]."""
    return padded.transpose(2, 0, 3, 1, 4)
