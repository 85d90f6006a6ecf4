"""What each range of seeds is for. A seed that was used to choose something never judges it."""

from __future__ import annotations

CHOOSING_SEEDS = range(100)
"""All choices are made on these seeds: the sweep, thresholds, levels."""

SWEEP_SEEDS = range(10)
"""Paired seeds on which `lr_max` and the lengths of HEALTHY and OVERFIT are chosen."""

LENGTH_SEEDS = range(20, 40)
"""Twenty seeds that the sweep did not use; they check the chosen length."""

TEST_SEED = 100
"""The seed of the experiments in the test files; it was fixed before HEALTHY was chosen."""

JUDGING_FROM = 3200
"""First seed of the range that judges next. A range is used once: when a threshold, a detector or
HEALTHY changes after the results were seen, the range becomes choosing seeds and this number moves
past it."""
