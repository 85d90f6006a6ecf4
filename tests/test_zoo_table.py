"""Every row of the zoo makes its fault in one specimen and leaves everything else alone; and how
harm is labelled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan

import numpy as np
import pytest

from model import HEALTHY, build
from model.config import Config
from model.train import Specimen
from model.zoo import CATEGORIES, ZOO, Fault, build_with
from probes.diagnosis.causes import BY_NAME
from studies.zoo_harm import compared, doses_of, labels
from testing.small_net import Row

SMALL = replace(
    HEALTHY,
    steps=32,
    eval_every=32,
    model=replace(HEALTHY.model, d_model=16, n_heads=2, d_ff=32),
    data=replace(HEALTHY.data, batch_size=8),
)
pytestmark = pytest.mark.filterwarnings("ignore")  # a run that is faulty on purpose may overflow


def losses(specimen: Specimen) -> list[float]:
    found: list[float] = []
    with np.errstate(all="ignore"):
        for step in specimen.steps():
            found += [step.loss, *(step.evaluation or {}).values()]
    return found


@pytest.fixture(scope="module")
def healthy() -> list[float]:
    return losses(build(SMALL))


@pytest.mark.parametrize("fault", ZOO.values(), ids=list(ZOO))
def test_a_fault_changes_its_run(fault: Fault, healthy: list[float]) -> None:
    assert not np.array_equal(losses(fault.build(SMALL)), healthy, equal_nan=True)


def test_no_fault_changes_another_specimen(healthy: list[float]) -> None:
    for fault in ZOO.values():
        next(fault.build(SMALL).steps())
    assert losses(build(SMALL)) == healthy


@pytest.mark.parametrize("fault", ZOO.values(), ids=list(ZOO))
def test_a_row_is_complete(fault: Fault) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", fault.name)
    assert 0 <= fault.certain_by < HEALTHY.steps
    assert fault.full_dose in doses_of(fault)
    for text in (fault.remedy, fault.diff, fault.source):
        assert text
        assert "\n" not in text


def test_every_expected_cause_can_be_named() -> None:
    expected = {name for fault in ZOO.values() for name in (fault.cause, *fault.also) if name}
    assert expected <= BY_NAME.keys()


def test_the_zoo_has_every_category() -> None:
    assert {fault.category for fault in ZOO.values()} == set(CATEGORIES)


def test_a_full_dose_that_is_not_tried_is_an_error() -> None:
    fault = ZOO["rate-ten-times-too-high"]
    with pytest.raises(ValueError, match="rate-ten-times-too-high: 7 is not among"):
        replace(fault, full_dose=7)


def test_faults_can_be_combined() -> None:
    """A changed leaf and a replaced part act in one specimen."""
    hot, late = ZOO["rate-ten-times-too-high"], ZOO["gradient-one-step-late"]
    both = build_with(SMALL, {hot: 2.0, late: 1.0})
    steps = list(both.steps())
    assert steps[0].lr == pytest.approx(2 * SMALL.optimizer.lr_max / SMALL.optimizer.warmup_steps)
    assert steps[0].grad_norm == 0.0


def test_a_fingerprint_changes_with_the_fault_the_dose_and_the_config() -> None:
    hot, summed = ZOO["rate-ten-times-too-high"], ZOO["loss-summed-over-tokens"]
    other: Config = replace(SMALL, seed=1)
    prints = [hot.fingerprint(SMALL), hot.fingerprint(SMALL, 2), summed.fingerprint(SMALL)]
    prints += [hot.fingerprint(other), hot.fingerprint(HEALTHY)]
    assert len(set(prints)) == len(prints)
    assert hot.fingerprint(SMALL) == hot.fingerprint(SMALL, hot.full_dose)


# Harm


def runs(values: Sequence[Mapping[str, float]]) -> list[list[Row]]:
    """Runs with these losses in nats per token; 1.0 where none is given."""
    return [
        [
            {"val": 1.0, "loss": 1.0, "train": 1.0} | {k: v for k, v in one.items() if k != "true"},
            {"nats": 10 * one.get("true", 1.0), "tokens": 10, "seen": 0},
            {"nats": 0.1, "tokens": 10, "seen": 1},
        ]
        for one in values
    ]


HEALTHY_RUNS = runs([{}] * 6)


@pytest.mark.parametrize(
    ("losses", "label"),
    [
        ([{}] * 6, "harmless"),
        ([{"true": 1.2}] * 6, "harmful"),
        ([{"true": nan}] * 6, "harmful"),
        ([{"train": 1.2}] * 6, "harmful"),
        ([{"true": 1.02}] * 6, "borderline"),
        ([{"true": 1.2}] * 5 + [{"true": 0.99}], "borderline"),
        ([{"val": 0.5}] * 6, "deceptive"),
        ([{"val": 0.5, "true": 1.2}] * 6, "deceptive"),
        ([{"val": 0.5, "true": 0.5}] * 6, "harmless"),
    ],
)
def test_harm_is_labelled_by_pairs(losses: list[dict[str, float]], label: str) -> None:
    assert compared(runs(losses), HEALTHY_RUNS).label == label


def test_the_labels_on_file_belong_to_the_zoo() -> None:
    for (name, dose), label in labels().items():
        assert dose in doses_of(ZOO[name])
        assert label in ("harmful", "deceptive", "borderline", "harmless")
