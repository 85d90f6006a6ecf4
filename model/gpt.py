"""MiniGPT: a Pre-LN transformer with rotary positions and a head tied to the embedding. This file
connects the layers; `model.layers` and `model.attention` compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from model import config
from model.attention import Attention, Layout, Rotary
from model.layers import (
    CrossEntropy,
    Embedding,
    Gelu,
    LayerNorm,
    Linear,
    Module,
    TiedHead,
)
from model.params import Array, Params

Ids = npt.NDArray[np.int64]


def param_shapes(model: config.Model) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every parameter: matrices [out, in] first, then vectors."""
    C, F = model.d_model, model.d_ff
    matrices: dict[str, tuple[int, ...]] = {"embed.weight": (model.vocab_size, C)}
    vectors: dict[str, tuple[int, ...]] = {}
    for i in range(model.n_layers):
        block = f"blocks.{i}"
        matrices |= {f"{block}.attn.{name}.weight": (C, C) for name in "qkvo"}
        matrices |= {f"{block}.ffn.up.weight": (F, C), f"{block}.ffn.down.weight": (C, F)}
        vectors |= {
            f"{block}.{norm}.{name}": (C,)
            for norm in ("norm1", "norm2")
            for name in ("scale", "shift")
        }
        vectors |= {f"{block}.ffn.up.bias": (F,), f"{block}.ffn.down.bias": (C,)}
    return matrices | vectors | {"norm.scale": (C,), "norm.shift": (C,)}


def initialise(params: Params, model: config.Model, rng: np.random.Generator) -> None:
    """Xavier-normal matrices times `init_scale`, zero biases and shifts, unit scales (Glorot and
    Bengio 2010)."""
    for name, view in params.views(params.flat).items():
        if view.ndim == 2:
            view[...] = rng.standard_normal(view.shape) * (
                np.sqrt(2 / sum(view.shape)) * model.init_scale
            )
        else:
            view[...] = 1.0 if name.endswith(".scale") else 0.0


class FeedForward(Module):
    """Linear, GELU, Linear: [N, C] -> [N, F] -> [N, C]."""

    def __init__(self, up: Linear, down: Linear) -> None:
        super().__init__()
        self.up, self.gelu, self.down = up, Gelu(), down

    def forward(self, x: Array) -> tuple[Array, tuple[Any, ...]]:
        pre, up = self.up(x)
        hidden, gelu = self.gelu(pre)
        y, down = self.down(hidden)
        return y, (up, gelu, down)

    def backward(self, dy: Array, cache: tuple[Any, ...]) -> Array:
        up, gelu, down = cache
        return self.up.backward(self.gelu.backward(self.down.backward(dy, down), gelu), up)


class Block(Module):
    """x + attention(norm(x)), then x + ffn(norm(x)): [N, C] -> [N, C]."""

    def __init__(
        self, norm1: LayerNorm, attn: Attention, norm2: LayerNorm, ffn: FeedForward
    ) -> None:
        super().__init__()
        self.norm1, self.attn, self.norm2, self.ffn = norm1, attn, norm2, ffn

    def forward(self, x: Array, layout: Layout) -> tuple[Array, tuple[Any, ...]]:
        h, norm1 = self.norm1(x)
        a, attn = self.attn(h, layout)
        a += x
        h, norm2 = self.norm2(a)
        y, ffn = self.ffn(h)
        y += a
        return y, (norm1, attn, norm2, ffn)

    def backward(self, dy: Array, cache: tuple[Any, ...]) -> Array:
        norm1, attn, norm2, ffn = cache
        da = self.norm2.backward(self.ffn.backward(dy, ffn), norm2)
        da += dy
        dx = self.norm1.backward(self.attn.backward(da, attn), norm1)
        dx += da
        return dx


