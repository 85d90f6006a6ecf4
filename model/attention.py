"""Causal self-attention with rotary positions. Only here are packed tokens spread over rows and
positions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.config import Mask
from model.layers import Linear, Module
from model.params import Array

Ids = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MIN_LENGTH_RATIO = 0.75
"""Rows of a batch share one padded array while the shortest has at least this share of the longest
one's tokens, so that little time is spent on padding."""


class Rows(NamedTuple):
    """Neighbouring rows of a batch, padded to the longest of them. B rows of at most T positions
    hold N tokens."""

    packed: slice  # where the N tokens stand among those of the batch
    spread: Ids  # [B, T] index of the token at each place; padding repeats the row's last token
    places: Ids  # [N] index of each token's place in the flattened [B, T]
    visible: Bools  # [B, T, T] whether a query may see a key; never for padding, as query or as key

    @staticmethod
    def of(start: int, lengths: Ids, mask: Mask) -> Rows:
        T = int(lengths.max())
        positions = np.arange(T)
        real = positions < lengths[:, None]
        causal = np.tri(T, dtype=np.bool_) if mask == "causal" else np.ones((T, T), np.bool_)
        first = np.cumsum(lengths) - lengths
        spread = first[:, None] + np.minimum(positions, lengths[:, None] - 1)
        return Rows(
            slice(start, start + int(lengths.sum())),
            spread,
            np.flatnonzero(real),
            causal & real[:, None, :] & real[:, :, None],
        )


Layout = tuple[Rows, ...]
"""Where the tokens of a batch stand in its rows, in groups of rows of about equal length."""


def layout_of(lengths: Ids, mask: Mask) -> Layout:
    """Lay out rows of the given lengths; sorted lengths give the fewest groups. With the mask
    `all-ones` every real token sees every real token of its row."""
    groups: list[Rows] = []
    begin = tokens = 0
    for end in range(1, len(lengths) + 1):
        if end == len(lengths) or min(lengths[begin : end + 1]) < MIN_LENGTH_RATIO * max(
            lengths[begin : end + 1]
        ):
            groups.append(Rows.of(tokens, lengths[begin:end], mask))
            begin, tokens = end, groups[-1].packed.stop
    return tuple(groups)


MAX_UNSHIFTED_SCORE = 60.0
"""Scores between -60 and 60 need no shift before exp: a sum of 10^12 terms of e^60 fits float32."""


class AttentionPattern(Module):
    """Softmax over the visible keys: scores [B, H, T, T], visible [B, T, T] bool -> weights [B, H,
    T, T].

    Overwrites the scores. A query that sees no key, which is padding, gets weights of 0.
    """

    def forward(self, scores: Array, *, visible: Bools) -> tuple[Array, Array]:
        if not max(scores.max(), -scores.min()) <= MAX_UNSHIFTED_SCORE:
            scores -= scores.max(axis=-1, keepdims=True, where=visible[:, None], initial=-np.inf)
            np.minimum(scores, 0, out=scores)  # hidden keys may have larger scores
        pattern = np.exp(scores, out=scores)
        weight = self.buffer("visible", visible.shape, scores)
        weight[...] = visible
        pattern *= weight[:, None]
        total = pattern @ np.ones(pattern.shape[-1], pattern.dtype)
        pattern *= (1 / np.maximum(total, np.finfo(total.dtype).tiny))[..., None]
        return pattern, pattern

    def backward(self, dpattern: Array, pattern: Array) -> Array:
        """dscores = pattern (dpattern - sum over keys of dpattern pattern)."""
        dscores: Array = np.subtract(
            dpattern, np.vecdot(dpattern, pattern)[..., None], out=dpattern
        )
        dscores *= pattern
        return dscores


class Rotary:
    """Rotary positions (Su et al. 2021): turns each pair of a head's components by the angle
    position * base^(-2i/D), as a product with a complex number.

    That number also scales Q and K by D^(-1/4) each, so that their product is the score divided by
    sqrt(D)."""

    def __init__(self, n_heads: int, d_head: int, base: float, dtype: npt.DTypeLike) -> None:
        self._frequencies = np.tile(
            base ** (-np.arange(0, d_head, 2) / d_head), 2 * n_heads
        )  # Q's heads, then K's
        self._scale = d_head**-0.25
        self._complex = np.result_type(dtype, np.complex64)
        self._turns = self._back = np.empty((0, len(self._frequencies)), self._complex)  # [T, C]

    def turn(self, qkv: Array, back: bool = False) -> None:
        """Turn Q and K of [B, T, 3 C] in place. With `back` turn by the conjugate, as the backward
        pass must."""
        T = qkv.shape[1]
        if len(self._turns) < T:
            angles = np.arange(2 * T)[:, None] * self._frequencies
            self._turns = (self._scale * np.exp(1j * angles)).astype(self._complex)
            self._back = self._turns.conj()
        pairs: Array = qkv.view(self._complex)[..., : len(self._frequencies)]
        pairs *= (self._back if back else self._turns)[:T]


