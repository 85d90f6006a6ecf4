"""The turn of a validation loss is found on curves whose minimum is known, with noise as
measured."""

from functools import cache

import numpy as np
import pytest

from probes.diagnosis.curves import centred_mean
from probes.diagnosis.val_trend import stop_of, trend_of
from studies.val_trend import (
    DRAWS,
    EVALUATED_STEPS,
    FAMILIES,
    FINAL_RISE,
    RUN,
    SIGMA,
    TIME,
    Curve,
    Family,
    log_and_line,
    noise,
)


@cache
def draws(family: Family, turn: int) -> tuple[Curve, Curve]:
    """For each draw of the noise: the error of the estimated turn, as a share of the run, and the
    amount by which the noise-free loss at that turn exceeds its minimum."""
    rng, curve = np.random.default_rng(0), family(turn)
    turns = []
    for _ in range(DRAWS):
        trend = trend_of(EVALUATED_STEPS, curve * (1 + SIGMA * noise(rng)))
        assert trend is not None
        turns.append(trend.turn)
    found = np.array(turns)
    return np.abs(found + 1 - turn) / RUN, np.interp(found + 1, TIME, curve) / curve.min() - 1


@pytest.mark.parametrize("turn", [800, 960])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_turn_in_the_middle_is_found_within_a_twentieth_of_the_run(
    family: Family, turn: int
) -> None:
    """This holds in 95 of 100 draws of the noise."""
    assert np.sum(draws(family, turn)[0] <= 0.05) >= 95


@pytest.mark.parametrize("turn", [400, 640])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_earlier_turn_is_found_within_a_tenth_of_the_run(family: Family, turn: int) -> None:
    """The basin of an early turn is wide for its place; 84 to 95 of 100 draws find it within a
    twentieth."""
    assert np.sum(draws(family, turn)[0] <= 0.10) >= 95


@pytest.mark.parametrize("turn", [400, 640, 960])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_at_the_turn_is_within_a_hundredth_of_the_minimum(
    family: Family, turn: int
) -> None:
    """This holds for the noise-free loss in 95 of 100 draws."""
    assert np.sum(draws(family, turn)[1] <= 0.01) >= 95


def test_a_curve_that_only_falls_turns_at_its_end() -> None:
    """Such a curve has not risen."""
    trend = trend_of(EVALUATED_STEPS, 1 + 3 / TIME)
    assert trend is not None
    assert (trend.turn, trend.rise) == (EVALUATED_STEPS[-1], 1.0)


@pytest.mark.parametrize(("rise", "sure"), [(0.10, True), (0.0, False)])
def test_standard_errors_tell_a_rise_from_noise(rise: float, sure: bool) -> None:
    """A rise of a tenth exceeds six in nearly all draws, a level curve with the same noise in
    hardly any."""
    rng, curve = np.random.default_rng(1), 1 + rise * (log_and_line(640) - 1) / FINAL_RISE
    trends = [trend_of(EVALUATED_STEPS, curve * (1 + SIGMA * noise(rng))) for _ in range(DRAWS)]
    errors = [trend.rise_errors for trend in trends if trend]
    assert np.mean(np.array(errors) > 6) == pytest.approx(float(sure), abs=0.1)


def test_the_stop_lies_where_the_smoothed_loss_is_within_a_hundredth_of_its_lowest() -> None:
    """The stop is the one of these evaluations that is nearest to the turn."""
    losses = log_and_line(640) * (1 + SIGMA * noise(np.random.default_rng(2)))
    stop, trend, smooth = (
        stop_of(EVALUATED_STEPS, losses),
        trend_of(EVALUATED_STEPS, losses),
        centred_mean(losses),
    )
    good = EVALUATED_STEPS[2:-2][smooth <= 1.01 * smooth.min()]
    assert trend is not None
    assert (stop.first, stop.last) == (good[0], good[-1])
    assert abs(stop.step - trend.turn) == np.abs(good - trend.turn).min()
    assert stop.step in good


def test_within_a_wide_basin_the_stop_is_at_the_turn_and_not_at_its_edge() -> None:
    """Without noise the turn is the minimum, and hundreds of steps are equally good."""
    stop = stop_of(EVALUATED_STEPS, log_and_line(640))
    assert stop.first + 100 < 640 < stop.last - 100
    assert stop.step == pytest.approx(640, abs=10)


def test_a_short_curve_stops_at_its_lowest_smoothed_point() -> None:
    """It has too few points for a trend of four terms."""
    steps = np.arange(9)
    assert trend_of(steps, np.ones(9)) is None
    assert stop_of(steps, np.array([9.0, 7, 5, 3, 1, 3, 5, 7, 9])).step == 4


def test_a_constant_curve_has_not_risen() -> None:
    """Nothing is divided by zero, and rounding is no rise."""
    trend = trend_of(EVALUATED_STEPS, np.ones(len(EVALUATED_STEPS)))
    assert trend is not None
    assert trend.rise == pytest.approx(1.0)


@pytest.mark.parametrize("scale", [1e-160, 1e160, 1e200])
def test_the_trend_does_not_depend_on_the_unit_of_the_loss(scale: float) -> None:
    """The squares of such losses are not finite."""
    losses = log_and_line(640) * (1 + SIGMA * noise(np.random.default_rng(2)))
    trend, scaled = (trend_of(EVALUATED_STEPS, factor * losses) for factor in (1.0, scale))
    assert trend is not None
    assert scaled is not None
    assert scaled.turn == trend.turn
    assert (scaled.rise, scaled.rise_errors) == pytest.approx((trend.rise, trend.rise_errors))


@pytest.mark.parametrize("first", [-5, -1, -(2**40)])
def test_a_trend_may_begin_at_a_negative_step(first: int) -> None:
    """Time is counted from the first step then."""
    trend = trend_of(EVALUATED_STEPS - EVALUATED_STEPS[0] + first, log_and_line(640))
    assert trend is not None
    assert trend.turn == pytest.approx(640 + first, abs=20)