class MiniGPT(Module):
    """Tokens of a batch [N] -> logits [N, V]. `training` is True during a training pass, which
    hooks use to tell it from an evaluation."""

    def __init__(self, model: config.Model, params: Params) -> None:
        super().__init__()
        rotary = Rotary(model.n_heads, model.d_model // model.n_heads, model.rope_base, model.dtype)
        self.embed = Embedding(params["embed.weight"])
        self.blocks = [_block(f"blocks.{i}", model, params, rotary) for i in range(model.n_layers)]
        self.norm = _norm("norm", model, params)
        self.head = TiedHead(params["embed.weight"])
        self.cross_entropy = CrossEntropy()
        self.training = False

    def forward(self, tokens: Ids, layout: Layout) -> tuple[Array, tuple[Any, ...]]:
        x, embed = self.embed(tokens)
        caches = []
        for block in self.blocks:
            x, cache = block(x, layout)
            caches.append(cache)
        x, norm = self.norm(x)
        logits, head = self.head(x)
        return logits, (embed, caches, norm, head)

    def backward(self, dlogits: Array, cache: tuple[Any, ...]) -> None:
        embed, caches, norm, head = cache
        dx = self.norm.backward(self.head.backward(dlogits, head), norm)
        for block, block_cache in zip(reversed(self.blocks), reversed(caches), strict=True):
            dx = block.backward(dx, block_cache)
        self.embed.backward(dx, embed)

    def token_losses(self, tokens: Ids, targets: Ids, layout: Layout) -> Array:
        """Loss of each token of an evaluation batch, in nats: [N]."""
        logits, _ = self(tokens, layout)
        return self.cross_entropy(logits, targets)[0]

    def loss(self, tokens: Ids, targets: Ids, layout: Layout) -> float:
        """Mean loss of a training batch, in nats per token. Forward pass only."""
        self.training = True
        try:
            logits, _ = self(tokens, layout)
            losses, _ = self.cross_entropy(logits, targets)
        finally:
            self.training = False
        return self.cross_entropy.mean(losses)

    def loss_and_gradient(self, tokens: Ids, targets: Ids, layout: Layout) -> float:
        """Mean loss of a training batch, in nats per token; writes the gradient of every
        parameter."""
        self.training = True
        try:
            logits, cache = self(tokens, layout)
            losses, log_probs = self.cross_entropy(logits, targets)
            self.backward(self.cross_entropy.backward(log_probs), cache)
        finally:
            self.training = False
        return self.cross_entropy.mean(losses)

    @property
    def sites(self) -> dict[str, Module]:
        """Modules that can be hooked, in the order of the forward pass."""
        sites: dict[str, Module] = {"embed": self.embed}
        for i, block in enumerate(self.blocks):
            sites |= {
                f"blocks.{i}.norm1": block.norm1,
                f"blocks.{i}.attn.pattern": block.attn.pattern,
                f"blocks.{i}.attn": block.attn,
                f"blocks.{i}.norm2": block.norm2,
                f"blocks.{i}.ffn.up": block.ffn.up,
                f"blocks.{i}.ffn": block.ffn,
                f"blocks.{i}": block,
            }
        return sites | {"norm": self.norm, "head": self.head}


def _norm(name: str, model: config.Model, params: Params) -> LayerNorm:
    return LayerNorm(params[f"{name}.scale"], params[f"{name}.shift"], model.norm_eps)


def _block(name: str, model: config.Model, params: Params, rotary: Rotary) -> Block:
    qkv = Linear(
        params.fused(f"{name}.attn.qkv.weight", [f"{name}.attn.{part}.weight" for part in "qkv"])
    )
    out = Linear(params[f"{name}.attn.o.weight"])
    up = Linear(params[f"{name}.ffn.up.weight"], params[f"{name}.ffn.up.bias"])
    down = Linear(params[f"{name}.ffn.down.weight"], params[f"{name}.ffn.down.bias"])
    attention = Attention(qkv, out, model.n_heads, rotary)
    return Block(
        _norm(f"{name}.norm1", model, params),
        attention,
        _norm(f"{name}.norm2", model, params),
        FeedForward(up, down),
    )
