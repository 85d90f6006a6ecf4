"""Which seeds are for what. A seed that helped to choose something never judges it."""

from __future__ import annotations

TEST_SEED = 100
"""The experiments of the test files; fixed before HEALTHY was chosen."""

SWEEP_SEEDS = range(10)
"""Paired seeds on which `lr_max` and the length of HEALTHY are chosen."""

LENGTH_SEEDS = range(20, 40)
"""Twenty seeds the sweep never trained on, which check the chosen length."""

JUDGING_FROM = 1000
"""From here up: seeds that judge. A range is used once."""
