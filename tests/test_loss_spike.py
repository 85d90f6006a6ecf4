"""A spike gives back, in one step, a good part of what was learned; noise does not."""

import numpy as np
import pytest

from probes.detectors.loss_spike import DETECTOR
from probes.record import Record, Table
from tests.judging import found, symptoms, why_not
from tests.records import hand_made

POINTS = 200


def noisy(seed: int = 0, sigma: float = 0.05, scale: float = 1.0) -> np.ndarray:
    """A loss that falls from 4 to 1, with noise of a given relative size."""
    rng = np.random.default_rng(seed)
    trend = 1 + 3 * np.exp(-np.arange(POINTS) / 20)
    return scale * trend * (1 + rng.normal(0, sigma, POINTS))


def with_jump(at: int, height: float, **options: float) -> np.ndarray:
    losses = noisy(**options)
    losses[at] += height
    return losses


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("at", [60, 150, POINTS - 1])
def test_it_fires_on_a_jump_by_half_of_what_was_learned(at: int, scale: float) -> None:
    """Whatever the unit of the loss."""
    losses = noisy(scale=scale)
    losses[at] += 1.5 * scale
    assert symptoms(DETECTOR, hand_made({"loss": losses.tolist()})) == [("loss-spike", "", at)]


def test_it_stays_quiet_on_a_jump_by_a_fifth_of_it() -> None:
    """A hard batch."""
    assert found(DETECTOR, hand_made({"loss": with_jump(150, 0.55).tolist()})) == []


@pytest.mark.parametrize("seed", range(20))
def test_it_stays_quiet_on_noise_of_a_tenth(seed: int) -> None:
    """Twice that of our batches."""
    assert found(DETECTOR, hand_made({"loss": noisy(seed, 0.1).tolist()})) == []


def test_it_stays_quiet_in_noise_as_wide_as_the_jump() -> None:
    """A quarter of the fall is then nothing out of the ordinary."""
    rng = np.random.default_rng(0)
    losses = [4.0, *(1.0 + 0.8 * rng.uniform(-1, 1, POINTS))]
    assert found(DETECTOR, hand_made({"loss": losses})) == []


def test_a_window_that_is_itself_sick_hides_nothing() -> None:
    """Eight bumps among the twenty points before it, each too small to count: a mean would follow them."""
    losses = with_jump(150, 0.84, sigma=0.002)
    losses[131:147:2] += 0.6
    mean = losses[130:150].mean()
    assert losses[150] - mean < 0.25 * (losses[2] - mean)
    assert symptoms(DETECTOR, hand_made({"loss": losses.tolist()})) == [("loss-spike", "", 150)]


@pytest.mark.parametrize("seed", range(6))
def test_it_stays_quiet_on_an_outlier_where_nothing_was_learned(seed: int) -> None:
    """There is nothing to give back: a level loss with one batch ten sigma off."""
    losses = 1 + 0.01 * np.random.default_rng(seed).standard_normal(POINTS)
    losses[120] += 0.1
    assert found(DETECTOR, hand_made({"loss": losses.tolist()})) == []


def test_a_spike_that_is_far_worse_is_told_again() -> None:
    """By half a decade; an equal one is not."""
    losses = noisy()
    losses[[60, 100, 150]] += [1.5, 1.5, 9.0]
    assert [f.step for f in found(DETECTOR, hand_made({"loss": losses.tolist()}))] == [60, 150]


def test_it_stays_quiet_where_nothing_was_learned_yet() -> None:
    """A loss that only rises gives nothing back."""
    assert found(DETECTOR, hand_made({"loss": [1.0 + i for i in range(40)]})) == []


def test_it_cannot_judge_twenty_points() -> None:
    """There is no window before any of them."""
    assert why_not(DETECTOR, hand_made({"loss": [1.0] * 20})) == "20 finite points of loss; 21 are needed"


@pytest.mark.parametrize("seed", range(3))
def test_it_stays_quiet_on_a_hundred_thousand_steps_of_noise(seed: int) -> None:
    """Where next to nothing was learned, and where a lot was: the more points, the more chances to be misled."""
    rng = np.random.default_rng(seed)
    level = 1 + 0.05 * rng.standard_normal(100_000)
    fallen = level + 3 * np.exp(-np.arange(100_000) / 10_000)
    assert [found(DETECTOR, in_memory(losses)) for losses in (level, fallen)] == [[], []]


def in_memory(losses: np.ndarray) -> Record:
    """A record of a loss alone, made at once."""
    return Record({}, np.arange(len(losses)), {"loss": Table(("",), losses[:, None])})
