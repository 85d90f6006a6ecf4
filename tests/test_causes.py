"""The causes of the table are named from the symptoms they need, and not just short of them."""

from collections.abc import Sequence
from math import log, nan
from typing import Any

import pytest

from probes.diagnosis.diagnose import diagnose
from probes.record import Record
from tests.records import FACTS, STEPS, changed, hand_made, sound

EDGE = log(64) + 1.2


def with_first(signal: str, value: float) -> list[float]:
    """The sound signal with another value at step 0."""
    return [value, *sound()[signal][1:]]


def with_last(signal: str, value: float) -> list[float]:
    """The sound signal with another value at the end."""
    return [*sound()[signal][:-1], value]


def named(record: Record) -> list[str]:
    """The names of the causes, in the order of their rank."""
    return [suspect.name for suspect in diagnose(record).causes]


def evidence(record: Record) -> list[tuple[str, list[str]]]:
    """Each cause with the symptoms it accounts for, the decisive one first."""
    return [
        (suspect.name, [f.symptom for f in suspect.evidence]) for suspect in diagnose(record).causes
    ]


@pytest.mark.parametrize(("loss", "causes"), [(EDGE + 0.01, ["bad-init"]), (EDGE - 0.01, [])])
def test_bad_init_needs_a_first_loss_above_its_band(loss: float, causes: Sequence[str]) -> None:
    """The band ends at ln V + 1.2."""
    assert named(changed(loss=with_first("loss", loss))) == causes


@pytest.mark.parametrize(("norm", "causes"), [(101.0, ["summed-loss"]), (99.0, [])])
def test_a_summed_loss_needs_a_first_gradient_above_a_hundred(
    norm: float, causes: Sequence[str]
) -> None:
    """A gradient between 10 and 100 is a finding that no cause explains."""
    assert named(changed(grad_norm=with_first("grad_norm", norm))) == causes


@pytest.mark.parametrize(("norm", "causes"), [(0.0009, ["dead-gradient"]), (0.0011, [])])
def test_a_dead_gradient_needs_a_first_gradient_below_a_thousandth(
    norm: float, causes: Sequence[str]
) -> None:
    """A gradient between 0.001 and 0.1 is a finding that no cause explains."""
    assert named(changed(grad_norm=with_first("grad_norm", norm))) == causes


@pytest.mark.parametrize(("value", "causes"), [(nan, ["non-finite"]), (1e308, [])])
def test_one_value_that_is_not_finite_is_enough(value: float, causes: Sequence[str]) -> None:
    """One such value is a finding even at the last step. The largest finite number is not a
    finding."""
    assert named(changed(loss=with_last("loss", value))) == causes


@pytest.mark.parametrize(("rate", "causes"), [(0.0, ["lr-zero"]), (1e-9, [])])
def test_lr_zero_needs_a_rate_that_is_zero_throughout(rate: float, causes: Sequence[str]) -> None:
    """A tiny rate at the twentieth point has moved."""
    assert named(changed(lr=[*[0.0] * 19, rate, *[0.0] * 20])) == causes


@pytest.mark.parametrize(
    ("schedule", "causes"), [("warmup-cosine", ["schedule-never-stepped"]), ("constant", [])]
)
def test_schedule_never_stepped_needs_a_declared_schedule(
    schedule: str, causes: Sequence[str]
) -> None:
    """A constant rate is right where it is declared."""
    rows = {**sound(), "lr": [0.01] * STEPS}
    assert named(hand_made(rows, **{**FACTS, "schedule": schedule})) == causes


@pytest.mark.parametrize("norm", [50.0, 500.0])
def test_bad_init_explains_a_large_first_gradient_and_stands_alone(norm: float) -> None:
    """No second cause is named, even if the gradient is large enough for a summed loss."""
    record = changed(loss=with_first("loss", 9.0), grad_norm=with_first("grad_norm", norm))
    assert evidence(record) == [("bad-init", ["initial-loss-high", "first-gradient-large"])]


def test_bad_init_explains_what_overflows_after_it() -> None:
    """A NaN that follows a bad start needs no cause of its own."""
    record = changed(loss=[9.0, *sound()["loss"][1:-1], nan])
    assert evidence(record) == [("bad-init", ["initial-loss-high", "non-finite"])]


@pytest.mark.parametrize(
    ("norm", "symptom"), [(500.0, "first-gradient-large"), (1e-5, "first-gradient-small")]
)
def test_a_value_that_is_not_finite_explains_a_first_gradient_out_of_its_band(
    norm: float, symptom: str
) -> None:
    """The diagnosis names neither a summed loss nor a dead gradient in addition."""
    record = changed(
        grad_norm=with_first("grad_norm", norm), nonfinite_count={"embed": [1.0] * STEPS}
    )
    assert evidence(record) == [("non-finite", ["non-finite", symptom])]


@pytest.mark.parametrize(
    ("signals", "causes"),
    [
        (
            {"grad_norm": with_first("grad_norm", 500.0), "lr": [0.0] * STEPS},
            ["lr-zero", "summed-loss"],
        ),
        (
            {"grad_norm": with_first("grad_norm", 1e-5), "lr": [0.01] * STEPS},
            ["dead-gradient", "schedule-never-stepped"],
        ),
        ({"loss": with_first("loss", 9.0), "lr": [0.0] * STEPS}, ["lr-zero", "bad-init"]),
    ],
)
def test_unrelated_causes_are_named_side_by_side(
    signals: dict[str, Any], causes: Sequence[str]
) -> None:
    """Neither of the two causes excludes the other."""
    assert named(changed(**signals)) == causes
