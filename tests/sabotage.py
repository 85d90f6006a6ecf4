"""Trainings of MiniGPT with one fault each, as needed to show what each detector is for. Some
faults are a leaf of the config; the others are put into a specimen that was built in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from model import BREAKS, HEALTHY, Config, build
from model.config import change
from model.train import Specimen

SHORT = replace(HEALTHY, steps=24, eval_every=24)
"""Long enough to be judged; what most faults do shows in the first steps."""
LEAKING = BREAKS["mask-leak"].apply(replace(HEALTHY, steps=60, eval_every=20))
"""The leak takes some forty steps to be found and used."""
STANDING_STILL = replace(SHORT, steps=20, eval_every=1)
"""The detector `stalled` needs ten evaluations within half a run."""
SPIKE_AT = 20


def leaf(name: str, value: Any, config: Config = SHORT) -> Specimen:
    """A specimen whose config differs in one leaf."""
    return build(change(config, name, value))


def write(specimen: Specimen, factor: float, *names: str, shift: float = 0.0) -> Specimen:
    """Scales and shifts the named parameters before the first step."""
    views = specimen.params.views(specimen.params.flat)
    for name in names:
        views[name] *= factor
        views[name] += shift
    return specimen


def summed_loss() -> Specimen:
    """A specimen with the gradient of a sum over tokens, where the loss is a mean."""
    specimen = build(SHORT)
    entropy = specimen.model.cross_entropy
    of_mean = entropy.backward
    entropy.backward = lambda cache: of_mean(cache) * len(cache.targets)  # type: ignore[method-assign,assignment]
    return specimen


def noise_left_on() -> Specimen:
    """A specimen with dropout of a tenth of the embedding in every pass, which it does not
    declare."""
    specimen = build(SHORT)
    rng = np.random.default_rng(0)
    clean = specimen.model.embed.forward

    def forward(tokens: Any) -> Any:
        y, cache = clean(tokens)
        y *= (rng.random(y.shape) >= 0.1) / 0.9
        return y, cache

    specimen.model.embed.forward = forward  # type: ignore[method-assign]
    return specimen


def no_update() -> Specimen:
    """A specimen whose optimizer changes nothing."""
    specimen = build(SHORT)
    specimen._optimizer.step = lambda lr: 1.0  # type: ignore[method-assign]
    return specimen


def wild_update() -> Specimen:
    """A specimen with one update at sixty times its rate."""
    specimen = build(SHORT)
    optimizer = specimen._optimizer
    in_order, taken = optimizer.step, iter(range(SHORT.steps))
    optimizer.step = lambda lr: in_order(lr * (60 if next(taken) == SPIKE_AT else 1))  # type: ignore[method-assign]
    return specimen


def constant_rate() -> Specimen:
    """A specimen whose schedule never moves: no warmup, and a cosine that ends where it begins."""
    flat = change(change(SHORT, "optimizer.warmup_steps", 0), "optimizer.lr_min_ratio", 1.0)
    return leaf("optimizer.lr_max", 3e-3, flat)


def mixed_rows() -> Specimen:
    """A specimen that adds the mean of all embeddings of the batch to each of them."""
    specimen = build(SHORT)
    embed = specimen.model.embed
    forward, backward = embed.forward, embed.backward

    def with_mean(tokens: Any) -> Any:
        y, cache = forward(tokens)
        return y + y.mean(axis=0), cache

    embed.forward = with_mean  # type: ignore[method-assign, assignment]
    embed.backward = lambda dy, cache: backward(dy + dy.mean(axis=0), cache)  # type: ignore[method-assign, assignment]
    return specimen


def short_window(width: int = 4) -> Specimen:
    """A specimen whose attention sees only the last few tokens."""
    specimen = build(SHORT)
    for block in specimen.model.blocks:
        block.attn.pattern.forward = partial(_in_window, block.attn.pattern.forward, width)  # type: ignore[method-assign]
    return specimen


def _in_window(forward: Any, width: int, scores: Any, *, visible: Any) -> Any:
    return forward(scores, visible=visible & ~np.tri(visible.shape[-1], k=-width, dtype=bool))


def no_positions() -> Specimen:
    """A specimen whose rotary positions turn nothing."""
    specimen = build(SHORT)
    rotary = specimen.model.blocks[0].attn.rotary  # all blocks share it

    def only_scale(qkv: Any, back: bool = False) -> None:
        qkv[..., : qkv.shape[-1] // 3 * 2] *= rotary._scale

    rotary.turn = only_scale  # type: ignore[method-assign, assignment]
    return specimen


def no_denominator() -> Specimen:
    """A specimen whose softmax divides by a fixed number instead of the sum."""
    specimen = build(SHORT)

    def forward(scores: Any, *, visible: Any) -> Any:
        pattern = np.exp(scores) * visible[:, None].astype(scores.dtype) / 16
        return pattern, pattern

    for block in specimen.model.blocks:
        block.attn.pattern.forward = forward  # type: ignore[method-assign, assignment]
        block.attn.pattern.backward = lambda dpattern, pattern: dpattern * pattern  # type: ignore[method-assign, assignment]
    return specimen


QK = tuple(f"blocks.{i}.attn.{part}.weight" for i in range(2) for part in "qk")

SABOTAGED: Mapping[str, tuple[Callable[[], Specimen], str]] = {
    "overflow": (lambda: leaf("optimizer.lr_max", 1e30), "non-finite"),
    "noise-left-on": (noise_left_on, "random-loss"),
    "bad-init": (lambda: build(BREAKS["bad-init"].apply(SHORT)), "bad-init"),
    "loud-layer": (
        lambda: write(build(SHORT), 100, "blocks.0.ffn.down.weight"),
        "large-activations",
    ),
    "summed-loss": (summed_loss, "summed-loss"),
    "no-warmup": (lambda: build(BREAKS["no-warmup"].apply(SHORT)), "no-warmup"),
    "constant-rate": (constant_rate, "schedule-never-stepped"),
    "mask-leak": (lambda: build(LEAKING), "mask-leak"),
    "tiny-rate": (lambda: leaf("optimizer.lr_max", 1e-6, STANDING_STILL), "learns-nothing"),
    "no-update": (no_update, "no-updates"),
    "wild-update": (wild_update, "loss-spike"),
    "silent-ffn": (
        lambda: write(build(SHORT), 1, "blocks.1.ffn.up.bias", shift=-30),
        "dead-neurons",
    ),
    "mixed-rows": (mixed_rows, "rows-mixed"),
    "short-window": (short_window, "blind-attention"),
    "no-positions": (no_positions, "order-blind"),
    "no-denominator": (no_denominator, "wrong-softmax"),
    "sharp-heads": (lambda: write(build(SHORT), 12, *QK), "saturated-attention"),
}
"""Name -> how it is built, and the cause it should be diagnosed as."""
