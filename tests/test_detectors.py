"""The start-of-run checks fire on what they are for, stay quiet close by, and say why when they
cannot judge."""

from math import inf, log, nan
from typing import Any

import pytest

from probes.diagnosis.detectors import initial_gradient, initial_loss, nonfinite, schedule
from probes.record import Record
from tests.judging import found, symptoms, why_not
from tests.records import FACTS, changed, hand_made, sound

LN_V = log(64)
POINTS = 40


def first(signal: str, value: float, facts: Any = FACTS, **more: Any) -> Record:
    """The sound run with another value at step 0."""
    rows: dict[str, Any] = {**sound(), **more}
    return hand_made({**rows, signal: [value, *rows[signal][1:]]}, **facts)


# Loss at step 0


@pytest.mark.parametrize(
    ("loss", "symptom"),
    [
        (LN_V + 1.21, "initial-loss-high"),
        (LN_V - 0.51, "initial-loss-low"),
        (221.0, "initial-loss-high"),
    ],
)
def test_initial_loss_fires_outside_its_band(loss: float, symptom: str) -> None:
    """Above ln V + 1.2, below ln V - 0.5."""
    assert symptoms(initial_loss.DETECTOR, first("loss", loss)) == [(symptom, "", 0)]


@pytest.mark.parametrize("loss", [LN_V + 1.19, LN_V - 0.49, 4.67])
def test_initial_loss_stays_quiet_inside_its_band(loss: float) -> None:
    """Edges and the usual start."""
    assert found(initial_loss.DETECTOR, first("loss", loss)) == []


def test_initial_loss_says_what_it_saw_and_against_what() -> None:
    """The finding carries its evidence."""
    (finding,) = found(initial_loss.DETECTOR, first("loss", 9.0))
    assert (finding.observed, finding.limit, finding.worse) == (
        9.0,
        pytest.approx(LN_V + 1.2),
        "above",
    )


def test_initial_loss_does_not_look_at_later_steps() -> None:
    """A loss that jumps later is another detector's business."""
    assert found(initial_loss.DETECTOR, changed(loss=[4.2, 90.0, *sound()["loss"][2:]])) == []


@pytest.mark.parametrize(
    "scale", [{"init_scale": 100.0}, {"model": {"init_scale": 100.0}}, {"initial_loss": 250.0}]
)
def test_no_stated_scale_widens_the_band_of_the_initial_loss(scale: dict[str, Any]) -> None:
    """A run that announces its bad start starts badly all the same."""
    assert symptoms(initial_loss.DETECTOR, first("loss", 221.0, {**FACTS, **scale})) == [
        ("initial-loss-high", "", 0)
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (first("loss", 4.2, {}), "the record does not state vocab_size"),
        (
            first("loss", 4.2, {"vocab_size": "64"}),
            "states vocab_size as '64', which is not a finite number",
        ),
        (
            first("loss", 4.2, {"vocab_size": inf}),
            "states vocab_size as inf, which is not a finite number",
        ),
        (first("loss", 4.2, {"vocab_size": 10**400}), "which is not a finite number"),
        (
            first("loss", 4.2, {"vocab_size": True}),
            "states vocab_size as True, which is not a finite number",
        ),
        (first("loss", 4.2, {"vocab_size": 0}), "vocab_size is 0; there is nothing to predict"),
        (changed(loss=None), "loss was not recorded"),
        (
            changed(loss=[None, *sound()["loss"][1:]]),
            "loss was first measured at step 1, not at step 0",
        ),
        (
            hand_made({"loss": [4.2, 4.1]}, steps=[50, 51], **FACTS),
            "loss was first measured at step 50, not at step 0",
        ),
        (first("loss", inf), "loss at step 0 is infinite, which says nothing of its scale"),
    ],
)
def test_initial_loss_says_why_it_cannot_judge(record: Record, reason: str) -> None:
    """Missing, unusable, or not from the start."""
    assert reason in why_not(initial_loss.DETECTOR, record)


# First gradient norm


@pytest.mark.parametrize(
    ("norm", "symptom"),
    [
        (10.1, "first-gradient-large"),
        (0.099, "first-gradient-small"),
        (0.0, "first-gradient-small"),
        (inf, "first-gradient-large"),
    ],
)
def test_first_gradient_fires_outside_its_band(norm: float, symptom: str) -> None:
    """Above 10, below 0.1."""
    assert symptoms(initial_gradient.DETECTOR, first("grad_norm", norm)) == [(symptom, "", 0)]


@pytest.mark.parametrize("norm", [9.9, 0.11, 3.0])
def test_first_gradient_stays_quiet_inside_its_band(norm: float) -> None:
    """Edges and the usual start."""
    assert found(initial_gradient.DETECTOR, first("grad_norm", norm)) == []


def test_first_gradient_does_not_look_at_later_steps() -> None:
    """A later spike is no wrong start."""
    assert found(initial_gradient.DETECTOR, changed(grad_norm=[3.0, 500.0, *[1.0] * 38])) == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (changed(grad_norm=None), "grad_norm was not recorded"),
        (
            changed(grad_norm=[None, *[1.0] * 39]),
            "grad_norm was first measured at step 1, not at step 0",
        ),
        (first("grad_norm", 500.0, {}), "the record does not state vocab_size"),
    ],
)
def test_first_gradient_says_why_it_cannot_judge(record: Record, reason: str) -> None:
    """Without a vocabulary the loss need not be a mean cross-entropy, and the band means
    nothing."""
    assert why_not(initial_gradient.DETECTOR, record) == reason


