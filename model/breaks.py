"""Ways to spoil HEALTHY, one leaf each, and the run that is only carried too far. No `if broken`
stands elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from model.config import HEALTHY, Config, Leaf, change, leaves


@dataclass(frozen=True)
class Break:
    """One leaf changed from `old`, HEALTHY's value, to `new`.

    cause       what a diagnosis is to name first
    certain_by  the step by which it is to name it for good; from the choosing seeds, with room
                (docs/why.md)
    why         what the change does to training
    """

    name: str
    leaf: str
    new: Leaf
    cause: str
    certain_by: int
    why: str

    @property
    def old(self) -> Leaf:
        return leaves(HEALTHY)[self.leaf]

    def apply(self, config: Config) -> Config:
        """The config with this leaf changed and nothing else."""
        return change(config, self.leaf, self.new)


_ROWS = (
    Break(
        "bad-init", "model.init_scale", 100.0, "bad-init", 0,
        "every Linear and Embedding weight starts a hundred times too large: huge logits before anything is learned",
    ),
    Break(
        "no-warmup", "optimizer.warmup_steps", 0, "no-warmup", 1,
        "the first update runs at the peak rate, on moments that saw one gradient: each weight moves by all of it",
    ),
    Break(
        "mask-leak", "model.attention_mask", "all-ones", "mask-leak", 60,
        "every token sees those after it, the one it is to predict among them: the loss falls below what is possible",
    ),
)  # fmt: skip
BREAKS: Mapping[str, Break] = {row.name: row for row in _ROWS}

OVERFIT = replace(HEALTHY, steps=24 * HEALTHY.steps, eval_every=12)
"""HEALTHY trained far past convergence and evaluated a quarter as often, nothing else changed. The
sweep chose the length (docs/why.md)."""

REMEDIES: Mapping[str, tuple[str, ...]] = {row.cause: (row.leaf,) for row in _ROWS} | {
    "overfit": ("steps", "eval_every")
}
"""Cause -> the leaves of the config that remove it when they are set back to HEALTHY's values."""


def remedied(config: Config, cause: str) -> Config:
    """The config with the remedy of a cause applied. Raises LookupError for a cause that no leaf of
    ours heals."""
    if cause not in REMEDIES:
        raise LookupError(
            f"no leaf of the config heals {cause!r}; those that one heals are {', '.join(REMEDIES)}"
        )
    for leaf in REMEDIES[cause]:
        config = change(config, leaf, leaves(HEALTHY)[leaf])
    return config
