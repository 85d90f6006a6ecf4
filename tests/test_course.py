"""What is said of the course of a noisy curve: its levels, its noise, and whether it fell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.diagnosis.curves import course, falling, fell, finite, ranked


def running(values: np.ndarray, width: int) -> np.ndarray:
    """At every point the mean of the last so many."""
    sums, at = np.r_[0, np.cumsum(values)], np.arange(1, len(values) + 1)
    begin = np.maximum(0, at - width)
    return (sums[at] - sums[begin]) / (at - begin)


def noise(points: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(points)


def test_finite_points_keep_their_steps() -> None:
    """What was not measured is left out of both."""
    steps, values = finite(np.array([0, 5, 9]), np.array([1.0, np.nan, np.inf]))
    assert (steps.tolist(), values.tolist()) == ([0], [1.0])


@pytest.mark.parametrize(
    ("points", "stretches"), [(19, None), (20, 4), (34, 6), (100, 20), (100_000, 20)]
)
def test_a_curve_is_cut_in_stretches_of_five_points_or_in_twenty(
    points: int, stretches: int | None
) -> None:
    """So that what is said of it does not depend on how often it was logged."""
    path = course(np.arange(points), np.zeros(points))
    assert (None if path is None else len(path.level)) == stretches


def test_a_stretch_has_its_steps_its_median_and_its_noise() -> None:
    """A line of slope 2 in noise of deviation 0.5, whose error is that of a median of 50."""
    path = course(np.arange(0, 3000, 3), 2.0 * np.arange(1000) + 0.5 * noise(1000))
    assert path is not None
    assert (path.begin[:2].tolist(), path.end[:2].tolist(), path.end[-1]) == (
        [0, 150],
        [147, 297],
        2997,
    )
    assert path.level[:2] == pytest.approx([49.0, 149.0], abs=0.6)
    flat = course(np.arange(1000), 0.5 * noise(1000))
    assert flat is not None
    assert flat.sigma == pytest.approx(np.full(20, 0.5), rel=0.35)
    assert flat.error == pytest.approx(1.2533 * flat.sigma / 50**0.5)


def test_noise_is_that_of_its_place() -> None:
    """A curve that is quiet at first and loud at last."""
    path = course(np.arange(1000), np.r_[0.1 * noise(500), 10 * noise(500)])
    assert path is not None
    assert path.sigma[0] < 0.2
    assert path.sigma[-1] > 5


FALLS = {
    "all along": lambda n: 4.0 - 3.0 * np.arange(n) / n,
    "at once": lambda n: np.r_[4.0, np.ones(n - 1)],
    "at first": lambda n: 1 + 3.0 * 0.7 ** np.arange(n),
    "below zero": lambda n: 1.0 - 3.0 * np.arange(n) / n,
}


@pytest.mark.parametrize("points", [20, 100, 10_000])
@pytest.mark.parametrize("shape", FALLS.values(), ids=FALLS)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_fall_is_seen_in_its_noise(shape, points: int, scale: float) -> None:
    """Whatever its shape, its length and its unit."""
    assert fell(scale * (shape(points) + 0.1 * noise(points)))
    assert not fell(-scale * (shape(points) + 0.1 * noise(points)))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_dust_of_rounding_is_no_fall(scale: float) -> None:
    """A loss that stands still to the last digits of single precision, whichever way those point;
    twice that falls."""
    down = np.linspace(1.0, 0.0, 100)
    assert not fell(scale * 0.693147 * (1 + 2.0**-24 * down))
    assert fell(scale * 0.693147 * (1 + 2.0**-22 * down))


@pytest.mark.parametrize("points", [20, 24, 100, 1200])
def test_noise_alone_did_not_fall(points: int) -> None:
    """Of two hundred flat curves, with tails of three kinds, hardly any."""
    rng = np.random.default_rng(0)
    kinds = (rng.standard_normal, rng.standard_exponential, lambda size: rng.standard_t(3, size))
    called = [fell(1.0 + 0.1 * kinds[i % 3](points)) for i in range(200)]
    assert sum(called) <= 6


@pytest.mark.parametrize("points", [0, 5, 19])
def test_too_few_points_say_nothing(points: int) -> None:
    """Values that are not finite do not count."""
    assert not fell(np.r_[np.arange(points, 0.0, -1), [np.nan] * 30])


@given(values=st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_equal_values_share_the_mean_of_their_ranks(values: list[int]) -> None:
    """As many as come before, and the middle of those that are equal."""
    array = np.array(values, dtype=float)
    expected = [(array < v).sum() + ((array == v).sum() + 1) / 2 for v in array]
    assert ranked(array).tolist() == expected


def test_how_surely_a_curve_falls() -> None:
    """A line falls by sqrt(n - 1) errors at most, nothing by 0, and what rises by less than 0."""
    down = np.arange(101, 0.0, -1)
    assert 8 < falling(down) <= 10
    assert falling(-down) == -falling(down)
    assert falling(np.ones(50)) == 0


@pytest.mark.parametrize("width", [5, 20, 50])
def test_a_running_mean_of_noise_has_not_fallen(width: int) -> None:
    """Its waves are as long as it is wide; of fifty, two may be taken for a fall."""
    assert sum(fell(5 + running(noise(1000, seed), width)) for seed in range(50)) <= 2


@pytest.mark.parametrize("width", [1, 5, 20, 50])
@pytest.mark.parametrize("shape", FALLS.values(), ids=FALLS)
@pytest.mark.parametrize("points", [20, 100, 1000])
def test_a_fall_is_seen_in_a_running_mean(shape, points: int, width: int) -> None:
    """With hardly any noise, what falls smoothly remembers as well."""
    assert fell(running(shape(points) + 1e-3 * noise(points), width))
