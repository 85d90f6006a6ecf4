"""The diagnosis names the faults of the zoo from their records (`model.zoo`).

Without options a few faults are tried, at least one of each category. Each run ends at the step by
which its cause must be certain. `pytest --zoo` tries all faults on whole runs, and shows these runs
in the dashboard by category."""

from dataclasses import replace

import pytest

from model import HEALTHY
from model.seeds import TEST_SEED
from model.zoo import CATEGORIES, ZOO
from probes import diagnose
from testing.trained_runs import recorded_until

QUICK = (
    "block-that-no-optimizer-holds",
    "weights-start-several-times-too-large",
    "dropout-left-on-in-evaluation",
    "mask-inverted",
    "gradient-stops-below-the-last-block",
    "targets-not-shifted",
    "loss-summed-over-tokens",
    "one-weight-becomes-nan",
    "share-of-units-dead",
)
"""Faults that are tried without --zoo, at least one of each category."""

pytestmark = pytest.mark.filterwarnings("ignore")  # a run that is faulty on purpose may overflow


def pytest_generate_tests(metafunc):
    if "fault" in metafunc.fixturenames:
        names = list(ZOO) if metafunc.config.getoption("zoo") else QUICK
        metafunc.parametrize("fault", [row(name) for name in names])


def row(name):
    return pytest.param(ZOO[name], id=name)


def test_finding(fault, pytestconfig, run):
    """The verdict is not "healthy", and the first cause is one that counts as right.

    If `fault.cause` is None, any cause is right, and so is none."""
    if pytestconfig.getoption("zoo"):
        diagnosis = run(f"zoo-{fault.name}").diagnosis
    else:
        specimen = fault.build(replace(HEALTHY, seed=TEST_SEED))
        diagnosis = diagnose(recorded_until(specimen, fault.certain_by), ended=False)
    assert diagnosis.verdict != "healthy", diagnosis
    assert fault.family or diagnosis.cause in {fault.cause, *fault.also}, diagnosis


def test_quick_subset_covers_every_category():
    assert {ZOO[name].category for name in QUICK} == set(CATEGORIES)
