"""How fast whole runs are trained and recorded in parallel processes.

The experiments and the runs of a calibration are trained without pytest, so that its own start and
collection do not count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep

from bench.figures import Figure, Section
from model import BREAKS, HEALTHY, OVERFIT, Config
from model.seeds import CHOOSING_SEEDS, TEST_SEED
from testing.trained_runs import load_or_train

PROCESSES = 2
CALIBRATION_RUNS = 12
"""Enough that two processes end at nearly the same time."""
EXPERIMENTS = Figure("training all experiments, cold", "s", f"{PROCESSES} processes", 30.0)
ONE_PROCESS, TWO_PROCESSES = (
    Figure(f"calibration runs, {workers}", "/min", "HEALTHY, recorded")
    for workers in ("one worker", "two workers")
)
SPEEDUP = Figure("calibration, two workers / one", "x", "the same runs", 2 * 0.85, at_least=True)


def seconds_to_train(configs: Mapping[str, Config], processes: int) -> float:
    """Train and record runs into an empty folder, started in the order given; return the wall
    time."""
    with (
        TemporaryDirectory() as folder,
        ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool,
    ):
        wait([pool.submit(_warm_up) for _ in range(processes)])
        start = perf_counter()
        for _ in pool.map(partial(_train, Path(folder)), configs.keys(), configs.values()):
            pass
        return perf_counter() - start


def _train(folder: Path, name: str, config: Config) -> None:
    load_or_train(name, config, folder)


def _warm_up() -> None:
    """Import what training needs, and wait long enough that every process gets one such call."""
    sleep(1.0)


def experiment_configs() -> dict[str, Config]:
    """The configs of the test files, the longest first."""
    seeded = replace(HEALTHY, seed=TEST_SEED)
    breaks = {name: each.apply(seeded) for name, each in BREAKS.items()}
    return {"overfit": replace(OVERFIT, seed=TEST_SEED), "healthy": seeded, **breaks}


def _measure_experiments() -> Iterator[Figure]:
    yield EXPERIMENTS.with_value(seconds_to_train(experiment_configs(), PROCESSES))


def _measure_calibration() -> Iterator[Figure]:
    seeds = CHOOSING_SEEDS[:CALIBRATION_RUNS]
    configs = {f"healthy-{seed}": replace(HEALTHY, seed=seed) for seed in seeds}
    one, two = (seconds_to_train(configs, processes) for processes in (1, PROCESSES))
    yield ONE_PROCESS.with_value(60 * len(configs) / one)
    yield TWO_PROCESSES.with_value(60 * len(configs) / two)
    yield SPEEDUP.with_value(one / two)


EXPERIMENTS_SECTION = Section(
    "Training of all experiments", (EXPERIMENTS,), _measure_experiments, slow=True
)
CALIBRATION_SECTION = Section(
    "Calibration", (ONE_PROCESS, TWO_PROCESSES, SPEEDUP), _measure_calibration, slow=True
)
