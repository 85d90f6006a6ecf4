"""Synthetic records of any length, with every signal of the table of signals."""

from __future__ import annotations

from typing import Any

import numpy as np

from probes.record import Column, Record, Table
from probes.record.signals import SIGNALS

LAYERS = ("embed", "blocks.0", "blocks.1", "norm")
KINDS = ("attn.q", "attn.k", "attn.v", "attn.o", "ffn.up", "ffn.down")
MATRICES = ("embed.weight", *(f"blocks.{i}.{kind}.weight" for i in (0, 1) for kind in KINDS))
HEADS = tuple(f"blocks.{i}.attn.pattern.{head}" for i in (0, 1) for head in range(4))
CLASSES = ("regular", "irregular")
SITES = {"run": (), "layer": LAYERS, "matrix": MATRICES, "head": HEADS, "class": CLASSES}
"""Scope of a signal -> its sites."""
COUNTED = (*LAYERS, *MATRICES[:5])
"""Sites at which non-finite values are counted."""
BATCH_ROWS = tuple(map(str, range(32)))
CORPUS_ROWS = 640
RUNGS = {
    "uniform": 4.16,
    "unigram": 3.07,
    "bigram": 1.71,
    "ngram": 1.24,
    "floor": 0.14,
    "class_baseline": 1.9,
}


def facts(steps: int) -> dict[str, Any]:
    return {
        "vocab_size": 64, "total_steps": steps, "schedule": "warmup-cosine", "clip_norm": 1.0,
        "ladder": {"train": {**RUNGS, "floor": 0.19}, "val": RUNGS, "ngram_n": 5},
    }  # fmt: skip


def made_up(
    steps: int, every: int = 3, seed: int = 0, start: float = 4.6, name: str = "made-up"
) -> Record:
    """A run whose loss falls from `start` to about 0.5, with noise on every signal, evaluated every
    `every` steps."""
    rng = np.random.default_rng(seed)
    at = np.arange(steps)
    decay = np.exp(-5 * at / max(steps, 1))

    def noisy(level: Column, *sites: str, evaluated: bool = False) -> Table:
        values = level[:, None] * np.exp(rng.normal(0, 0.1, (steps, max(1, len(sites)))))
        if evaluated:
            values[at % every != every - 1] = np.nan
        return Table(sites or ("",), values)

    falling = 0.5 + (start - 0.5) * decay
    tables = {
        "loss": noisy(falling),
        "train_loss": noisy(falling, evaluated=True),
        "val_loss": noisy(falling + 0.4, evaluated=True),
        **{
            signal: noisy(falling + 0.2, *CLASSES, evaluated=True)
            for signal in (
                "train_loss_by_class",
                "val_loss_by_class",
                "val_loss_by_class_compositional",
            )
        },
        "lr": Table(("",), (0.02 * np.minimum(1, (at + 1) / 15) * (0.1 + 0.9 * decay))[:, None]),
        "grad_norm": noisy(0.5 + 2.5 * decay),
        "activation": noisy(0.2 + falling, *LAYERS),
        "grad_activation_ratio": noisy(0.01 * falling, *LAYERS),
        "update_weight_ratio": noisy(0.003 * falling, *MATRICES),
        "spectral_norm": noisy(6 - falling, *MATRICES, evaluated=True),
        "dead_fraction": noisy(
            np.full(steps, 0.02), "blocks.0.ffn.up", "blocks.1.ffn.up", evaluated=True
        ),
        "attention_entropy": noisy(0.2 + 0.6 * decay, *HEADS, evaluated=True),
        "nonfinite_count": Table(COUNTED, np.zeros((steps, len(COUNTED)))),
    }
    for signal in SIGNALS:
        if signal.scope in SITES and signal.name not in tables and signal.cadence != "proof":
            sites, evaluated = SITES[signal.scope], signal.cadence == "evaluation"
            tables[signal.name] = noisy(falling, *sites, evaluated=evaluated)
    rows = rng.integers(0, CORPUS_ROWS, (steps, len(BATCH_ROWS)))
    tables["batch_ids"] = Table(BATCH_ROWS, rows.astype(float))
    return Record(facts(steps), at.astype(np.int64), tables, {"name": name, "seed": seed})
