"""Comparing two runs: no regression when one is as good as the other; otherwise what is worse,
since which step and by how much."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import inf, nan
from typing import Any

import numpy as np
import pytest

import probes
from probes.compare import DEFAULT_TOLERANCE, Regression, regressed
from probes.record import Record
from tests.records import hand_made

STEPS = 200
CELL = STEPS / 50


def curve(
    rate: float = 30.0, end: float = 1.0, start: float = 4.0, steps: int = STEPS
) -> list[float]:
    return [end + (start - end) * float(np.exp(-i / rate)) for i in range(steps)]


def made(every: int = 1, steps: int = STEPS, **signals: Any) -> Record:
    """A run with every signal that is compared, some of them replaced or (None) left out, and
    only each row of number `every`."""
    everything: dict[str, Any] = {
        "loss": curve(steps=steps),
        "val_loss": curve(end=1.2, steps=steps),
        "grad_norm": [1.0] * steps,
        "activation": {"embed": [0.5] * steps, "block": [2.0] * steps},
        "update_weight_ratio": {"up": [0.01] * steps},
        "dead_fraction": {"ffn": [0.1] * steps},
    }
    rows = {
        name: values for name, values in {**everything, **signals}.items() if values is not None
    }
    thin = {
        name: {site: v[::every] for site, v in one.items()}
        if isinstance(one, dict)
        else one[::every]
        for name, one in rows.items()
    }
    return hand_made(thin, steps=range(0, steps, every))


def noisy(values: Sequence[float], share: float, seed: int) -> list[float]:
    noise = np.random.default_rng(seed).normal(1.0, share, len(values))
    return [float(value * factor) for value, factor in zip(values, noise, strict=True)]


def names(result: Regression) -> list[str]:
    return [difference.signal for difference in result.differences]


BASELINE = made()


# Quiet


def test_a_run_is_no_worse_than_itself() -> None:
    """Every signal is compared."""
    result = regressed(BASELINE, BASELINE, 1e-6)
    assert not result
    assert result.compared == (
        *("loss", "val_loss", "grad_norm", "activation at embed", "activation at block"),
        *("update_weight_ratio at up", "dead_fraction at ffn"),
    )
    assert result.not_compared == {}


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_regression(seed: int) -> None:
    """Every signal has noise of a fifth of its value, in both runs."""
    runs = [
        made(
            loss=noisy(curve(), 0.2, side),
            val_loss=noisy(curve(end=1.2), 0.2, side + 1),
            grad_norm=noisy([1.0] * STEPS, 0.2, side + 2),
            dead_fraction={"ffn": noisy([0.1] * STEPS, 0.2, side + 3)},
        )
        for side in (100 * seed, 100 * seed + 50)
    ]
    assert not regressed(*runs)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(made(steps=2 * STEPS), id="longer"),
        pytest.param(made(steps=STEPS // 2), id="shorter"),
        pytest.param(made(every=7), id="less often"),
        pytest.param(made(loss=curve(end=0.5), val_loss=curve(rate=10.0)), id="better"),
        pytest.param(made(dead_fraction={"ffn": [0.0] * STEPS}), id="fewer dead"),
        pytest.param(made(loss=curve(end=1.3)), id="within the tolerance"),
    ],
)
def test_a_run_as_good_is_no_regression(record: Record) -> None:
    """The run may be longer, shorter, logged more rarely, better, or a little worse than the
    baseline."""
    assert not regressed(record, BASELINE)


def test_speed_is_not_compared_with_a_baseline_that_hardly_learns() -> None:
    """A run that ends within the tolerance need not reach any level of the baseline."""
    assert not regressed(
        made(loss=[2.1] * STEPS, val_loss=None), made(loss=curve(start=2.1, end=2.0), val_loss=None)
    )


def test_speed_is_not_compared_near_the_end_of_a_fall() -> None:
    """Where a curve is flat, a small difference in level is a large difference in time. Halfway
    down, this loss is already as low as twice its final value."""
    slow, fast = (made(loss=curve(rate, start=3.0), val_loss=None) for rate in (60.0, 30.0))
    assert not regressed(slow, fast)


def test_a_difference_within_one_cell_of_the_grid_is_no_difference_in_speed() -> None:
    """Both losses fall at once, one at step 4 and one at step 7."""
    late, early = (
        made(loss=[4.0] * start + [1.0] * (STEPS - start), val_loss=None) for start in (7, 4)
    )
    assert not regressed(late, early)


def test_the_end_of_a_short_run_is_its_last_three_points() -> None:
    """The run of this test has ten points."""
    losses = [4.0, 3.0, 2.5, 2.0, 1.6, 1.4, 1.2, 1.1, 1.0, 1.0]
    assert not regressed(hand_made({"loss": [*losses[:-1], 2.0]}), hand_made({"loss": losses}))


def test_a_signal_that_is_0_in_both_runs_is_equal() -> None:
    dead = made(grad_norm=[0.0] * STEPS, dead_fraction={"ffn": [1.0] * STEPS})
    assert not regressed(dead, dead)


def test_losses_of_both_signs_are_not_compared_by_ratio() -> None:
    """A ratio has no meaning below zero."""
    below = {"loss": curve(end=-1.0), "val_loss": curve(end=-2.0)}
    assert not regressed(made(**below), made(**below))
    assert "loss" not in names(regressed(made(loss=curve(end=-0.5)), made(loss=curve(end=-1.0))))


def test_values_that_are_not_finite_in_both_runs_are_no_regression() -> None:
    torn = made(loss=[*curve()[:150], *[nan] * 50])
    assert not regressed(torn, torn)


# Fires


def test_a_loss_that_ends_higher_is_named_with_the_step_at_which_it_rose() -> None:
    """From step 120 on, the loss is twice that of the baseline."""
    val_loss = curve(end=1.2)
    (difference,) = regressed(
        made(val_loss=[*val_loss[:120], *(2 * v for v in val_loss[120:])]), BASELINE
    ).differences
    assert (difference.signal, difference.what) == ("val_loss", "level at the end")
    assert difference.step == pytest.approx(120, abs=CELL)
    assert difference.ratio == pytest.approx(2, rel=0.01)
    assert difference.observed == pytest.approx(2.4, rel=0.01)


def test_a_run_that_learns_at_half_the_speed_is_named_even_if_it_ends_as_low() -> None:
    """The step that is named is the one at which the baseline had reached the level."""
    (difference,) = regressed(
        made(loss=curve(rate=60.0)), made(loss=curve(rate=30.0)), 0.3
    ).differences
    assert (difference.signal, difference.ratio) == ("loss", pytest.approx(2, rel=0.1))
    assert (
        difference.baseline < difference.observed == pytest.approx(2 * difference.baseline, rel=0.1)
    )
    assert difference.step == pytest.approx(difference.baseline, abs=1)
    assert "of the baseline's fall" in difference.what


def test_speed_is_measured_from_the_first_common_step() -> None:
    """The run of this test was resumed at step 1000."""
    slow, fast = (
        hand_made({"loss": curve(rate)}, steps=range(1000, 1200)) for rate in (60.0, 30.0)
    )
    (difference,) = regressed(slow, fast, 0.3).differences
    assert difference.ratio == pytest.approx(2, rel=0.1)
    assert 1010 < difference.observed < 1100


def test_a_run_that_pauses_is_late_at_the_later_level() -> None:
    """The run makes half of the fall in time, and three quarters of the fall late."""
    halting = [max(value, 1.9) for value in curve(30.0, 0.3)[:100]] + curve(20.0, 0.3, 1.9)[:100]
    (difference,) = regressed(made(loss=halting), made(loss=curve(30.0, 0.3))).differences
    assert difference.what.endswith(", 75% of the baseline's fall")


def test_a_dip_of_one_cell_does_not_count_as_reaching_a_level() -> None:
    """The run has a dip of one cell and learns at half the speed."""
    slow = curve(rate=60.0)
    dipping = [*slow[:8], *[0.5] * 4, *slow[12:]]
    (difference,) = regressed(made(loss=dipping), BASELINE, 0.3).differences
    assert difference.ratio == pytest.approx(2, rel=0.1)


def test_a_level_that_is_never_reached_is_infinitely_worse() -> None:
    """Such a difference is listed first."""
    first, second, *_ = regressed(made(loss=[4.0] * STEPS), BASELINE).differences
    assert (first.observed, first.ratio) == (inf, inf)
    assert re.search(r"reaches 2\.4\d*, 50% of the baseline's fall", str(first))
    assert "never, baseline 22" in str(first)
    assert "infinitely worse, starting at step 22" in str(first)
    assert (second.what, second.ratio) == ("level at the end", pytest.approx(4, rel=0.05))


@pytest.mark.parametrize("factor", [5.0, 0.2, 0.0])
def test_a_signal_whose_level_rises_or_falls_is_named(factor: float) -> None:
    """The level changes after a quarter of the run."""
    (difference,) = regressed(made(grad_norm=[1.0] * 50 + [factor] * 150), BASELINE).differences
    assert (difference.signal, difference.what) == ("grad_norm", "level over time")
    assert difference.step == pytest.approx(50, abs=CELL)
    if factor:
        assert difference.ratio == pytest.approx(5**0.75, rel=0.05)


def test_a_signal_is_named_at_its_site() -> None:
    result = regressed(
        made(activation={"embed": [0.5] * STEPS, "block": [2.0] * 20 + [8.0] * 180}), BASELINE
    )
    assert names(result) == ["activation at block"]


def test_dead_neurons_are_compared_by_the_share_that_lives() -> None:
    """The share of living neurons falls from 0.9 to 0.3."""
    (difference,) = regressed(
        made(dead_fraction={"ffn": [0.1] * 60 + [0.7] * 140}), BASELINE
    ).differences
    assert difference.signal == "dead_fraction at ffn"
    assert difference.step == pytest.approx(60, abs=CELL)
    assert difference.ratio == pytest.approx(3**0.7, rel=0.05)


def test_a_run_that_stops_being_finite_is_worse() -> None:
    """Its series end there. Before that step it is as good as the baseline."""
    (difference,) = regressed(made(loss=[*curve()[:150], *[nan] * 50]), BASELINE).differences
    assert (difference.signal, difference.step, difference.ratio) == ("nonfinite_count", 150, inf)


def test_steps_after_the_end_of_the_baseline_are_not_compared() -> None:
    assert not regressed(made(loss=[*curve()[:150], *[nan] * 50]), made(steps=100))


def test_a_difference_that_passes_is_named_with_its_first_step() -> None:
    """The temporary difference is large enough to change the mean over time."""
    (difference,) = regressed(
        made(grad_norm=[1.0] * 40 + [1e3] * 60 + [1.0] * 100), BASELINE
    ).differences
    assert difference.step == pytest.approx(40, abs=CELL)


def test_a_spike_is_not_the_step_at_which_two_runs_part() -> None:
    """The spike fills one early cell; the level changes at step 120."""
    val_loss = curve(end=1.2)
    spiked = [*val_loss[:40], *[20.0] * 8, *val_loss[48:120], *(2 * v for v in val_loss[120:])]
    (difference,) = regressed(made(val_loss=spiked), BASELINE).differences
    assert difference.step == pytest.approx(120, abs=CELL)


def test_the_tolerance_decides() -> None:
    worse = made(loss=curve(end=1.3))
    assert regressed(worse, BASELINE, 0.2)
    assert not regressed(worse, BASELINE, 0.4)


def test_logs_with_only_a_loss_are_compared_by_it() -> None:
    """For every other signal the result says which run lacks it."""
    result = regressed(hand_made({"loss": curve(end=2.0)}), BASELINE)
    assert set(names(result)) == {"loss"}
    assert result.compared == ("loss",)
    assert set(result.not_compared.values()) == {"the run does not have it"}
    assert "activation at block" in result.not_compared


# What is said


def test_a_failed_assertion_names_the_signal_the_step_and_the_ratio() -> None:
    """pytest shows them in one line. The text of the result lists everything."""
    val_loss = curve(end=1.2)
    worse = made(
        val_loss=[*val_loss[:120], *(2 * v for v in val_loss[120:])],
        grad_norm=[1.6] * STEPS,
        loss=None,
    )
    with pytest.raises(AssertionError) as failure:
        assert not regressed(worse, BASELINE)
    assert "<val_loss: level at the end 2.4" in str(failure.value)
    assert "baseline 1.205, worse by a factor of 2, starting at step 120; and 1 more>" in str(
        failure.value
    )
    lines = str(regressed(worse, BASELINE)).splitlines()
    assert lines[0] == f"worse than the baseline by more than {DEFAULT_TOLERANCE:.0%}"
    assert lines[2].startswith(
        "  grad_norm: level over time 1.6, baseline 1, worse by a factor of 1.6, starting at step 0"
    )
    assert lines[3].startswith("compared: val_loss, grad_norm, ")
    assert lines[4] == "not compared: loss: the run does not have it"


def test_a_result_without_regression_says_what_was_compared() -> None:
    result = regressed(BASELINE, BASELINE)
    assert (repr(result), str(result).splitlines()[0]) == (
        "<no regression in 7 signals>",
        "no regression",
    )


def test_names_from_a_log_cannot_control_a_terminal() -> None:
    worse = made(activation={"x\x1b[2J": [9.0] * STEPS, "y\x1b": [1.0] * STEPS})
    result = regressed(worse, made(activation={"x\x1b[2J": [1.0] * STEPS}))
    assert "\x1b" not in str(result) + repr(result)


# What cannot be compared


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (hand_made({"lr": [0.1] * 40}), "loss: the run does not have it"),
        (
            hand_made({"loss": [4.0] * 4}),
            "loss: 4 points over the steps that both have; 5 are needed",
        ),
        (
            hand_made({"loss": [4.0] * 40}, steps=range(1000, 1040)),
            "loss: 0 points over the steps that both have",
        ),
        (
            hand_made({"loss": [inf] * 40}),
            "loss: 0 intervals of steps in which both runs have finite values",
        ),
    ],
)
def test_runs_that_have_nothing_in_common_are_an_error(record: Record, said: str) -> None:
    """The error says why. A gate that compares nothing must not pass."""
    with pytest.raises(ValueError, match="nothing that can be compared") as error:
        regressed(record, BASELINE)
    assert said in str(error.value)


@pytest.mark.parametrize("tolerance", [0.0, -0.1, nan, inf])
def test_a_tolerance_that_is_not_above_0_is_an_error(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerance is"):
        regressed(BASELINE, BASELINE, tolerance)


def test_it_is_public() -> None:
    assert probes.regressed is regressed
