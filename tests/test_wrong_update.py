"""Updates that do not follow their rule, and weights that something else writes, are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from model import HEALTHY, build
from model.train import Specimen
from probes import watch
from probes.diagnosis.detectors import schedule_followed
from probes.diagnosis.detectors.wrong_update import (
    OVERWRITTEN_DETECTOR,
    SCALE_DETECTOR,
    UNTRAINED_DETECTOR,
)
from probes.diagnosis.diagnose import diagnose
from probes.record import Record
from tests.judging import found, symptoms
from tests.records import RULE, thorough

SHORT = replace(
    HEALTHY, steps=16, eval_every=8, optimizer=replace(HEALTHY.optimizer, warmup_steps=4)
)
DETECTORS = (
    OVERWRITTEN_DETECTOR, SCALE_DETECTOR, UNTRAINED_DETECTOR, schedule_followed.DETECTOR,
)  # fmt: skip


def trained(step: Callable[[Specimen, Callable[[float], float], float], float]) -> Record:
    """A run whose optimizer step is replaced by `step(specimen, the right step, lr)`."""
    specimen = build(SHORT)
    optimizer: Any = specimen._optimizer
    right = optimizer.step
    optimizer.step = lambda lr: step(specimen, right, lr)
    return watch(specimen)


def test_they_stay_quiet_on_a_sound_run() -> None:
    """The scale of the first update is 1, and no change is unexplained."""
    record = watch(build(SHORT))
    assert [found(detector, record) for detector in DETECTORS] == [[]] * 4
    scales = [record.series("first_update_scale", site)[1][0] for site in ("embed.weight",)]
    assert scales == pytest.approx([1.0], abs=1e-3)
    assert not record.series("unexplained_change", "largest")[1].any()


def test_a_write_behind_the_optimizer_is_found_at_its_step() -> None:
    """One per mille of one tensor is enough."""
    count = iter(range(16))

    def step(specimen: Specimen, right: Callable[[float], float], lr: float) -> float:
        norm = right(lr)
        if next(count) == 5:
            specimen.params.views(specimen.params.flat)["blocks.0.ffn.up.weight"][...] *= 0.999
        return norm

    record = trained(step)
    (finding,) = found(OVERWRITTEN_DETECTOR, record)
    assert (finding.site, finding.step) == ("blocks.0.ffn.up.weight", 5)
    assert finding.observed == pytest.approx(1e-3, rel=0.01)
    assert diagnose(record).cause == "weights-overwritten"


def test_a_block_that_no_optimizer_holds_is_found() -> None:
    """All twelve tensors of the block are named."""

    def step(specimen: Specimen, right: Callable[[float], float], lr: float) -> float:
        before = specimen.weights()
        norm = right(lr)
        weights = specimen.params.views(specimen.params.flat)
        updates = specimen.params.views(specimen._optimizer.update)
        for name in weights:
            if name.startswith("blocks.0."):
                weights[name][...], updates[name][...] = before[name], 0
        return norm

    record = trained(step)
    findings = found(UNTRAINED_DETECTOR, record)
    assert len(findings) == 12
    assert {(f.onset, f.step) for f in findings} == {(0, 2)}
    assert diagnose(record).cause == "untrained-parameter"


def test_a_missing_bias_correction_is_told_from_another_rate() -> None:
    """Without correction the first update is (1 - 0.9) / sqrt(1 - 0.95) = 0.447 of the rate."""

    def step(specimen: Specimen, right: Callable[[float], float], lr: float) -> float:
        optimizer: Any = specimen._optimizer
        optimizer._count = 10**6
        return right(lr)

    record = trained(step)
    (finding,) = found(SCALE_DETECTOR, record)
    assert finding.symptom == "first-update-uncorrected"
    assert finding.observed == pytest.approx(1 - 0.1 / np.sqrt(0.05), abs=1e-3)
    assert diagnose(record).cause == "no-bias-correction"


@pytest.mark.parametrize(("factor", "observed"), [(10.0, 9.0), (0.01, 0.99), (-1.0, 2.0)])
def test_another_rate_than_the_reported_one_is_found(factor: float, observed: float) -> None:
    """Also a step in the wrong direction."""
    record = trained(lambda _, right, lr: right(factor * lr))
    (finding,) = found(SCALE_DETECTOR, record)
    assert finding.symptom == "first-update-off-rate"
    assert finding.observed == pytest.approx(observed, abs=2e-3)


def test_another_optimizer_is_not_judged() -> None:
    """Gradient descent has updates of any size."""
    record = thorough(first_update_scale={"up": [0.01] * 40})
    record.facts["optimizer"] = "sgd"
    with pytest.raises(Exception, match="no rule is known for the first update of 'sgd'"):
        found(SCALE_DETECTOR, record)


def rates(**rule: Any) -> list[float]:
    """The declared rates of a run of 40 steps with a warmup of 4."""
    lr_max, ratio = RULE["lr_max"], RULE["lr_min_ratio"]
    values = schedule_followed.curve(
        np.arange(40), **{"lr_max": lr_max, "ratio": ratio, "warmup": 4, "total": 40, **rule}
    )
    return [float(value) for value in values]


@pytest.mark.parametrize(
    ("lr", "step"),
    [
        (rates(), None),
        (rates(warmup=0), None),
        (rates(warmup=1), None),
        (rates(total=80), 12),
        (rates(lr_max=0.2), 0),
        (rates(lr_max=0.0002), 0),
        ([*rates()[:20], *[rates()[20]] * 20], 22),
        ([*rates()[:20], *[0.0] * 20], 20),
    ],
    ids=["declared", "no warmup", "one step", "twice as long", "tenfold",
         "hundredth", "held", "zero"],
)  # fmt: skip
def test_rates_are_compared_with_the_declared_schedule(lr: list[float], step: int | None) -> None:
    """The length of the warmup is not declared."""
    expected = [] if step is None else [("lr-off-schedule", "", step)]
    assert symptoms(schedule_followed.DETECTOR, thorough(lr=lr)) == expected
