"""Remarks on a run that has ended, with their numbers, and runs that get none. No verdict depends
on a remark."""

import re
from dataclasses import replace

import numpy as np
import pytest

from probes.diagnosis.diagnose import diagnose
from probes.diagnosis.evidence import Evidence
from probes.diagnosis.remarks import remarks_on
from testing.knowable import ROWS
from tests.records import hand_made


def noise(points: int, seed: int = 0) -> np.ndarray:
    """Independent Gaussian noise of deviation 1."""
    return np.random.default_rng(seed).standard_normal(points)


def time(points: int) -> np.ndarray:
    """The share of the run at each point."""
    return np.arange(points) / points


def resting(points: int, seed: int = 0) -> np.ndarray:
    """A loss that falls and comes to rest."""
    return 1 + 2 * np.exp(-8 * time(points)) + 0.05 * noise(points, seed)


def line(points: int, seed: int = 0) -> np.ndarray:
    """A loss that falls along a line."""
    return 3 - time(points) + 0.05 * noise(points, seed)


def hill(points: int, seed: int = 0) -> np.ndarray:
    """A loss that falls, rises by half of that, and is low again."""
    return resting(points, seed) + np.exp(-(((time(points) - 0.6) / 0.12) ** 2))


def numbers(remark: str) -> list[float]:
    """The numbers in a sentence."""
    return [float(number) for number in re.findall(r"-?\d[\d.]*(?:e[-+]?\d+)?", remark)]


def remarked(
    loss: np.ndarray, steps: list[int] | None = None, lr=None, val=None, **facts
) -> tuple[str, ...]:
    """The remarks on a record of a loss, and of a rate and a validation loss where given."""
    signals = {"loss": loss, "lr": lr, "val_loss": val}
    kept = {name: list(values) for name, values in signals.items() if values is not None}
    return remarks_on(Evidence(hand_made(kept, steps=steps, **facts)))


def test_remarks_begin_with_the_notes_of_the_table_of_what_can_be_known() -> None:
    """A note of that table can then be looked up among the remarks."""
    said = " ".join(
        beginning
        for notes in (
            remarked(line(200), lr=[0.01] * 200),
            remarked(hill(200), lr=np.linspace(0.01, 0, 200)),
        )
        for beginning in notes
    )
    notes = {rule.what[0] for row in ROWS for rule in row.rules if rule.kind == "note"}
    assert len(notes) == 4
    assert [note for note in notes if note not in said] == []


def test_a_constant_rate_is_remarked_unless_it_is_declared() -> None:
    """The remark gives the rate and the number of points."""
    assert remarked(resting(100), lr=[0.01] * 100) == ("lr is constant: 0.01 at all 100 points",)
    assert remarked(resting(100), lr=[0.01] * 100, schedule="constant") == ()


def test_a_rate_that_starts_at_its_peak_is_remarked() -> None:
    """This holds only if the start of the run is in the log."""
    falling = np.linspace(0.01, 0, 100)
    assert remarked(resting(100), lr=falling) == ("lr starts at its peak: 0.01 at step 0",)
    assert remarked(resting(100), lr=falling, steps=list(range(200, 300))) == ()
    assert remarked(resting(100), lr=[0.001, *falling[1:]]) == ()


@pytest.mark.parametrize("lr", [[0.01] * 19, [0.0] * 30, None])
def test_a_rate_with_few_points_or_of_0_is_not_remarked(lr: list[float] | None) -> None:
    """Neither a rate with few points nor a rate of 0 shows a schedule."""
    assert remarked(resting(len(lr or [0] * 30)), lr=lr) == ()


def test_a_log_that_ends_before_its_schedule_is_remarked() -> None:
    """More than a tenth of the declared steps is missing, and the rate is still high."""
    warm = np.r_[np.linspace(0.001, 0.01, 20), np.linspace(0.01, 0.005, 80)]
    assert remarked(resting(100), lr=warm, total_steps=200) == (
        "the log ends before its schedule does: at step 99 of 200, with lr at 0.005",
    )
    assert remarked(resting(100), lr=warm, total_steps=110) == ()
    assert remarked(resting(100), lr=[*warm[:-1], 0.0005], total_steps=200) == ()
    assert remarked(resting(100), lr=warm, total_steps="many") == ()


@pytest.mark.parametrize("points", [40, 100, 1000, 10_000])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_loss_that_is_still_falling_is_remarked(points: int, scale: float) -> None:
    """The remark is made in any unit and for any length, and gives the fall in each half."""
    (remark,) = remarked(scale * line(points))
    assert remark.startswith("the loss is still falling at its end: by ")
    assert [number / scale for number in numbers(remark)] == pytest.approx([0.5, 0.5], abs=0.1)


def flat(points: int, seed: int) -> np.ndarray:
    """A loss that does not change."""
    return 2 + 0.1 * noise(points, seed)


def climb(points: int, seed: int) -> np.ndarray:
    """A loss that rises along a line."""
    return 6 - line(points, seed)


