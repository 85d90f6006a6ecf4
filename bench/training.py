"""Training whole runs in processes of their own, side by side: how long the experiments take, and a
calibration.

What `pytest -n 2` and `pytest calibration -n 2` spend their time on, without pytest's own start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep

from bench.figures import Figure, Section
from calibration.conditions import Planned, plan
from model import BREAKS, HEALTHY, OVERFIT
from model.seeds import TEST_SEED
from probes.plugin.run_cache import Store

CORES = 2
CALIBRATION_RUNS = 12
"""Healthy runs of the choosing seeds: enough that two workers end at nearly the same time."""
EXPERIMENTS = Figure("training all experiments, cold", "s", "2 processes", 30.0)
ONE, TWO = (
    Figure(f"calibration runs, {workers}", "/min", "HEALTHY, recorded")
    for workers in ("one worker", "two workers")
)
SPEEDUP = Figure("calibration, two workers / one", "x", "the same runs", 2 * 0.85, at_least=True)


def seconds(runs: Sequence[Planned], workers: int) -> float:
    """Wall time of training and recording runs, handed out in the order given, into a folder that
    is empty."""
    with (
        TemporaryDirectory() as folder,
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
    ):
        wait([pool.submit(_start) for _ in range(workers)])
        start = perf_counter()
        for _ in pool.map(partial(_train, Path(folder)), runs):
            pass
        return perf_counter() - start


def _start() -> None:
    """Import what training takes, long enough that no process gets this twice."""
    sleep(1.0)


def _train(folder: Path, planned: Planned) -> None:
    store = Store(folder, session="bench")
    store.fetch(planned.name, planned.experiment())


def experiments() -> list[Planned]:
    """Those of the test files, the longest first."""
    seeded = replace(HEALTHY, seed=TEST_SEED)
    broken = [Planned(name, name, each.apply(seeded)) for name, each in BREAKS.items()]
    longest = Planned("overfit", "overfit", replace(OVERFIT, seed=TEST_SEED))
    return [longest, Planned("healthy", "healthy", seeded), *broken]


def _experiments() -> Iterator[Figure]:
    yield EXPERIMENTS.value(seconds(experiments(), CORES))


def _calibration() -> Iterator[Figure]:
    runs = [run for run in plan("choosing") if run.condition == "healthy"][:CALIBRATION_RUNS]
    one, two = (seconds(runs, workers) for workers in (1, CORES))
    yield ONE.value(60 * len(runs) / one)
    yield TWO.value(60 * len(runs) / two)
    yield SPEEDUP.value(one / two)


EXPERIMENTS_SECTION = Section(
    "Training of all experiments", (EXPERIMENTS,), _experiments, slow=True
)
CALIBRATION_SECTION = Section("Calibration", (ONE, TWO, SPEEDUP), _calibration, slow=True)
