"""What is read off a noisy curve: its levels, its noise, and whether it fell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.diagnosis.curves import (
    Curve,
    centred_mean,
    fall_z,
    fell,
    first_step_below,
    mean_ranks,
    rounding_step,
)


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """The mean of at most `width` values up to and including each point."""
    sums, at = np.r_[0, np.cumsum(values)], np.arange(1, len(values) + 1)
    begin = np.maximum(0, at - width)
    return (sums[at] - sums[begin]) / (at - begin)


def noise(points: int, seed: int = 0) -> np.ndarray:
    """Independent Gaussian noise of deviation 1."""
    return np.random.default_rng(seed).standard_normal(points)


def evenly(values: np.ndarray) -> Curve:
    """A curve with one value for each step from 0 on."""
    return Curve(np.arange(len(values)), values)


def test_a_curve_consists_of_the_finite_points() -> None:
    """Steps whose value is not finite are left out."""
    curve = Curve(np.array([0, 5, 9]), np.array([1.0, np.nan, np.inf]))
    assert (curve.steps.tolist(), curve.values.tolist()) == ([0], [1.0])


@pytest.mark.parametrize(("points", "segments"), [(20, 4), (34, 6), (100, 20), (100_000, 20)])
def test_a_curve_is_cut_into_segments_of_five_points_or_into_twenty(
    points: int, segments: int
) -> None:
    """The number of segments does not grow with the number of points beyond that."""
    assert len(evenly(np.zeros(points)).segments.level) == segments


def test_fewer_than_twenty_points_have_no_segments() -> None:
    """The error says how many are needed."""
    assert not evenly(np.zeros(19)).has_segments
    with pytest.raises(ValueError, match="19 points; segments need 20"):
        _ = evenly(np.zeros(19)).segments


def test_a_segment_has_its_steps_its_median_and_its_noise() -> None:
    """A line of slope 2 in noise of deviation 0.5; the error of a level is that of a median of 50
    points."""
    line = Curve(np.arange(0, 3000, 3), 2.0 * np.arange(1000) + 0.5 * noise(1000)).segments
    assert line.first_step[:2].tolist() == [0, 150]
    assert line.last_step[[0, 1, -1]].tolist() == [147, 297, 2997]
    assert line.level[:2] == pytest.approx([49.0, 149.0], abs=0.6)
    flat = evenly(0.5 * noise(1000)).segments
    assert flat.noise == pytest.approx(np.full(20, 0.5), rel=0.35)
    assert flat.error == pytest.approx(1.2533 * flat.noise / 50**0.5)


def test_the_noise_of_a_segment_is_that_of_its_own_part_of_the_curve() -> None:
    """Here the first half of the curve is quiet and the second half is loud."""
    segments = evenly(np.r_[0.1 * noise(500), 10 * noise(500)]).segments
    assert segments.noise[0] < 0.2
    assert segments.noise[-1] > 5


FALLS = {
    "all along": lambda n: 4.0 - 3.0 * np.arange(n) / n,
    "at once": lambda n: np.r_[4.0, np.ones(n - 1)],
    "at first": lambda n: 1 + 3.0 * 0.7 ** np.arange(n),
    "below zero": lambda n: 1.0 - 3.0 * np.arange(n) / n,
}


@pytest.mark.parametrize("points", [20, 100, 10_000])
@pytest.mark.parametrize("shape", FALLS.values(), ids=FALLS)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_fall_is_told_from_noise(shape, points: int, scale: float) -> None:
    """This holds for any shape, length and unit. A rise is not a fall."""
    assert fell(scale * (shape(points) + 0.1 * noise(points)))
    assert not fell(-scale * (shape(points) + 0.1 * noise(points)))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_rounding_in_single_precision_is_no_fall(scale: float) -> None:
    """A loss that changes by less than that has stood still; twice that is a fall."""
    down = np.linspace(1.0, 0.0, 100)
    assert not fell(scale * 0.693147 * (1 + 2.0**-24 * down))
    assert fell(scale * 0.693147 * (1 + 2.0**-22 * down))


@pytest.mark.parametrize("points", [20, 24, 100, 1200])
def test_noise_is_rarely_called_a_fall(points: int) -> None:
    """At most 6 of 200 flat curves with Gaussian, exponential and heavy-tailed noise count as
    falling."""
    rng = np.random.default_rng(0)
    kinds = (rng.standard_normal, rng.standard_exponential, lambda size: rng.standard_t(3, size))
    called = [fell(1.0 + 0.1 * kinds[i % 3](points)) for i in range(200)]
    assert sum(called) <= 6


@pytest.mark.parametrize("points", [0, 5, 19])
def test_fewer_than_twenty_finite_points_have_not_fallen(points: int) -> None:
    """Values that are not finite do not count."""
    assert not fell(np.r_[np.arange(points, 0.0, -1), [np.nan] * 30])


@given(values=st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_equal_values_share_the_mean_of_their_ranks(values: list[int]) -> None:
    """The number of smaller values, plus the middle of the equal ones."""
    array = np.array(values, dtype=float)
    expected = [(array < v).sum() + ((array == v).sum() + 1) / 2 for v in array]
    assert mean_ranks(array).tolist() == expected


def test_fall_z_is_symmetric_and_bounded() -> None:
    """A line falls by sqrt(n - 1) standard errors at most, and a constant by 0."""
    down = np.arange(101, 0.0, -1)
    assert 8 < fall_z(down) <= 10
    assert fall_z(-down) == -fall_z(down)
    assert fall_z(np.ones(50)) == 0


@pytest.mark.parametrize("width", [5, 20, 50])
def test_a_running_mean_of_noise_is_rarely_called_a_fall(width: int) -> None:
    """Its waves are as long as the mean is wide. At most two of fifty curves."""
    assert sum(fell(5 + running_mean(noise(1000, seed), width)) for seed in range(50)) <= 2


@pytest.mark.parametrize("width", [1, 5, 20, 50])
@pytest.mark.parametrize("shape", FALLS.values(), ids=FALLS)
@pytest.mark.parametrize("points", [20, 100, 1000])
def test_a_fall_is_seen_in_a_running_mean(shape, points: int, width: int) -> None:
    """If a smooth fall has little noise, its points look correlated as well."""
    assert fell(running_mean(shape(points) + 1e-3 * noise(points), width))


# Smoothing


def test_a_centred_mean_is_the_mean_of_a_point_and_two_neighbours_on_either_side() -> None:
    """The mean exists only where all five points exist."""
    assert centred_mean([1, 2, 3, 4, 10, 4]) == pytest.approx([4.0, 4.6])


def test_a_centred_mean_leaves_a_straight_line_where_it_is() -> None:
    """A centred mean delays nothing."""
    np.testing.assert_allclose(centred_mean(np.arange(20.0)), np.arange(2.0, 18.0))


@pytest.mark.parametrize(("values", "window"), [([1, 2, 3, 4], 5), ([1, 2, 3, 4], 2)])
def test_a_centred_mean_refuses_too_few_values_and_even_windows(
    values: list[float], window: int
) -> None:
    """In neither case is there a centred mean."""
    with pytest.raises(ValueError, match="centred mean"):
        centred_mean(values, window)


@pytest.mark.parametrize(("level", "step"), [(5.5, 50), (3.0, np.inf)])
def test_first_step_below_is_the_step_in_the_middle_of_the_window(
    level: float, step: float
) -> None:
    """A curve that falls from 10 by 1 every ten steps is below 5.5 from step 50 on. Its last
    smoothed value is 3, which is not below 3."""
    assert first_step_below(np.arange(0, 100, 10), np.arange(10.0, 0.0, -1), level) == step


@pytest.mark.parametrize(
    ("values", "step"),
    [([1.0, 0.25, 3.5], 0.01), ([0.6931], 1e-4), ([0.6931471805599453], 0.0), ([2.0], 0.1)],
)
def test_the_rounding_of_a_log_is_read_off_its_decimals(values: list[float], step: float) -> None:
    """A double in full was not rounded."""
    assert rounding_step(np.array(values)) == pytest.approx(step)
