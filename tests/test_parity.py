"""MiniGPT against PyTorch's autograd in float64: logits, loss and every gradient.

The twin is written with torch's own layers, row by row and padded, so that it shares no idea of
packing with ours."""

import math

import numpy as np
import pytest

from model import HEALTHY, build
from model.config import change
from model.corpus import SEQUENCES, encode

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed here; `make parity` installs it and runs this"
)

ROWS = np.array([0, 3, 77, 200, 201, 340, 555])
TOLERANCE = 1e-10


def rotate(x):
    """Rotary positions by the definition: one rotation matrix for each interleaved pair. [T, H, D]
    -> the same."""
    T, _, D = x.shape
    angles = torch.arange(T)[:, None] * HEALTHY.model.rope_base ** (-torch.arange(0, D, 2) / D)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Twin:
    """The same architecture on one row of tokens at a time, from named weights."""

    def __init__(self, weights, mask):
        self.w = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
        self.mask = mask

    def norm(self, name, x):
        scale, shift = self.w[f"{name}.scale"], self.w[f"{name}.shift"]
        return torch.nn.functional.layer_norm(x, x.shape[-1:], scale, shift, HEALTHY.model.norm_eps)

    def attention(self, name, x):
        T, H = len(x), HEALTHY.model.n_heads
        q, k, v = ((x @ self.w[f"{name}.{part}.weight"].T).reshape(T, H, -1) for part in "qkv")
        q, k, v = (part.transpose(0, 1) for part in (rotate(q), rotate(k), v))
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        if self.mask == "causal":
            scores = scores.masked_fill(~torch.ones(T, T, dtype=torch.bool).tril(), -math.inf)
        context = (scores.softmax(-1) @ v).transpose(0, 1).reshape(T, -1)
        return context @ self.w[f"{name}.o.weight"].T

    def ffn(self, name, x):
        hidden = x @ self.w[f"{name}.up.weight"].T + self.w[f"{name}.up.bias"]
        hidden = torch.nn.functional.gelu(hidden, approximate="tanh")
        return hidden @ self.w[f"{name}.down.weight"].T + self.w[f"{name}.down.bias"]

    def logits(self, tokens):
        x = self.w["embed.weight"][tokens]
        for i in range(HEALTHY.model.n_layers):
            x = x + self.attention(f"blocks.{i}.attn", self.norm(f"blocks.{i}.norm1", x))
            x = x + self.ffn(f"blocks.{i}.ffn", self.norm(f"blocks.{i}.norm2", x))
        return self.norm("norm", x) @ self.w["embed.weight"].T


@pytest.fixture(scope="module", params=["causal", "all-ones"])
def pair(request):
    """MiniGPT and the model in PyTorch with the same random weights, biases and scales, after one
    forward and one backward pass."""
    torch.set_default_dtype(torch.float64)
    config = change(
        change(HEALTHY, "model.dtype", "float64"), "model.attention_mask", request.param
    )
    ours = build(config)
    ours.params.flat += 0.05 * np.random.default_rng(0).standard_normal(ours.params.flat.shape)
    twin = Twin({name: param.data.copy() for name, param in ours.params.items()}, request.param)
    rows = [torch.tensor(encode(SEQUENCES[i].text)) for i in ROWS]
    logits = torch.cat([twin.logits(row[:-1]) for row in rows])
    loss = torch.nn.functional.cross_entropy(logits, torch.cat([row[1:] for row in rows]))
    loss.backward()
    return ours, twin, logits.detach().numpy(), loss.item()


def test_logits_agree_with_torch(pair):
    """The error is the largest difference of any logit, relative to the largest logit."""
    ours, _, logits, _ = pair
    assert np.abs(ours.logits(ROWS) - logits).max() / np.abs(logits).max() <= TOLERANCE


def test_loss_agrees_with_torch(pair):
    """Mean cross-entropy over every predicted token."""
    ours, _, _, loss = pair
    assert ours.gradient_at(ROWS) == pytest.approx(loss, rel=TOLERANCE)


def test_every_gradient_agrees_with_torch(pair):
    """The error of each tensor is its largest difference, relative to its largest entry."""
    ours, twin, _, _ = pair
    ours.gradient_at(ROWS)
    errors = {
        name: np.abs(param.grad - (theirs := twin.w[name].grad.numpy())).max()
        / np.abs(theirs).max()
        for name, param in ours.params.items()
    }
    assert {name: error for name, error in errors.items() if error > TOLERANCE} == {}
