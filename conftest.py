"""Offers this repository's experiments to the plugin, in the way any project offers its own."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from model import BREAKS, HEALTHY, OVERFIT, Break, Config, build, fingerprint, remedied
from model.seeds import TEST_SEED
from model.train import Specimen
from model.zoo import ZOO, Fault
from probes import Diagnosis, Experiment

pytest_plugins = ["probes.plugin", "pytester"]

BLIND = "reports/blind"
ZOO_FILE = "test_zoo.py"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed",
        metavar="N",
        type=seed,
        default=TEST_SEED,
        help="train with another seed, a whole number from 0 (default: %(default)s)",
    )
    parser.addoption(
        "--zoo",
        action="store_true",
        help="train every fault of the zoo (model/zoo.py) instead of a few, and draw the runs",
    )
    group = parser.getgroup(
        "blind", "the blind exercise: diagnose runs without their names (docs/blind.md)"
    )
    group.addoption(
        "--blind",
        action="store_true",
        help="train the runs and draw them in reports/blind; runs no test",
    )
    group.addoption(
        "--reveal", action="store_true", help="score reports/blind/diagnoses.toml; runs no test"
    )
    parser.addini(
        "overhead_budget",
        "the time that recording may add to a step, as a share of the bare step",
        type="float",
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without garbage collection, and exempt them from it afterwards.

    Thousands of test objects are made, and all live until the end. Searching them for garbage takes
    30 % of the time of collecting the whole suite.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run the blind exercise instead of the tests (docs/blind.md)."""
    option = config.option
    if not (option.blind or option.reveal) or option.help:
        return None
    from exercise.paths import RoundError

    try:
        print("\n".join(draw_blind(config) if option.blind else reveal(config)))
    except (RoundError, OSError) as error:
        raise pytest.UsageError(str(error)) from error
    except KeyboardInterrupt:
        print("interrupted: no round was drawn, nothing was revealed", file=sys.stderr)
        return pytest.ExitCode.INTERRUPTED
    return pytest.ExitCode.OK


def draw_blind(config: pytest.Config) -> list[str]:
    """Draw a round, and return the lines that say what to do next.

    Raises UsageError for an option that would have no effect."""
    from exercise.draw import draw, instructions, status_line

    option = config.option
    given = {
        "--reveal": option.reveal,
        "workers": getattr(option, "numprocesses", None) or getattr(option, "tx", None),
        f"--seed {option.seed}": option.seed != TEST_SEED,
        f"-k {option.keyword!r}": option.keyword not in ("", "break"),
    }
    if clashes := [name for name, is_given in given.items() if is_given]:
        raise pytest.UsageError(
            f"--blind does not go with {', '.join(clashes)}: it trains all breaks in one process "
            "with a random seed"
        )
    builds = {brk.cause: partial(seeded, brk) for brk in BREAKS.values()}
    folder = config.rootpath / BLIND
    commitment = draw(builds, partial(seeded, None), folder, status_line(sys.stdout))
    return instructions(Path(os.path.relpath(folder, config.invocation_params.dir)), commitment)


def reveal(config: pytest.Config) -> list[str]:
    from exercise.score import reveal as score

    return list(score(config.rootpath / BLIND, [brk.cause for brk in BREAKS.values()]).lines())


def seeded(brk: Break | None, seed: int) -> Specimen:
    """A specimen of HEALTHY with this seed, changed by the break if one is given."""
    config = replace(HEALTHY, seed=seed)
    return build(brk.apply(config) if brk else config)


def pytest_configure(config: pytest.Config) -> None:
    if config.args_source is config.ArgsSource.TESTPATHS:
        if config.option.zoo:
            config.args = [ZOO_FILE]
        elif config.option.keyword == "break":
            # No test of the apparatus matches this word (tests/test_selection.py), and to collect
            # them takes longer than to run the experiments from the cache.
            config.args = [path for path in config.args if path not in ("tests", ZOO_FILE)]
    if config.option.collectonly:
        # No test runs, so every snapshot is unused. That must not fail the session.
        config.option.warn_unused_snapshots = True


@pytest.fixture
def overhead_budget(pytestconfig: pytest.Config) -> float:
    budget: float = pytestconfig.getini("overhead_budget")
    return budget


@pytest.fixture
def on_file() -> Callable[[Diagnosis], dict[str, object]]:
    """The summary of a diagnosis that snapshots hold. It leaves out the detectors that judged, so
    that a new detector changes no snapshot."""

    def summary(diagnosis: Diagnosis) -> dict[str, object]:
        return {name: value for name, value in diagnosis.summary().items() if name != "judged"}

    return summary


@pytest.hookimpl(optionalhook=True)
def pytest_probes_experiments(config: pytest.Config) -> dict[str, Experiment]:
    chosen = config.getoption("seed")
    healthy, overfit = replace(HEALTHY, seed=chosen), replace(OVERFIT, seed=chosen)
    faults = ZOO.values() if config.getoption("zoo") else ()

    def family(number: int) -> Experiment:
        """A run of HEALTHY with the given choosing seed, or with the next one if the experiments
        use that seed or a lower one."""
        return experiment(replace(HEALTHY, seed=number + (number >= chosen)), "family")

    broken = {name: experiment(brk.apply(healthy), "break", family) for name, brk in BREAKS.items()}
    return {
        "healthy": experiment(healthy, "reference", family),
        **broken,
        "overfit": experiment(overfit, "overfit"),
        **{f"zoo-{fault.name}": faulty(fault, healthy, family) for fault in faults},
    }


def faulty(fault: Fault, config: Config, family: Callable[[int], Experiment]) -> Experiment:
    """The training of a config with a fault of the zoo. The remedy of its cause takes it out."""

    def without_fault(cause: str) -> Specimen:
        if cause not in {fault.cause, *fault.also}:
            raise LookupError(f"{cause!r} is not the cause of {fault.name!r}")
        return build(config)

    return Experiment(
        partial(fault.build, config),
        fault.fingerprint(config),
        fault.category,
        without_fault,
        family,
    )


def experiment(
    config: Config, group: str, family: Callable[[int], Experiment] | None = None
) -> Experiment:
    return Experiment(
        partial(build, config),
        fingerprint(config),
        group,
        lambda cause: build(remedied(config, cause)),
        family,
    )


def seed(text: str) -> int:
    """A seed from the command line. Raises ArgumentTypeError, which pytest turns into a usage
    error."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; it must be a whole number from 0")
    return int(text)
