"""Axes: the place of a value, the ticks, and the notation of numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from probes.charts.scale import Scale, linear_scale, log_scale, number, percentage, step_ticks
from probes.record import Column

ANY = st.lists(st.floats(), max_size=30).map(lambda values: np.array(values, dtype=float))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (0.5, "0.5"), (4.6587, "4.659"), (231.4321, "231.4"), (1546.2, "1,546"),
        (25079, "25,079"),
        (1e-5, "1e-5"), (1.23456e-7, "1.235e-7"), (1e300, "1e300"), (-2.5, "-2.5"),
        (100.0, "100"), (120, "120"),
        (float("inf"), "∞"), (-float("inf"), "-∞"), (float("nan"), "NaN"),
    ],
)  # fmt: skip
def test_numbers_are_short(value: float, text: str) -> None:
    """Four significant digits, commas after thousands, and powers of ten instead of many zeros."""
    assert number(value) == text


def test_percentages_have_three_digits() -> None:
    assert (percentage(0.0123456), percentage(1.0)) == ("1.23 %", "100 %")


@given(values=ANY, include=st.sampled_from([(), (0.0,), (1e-3, 1e3)]))
@example(values=np.array([1.12e308]), include=())
@example(values=np.array([1.77827941e308]), include=())
@example(values=np.array([1.7976931348623157e308]), include=())
@example(values=np.array([5e-324]), include=())
@pytest.mark.parametrize("scale_of", [linear_scale, log_scale])
def test_every_finite_value_has_a_place_on_its_axis(
    scale_of: Callable[..., Scale], values: Column, include: tuple[float, ...]
) -> None:
    """Finite values and ticks are inside the axis; other values have no place."""
    scale = scale_of(values, include)
    assert np.isfinite([scale.low, scale.high]).all()
    assert scale.low < scale.high
    places, finite = scale.place(values), np.isfinite(values)
    slack = (scale.high - scale.low) * 1e-9
    assert (places[finite] >= scale.low - slack).all()
    assert (places[finite] <= scale.high + slack).all()
    assert np.isnan(places[~finite]).all()
    assert all(scale.low - slack <= place <= scale.high + slack for place, _ in scale.ticks)
    assert len(scale.ticks) <= 8


def test_ticks_of_a_log_axis_are_labelled_with_values() -> None:
    """A position is the log10 of a value, and the label is the value."""
    assert log_scale(np.array([0.0123, 456.0])).ticks == (
        (-1.0, "0.1"), (0.0, "1"), (1.0, "10"), (2.0, "100"),
    )  # fmt: skip


@pytest.mark.parametrize("values", [[5e-324], [1e-310], [1e-320, 1e-312]])
def test_an_axis_of_subnormal_values_has_a_tick(values: list[float]) -> None:
    """An axis without ticks cannot be drawn."""
    scale = log_scale(np.array(values))
    (place, label), = scale.ticks  # fmt: skip
    assert scale.low <= place <= scale.high
    assert float(label) == pytest.approx(10**place, rel=0.15)


def test_zero_and_negative_values_have_a_row_below_a_log_axis() -> None:
    """The row of zero and negative values has a tick with a label."""
    scale = log_scale(np.array([1.0, 10.0, 0.0, -3.0]))
    assert scale.ticks[0] == (scale.low, "≤ 0")
    assert scale.place(np.array([0.0, -3.0])).tolist() == [scale.low, scale.low]
    assert scale.place(np.array([1.0]))[0] > scale.low


def test_a_log_axis_spans_at_least_half_a_decade() -> None:
    """A small change does not fill the whole axis."""
    scale = log_scale(np.array([1.0, 1.001]))
    assert scale.high - scale.low == pytest.approx(0.5)


def test_steps_are_ticked_at_round_numbers() -> None:
    """The label of the first tick begins with the word step."""
    assert [label for _, label in step_ticks(0, 119)] == ["step 0", "20", "40", "60", "80", "100"]
    assert [label for _, label in step_ticks(7, 7)] == ["step 7"]
