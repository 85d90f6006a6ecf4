"""The centred mean of five evaluations, and what is read off it."""

import numpy as np
import pytest

from probes.diagnosis.curves import centred_mean, first_step_below
from probes.record.builder import Builder


def test_each_point_is_the_mean_of_itself_and_two_neighbours_on_either_side():
    """Only where all five exist."""
    assert centred_mean([1, 2, 3, 4, 10, 4]) == pytest.approx([4.0, 4.6])


def test_a_straight_line_stays_where_it_is():
    """A centred mean delays nothing."""
    np.testing.assert_allclose(centred_mean(np.arange(20.0)), np.arange(2.0, 18.0))


@pytest.mark.parametrize(("values", "window"), [([1, 2, 3, 4], 5), ([1, 2, 3, 4], 2)])
def test_too_few_values_and_even_windows_are_refused(values, window):
    """Neither has a centred mean."""
    with pytest.raises(ValueError, match="centred mean"):
        centred_mean(values, window)


def falling():
    builder = Builder({}, {})
    for step in range(0, 100, 10):
        builder.append(step, {"val_loss": 10.0 - step / 10})
    return builder.record(complete=True)


def test_first_step_below_is_a_step_of_the_record_at_the_middle_of_its_window():
    """10, 9, 8, ... every ten steps: below 5.5 from step 50 on."""
    assert first_step_below(falling(), "val_loss", "", 5.5) == 50


def test_level_that_is_never_reached_is_reached_at_infinity():
    """The last smoothed value is 3, which is not below 3."""
    assert first_step_below(falling(), "val_loss", "", 3.0) == float("inf")
