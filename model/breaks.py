"""The three engineered breaks, each one changed leaf of HEALTHY, and the overfit run.

The model holds no other trace of them: there is no `if broken` anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from model.config import HEALTHY, Config, Leaf, change, leaves


@dataclass(frozen=True)
class Break:
    """One leaf of the config changed from `old`, HEALTHY's value, to `new`.

    cause       the cause that a diagnosis must name first
    certain_by  the step by which it must name that cause for good; measured on the choosing seeds,
                with room to spare (docs/why.md)
    signature   the symptoms that tell this break from the others
    why         what the change does to training
    """

    name: str
    leaf: str
    new: Leaf
    cause: str
    certain_by: int
    signature: frozenset[str]
    why: str

    @property
    def old(self) -> Leaf:
        return leaves(HEALTHY)[self.leaf]

    def apply(self, config: Config) -> Config:
        """The config with this leaf changed and nothing else."""
        return change(config, self.leaf, self.new)


_ROWS = (
    Break(
        "bad-init",
        "model.init_scale",
        100.0,
        cause="bad-init",
        certain_by=0,
        signature=frozenset(
            {"initial-loss-high", "initial-activation-large", "first-gradient-large"}
        ),
        why="every Linear and Embedding weight starts a hundred times too large: the logits are "
        "huge before anything is learned",
    ),
    Break(
        "no-warmup",
        "optimizer.warmup_steps",
        0,
        cause="no-warmup",
        certain_by=1,
        signature=frozenset({"first-update-large", "lr-starts-at-peak"}),
        why="the first update runs at the peak learning rate, and its direction comes from a "
        "single gradient",
    ),
    Break(
        "mask-leak",
        "model.attention_mask",
        "all-ones",
        cause="mask-leak",
        certain_by=0,
        signature=frozenset({"loss-below-floor", "future-influence", "future-attention"}),
        why="every token sees the tokens after it, among them the one it must predict: the loss "
        "falls below what a causal model can reach",
    ),
)
BREAKS: Mapping[str, Break] = {row.name: row for row in _ROWS}

OVERFIT = replace(HEALTHY, steps=24 * HEALTHY.steps, eval_every=12)
"""HEALTHY trained far past convergence and evaluated a quarter as often, nothing else changed. The
sweep chose the length (docs/why.md)."""

REMEDIES: Mapping[str, tuple[str, ...]] = {row.cause: (row.leaf,) for row in _ROWS} | {
    "overfit": ("steps", "eval_every")
}
"""Cause -> the leaves of the config that remove it when they are set back to HEALTHY's values."""


def remedied(config: Config, cause: str) -> Config:
    """The config with the remedy of a cause applied.

    Raises LookupError for a cause that no leaf of the config removes."""
    if cause not in REMEDIES:
        raise LookupError(
            f"no change of the config removes {cause!r}; the causes that have one are "
            f"{', '.join(REMEDIES)}"
        )
    for leaf in REMEDIES[cause]:
        config = change(config, leaf, leaves(HEALTHY)[leaf])
    return config
