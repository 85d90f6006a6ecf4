"""Which runs are trained and judged: the conditions, the cause that each should be diagnosed with,
and the seeds of both phases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from calibration.sampler import Phase, sample
from model.breaks import BREAKS, OVERFIT
from model.config import HEALTHY, Config
from model.seeds import JUDGING_FROM
from probes.plugin.experiments import Experiment
from testing.trained_runs import experiment

SAMPLED = "sampled"
"""The condition of the configs of `calibration.sampler`. A rule that uses no detector decides which
of their runs are healthy (`calibration.health`)."""
HEALTHY_RUNS: Mapping[Phase, int] = {"choosing": 100, "judging": 300}
"""With two alarms in 300 runs the false-alarm rate is below 2.1 %, with one-sided confidence of
95 %."""
BREAK_RUNS: Mapping[Phase, int] = {"choosing": 100, "judging": 100}
"""With 100 of 100 right, the rate at which a break is named first is above 96.3 %, with two-sided
confidence of 95 %."""
OVERFIT_RUNS: Mapping[Phase, int] = {"choosing": 10, "judging": 6}
"""Few, because they are many times as long as the others (`model.breaks`)."""


@dataclass(frozen=True)
class Planned:
    """One run to be trained and judged.

    name       of its record: condition, number of a sampled config, seed
    condition  "healthy", the name of a break, "overfit" or SAMPLED
    expected   the cause that should be named first; None when no cause should be named
    """

    name: str
    condition: str
    config: Config
    expected: str | None = None

    @property
    def work(self) -> float:
        """A rough estimate of the training time, in arbitrary units: the number of steps times the
        cost of a step, which was fitted to five sizes."""
        model, batch = self.config.model, self.config.data.batch_size
        per_layer = 2000 + batch * model.d_model + model.d_model**2 / 8
        return self.config.steps * model.n_layers * per_layer

    def experiment(self) -> Experiment:
        return experiment(self.config)


def plan(phase: Phase, first_seed: int = JUDGING_FROM) -> tuple[Planned, ...]:
    """Every run of a phase, the longest first, so that at the end no core waits for a long one."""
    start = first_seed if phase == "judging" else 0
    runs = [*_of_conditions(phase, start), *_of_sampled_configs(phase, first_seed)]
    return tuple(sorted(runs, key=lambda run: -run.work))


def seed_range(phase: Phase, first_seed: int = JUDGING_FROM) -> tuple[int, int]:
    """The lowest and the highest seed of a phase."""
    seeds = [run.config.seed for run in plan(phase, first_seed)]
    return min(seeds), max(seeds)


def _of_conditions(phase: Phase, start: int) -> Iterator[Planned]:
    for seed in range(start, start + HEALTHY_RUNS[phase]):
        yield Planned(f"healthy-{seed}", "healthy", replace(HEALTHY, seed=seed))
    for name, row in BREAKS.items():
        for seed in range(start, start + BREAK_RUNS[phase]):
            yield Planned(f"{name}-{seed}", name, row.apply(replace(HEALTHY, seed=seed)), row.cause)
    for seed in range(start, start + OVERFIT_RUNS[phase]):
        yield Planned(f"overfit-{seed}", "overfit", replace(OVERFIT, seed=seed), "overfit")


def _of_sampled_configs(phase: Phase, first_seed: int) -> Iterator[Planned]:
    for drawn in sample(phase, first_seed):
        for config in drawn.runs():
            yield Planned(f"{SAMPLED}-{drawn.index:02}-{config.seed}", SAMPLED, config)
