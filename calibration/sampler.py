"""Healthy configs that no threshold was chosen on, drawn by seed from ranges fixed before any
detector saw them.

Whether a run of one of them is healthy is not assumed: a rule that knows no detector labels it
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
"""Half to twice HEALTHY's width, in steps of a half and a third: what a CPU trains in seconds."""
N_LAYERS = (1, 2, 3, 4)
"""From no depth at all to twice HEALTHY's."""
N_HEADS = (1, 2, 4, 8)
"""Powers of two, as is usual; a width that they do not split into even heads is not drawn with
them."""
D_FF_PER_D_MODEL = 4
"""The transformer's own ratio (Vaswani et al. 2017), and HEALTHY's."""
BATCH_SIZES = (16, 24, 32, 48, 64)
"""Half to twice HEALTHY's."""
LR_MAX = (4e-3, 2.4e-2)
"""At LR_WIDTH, log-uniform: from below the sweep's lowest (docs/why.md) to where it costs 3 to 8 %
of the best."""
LR_WIDTH = 64
"""LR_MAX is meant for this width, HEALTHY's; others scale it by sqrt(LR_WIDTH / d_model), between
the rules that leave Adam's rate alone and that divide it by the width (Yang et al. 2022)."""
WARMUP_SHARE = (0.05, 0.25)
"""Of the steps, around HEALTHY's eighth; the lower end is what trainers call a short warmup, 4
steps at least here."""
STEPS = (80, 240)
"""From the shortest length of the sweep to one at which some runs have begun to overfit: those are
not labelled."""
EVALUATIONS = 40
"""At least so many a run, as HEALTHY has."""

CONFIGS = 32
"""Drawn; on some of them no run may turn out healthy."""
SEEDS_PER_CONFIG = 4
SAMPLER_SEEDS: dict[Phase, int] = {"choosing": 20_260, "judging": 71_828}
"""Two streams without a config in common."""
JUDGING_OFFSET = 300
"""The judging stream trains on seeds from JUDGING_FROM + this up: those below judge HEALTHY and the
breaks."""


@dataclass(frozen=True)
class Sampled:
    """One config of the stream and the seeds it is trained on."""

    index: int
    config: Config
    seeds: tuple[int, ...]

    def runs(self) -> tuple[Config, ...]:
        """The config once per seed."""
        return tuple(replace(self.config, seed=seed) for seed in self.seeds)


def sample(
    phase: Phase, first_seed: int = JUDGING_FROM, configs: int = CONFIGS
) -> tuple[Sampled, ...]:
    """The stream of a phase: the same configs every time, and the first of them whatever their
    number.

    A judging range that is used up takes its configs with it: another `first_seed` draws others.
    """
    stream = [SAMPLER_SEEDS[phase]] if phase == "choosing" else [SAMPLER_SEEDS[phase], first_seed]
    return tuple(
        Sampled(
            index, draw(np.random.default_rng([*stream, index])), seeds(phase, index, first_seed)
        )
        for index in range(configs)
    )


def draw(rng: np.random.Generator) -> Config:
    """One config within the ranges; what they do not name is HEALTHY's."""
    d_model = _one_of(rng, D_MODEL)
    n_heads = _one_of(rng, tuple(heads for heads in N_HEADS if d_model % (2 * heads) == 0))
    n_layers = _one_of(rng, N_LAYERS)
    batch_size = _one_of(rng, BATCH_SIZES)
    lr_max = exp(rng.uniform(log(LR_MAX[0]), log(LR_MAX[1]))) * sqrt(LR_WIDTH / d_model)
    steps = int(rng.integers(STEPS[0], STEPS[1], endpoint=True))
    warmup_steps = round(rng.uniform(*WARMUP_SHARE) * steps)
    model: Model = replace(
        HEALTHY.model,
        d_model=d_model,
        n_heads=n_heads,
        n_layers=n_layers,
        d_ff=D_FF_PER_D_MODEL * d_model,
    )
    data: Data = replace(HEALTHY.data, batch_size=batch_size)
    optimizer: Optimizer = replace(HEALTHY.optimizer, lr_max=lr_max, warmup_steps=warmup_steps)
    every = max(1, steps // EVALUATIONS)
    return replace(
        HEALTHY, steps=steps, eval_every=every, model=model, data=data, optimizer=optimizer
    )


def seeds(phase: Phase, index: int, first_seed: int = JUDGING_FROM) -> tuple[int, ...]:
    """The training seeds of a config: in turn among the choosing ones, or of its own in the judging
    range."""
    own = range(SEEDS_PER_CONFIG * index, SEEDS_PER_CONFIG * (index + 1))
    if phase == "choosing":
        return tuple(CHOOSING_SEEDS[i % len(CHOOSING_SEEDS)] for i in own)
    return tuple(first_seed + JUDGING_OFFSET + i for i in own)


def _one_of(rng: np.random.Generator, choices: tuple[int, ...]) -> int:
    return choices[int(rng.integers(len(choices)))]
