"""A loss that is exactly 0 from one point to the next, or from the first on, and stays so."""

from math import nan

import numpy as np
import pytest

from probes.diagnosis.detectors import loss_zero
from tests.judging import found, why_not
from tests.records import hand_made


def learning(points, start=2.4, scale=1.0, digits=None):
    """A loss that falls by half, with noise of a tenth."""
    noise = np.random.default_rng(0).normal(1, 0.1, points)
    values = scale * start * (1 + 1 / (1 + np.arange(points) / 10)) / 2 * noise
    return (values if digits is None else values.round(digits)).tolist()


def of(*losses, every=1, **signals):
    """Step and onset of what is found."""
    steps = range(0, len(losses) * every, every)
    record = hand_made({"loss": losses, **signals}, steps=steps)
    return [(f.step, f.onset) for f in found(loss_zero.DETECTOR, record)]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_zeros_from_one_point_to_the_next(scale):
    """Known at the sixth of them after fifty points, which is a tenth; whatever the unit."""
    assert of(*learning(50, scale=scale), *[0.0] * 30) == [(55, 50)]


@pytest.mark.parametrize("points", [20, 24])
@pytest.mark.parametrize("every", [1, 50, 500])
def test_a_short_log_that_is_masked_midway(points, every):
    """Of rounded losses too: at the fifth zero."""
    half = points // 2
    losses = [*learning(half, digits=4), *[0.0] * (points - half)]
    assert of(*losses, every=every) == [((half + 4) * every, half * every)]


@pytest.mark.parametrize(("zeros", "expected"), [(4, []), (5, [(24, 20)])])
def test_five_zeros_are_needed(zeros, expected):
    """A batch or two may have no target."""
    assert of(*learning(20), *[0.0] * zeros) == expected


@pytest.mark.parametrize(("zeros", "expected"), [(111, []), (112, [(1111, 1000)])])
def test_a_tenth_of_the_log_is_needed(zeros, expected):
    """A long one has more batches in a row without one."""
    assert of(*learning(1000), *[0.0] * zeros) == expected


@pytest.mark.parametrize(("zeros", "expected"), [(19, []), (20, [(19, 0)])])
def test_zeros_from_the_first_point_on_need_twenty(zeros, expected):
    """The loss of a policy that is its own reference begins there, and leaves it."""
    assert of(*[0.0] * zeros) == expected


def test_zeros_that_are_left_show_how_a_loss_gets_there():
    """It was 0 in good order before it stayed 0."""
    assert of(*[0.0] * 6, *learning(20), *[0.0] * 30) == []
    assert of(*learning(20), 0.0, *learning(20), *[0.0] * 30) == []


@pytest.mark.parametrize(
    "way",
    [
        [1.4, 0.6, 0.12, 0.031, 0.009, 0.0021, 0.0007, 0.0002, 0.0001],
        [2.31, 2.29, 2.35, 2.28, 2.33, 2.27],
        [5.12, 5.07, 5.21, 0.52, 5.11, 5.19],
        [2.3101, 2.2993, 2.3044, 2.2871],
    ],
    ids=["small numbers", "near the last digit", "one of them near it", "too few to see the way"],
)
def test_an_easy_task_gets_there_through_small_numbers(way):
    """Or may have, for all that a log to four digits or two shows."""
    assert of(*way, *[0.0] * 30) == []


def test_a_way_that_is_none():
    """As before, with the digits and the points to tell."""
    assert of(2.3101, 2.2993, 2.3511, 2.2871, 2.3304, *[0.0] * 30) == [(9, 5)]
    assert of(5.12, 5.07, 5.21, 5.13, 5.11, 5.19, *[0.0] * 30) == [(10, 6)]


def test_an_easy_task_that_falls_ever_faster():
    """Not rounded: it comes to 0 by as many decades as before."""
    assert of(*[10.0**-i for i in range(8)], *[0.0] * 30) == []


@pytest.mark.parametrize(
    ("norm", "expected"),
    [(0.0, [(55, 50)]), (1e-6, []), (nan, [(55, 50)])],
    ids=["none", "small", "lost"],
)
def test_a_gradient_that_arrives_all_the_same(norm, expected):
    """Then something is learned, of a policy or of a loss that is rounded."""
    assert of(*learning(50), *[0.0] * 30, grad_norm=[*[1.0] * 50, *[norm] * 30]) == expected


def test_a_loss_of_the_split_will_do():
    """Where it is all that there is."""
    record = hand_made({"train_loss": [*learning(50), *[0.0] * 30]})
    (finding,) = found(loss_zero.DETECTOR, record)
    assert (finding.site, finding.observed, finding.limit) == ("train_loss", 0.0, min(learning(50)))


def test_it_cannot_judge_without_a_loss():
    """And says so."""
    assert (
        why_not(loss_zero.DETECTOR, hand_made({"lr": [0.1] * 30})) == "train_loss was not recorded"
    )
