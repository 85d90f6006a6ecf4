"""Thinned series, non-finite spans and moving averages."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.charts.downsample import moving_average, nonfinite_spans, thin

LIMITS = st.sampled_from([20, 100, 500])
FINITE = st.floats(-1e6, 1e6)


@given(values=st.lists(FINITE, min_size=1, max_size=3000), limit=LIMITS, stride=st.integers(1, 9))
def test_no_spike_is_lost(values: list[float], limit: int, stride: int) -> None:
    """Within a column's width of any point, a kept point is at least as high and another at least
    as low. Both ends are kept."""
    steps, data = np.arange(len(values)) * stride, np.array(values)
    kept_steps, kept = thin(steps, data, limit)
    assert len(kept) <= limit
    assert (kept_steps[0], kept[0]) == (steps[0], data[0])
    assert (kept_steps[-1], kept[-1]) == (steps[-1], data[-1])
    width = len(values) * stride / ((limit - 2) // 2) if len(values) > limit else 0
    sample = slice(None, None, max(1, len(steps) // 60))
    for step, value in zip(steps[sample], data[sample], strict=True):
        near = kept[np.abs(kept_steps - step) <= width]
        assert near.max() >= value >= near.min()


@given(at=st.integers(0, 7999), height=st.sampled_from([-50.0, 50.0]))
def test_a_single_spike_is_kept_exactly(at: int, height: float) -> None:
    """The step and the value of a spike are kept when 8,000 points are reduced to 100."""
    values = np.sin(np.arange(8000) / 50)
    values[at] = height
    steps, kept = thin(np.arange(8000), values, 100)
    assert kept[steps == at].tolist() == [height]


@given(
    values=st.lists(FINITE | st.just(np.inf) | st.just(np.nan), min_size=2, max_size=1500),
    limit=LIMITS,
)
def test_a_gap_stays_a_gap(values: list[float], limit: int) -> None:
    """Two finite points are neighbours only if every value between them was finite."""
    data = np.array(values)
    steps, kept = thin(np.arange(len(data)), data, limit)
    assert len(kept) <= limit + 1
    assert np.isfinite(data).all() == np.isfinite(kept).all()
    for (left, a), (right, b) in pairwise(zip(steps, kept, strict=True)):
        if np.isfinite([a, b]).all():
            assert np.isfinite(data[left:right]).all()


def test_a_short_series_is_unchanged() -> None:
    steps, values = thin(np.arange(100), np.arange(100.0), 100)
    assert (steps.tolist(), values.tolist()) == (list(range(100)), list(range(100)))


@pytest.mark.parametrize(
    ("values", "spans"),
    [
        ([1, 2, 3], []),
        ([1, np.inf, 3, 4], [(1, 2)]),
        ([1, 2, np.inf, np.nan], [(2, 3)]),
        ([np.inf], [(0, 3)]),
        ([np.inf, 1, 1, -np.inf], [(0, 1), (3, 3)]),
    ],
)
def test_a_nonfinite_span_ends_at_the_next_finite_value(
    values: list[float], spans: list[tuple[int, int]]
) -> None:
    """Without such a value it ends at the last step of the chart."""
    steps, data = np.arange(len(values)), np.array(values, dtype=float)
    assert nonfinite_spans(steps, data, 0, 3) == spans


def test_the_number_of_nonfinite_spans_is_bounded() -> None:
    """A run that fails at every other one of 100,000 steps does not fill the page with bands."""
    values = np.where(np.arange(100_000) % 2, 1.0, np.inf)
    assert len(nonfinite_spans(np.arange(100_000), values, 0, 99_999)) == 1


def test_the_moving_average_of_a_constant_is_the_constant() -> None:
    """The first values of the average are not biased towards zero."""
    assert moving_average(np.full(30, 4.2), 10) == pytest.approx(np.full(30, 4.2))


def test_the_moving_average_restarts_after_a_gap() -> None:
    """Values before a failure have no weight after it."""
    averaged = moving_average(np.array([100.0, np.inf, 1.0, 1.0]), 10)
    assert averaged.tolist() == pytest.approx([100.0, np.inf, 1.0, 1.0])
