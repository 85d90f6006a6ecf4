"""Levels of a loss on a ratio scale, and the probability that a short curve falls by chance."""

from itertools import permutations
from math import exp, log

import numpy as np
import pytest

from probes.diagnosis.curves import Curve
from probes.diagnosis.levels import chance_of_fall, levels_of


def curve(values: object) -> Curve:
    array = np.asarray(values, dtype=float)
    return Curve(np.arange(len(array)), array)


def test_a_loss_that_doubles_ends_ln_2_above_its_lowest_in_any_unit() -> None:
    """The scale of the loss does not matter."""
    losses = np.r_[np.linspace(4, 1, 40), np.ones(10), np.full(50, 2.0)]
    for unit in (1e-9, 1.0, 1e9):
        levels = levels_of(curve(unit * losses))
        assert levels is not None
        assert levels.end_above_lowest == pytest.approx(log(2), abs=0.05)
        assert exp(levels.end_level) == pytest.approx(2 * unit)


def test_the_start_is_the_first_point_when_the_loss_explodes_at_once() -> None:
    """The median of the first points lies in the explosion."""
    levels = levels_of(curve([2.0, *[50.0] * 40]))
    assert levels is not None
    assert exp(levels.end_above_start) == pytest.approx(25)


def test_noise_is_measured_after_the_lowest_level() -> None:
    """A steep fall before it is no noise."""
    noisy = np.exp(np.random.default_rng(0).normal(0, 0.2, 100))
    steep = curve(np.r_[np.geomspace(1e6, 1, 10), np.ones(90)] * noisy)
    level = curve(noisy)
    found, expected = levels_of(steep), levels_of(level)
    assert found is not None
    assert expected is not None
    assert found.noise == pytest.approx(expected.noise, rel=0.5)


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, -1.0, 2.0], [0.0, 0.0, 0.0]])
def test_a_curve_without_a_ratio_scale_has_no_levels(values: list[float]) -> None:
    """Too short, below 0, or always 0."""
    assert levels_of(curve(values)) is None


def test_zeros_of_a_rounded_log_count_as_its_smallest_value() -> None:
    """ln 0 would be infinite."""
    levels = levels_of(curve([0.1, 0.01, 0.001, 0.0, 0.0]))
    assert levels is not None
    assert exp(levels.level.min()) == pytest.approx(0.001)


def test_the_chance_of_a_fall_is_the_share_of_orders_that_fall_as_often() -> None:
    """Compared with all orders of five values."""

    def falls(values: tuple[float, ...]) -> int:
        return sum(a > b for i, a in enumerate(values) for b in values[i + 1 :])

    orders = list(permutations([1.0, 2.0, 3.0, 4.0, 5.0]))
    for values in ((5, 4, 3, 2, 1), (5, 3, 4, 2, 1), (1, 2, 3, 4, 5), (2, 5, 1, 4, 3)):
        expected = sum(falls(order) >= falls(values) for order in orders) / len(orders)
        assert chance_of_fall(np.array(values, float)) == pytest.approx(expected)


def test_equal_values_count_half() -> None:
    """A curve that never moves has not fallen."""
    assert chance_of_fall(np.ones(6)) > 0.4