@pytest.mark.parametrize("shape", [resting, flat, climb])
@pytest.mark.parametrize("points", [20, 50, 100, 1000])
def test_a_loss_that_rests_is_flat_or_rises_is_not_called_falling(shape, points: int) -> None:
    """At most one of a hundred such losses gets this remark."""
    said = [remarked(shape(points, seed)) for seed in range(100)]
    assert sum(map(bool, said)) <= 1, said


def test_a_loss_that_falls_twice_is_not_called_falling() -> None:
    """After a spike it falls as far again."""
    spiked = np.r_[resting(100), resting(100)]
    assert remarked(spiked) == ()


@pytest.mark.parametrize("points", [100, 1000])
def test_a_rise_that_came_back_is_remarked(points: int) -> None:
    """The remark gives the lowest, the highest and the last level."""
    (remark,) = remarked(hill(points))
    assert remark.startswith("the loss rose for long and came back: from 1")
    bottom, _, top, at, end = numbers(remark)
    assert [bottom, top, end, at / points] == pytest.approx([1.1, 2.0, 1.0, 0.6], abs=0.12)


def test_a_short_or_a_small_rise_is_not_remarked() -> None:
    """A spike is short, and a small rise gives back a fifteenth of what was learned."""
    spike = resting(1000) + (np.abs(time(1000) - 0.6) < 0.02)
    small = resting(1000) + 0.2 * np.exp(-(((time(1000) - 0.6) / 0.12) ** 2))
    assert [remarked(loss) for loss in (spike, small)] == [(), ()]


@pytest.mark.parametrize("since", [0.6, 0.85])
@pytest.mark.parametrize("points", [40, 100, 1000])
def test_a_loss_that_ends_far_above_its_lowest_is_remarked(points: int, since: float) -> None:
    """However late it rose: a verdict waits until the rise has lasted. A rise within the noise is
    not remarked."""
    (remark,) = remarked(resting(points) + (time(points) > since))
    assert remark.startswith("the loss ends far above its lowest: from ")
    assert numbers(remark)[-1] == pytest.approx(2.0, abs=0.2)
    assert remarked(resting(points) + 0.1 * (time(points) > since)) == ()


def test_a_loss_that_climbs_to_its_end_is_remarked() -> None:
    """The climb must be at least half of the lowest level, even if that is only a twentieth of what
    was learned. If the loss comes back from there, the climb is not remarked."""
    climbs = 10 * np.exp(-20 * time(400)) + resting(400) + np.clip(time(400) - 0.4, 0, None)
    (remark,) = remarked(climbs)
    assert remark.startswith("the loss ends far above its lowest: ")
    comes_back = 10 * np.exp(-20 * time(400)) + hill(400) / 2 + 0.5
    assert remarked(comes_back) == ()


def test_smoothed_noise_is_rarely_remarked() -> None:
    """Smoothed noise drifts for longer than its points suggest. At most ten of a hundred flat
    curves get a remark."""
    smooth = [
        2 + np.convolve(0.3 * noise(209, seed), np.full(10, 0.1), mode="valid")
        for seed in range(100)
    ]
    assert sum(bool(remarked(loss)) for loss in smooth) <= 10


def test_a_validation_loss_that_rose_from_its_first_point_on_is_remarked() -> None:
    """While the training loss fell. If validation loss fell at first, the remark says that it ends
    above its lowest."""
    rises = 1.5 + time(100) + 0.02 * noise(100)
    rises[0] = 1.4
    (remark,) = remarked(resting(100), val=rises)
    assert remark.startswith(
        "val_loss rose from its first evaluation on: from 1.4 at step 0 to 2.4"
    )
    (remark,) = remarked(resting(100), val=[1.9, *rises[1:]])
    assert remark.startswith("val_loss ends ")
    (remark,) = remarked(2 + 0.05 * noise(100), val=rises)
    assert remark.startswith("val_loss ends ")
    assert remarked(resting(100), val=[1.4, *(1.41 + 0.002 * noise(99))]) == ()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_validation_loss_that_ends_above_its_lowest_is_remarked(scale: float) -> None:
    """The remark says how far above its lowest the loss ends, and where the lowest was. With few
    evaluations such an end is not yet a fault."""
    val = scale * np.array([2.0, 1.4, 1.1, 1.0, 1.02, 1.1, 1.15, 1.25, 1.3, 1.3, 1.35])
    (remark,) = remarked(resting(110), val=np.repeat(val, 10), steps=None)
    assert remark.startswith(
        f"val_loss ends 30 % above its lowest: at {1.3 * scale:.4g}, after {scale:.4g} around step"
    )


