"""Every row of the table of causes fires on the symptom it is about and stays quiet close by."""

from collections.abc import Sequence
from math import log, nan
from typing import Any

import pytest

from probes.diagnosis.diagnose import diagnose
from probes.record import Record
from tests.records import FACTS, STEPS, changed, hand_made, sound

EDGE = log(64) + 1.2


def first(signal: str, value: float) -> list[float]:
    """The sound signal with another value at step 0."""
    return [value, *sound()[signal][1:]]


def last(signal: str, value: float) -> list[float]:
    """The sound signal with another value at the end."""
    return [*sound()[signal][:-1], value]


def named(record: Record) -> list[str]:
    return [suspect.name for suspect in diagnose(record).causes]


def evidence(record: Record) -> list[tuple[str, list[str]]]:
    """Each cause with the symptoms it accounts for, the decisive one first."""
    return [
        (suspect.name, [f.symptom for f in suspect.evidence]) for suspect in diagnose(record).causes
    ]


@pytest.mark.parametrize(("loss", "causes"), [(EDGE + 0.01, ["bad-init"]), (EDGE - 0.01, [])])
def test_bad_init_needs_a_first_loss_above_its_band(loss: float, causes: Sequence[str]) -> None:
    """ln V + 1.2 and no more."""
    assert named(changed(loss=first("loss", loss))) == causes


@pytest.mark.parametrize(("norm", "causes"), [(101.0, ["summed-loss"]), (99.0, [])])
def test_a_summed_loss_needs_a_first_gradient_above_a_hundred(
    norm: float, causes: Sequence[str]
) -> None:
    """Ten times the band of the finding: between the two, something is wrong and nobody says
    what."""
    assert named(changed(grad_norm=first("grad_norm", norm))) == causes


@pytest.mark.parametrize(("norm", "causes"), [(0.0009, ["dead-gradient"]), (0.0011, [])])
def test_a_dead_gradient_needs_a_first_gradient_below_a_thousandth(
    norm: float, causes: Sequence[str]
) -> None:
    """A hundredth of the band of the finding."""
    assert named(changed(grad_norm=first("grad_norm", norm))) == causes


@pytest.mark.parametrize(("value", "causes"), [(nan, ["non-finite"]), (1e308, [])])
def test_one_value_that_is_not_finite_is_enough(value: float, causes: Sequence[str]) -> None:
    """At the last step of the run; the largest there is does not count."""
    assert named(changed(loss=last("loss", value))) == causes


@pytest.mark.parametrize(("rate", "causes"), [(0.0, ["lr-zero"]), (1e-9, [])])
def test_lr_zero_needs_a_rate_that_is_zero_throughout(rate: float, causes: Sequence[str]) -> None:
    """A tiny one at the twentieth point is one that moved."""
    assert named(changed(lr=[*[0.0] * 19, rate, *[0.0] * 20])) == causes


@pytest.mark.parametrize(
    ("schedule", "causes"), [("warmup-cosine", ["schedule-never-stepped"]), ("constant", [])]
)
def test_a_schedule_never_stepped_only_if_one_was_declared(
    schedule: str, causes: Sequence[str]
) -> None:
    """The same constant rate is right where it is meant."""
    rows = {**sound(), "lr": [0.01] * STEPS}
    assert named(hand_made(rows, **{**FACTS, "schedule": schedule})) == causes


@pytest.mark.parametrize("norm", [50.0, 500.0])
def test_bad_init_explains_a_large_first_gradient_and_stands_alone(norm: float) -> None:
    """Large enough for a summed loss or not: the loss is wrong from the start, so it is none."""
    record = changed(loss=first("loss", 9.0), grad_norm=first("grad_norm", norm))
    assert evidence(record) == [("bad-init", ["initial-loss-high", "first-gradient-large"])]


def test_bad_init_explains_what_overflows_after_it() -> None:
    """NaN that follows a bad start needs no cause of its own."""
    record = changed(loss=[9.0, *sound()["loss"][1:-1], nan])
    assert evidence(record) == [("bad-init", ["initial-loss-high", "non-finite"])]


@pytest.mark.parametrize(
    ("norm", "symptom"), [(500.0, "first-gradient-large"), (1e-5, "first-gradient-small")]
)
def test_a_value_that_is_not_finite_explains_a_first_gradient_out_of_its_band(
    norm: float, symptom: str
) -> None:
    """And neither a summed loss nor a dead gradient is named beside it."""
    record = changed(grad_norm=first("grad_norm", norm), nonfinite_count={"embed": [1.0] * STEPS})
    assert evidence(record) == [("non-finite", ["non-finite", symptom])]


@pytest.mark.parametrize(
    ("signals", "causes"),
    [
        ({"grad_norm": first("grad_norm", 500.0), "lr": [0.0] * STEPS}, ["lr-zero", "summed-loss"]),
        (
            {"grad_norm": first("grad_norm", 1e-5), "lr": [0.01] * STEPS},
            ["dead-gradient", "schedule-never-stepped"],
        ),
        ({"loss": first("loss", 9.0), "lr": [0.0] * STEPS}, ["lr-zero", "bad-init"]),
    ],
)
def test_causes_that_have_nothing_to_do_with_each_other_are_named_side_by_side(
    signals: dict[str, Any], causes: Sequence[str]
) -> None:
    """No exclusion reaches further than it should."""
    assert named(changed(**signals)) == causes
