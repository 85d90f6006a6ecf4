"""The same training step in eager PyTorch, written the way one would write it today.

Attention is `scaled_dot_product_attention`; Q, K and V are one Linear; rotary positions are a
complex multiplication, which is faster here than a rotation of pairs; AdamW is the fused one.
Importing this module needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.rows import padded
from model import Config
from model.config import Model

IGNORED_TARGET = -100
"""The target of padding, which the loss leaves out."""


class Block(nn.Module):
    """x + attention(norm(x)), then x + ffn(norm(x)): [B, T, C] -> [B, T, C]."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        C, F = model.d_model, model.d_ff
        self.norm1, self.norm2 = (nn.LayerNorm(C, eps=model.norm_eps) for _ in range(2))
        self.qkv, self.out = nn.Linear(C, 3 * C, bias=False), nn.Linear(C, C, bias=False)
        self.up, self.down = nn.Linear(C, F), nn.Linear(F, C)
        self.n_heads = model.n_heads

    def forward(self, x: Tensor, rotations: Tensor) -> Tensor:
        B, T, C = x.shape
        qkv = self.qkv(self.norm1(x)).view(B, T, 3, self.n_heads, -1)
        pairs = torch.view_as_complex(qkv[:, :, :2].unflatten(-1, (-1, 2)))
        q, k = torch.view_as_real(pairs * rotations).flatten(-2).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            q, k, qkv[:, :, 2].transpose(1, 2), is_causal=True
        )
        x = x + self.out(mixed.transpose(1, 2).reshape(B, T, C))
        return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class MiniGPT(nn.Module):
    """Tokens [B, T] -> logits [B, T, V]. The head shares its weights with the embedding."""

    def __init__(self, model: Model, longest: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(model.vocab_size, model.d_model)
        self.blocks = nn.ModuleList(Block(model) for _ in range(model.n_layers))
        self.norm = nn.LayerNorm(model.d_model, eps=model.norm_eps)
        D = model.d_model // model.n_heads
        angles = np.arange(longest)[:, None] * model.rope_base ** (-np.arange(0, D, 2) / D)
        rotations = np.exp(1j * angles).astype(np.result_type(model.dtype, np.complex64))[
            :, None, None
        ]
        self.rotations = torch.from_numpy(rotations)  # [T, 1, 1, D / 2] rotation of each pair

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        rotations = self.rotations[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, rotations)
        return self.norm(x) @ self.embed.weight.T


class Peer:
    """A training run in PyTorch that starts from the same weights as ours."""

    def __init__(
        self, config: Config, weights: Mapping[str, npt.NDArray[Any]], longest: int
    ) -> None:
        self.clip_norm, optimizer = config.optimizer.clip_norm, config.optimizer
        self.model = MiniGPT(config.model, longest).to(getattr(torch, config.model.dtype))
        self.model.load_state_dict(_torch_state(weights, config.model.n_layers), strict=False)
        params = list(self.model.parameters())
        groups = [
            {"params": [p for p in params if p.ndim > 1], "weight_decay": optimizer.weight_decay},
            {"params": [p for p in params if p.ndim == 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            groups,
            lr=optimizer.lr_max,
            betas=(optimizer.beta1, optimizer.beta2),
            eps=optimizer.eps,
            fused=True,
        )

    @staticmethod
    def inputs(ids: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return tokens and targets of a batch, padded to its longest row."""
        tokens, targets = padded(ids, IGNORED_TARGET)
        return torch.from_numpy(tokens), torch.from_numpy(targets)

    def step(self, tokens: Tensor, targets: Tensor, lr: float) -> tuple[float, float]:
        """Take a step; return the loss and the gradient norm before clipping, as our step does."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.model(tokens)
        loss = functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED_TARGET
        )
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        return loss.item(), norm.item()


def _torch_state(weights: Mapping[str, npt.NDArray[Any]], n_layers: int) -> dict[str, Tensor]:
    """Our weights under the names of the PyTorch model."""
    ours = {name: torch.from_numpy(value.copy()) for name, value in weights.items()}
    theirs = {
        "embed.weight": ours["embed.weight"],
        "norm.weight": ours["norm.scale"],
        "norm.bias": ours["norm.shift"],
    }
    for block in (f"blocks.{i}" for i in range(n_layers)):
        theirs[f"{block}.qkv.weight"] = torch.cat(
            [ours[f"{block}.attn.{part}.weight"] for part in "qkv"]
        )
        theirs[f"{block}.out.weight"] = ours[f"{block}.attn.o.weight"]
        for norm in ("norm1", "norm2"):
            theirs[f"{block}.{norm}.weight"] = ours[f"{block}.{norm}.scale"]
            theirs[f"{block}.{norm}.bias"] = ours[f"{block}.{norm}.shift"]
        for layer in ("up", "down"):
            theirs |= {
                f"{block}.{layer}.{part}": ours[f"{block}.ffn.{layer}.{part}"]
                for part in ("weight", "bias")
            }
    return theirs
