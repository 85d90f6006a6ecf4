"""A loss that is exactly 0 from one point to the next, or from the first point on, and stays 0 is
found."""

from math import nan

import numpy as np
import pytest

from probes.diagnosis.detectors import loss_zero
from tests.judging import found, why_not
from tests.records import hand_made


def halving_loss(points, start=2.4, scale=1.0, digits=None):
    """A loss that falls by half, with noise of a tenth."""
    noise = np.random.default_rng(0).normal(1, 0.1, points)
    values = scale * start * (1 + 1 / (1 + np.arange(points) / 10)) / 2 * noise
    return (values if digits is None else values.round(digits)).tolist()


def steps_and_onsets(*losses, every=1, **signals):
    """Step and onset of each finding on these losses."""
    steps = range(0, len(losses) * every, every)
    record = hand_made({"loss": losses, **signals}, steps=steps)
    return [(f.step, f.onset) for f in found(loss_zero.DETECTOR, record)]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_it_fires_on_zeros_from_one_point_to_the_next(scale):
    """It fires in any unit. After fifty points the sixth zero completes a tenth of the log."""
    assert steps_and_onsets(*halving_loss(50, scale=scale), *[0.0] * 30) == [(55, 50)]


@pytest.mark.parametrize("points", [20, 24])
@pytest.mark.parametrize("every", [1, 50, 500])
def test_it_fires_on_a_short_log_that_is_masked_midway(points, every):
    """It fires at the fifth zero, also when the losses are rounded."""
    half = points // 2
    losses = [*halving_loss(half, digits=4), *[0.0] * (points - half)]
    assert steps_and_onsets(*losses, every=every) == [((half + 4) * every, half * every)]


@pytest.mark.parametrize(("zeros", "expected"), [(4, []), (5, [(24, 20)])])
def test_five_zeros_are_needed(zeros, expected):
    """A batch or two may have no target."""
    assert steps_and_onsets(*halving_loss(20), *[0.0] * zeros) == expected


@pytest.mark.parametrize(("zeros", "expected"), [(111, []), (112, [(1111, 1000)])])
def test_a_tenth_of_the_log_is_needed(zeros, expected):
    """A long log has several batches in a row without a target."""
    assert steps_and_onsets(*halving_loss(1000), *[0.0] * zeros) == expected


@pytest.mark.parametrize(("zeros", "expected"), [(19, []), (20, [(19, 0)])])
def test_zeros_from_the_first_point_on_need_twenty(zeros, expected):
    """The loss of a policy that still equals its reference begins at 0 and leaves it."""
    assert steps_and_onsets(*[0.0] * zeros) == expected


def test_it_stays_quiet_on_a_loss_that_left_0_before():
    """Zeros that a loss leaves again are valid values, so its last zeros may be valid too."""
    assert steps_and_onsets(*[0.0] * 6, *halving_loss(20), *[0.0] * 30) == []
    assert steps_and_onsets(*halving_loss(20), 0.0, *halving_loss(20), *[0.0] * 30) == []


@pytest.mark.parametrize(
    "way",
    [
        [1.4, 0.6, 0.12, 0.031, 0.009, 0.0021, 0.0007, 0.0002, 0.0001],
        [2.31, 2.29, 2.35, 2.28, 2.33, 2.27],
        [5.12, 5.07, 5.21, 0.52, 5.11, 5.19],
        [2.3101, 2.2993, 2.3044, 0.2871],
        [2.3101],
    ],
    ids=[
        "small numbers",
        "near the last digit",
        "one of them near it",
        "too few to see the way",
        "a single one",
    ],
)
def test_it_stays_quiet_on_a_loss_that_comes_to_0_through_small_values(way):
    """It also stays quiet when a log has too few decimals or points to show how the loss came to
    0."""
    assert steps_and_onsets(*way, *[0.0] * 30) == []


def test_two_points_are_enough_if_the_loss_had_hardly_fallen():
    """No task becomes easy within one more point."""
    assert steps_and_onsets(2.3101, 2.2993, *[0.0] * 30) == [(6, 2)]


def test_it_fires_when_decimals_and_points_show_no_way_to_0():
    """The losses are similar, but the logs have enough decimals and points."""
    assert steps_and_onsets(2.3101, 2.2993, 2.3511, 2.2871, 2.3304, *[0.0] * 30) == [(9, 5)]
    assert steps_and_onsets(5.12, 5.07, 5.21, 5.13, 5.11, 5.19, *[0.0] * 30) == [(10, 6)]


def test_it_stays_quiet_on_a_loss_that_falls_by_a_decade_each_point():
    """The last fall is no steeper than those before it."""
    assert steps_and_onsets(*[10.0**-i for i in range(8)], *[0.0] * 30) == []


@pytest.mark.parametrize(
    ("norm", "expected"),
    [
        ([0.0] * 30, [(55, 50)]),
        ([1e-6, 2e-6] * 15, []),
        ([1.0] * 30, [(55, 50)]),
        ([nan] * 30, [(55, 50)]),
    ],
    ids=["none", "small", "the same at every step", "lost"],
)
def test_it_stays_quiet_while_a_small_gradient_arrives(norm, expected):
    """A gradient shows that something is still learned, by a policy or with a loss that is
    rounded. A norm that never changes was not measured."""
    assert (
        steps_and_onsets(*halving_loss(50), *[0.0] * 30, grad_norm=[*[1.0] * 50, *norm]) == expected
    )


@pytest.mark.parametrize(
    ("loss", "val_loss", "found_at"),
    [
        ([1.286, 0.3483, 0.0, 0.0, 0.0], [0.0] * 5, [(4, 2)]),
        (
            [0.52, 0.35, 0.31, 0.25, 0.23, 0.0, 0.0, 0.0],
            [0.4, 0.3, 0.25, 0.2, 0.2, 0.0, 0.0, 0.0],
            [(7, 5)],
        ),
        ([0.5, 0.06, 0.007, 0.0, 0.0, 0.0], [0.4, 0.05, 0.006, 0.0, 0.0, 0.0], []),
        ([1.286, 0.3483, 0.0, 0.0, 0.0], [0.5, 0.4, 0.3, 0.2, 0.1], []),
    ],
    ids=["at once", "few digits", "through small values", "validation is not 0"],
)
def test_three_zeros_of_both_losses_are_enough(loss, val_loss, found_at):
    """A loss that is 0 on held-out rows as well does not count its targets."""
    record = hand_made({"loss": loss, "val_loss": val_loss})
    assert [(f.step, f.onset) for f in found(loss_zero.DETECTOR, record)] == found_at


def test_it_judges_the_loss_of_the_split_where_there_is_no_other():
    """The site names the signal; the limit is the smallest loss before."""
    record = hand_made({"train_loss": [*halving_loss(50), *[0.0] * 30]})
    (finding,) = found(loss_zero.DETECTOR, record)
    assert (finding.site, finding.observed, finding.limit) == (
        "train_loss",
        0.0,
        min(halving_loss(50)),
    )


def test_it_cannot_judge_without_a_loss():
    """The reason names the missing signal."""
    assert (
        why_not(loss_zero.DETECTOR, hand_made({"lr": [0.1] * 30})) == "train_loss was not recorded"
    )
