"""This repository's own experiments, offered to the plugin as any project would offer its own."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial

import pytest

from model import BREAKS, HEALTHY, OVERFIT, Config, build, fingerprint, remedied
from model.seeds import TEST_SEED
from probes import Experiment

pytest_plugins = ["probes.plugin", "pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed",
        metavar="N",
        type=seed,
        default=TEST_SEED,
        help="run the experiments on another seed, a whole number from 0 (default: %(default)s)",
    )
    parser.addini("overhead_budget", "what looking may add to a step, as a share of the bare step", type="float")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.collectonly:
        config.option.warn_unused_snapshots = True  # where no test runs, no snapshot is used: that is no failure


@pytest.fixture
def overhead_budget(pytestconfig: pytest.Config) -> float:
    budget: float = pytestconfig.getini("overhead_budget")
    return budget


@pytest.hookimpl(optionalhook=True)
def pytest_probes_experiments(config: pytest.Config) -> dict[str, Experiment]:
    chosen = config.getoption("seed")
    healthy, overfit = replace(HEALTHY, seed=chosen), replace(OVERFIT, seed=chosen)
    broken = {name: experiment(brk.apply(healthy), "break") for name, brk in BREAKS.items()}
    return {"healthy": experiment(healthy, "reference"), **broken, "overfit": experiment(overfit, "overfit")}


def experiment(config: Config, group: str) -> Experiment:
    return Experiment(partial(build, config), fingerprint(config), group, lambda cause: build(remedied(config, cause)))


def seed(text: str) -> int:
    """A seed from the command line. Raises ArgumentTypeError, which pytest turns into a usage error."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; it must be a whole number from 0")
    return int(text)