@pytest.mark.parametrize(
    "val",
    [
        [2.0, 1.4, 1.1, 1.0, 1.02, 1.05, 1.08, 1.08, 1.09, 1.08],
        [2.0, 1.2, 1.0, 1.3, 1.0, 1.3, 1.0, 1.3, 1.0, 1.3, 1.0, 1.3],
        [2.0, 1.0, 1.6, 1.0, 1.6, 1.02, 1.6, 1.02, 1.6, 1.02, 1.6, 1.6],
        [2.0, 1.4, 0.9, 1.4, 1.2, 1.1, 1.05, 1.03, 1.02, 1.0],
        [1.0, 1.7],
        [loss - 1.0 for loss in (2.0, 1.4, 1.1, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6)],
    ],
    ids=["8 %", "waves", "waves that rise by less", "one dip", "two evaluations", "reaches 0"],
)
def test_a_validation_loss_that_may_not_have_risen_is_not_remarked(val: list[float]) -> None:
    """A few percent, waves of the same height, a single low evaluation, too few evaluations, or a
    loss without a relative rise."""
    assert (
        remarked(
            resting(len(val) * 10), val=[v for v in val for _ in range(1)] + [None] * 9 * len(val)
        )
        == ()
    )


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_loss_that_fell_by_less_than_1_percent_is_remarked(scale: float) -> None:
    """Either little was learned, or the loss contains a large constant."""
    (remark,) = remarked(scale * (100 + resting(200) / 10))
    assert remark.startswith("the loss fell by no more than 0.2 %: from ")
    assert remarked(scale * (100 + 10 * resting(200))) == ()
    assert remarked(scale * (100 + 0.1 * noise(200))) == ()


def test_remarks_are_for_runs_that_have_ended_and_can_be_judged() -> None:
    """The text of the diagnosis holds them."""
    record = hand_made({"loss": list(resting(40)), "lr": [0.01] * 40})
    diagnosis = diagnose(record)
    assert diagnosis.remarks == ("lr is constant: 0.01 at all 40 points",)
    assert "\nremark: lr is constant: 0.01 at all 40 points\n" in str(diagnosis)
    assert diagnose(record, ended=False).remarks == ()
    assert diagnose(hand_made({"loss": [2.0] * 19, "lr": [0.01] * 19})).remarks == ()


def test_a_remark_is_no_alarm_and_changes_no_summary() -> None:
    """The verdict is healthy."""
    diagnosis = diagnose(hand_made({"loss": list(resting(40)), "lr": [0.01] * 40}))
    assert (diagnosis.verdict, diagnosis.alarm, diagnosis.cause) == ("healthy", False, None)
    assert replace(diagnosis, remarks=()).summary() == diagnosis.summary()


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_a_loss_without_a_finite_value_or_a_fall_gets_no_remark(value: float) -> None:
    """Such a loss raises no error either."""
    assert remarked(np.full(40, value), val=[value] * 40) == ()


def test_a_validation_loss_is_remarked_beside_too_few_points_of_training() -> None:
    """The log has one evaluation per epoch and fewer than twenty epochs. A policy gets no
    remarks."""
    val = [
        0.46,
        0.42,
        0.34,
        0.32,
        0.29,
        0.32,
        0.23,
        0.3,
        0.36,
        0.39,
        0.39,
        0.39,
        0.39,
        0.53,
        0.33,
        0.44,
        0.61,
        0.4,
        0.69,
    ]
    record = hand_made({"loss": list(resting(19)), "val_loss": val})
    diagnosis = diagnose(record)
    assert not diagnosis.core
    assert [remark.startswith("val_loss ends ") for remark in diagnosis.remarks] == [True]
    assert diagnose(replace(record, facts={"objective": "reinforcement learning"})).remarks == ()


def test_a_loss_without_a_floor_is_remarked() -> None:
    """The loss falls ever faster below 0. The loss of a density estimate levels off instead."""
    (remark,) = remarked(-1000 * np.exp(8 * time(60)))
    assert remark.startswith("the loss falls below 0 without end: from -1")
    assert not any(
        "without end" in remark
        for remark in remarked(2 - 6 * (1 - np.exp(-8 * time(60))) + 0.05 * noise(60))
    )


@pytest.mark.parametrize(
    ("val", "said"), [([0.5, 0.7, 0.9], True), ([0.5, 0.55, 0.9], False), ([0.9, 0.5], False)]
)
def test_with_few_evaluations_the_last_two_must_lie_far_above_the_lowest(
    val: list[float], said: bool
) -> None:
    """They must lie above it by a fifth, and there must be at least three evaluations."""
    notes = remarked(resting(len(val)), val=val)
    assert notes == (
        ("val_loss ends 80 % above its lowest: at 0.9, after 0.5 around step 0",) if said else ()
    )


def test_a_rise_is_compared_with_the_highest_of_the_first_points() -> None:
    """In fine-tuning, for example, the first two points learn most of what there is to learn."""
    rises = 0.1 + 0.25 * np.exp(-(((time(60) - 0.5) / 0.2) ** 2)) + 0.005 * noise(60)
    assert remarked(rises) == ()
    (remark,) = remarked(np.r_[0.8, 0.5, rises])
    assert remark.startswith("the loss rose for long and came back: from 0.1")
