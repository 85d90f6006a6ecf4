"""Which runs are trained and judged: the conditions, what each should be named, and its seeds in
either phase."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from calibration.sampler import Phase, sample
from model.breaks import BREAKS, OVERFIT
from model.config import HEALTHY, Config
from model.fingerprint import fingerprint
from model.seeds import JUDGING_FROM
from model.train import build
from probes.plugin.experiments import Experiment

FOLDER = Path(__file__).resolve().parent.parent / ".calibration"
"""Where the records lie, under names that cover config, source and machine
(`probes.plugin.run_cache`)."""
SAMPLED = "sampled"
"""The condition of the configs of `calibration.sampler`, which a rule without detectors labels."""
HEALTHY_RUNS: Mapping[Phase, int] = {"choosing": 100, "judging": 300}
"""300: with two alarms among them the false-alarm rate is below 2.1 % with 95 % confidence,
one-sided."""
BREAK_RUNS: Mapping[Phase, int] = {"choosing": 100, "judging": 100}
"""100 of 100 put the rate at which a break is named first above 96.3 %, two-sided 95 %."""
OVERFIT_RUNS: Mapping[Phase, int] = {"choosing": 10, "judging": 6}
"""Many times as long as the others (`model.breaks`)."""


@dataclass(frozen=True)
class Planned:
    """One run to be trained and judged.

    name      of its record and its line of progress: condition, config where there are several,
              seed
    expected  the cause it should be named first; None for one that should be called healthy, if it
              is
    """

    name: str
    condition: str
    config: Config
    expected: str | None = None

    @property
    def work(self) -> float:
        """Roughly what its training takes, in units of no meaning: steps times what a step of its
        size costs."""
        model, batch = self.config.model, self.config.data.batch_size
        per_layer = (
            2000 + batch * model.d_model + model.d_model**2 / 8
        )  # fitted to five sizes; only orders and shares
        return self.config.steps * model.n_layers * per_layer

    def experiment(self) -> Experiment:
        """For the store, which trains it."""
        return Experiment(partial(build, self.config), fingerprint(self.config), self.condition)


def plan(phase: Phase, first_seed: int = JUDGING_FROM) -> tuple[Planned, ...]:
    """Every run of a phase, the longest first, so that no core is left alone with one at the
    end."""
    start = first_seed if phase == "judging" else 0
    runs = [*_of_seeds(phase, start), *_sampled(phase, first_seed)]
    return tuple(sorted(runs, key=lambda run: -run.work))


def seed_range(phase: Phase, first_seed: int = JUDGING_FROM) -> tuple[int, int]:
    """The lowest and the highest seed of a phase."""
    seeds = [run.config.seed for run in plan(phase, first_seed)]
    return min(seeds), max(seeds)


def _of_seeds(phase: Phase, start: int) -> Iterator[Planned]:
    for seed in range(start, start + HEALTHY_RUNS[phase]):
        yield Planned(f"healthy-{seed}", "healthy", replace(HEALTHY, seed=seed))
    for name, row in BREAKS.items():
        for seed in range(start, start + BREAK_RUNS[phase]):
            yield Planned(f"{name}-{seed}", name, row.apply(replace(HEALTHY, seed=seed)), row.cause)
    for seed in range(start, start + OVERFIT_RUNS[phase]):
        yield Planned(f"overfit-{seed}", "overfit", replace(OVERFIT, seed=seed), "overfit")


def _sampled(phase: Phase, first_seed: int) -> Iterator[Planned]:
    for drawn in sample(phase, first_seed):
        for config in drawn.runs():
            yield Planned(f"{SAMPLED}-{drawn.index:02}-{config.seed}", SAMPLED, config)
