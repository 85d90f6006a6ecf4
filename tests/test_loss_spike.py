"""A spike gives back, at once and for more than one point, a good part of what was learned. Noise
and outliers do not."""

import numpy as np
import pytest

from probes.diagnosis.detectors.loss_spike import DETECTOR
from probes.record import Record, Table
from testing.small_net import Adam, constant, restarts
from tests.judging import found, symptoms, why_not
from tests.records import hand_made

POINTS = 200


def noisy(seed: int = 0, sigma: float = 0.05, scale: float = 1.0) -> np.ndarray:
    """A loss that falls from 4 to 1, with noise of a given relative size."""
    rng = np.random.default_rng(seed)
    trend = 1 + 3 * np.exp(-np.arange(POINTS) / 20)
    return scale * trend * (1 + rng.normal(0, sigma, POINTS))


def raised(at: int, height: float, points: int = 2, **options: float) -> Record:
    """A record of the loss of `noisy` with some points raised."""
    losses = noisy(**options)
    losses[at : at + points] += height
    return hand_made({"loss": losses.tolist()})


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("at", [60, 150, POINTS - 2])
def test_it_fires_on_two_points_up_by_half_of_what_was_learned(at: int, scale: float) -> None:
    """The detector fires in any unit, at the second of the two points."""
    (finding,) = found(DETECTOR, raised(at, 1.5 * scale, scale=scale))
    assert (finding.symptom, finding.step, finding.onset) == ("loss-spike", at + 1, at)
    assert finding.observed == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("height", [1.5, 2.7, 90.0])
def test_it_stays_quiet_on_a_single_point(height: float) -> None:
    """An unusual batch leaves the model as it was, however high its loss is."""
    assert found(DETECTOR, raised(150, height, points=1)) == []


@pytest.mark.parametrize(("height", "expected"), [(1.0, []), (9.0, [150])])
def test_a_smoothed_loss_must_rise_further(height: float, expected: list[int]) -> None:
    """A single outlier raises as many points of a running mean as the mean covers."""
    smooth = np.convolve(noisy(sigma=0.2), np.full(10, 0.1), "same")[:190]
    smooth[150:160] += height
    assert [f.onset for f in found(DETECTOR, hand_made({"loss": smooth.tolist()}))] == expected


def test_it_stays_quiet_on_a_rise_of_a_fifth_of_what_was_learned() -> None:
    """A few hard batches cause that."""
    assert found(DETECTOR, raised(150, 0.55)) == []


@pytest.mark.parametrize("seed", range(20))
def test_it_stays_quiet_on_noise_of_a_tenth(seed: int) -> None:
    """The noise is twice that of MiniGPT's batches."""
    assert found(DETECTOR, hand_made({"loss": noisy(seed, 0.1).tolist()})) == []


@pytest.mark.parametrize("seed", range(10))
def test_it_stays_quiet_on_growing_noise_with_a_heavy_tail(seed: int) -> None:
    """A confident model has next to no loss on most batches and a large loss on a few."""
    rng = np.random.default_rng(seed)
    time = np.arange(2000) / 2000
    losses = 0.05 + 2 * np.exp(-10 * time) + (0.1 + time) * rng.exponential(0.3, 2000)
    assert found(DETECTOR, in_memory(losses)) == []


def test_it_stays_quiet_in_noise_as_wide_as_the_rise() -> None:
    """A rise of a quarter of the fall is then usual."""
    rng = np.random.default_rng(0)
    losses = [4.0, *(1.0 + 0.8 * rng.uniform(-1, 1, POINTS))]
    assert found(DETECTOR, hand_made({"loss": losses})) == []


def test_it_stays_quiet_after_a_similar_rise() -> None:
    """The largest rise among the hundred points before shows what is usual."""
    losses = noisy(sigma=0.01)
    losses[150:152] += 1.5
    assert len(found(DETECTOR, hand_made({"loss": losses.tolist()}))) == 1
    losses[100] += 0.7
    assert found(DETECTOR, hand_made({"loss": losses.tolist()})) == []


@pytest.mark.parametrize("seed", range(6))
def test_it_stays_quiet_on_outliers_of_a_flat_loss(seed: int) -> None:
    """A flat loss has learned nothing that it could lose, even if two batches are ten sigma off."""
    losses = 1 + 0.01 * np.random.default_rng(seed).standard_normal(POINTS)
    losses[120:122] += 0.1
    assert found(DETECTOR, hand_made({"loss": losses.tolist()})) == []


def test_it_stays_quiet_on_a_loss_that_only_rises() -> None:
    """A loss that only rises has learned nothing that it could lose."""
    assert found(DETECTOR, hand_made({"loss": [1.0 + i for i in range(40)]})) == []


def test_a_spike_that_is_half_a_decade_worse_is_reported_again() -> None:
    """A spike of the same size is not reported again."""
    losses = noisy()
    for at, height in ((60, 1.5), (100, 1.5), (150, 9.0)):
        losses[at : at + 2] += height
    assert [f.onset for f in found(DETECTOR, hand_made({"loss": losses.tolist()}))] == [60, 150]


@pytest.mark.parametrize(("held", "expected"), [(1, [150]), (POINTS, [])])
def test_a_rate_that_was_raised_and_stays_up_is_a_restart(held: int, expected: list[int]) -> None:
    """A rate that is high for a single step is the cause of a spike."""
    losses, rates = noisy(), np.full(POINTS, 0.01)
    losses[150:153] += 1.5
    rates[149 : 149 + held] = 0.1
    record = hand_made({"loss": losses.tolist(), "lr": rates.tolist()})
    assert [f.onset for f in found(DETECTOR, record)] == expected


@pytest.mark.parametrize(
    "schedule", [restarts(0.01, 300), constant(0.003)], ids=["restarts", "constant"]
)
@pytest.mark.parametrize("seed", range(2))
def test_it_stays_quiet_on_sound_trainings(schedule, seed: int) -> None:
    """This holds with and without the learning rate in the log. `studies.spikes` tries many more
    trainings."""
    from testing.faults import classes

    rows = classes(schedule, seed=seed, optimizer=Adam, batch=4)
    signals = {name: [row[name] for row in rows] for name in ("loss", "lr")}
    assert found(DETECTOR, hand_made(signals)) == []
    assert found(DETECTOR, hand_made({"loss": signals["loss"]})) == []


def test_it_cannot_judge_twenty_points() -> None:
    """None of them has twenty points before it."""
    assert (
        why_not(DETECTOR, hand_made({"loss": [1.0] * 20}))
        == "20 finite points of loss; 21 are needed"
    )


@pytest.mark.parametrize("seed", range(3))
def test_it_stays_quiet_on_a_hundred_thousand_steps_of_noise(seed: int) -> None:
    """This holds whether nothing or much was learned. More points give more chances of a false
    alarm."""
    rng = np.random.default_rng(seed)
    level = 1 + 0.05 * rng.standard_normal(100_000)
    fallen = level + 3 * np.exp(-np.arange(100_000) / 10_000)
    assert [symptoms(DETECTOR, in_memory(losses)) for losses in (level, fallen)] == [[], []]


def in_memory(losses: np.ndarray) -> Record:
    """A record of a loss alone, built from its array."""
    return Record({}, np.arange(len(losses)), {"loss": Table(("",), losses[:, None])})