# NaN and infinity


def test_nonfinite_fires_at_the_first_step_and_site() -> None:
    """Earliest step first, then the order of the computation."""
    counts = {"embed": [0, 0, 5], "block": [0, 2, 9], "norm": [0, 1, 9]}
    assert symptoms(nonfinite.DETECTOR, hand_made({"nonfinite_count": counts})) == [
        ("non-finite", "block", 1)
    ]


@pytest.mark.parametrize("signal", ["loss", "lr", "val_loss", "train_loss"])
@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_nonfinite_fires_on_any_signal_of_the_run(signal: str, value: float) -> None:
    """Nothing need have been counted: the value itself is the evidence."""
    record = changed(**{signal: [1.0] * 7 + [value] + [1.0] * 32})
    assert symptoms(nonfinite.DETECTOR, record) == [("non-finite", signal, 7)]


def test_nonfinite_names_the_site_before_the_loss_it_spoils() -> None:
    """Within one step the site inside the model came first."""
    record = hand_made({"loss": [nan], "nonfinite_count": {"embed": [3.0]}})
    assert symptoms(nonfinite.DETECTOR, record) == [("non-finite", "embed", 0)]


def test_nonfinite_stays_quiet_on_zero_counts_and_large_values() -> None:
    """1e308 is finite, and not measured is not NaN."""
    record = hand_made({"loss": [1e308, None, 1.0], "nonfinite_count": {"embed": [0, 0, 0]}})
    assert found(nonfinite.DETECTOR, record) == []


def test_nonfinite_cannot_judge_a_record_of_nothing() -> None:
    """Batch ids are no measurement."""
    assert (
        why_not(nonfinite.DETECTOR, hand_made({"batch_ids": {"0": [1.0, 2.0]}}))
        == "no signal was recorded"
    )


# Schedule


def test_schedule_fires_when_the_rate_never_moves() -> None:
    """At the twentieth point, the first at which it could be known."""
    assert symptoms(schedule.DETECTOR, changed(lr=[0.01] * POINTS)) == [("lr-constant", "", 19)]


def test_schedule_fires_at_a_tenth_of_a_long_run() -> None:
    """A slow schedule is given time."""
    record = hand_made({"lr": [0.01] * 60}, **{**FACTS, "total_steps": 500})
    assert symptoms(schedule.DETECTOR, record) == [("lr-constant", "", 49)]


def test_schedule_counts_steps_and_not_points_of_a_sparse_log() -> None:
    """Logged every 50 steps of 10,000, a tenth is reached at the twentieth point."""
    record = hand_made(
        {"lr": [0.01] * 40}, steps=range(0, 2000, 50), **{**FACTS, "total_steps": 10_000}
    )
    assert symptoms(schedule.DETECTOR, record) == [("lr-constant", "", 1000)]


def test_schedule_fires_on_a_rate_of_zero() -> None:
    """Whatever schedule is declared, a constant one included."""
    runs = [{"schedule": "warmup-cosine"}, {"schedule": "constant"}]
    fired = [
        symptoms(schedule.DETECTOR, hand_made({"lr": [0.0] * POINTS}, **facts)) for facts in runs
    ]
    assert fired == [[("lr-zero", "", 19)]] * 2


@pytest.mark.parametrize(
    "lr",
    [sound()["lr"], [0.01] * 19 + [0.02] * 21, [0.0, 0.001, *[0.01] * 38]],
    ids=["cosine", "moves at the last moment", "begins at zero"],
)
def test_schedule_stays_quiet_when_the_rate_moves(lr: list[float]) -> None:
    """Once is enough, and a first rate of zero is a warmup."""
    assert found(schedule.DETECTOR, changed(lr=lr)) == []


def test_schedule_stays_quiet_on_a_constant_rate_that_is_declared() -> None:
    """A constant rate is legitimate."""
    record = hand_made({"lr": [0.01] * POINTS}, **{**FACTS, "schedule": "constant"})
    assert found(schedule.DETECTOR, record) == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (changed(lr=None), "lr was not recorded"),
        (
            changed(lr=[0.01] * 19 + [None] * 21),
            "19 points of lr over 19 steps; 20 and a tenth of the 40 declared are needed",
        ),
        (hand_made({"lr": [0.01] * POINTS}), "the record does not state schedule"),
        (
            hand_made({"lr": [0.01] * POINTS}, total_steps="many"),
            "states total_steps as 'many', which is not a finite number",
        ),
        (
            hand_made({"lr": [0.01] * 40}, schedule="cosine", total_steps=500),
            "40 points of lr over 40 steps; 20 and a tenth of the 500",
        ),
    ],
)
def test_schedule_says_why_it_cannot_judge(record: Record, reason: str) -> None:
    """Too short, undeclared, or not logged."""
    assert reason in why_not(schedule.DETECTOR, record)
