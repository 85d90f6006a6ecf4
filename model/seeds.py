"""Which seeds are for what. A seed that helped to choose something never judges it."""

from __future__ import annotations

CHOOSING_SEEDS = range(100)
"""Everything that is chosen is chosen here: sweep, thresholds, levels."""

SWEEP_SEEDS = range(10)
"""Paired seeds on which `lr_max` and the lengths of HEALTHY and OVERFIT are chosen."""

LENGTH_SEEDS = range(20, 40)
"""Twenty seeds the sweep never trained on, which check the chosen length."""

TEST_SEED = 100
"""The experiments of the test files; fixed before HEALTHY was chosen."""

JUDGING_FROM = 2712
"""First seed of the range that judges next, used once: when a threshold, a detector or HEALTHY
changes after its results were seen, the range joins the choosing seeds and this moves past it."""
