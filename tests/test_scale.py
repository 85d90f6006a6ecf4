"""Axes: where values go, what the ticks say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from probes.charts.scale import linear_scale, log_scale, number, percentage, step_ticks

ANY = st.lists(st.floats(), max_size=30).map(np.array)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (0.5, "0.5"), (4.6587, "4.659"), (231.4321, "231.4"), (1546.2, "1,546"), (25079, "25,079"),
        (1e-5, "1e-5"), (1.23456e-7, "1.235e-7"), (1e300, "1e300"), (-2.5, "-2.5"), (100.0, "100"), (120, "120"),
        (float("inf"), "∞"), (-float("inf"), "-∞"), (float("nan"), "NaN"),
    ],
)  # fmt: skip
def test_numbers_are_written_for_people(value: float, text: str) -> None:
    """Four digits, thousands set apart, a power of ten rather than a row of zeros."""
    assert number(value) == text


def test_shares_are_written_in_percent() -> None:
    """Three digits."""
    assert (percentage(0.0123456), percentage(1.0)) == ("1.23 %", "100 %")


@given(values=ANY, include=st.sampled_from([(), (0.0,), (1e-3, 1e3)]))
@example(values=np.array([1.12e308]), include=())
@example(values=np.array([5e-324]), include=())
@pytest.mark.parametrize("scale_of", [linear_scale, log_scale])
def test_every_finite_value_has_a_place_on_its_axis(scale_of, values, include) -> None:  # type: ignore[no-untyped-def]
    """Whatever the values are: nothing finite lies outside, ticks lie inside, failures have no
    place."""
    scale = scale_of(values.astype(float), include)
    assert np.isfinite([scale.low, scale.high]).all()
    assert scale.low < scale.high
    places = scale.place(values.astype(float))
    inside = places[np.isfinite(values.astype(float))]
    slack = (scale.high - scale.low) * 1e-9
    assert ((inside >= scale.low - slack) & (inside <= scale.high + slack)).all()
    assert np.isnan(places[~np.isfinite(values.astype(float))]).all()
    assert all(scale.low - slack <= place <= scale.high + slack for place, _ in scale.ticks)
    assert len(scale.ticks) <= 8


def test_decades_are_labelled_with_their_values() -> None:
    """The axis is drawn in powers of ten, the reader reads numbers."""
    assert log_scale(np.array([0.0123, 456.0])).ticks == (
        (-1.0, "0.1"), (0.0, "1"), (1.0, "10"), (2.0, "100"),
    )  # fmt: skip


def test_zero_and_below_get_a_row_of_their_own_under_a_log_axis() -> None:
    """It is named on the axis; nothing vanishes."""
    scale = log_scale(np.array([1.0, 10.0, 0.0, -3.0]))
    assert scale.ticks[0] == (scale.low, "≤ 0")
    assert scale.place(np.array([0.0, -3.0])).tolist() == [scale.low, scale.low]
    assert scale.place(np.array([1.0]))[0] > scale.low


def test_what_hardly_moves_looks_as_if_it_hardly_moved() -> None:
    """A log axis spans half a decade at least."""
    scale = log_scale(np.array([1.0, 1.001]))
    assert scale.high - scale.low == pytest.approx(0.5)


def test_steps_are_ticked_at_round_ones() -> None:
    """The first tick says what is counted."""
    assert [label for _, label in step_ticks(0, 119)] == ["step 0", "20", "40", "60", "80", "100"]
    assert [label for _, label in step_ticks(7, 7)] == ["step 7"]
