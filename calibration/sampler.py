"""Random configs on which no threshold was chosen, drawn from ranges that were fixed before any
detector was run on them.

A run of such a config is not assumed to be healthy: a rule that uses no detector decides
(`calibration.health`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, log, sqrt
from typing import Literal

import numpy as np

from model.config import HEALTHY, Config, Data, Model, Optimizer
from model.seeds import CHOOSING_SEEDS, JUDGING_FROM

Phase = Literal["choosing", "judging"]

D_MODEL = (32, 48, 64, 96, 128)
"""Half to twice HEALTHY's width, which a CPU trains in seconds."""
N_LAYERS = (1, 2, 3, 4)
"""From one layer to twice HEALTHY's depth."""
N_HEADS = (1, 2, 4, 8)
"""Powers of two, as is usual. Only those that split the width into heads of an even size are
drawn."""
D_FF_PER_D_MODEL = 4
"""The ratio of the original transformer (Vaswani et al. 2017), and of HEALTHY."""
BATCH_SIZES = (16, 24, 32, 48, 64)
"""Half to twice HEALTHY's batch size."""
LR_MAX_RANGE = (4e-3, 2.4e-2)
"""Log-uniform, at a width of LR_WIDTH: from below the lowest of the sweep (docs/why.md) to where
the loss is 3 to 8 % above the best."""
LR_WIDTH = 64
"""HEALTHY's width. For other widths LR_MAX_RANGE is multiplied by sqrt(LR_WIDTH / d_model), which
lies between the rule that keeps Adam's rate and the rule that divides it by the width (Yang et al.
2022)."""
WARMUP_SHARE_RANGE = (0.05, 0.25)
"""Share of the steps. HEALTHY's is an eighth; the lower end is a short warmup, of at least 4
steps."""
STEPS_RANGE = (80, 240)
"""From the shortest length of the sweep to one at which some runs begin to overfit. Those are not
labelled healthy."""
MIN_EVALUATIONS = 40
"""Per run, as HEALTHY has."""

CONFIGS = 32
"""Number of configs that are drawn. On some of them no run may turn out healthy."""
SEEDS_PER_CONFIG = 4
SAMPLER_SEEDS: dict[Phase, int] = {"choosing": 20_260, "judging": 71_828}
"""Seeds of two streams that have no config in common."""
JUDGING_OFFSET = 300
"""Sampled configs are trained on seeds from JUDGING_FROM + 300 on; the seeds below judge HEALTHY
and the breaks."""


@dataclass(frozen=True)
class Sampled:
    """One config of a stream and the seeds on which it is trained."""

    index: int
    config: Config
    seeds: tuple[int, ...]

    def runs(self) -> tuple[Config, ...]:
        """The config once per seed."""
        return tuple(replace(self.config, seed=seed) for seed in self.seeds)


def sample(
    phase: Phase, first_seed: int = JUDGING_FROM, configs: int = CONFIGS
) -> tuple[Sampled, ...]:
    """The configs of a phase. They are the same in every call; a longer stream begins with the
    shorter one. For judging, another `first_seed` draws other configs, since those of a range that
    was judged have been seen."""
    stream = [SAMPLER_SEEDS[phase]] if phase == "choosing" else [SAMPLER_SEEDS[phase], first_seed]
    return tuple(
        Sampled(
            index, draw(np.random.default_rng([*stream, index])), seeds(phase, index, first_seed)
        )
        for index in range(configs)
    )


def draw(rng: np.random.Generator) -> Config:
    """A config within the ranges. All other leaves are HEALTHY's."""
    d_model = _one_of(rng, D_MODEL)
    n_heads = _one_of(rng, tuple(heads for heads in N_HEADS if d_model % (2 * heads) == 0))
    n_layers = _one_of(rng, N_LAYERS)
    batch_size = _one_of(rng, BATCH_SIZES)
    lr_max = exp(rng.uniform(log(LR_MAX_RANGE[0]), log(LR_MAX_RANGE[1]))) * sqrt(LR_WIDTH / d_model)
    steps = int(rng.integers(STEPS_RANGE[0], STEPS_RANGE[1], endpoint=True))
    warmup_steps = round(rng.uniform(*WARMUP_SHARE_RANGE) * steps)
    model: Model = replace(
        HEALTHY.model,
        d_model=d_model,
        n_heads=n_heads,
        n_layers=n_layers,
        d_ff=D_FF_PER_D_MODEL * d_model,
    )
    data: Data = replace(HEALTHY.data, batch_size=batch_size)
    optimizer: Optimizer = replace(HEALTHY.optimizer, lr_max=lr_max, warmup_steps=warmup_steps)
    every = max(1, steps // MIN_EVALUATIONS)
    return replace(
        HEALTHY, steps=steps, eval_every=every, model=model, data=data, optimizer=optimizer
    )


def seeds(phase: Phase, index: int, first_seed: int = JUDGING_FROM) -> tuple[int, ...]:
    """The training seeds of a config: for choosing, the next ones of CHOOSING_SEEDS in turn; for
    judging, seeds that no other config has."""
    own = range(SEEDS_PER_CONFIG * index, SEEDS_PER_CONFIG * (index + 1))
    if phase == "choosing":
        return tuple(CHOOSING_SEEDS[i % len(CHOOSING_SEEDS)] for i in own)
    return tuple(first_seed + JUDGING_OFFSET + i for i in own)


def _one_of(rng: np.random.Generator, choices: tuple[int, ...]) -> int:
    return choices[int(rng.integers(len(choices)))]
