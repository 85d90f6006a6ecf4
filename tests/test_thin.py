"""Decimation keeps what matters: ends, spikes and gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.charts.downsample import smooth, stretches, thin

LIMITS = st.sampled_from([20, 100, 500])
FINITE = st.floats(-1e6, 1e6)


@given(values=st.lists(FINITE, min_size=1, max_size=3000), limit=LIMITS, stride=st.integers(1, 9))
def test_no_spike_is_lost(values: list[float], limit: int, stride: int) -> None:
    """Within a column's width of any point there is a kept one that reaches as high, and one that
    reaches as low."""
    steps, data = np.arange(len(values)) * stride, np.array(values)
    kept_steps, kept = thin(steps, data, limit)
    assert len(kept) <= limit
    assert (kept_steps[0], kept[0], kept_steps[-1], kept[-1]) == (
        steps[0],
        data[0],
        steps[-1],
        data[-1],
    )
    width = len(values) * stride / ((limit - 2) // 2) if len(values) > limit else 0
    for step, value in zip(
        steps[:: max(1, len(steps) // 60)], data[:: max(1, len(steps) // 60)], strict=True
    ):
        near = kept[np.abs(kept_steps - step) <= width]
        assert near.max() >= value >= near.min()


@given(at=st.integers(0, 7999), height=st.sampled_from([-50.0, 50.0]))
def test_a_lone_spike_is_kept_exactly(at: int, height: float) -> None:
    """Its step and its value both survive 8,000 -> 100."""
    values = np.sin(np.arange(8000) / 50)
    values[at] = height
    steps, kept = thin(np.arange(8000), values, 100)
    assert kept[steps == at].tolist() == [height]


@given(
    values=st.lists(FINITE | st.just(np.inf) | st.just(np.nan), min_size=2, max_size=1500),
    limit=LIMITS,
)
def test_a_gap_stays_a_gap(values: list[float], limit: int) -> None:
    """Two kept points stand next to each other only where nothing between them was non-finite, and
    points are few."""
    data = np.array(values)
    steps, kept = thin(np.arange(len(data)), data, limit)
    assert len(kept) <= limit + 1
    assert np.isfinite(data).all() == np.isfinite(kept).all()
    for (left, a), (right, b) in zip(
        zip(steps, kept, strict=True), zip(steps[1:], kept[1:], strict=False), strict=False
    ):
        if np.isfinite([a, b]).all():
            assert np.isfinite(data[left:right]).all()


def test_a_short_series_is_kept_as_it_is() -> None:
    """Nothing is left out as long as there is room."""
    steps, values = thin(np.arange(100), np.arange(100.0), 100)
    assert (steps.tolist(), values.tolist()) == (list(range(100)), list(range(100)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3], []),
        ([1, np.inf, 3, 4], [(1, 2)]),
        ([1, 2, np.inf, np.nan], [(2, 3)]),
        ([np.inf], [(0, 3)]),
        ([np.inf, 1, 1, -np.inf], [(0, 1), (3, 3)]),
    ],
)
def test_stretches_run_from_the_first_failure_to_the_next_finite_value(
    values: list[float], expected: list[tuple[int, int]]
) -> None:
    """And to the end of the run when there is none."""
    assert stretches(np.arange(len(values)), np.array(values, dtype=float), 0, 3) == expected


def test_the_number_of_stretches_is_bounded() -> None:
    """A run that fails at every other step for 100,000 of them does not fill the page with
    bands."""
    values = np.where(np.arange(100_000) % 2, 1.0, np.inf)
    assert len(stretches(np.arange(100_000), values, 0, 99_999)) == 1


def test_the_moving_average_of_a_constant_is_the_constant() -> None:
    """Its first points are not drawn towards zero."""
    assert smooth(np.full(30, 4.2), 10) == pytest.approx(np.full(30, 4.2))


def test_the_moving_average_begins_anew_after_a_gap() -> None:
    """What lay before a failure has no weight after it."""
    assert smooth(np.array([100.0, np.inf, 1.0, 1.0]), 10).tolist() == pytest.approx(
        [100.0, np.inf, 1.0, 1.0]
    )