class RowsCache(NamedTuple):
    qkv: Array  # [3, B, H, T, D]; Q and K are turned
    pattern: Array  # [B, H, T, T]


class AttentionCache(NamedTuple):
    layout: Layout
    x: Array  # [N, C] input of the projections
    rows: list[RowsCache]
    context: Array  # [N, C]


class Attention(Module):
    """Multi-head attention over the rows of a batch: [N, C] -> [N, C]."""

    def __init__(self, qkv: Linear, out: Linear, n_heads: int, rotary: Rotary) -> None:
        super().__init__()
        self.qkv, self.out, self.pattern = qkv, out, AttentionPattern()
        self.n_heads, self.rotary = n_heads, rotary

    def forward(self, x: Array, layout: Layout) -> tuple[Array, AttentionCache]:
        qkv, _ = self.qkv(x)
        context = self.buffer("context", x.shape, x)
        caches = [
            self._attend(i, rows, qkv[rows.packed], context[rows.packed])
            for i, rows in enumerate(layout)
        ]
        y, _ = self.out(context)
        return y, AttentionCache(layout, x, caches, context)

    def _attend(self, i: int, rows: Rows, qkv: Array, context: Array) -> RowsCache:
        """Fill context [N, C] from Q, K and V side by side [N, 3 C], for the i-th group of rows."""
        padded = self._spread(f"qkv {i}", qkv, rows)
        self.rotary.turn(padded)
        q, k, v = by_head = self._by_head(padded, 3)
        B, H, T, _ = q.shape
        scores = np.matmul(q, k.swapaxes(-1, -2), out=self.buffer(f"scores {i}", (B, H, T, T), qkv))
        pattern, _ = self.pattern(scores, visible=rows.visible)
        mixed = self.buffer("mixed", (B, T, context.shape[1]), qkv)
        np.matmul(pattern, v, out=self._by_head(mixed, 1)[0])
        _pack(mixed, rows, out=context)
        return RowsCache(by_head, pattern)

    def backward(self, dy: Array, cache: AttentionCache) -> Array:
        layout, x, caches, context = cache
        dcontext = self.out.backward(dy, context)
        dqkv = self.buffer("dqkv", (len(x), 3 * x.shape[1]), x)
        for rows, row_cache in zip(layout, caches, strict=True):
            self._attend_backward(rows, dcontext[rows.packed], row_cache, dqkv[rows.packed])
        return self.qkv.backward(dqkv, x)

    def _attend_backward(self, rows: Rows, dcontext: Array, cache: RowsCache, dqkv: Array) -> None:
        """Fill dqkv [N, 3 C] from dcontext [N, C]."""
        (q, k, v), pattern = cache
        B, _, T, _ = q.shape
        (dmixed,) = self._by_head(self._spread("mixed", dcontext, rows), 1)
        dpattern = np.matmul(
            dmixed, v.swapaxes(-1, -2), out=self.buffer("dpattern", pattern.shape, pattern)
        )
        dscores = self.pattern.backward(dpattern, pattern)
        dpadded = self.buffer("dpadded", (B, T, dqkv.shape[1]), pattern)
        dq, dk, dv = self._by_head(dpadded, 3)
        np.matmul(dscores, k, out=dq)
        np.matmul(dscores.swapaxes(-1, -2), q, out=dk)
        np.matmul(pattern.swapaxes(-1, -2), dmixed, out=dv)
        self.rotary.turn(dpadded, back=True)
        _pack(dpadded, rows, out=dqkv)

    def _spread(self, name: str, packed: Array, rows: Rows) -> Array:
        """Packed [N, width] -> padded [B, T, width]."""
        padded = self.buffer(name, (*rows.spread.shape, packed.shape[1]), packed)
        return np.take(packed, rows.spread, axis=0, out=padded, mode="clip")

    def _by_head(self, padded: Array, parts: int) -> Array:
        """View of [B, T, parts H D] as [parts, B, H, T, D]."""
        B, T, _ = padded.shape
        return padded.reshape(B, T, parts, self.n_heads, -1).transpose(2, 0, 3, 1, 4)


def _pack(padded: Array, rows: Rows, out: Array) -> None:
    """Padded [B, T, width] -> packed [N, width]: the inverse of `_spread`."""
    np.take(padded.reshape(-1, padded.shape[-1]), rows.places, axis=0, out=out, mode="clip")
