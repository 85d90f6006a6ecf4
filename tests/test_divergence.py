"""A loss ends high when it climbs away, is thrown up by the first updates, or loses what it had
learned; not when it comes back."""

from collections.abc import Callable

import numpy as np
import pytest

from probes.diagnosis.detectors.divergence import (
    ABOVE_START,
    BACK_AT_START,
    CLIMB_AT_END,
    DETECTOR,
    ENDS_ABOVE_START,
    ENDS_HIGH,
    EXPLOSION,
    FAR_ABOVE_LOWEST,
    FAR_ABOVE_START,
    THROWN_AT_START,
)
from probes.record import Record, Table
from testing.faults import rows_of
from tests.judging import found, why_not
from tests.records import hand_made

N = 400
T = np.arange(N) / N
Array = np.ndarray


def noise(points: int = N, seed: int = 0) -> Array:
    """Independent Gaussian noise of deviation 1."""
    return np.random.default_rng(seed).standard_normal(points)


def record_of(losses: Array) -> Record:
    """A record of a loss alone, built from its arrays."""
    return Record(
        {}, np.arange(len(losses)), {"loss": Table(("",), np.asarray(losses, dtype=float)[:, None])}
    )


def sources(losses: Array) -> list[str]:
    """The sources of the findings, which name the rules that fired."""
    return [f.source for f in found(DETECTOR, record_of(losses))]


def learned(t: Array = T) -> Array:
    """A loss that falls from 4 to 1."""
    return 1 + 3 * np.exp(-10 * t)


THROWN = np.r_[1.4, 12, 10, 14, 7, 7, np.full(N - 6, 1.6)] + np.r_[0, 0.05 * noise(N - 1)]
LOST = np.where(T < 0.5, learned(), 4.0) + 0.1 * noise()
ENDS_HIGH_BY = {
    "climbs above its start": (2 + 3 * T**2 + 0.1 * noise(), ABOVE_START),
    "thrown by the first updates": (THROWN, THROWN_AT_START),
    "explodes at the end": (np.r_[learned()[:-5], 1e3 * np.ones(5)], EXPLOSION),
    "lost for good": (LOST, BACK_AT_START),
    "climbs back": (learned() + 3 * np.maximum(0, T - 0.5) ** 0.5 + 0.1 * noise(), CLIMB_AT_END),
}


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(("losses", "source"), ENDS_HIGH_BY.values(), ids=ENDS_HIGH_BY)
def test_it_fires_on_a_loss_that_ends_high(losses: Array, source: str, scale: float) -> None:
    """It fires in any unit. The finding is at the last step, since only the end of a run shows
    it."""
    first = found(DETECTOR, record_of(scale * losses))[0]
    assert (first.symptom, first.step, first.source) == (ENDS_HIGH.name, N - 1, source)
    assert 0 < first.strength < 5


@pytest.mark.parametrize(
    ("losses", "symptoms"),
    [
        (ENDS_HIGH_BY["climbs above its start"][0], [ENDS_HIGH.name, ENDS_ABOVE_START.name]),
        (LOST, [ENDS_HIGH.name]),
    ],
)
def test_a_loss_above_its_start_is_a_symptom_of_its_own(losses: Array, symptoms: list[str]) -> None:
    """Without gradients a loss can return to its start level, but not exceed it."""
    assert [f.symptom for f in found(DETECTOR, record_of(losses))] == symptoms


def test_the_onset_is_where_the_high_end_begins() -> None:
    """The onset is the first step of the segment from which on all that was learned stays lost."""
    assert [f.onset for f in found(DETECTOR, record_of(LOST))] == [N // 2]


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("ascending", 20),
        *((name, n) for name in ("ascending", "killed-units") for n in (100, 10_000)),
    ],
)
def test_it_does_not_depend_on_the_length_of_the_log(name: str, points: int) -> None:
    """The same training is logged at more or fewer points. Twenty noisy points are too few to show
    that much was learned, so only the ascent is tried with twenty."""
    losses = np.array([row["loss"] for row in rows_of(name)])
    at = np.linspace(0, len(losses) - 1, points).astype(int)
    assert ENDS_HIGH.name in [f.symptom for f in found(DETECTOR, record_of(losses[at]))]


COMES_BACK: dict[str, Callable[[Array], Array]] = {
    "falls": learned,
    "flat": np.ones_like,
    "harder by a fifth": lambda t: learned(t) + 0.2 * (t > 0.5),
    "flat, then harder by a fifth": lambda t: 1 + 0.2 * (t > 0.5),
    "a bump that comes back": lambda t: learned(t) + 2.5 * np.exp(-(((t - 0.5) / 0.05) ** 2)),
    "re-warmed": lambda t: 1 + 0.3 * np.exp(-(((t - 0.3) / 0.1) ** 2)),
    "rises for long and comes back": lambda t: (
        learned(t) + 2.5 * np.exp(-(((t - 0.5) / 0.15) ** 2))
    ),
    "a density's, below zero": lambda t: 0.5 - 2 * t,
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tails", [np.inf, 3])
@pytest.mark.parametrize("shape", COMES_BACK.values(), ids=COMES_BACK)
def test_it_stays_quiet_on_a_loss_that_comes_back(
    shape: Callable[[Array], Array], tails: float, seed: int
) -> None:
    """The noise has a scale of 0.1, and is Gaussian or has heavy tails."""
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal(N) if np.isinf(tails) else rng.standard_t(tails, N)
    assert sources(shape(T) + 0.1 * drawn) == []


@pytest.mark.parametrize(
    "name", ["high-peak", "fine-tuned", "resumed", "killed-and-resumed", "restarts"]
)
def test_it_stays_quiet_wherever_a_training_is_cut(name: str) -> None:
    """Some cuts fall into a rise from which the loss has not come back yet."""
    losses = np.array([row["loss"] for row in rows_of(name)])
    assert [cut for cut in range(20, len(losses), 20) if sources(losses[:cut])] == []


@pytest.mark.parametrize("points", [20, 40, 200, 2000])
def test_it_stays_quiet_on_noise_smoothed_by_a_running_mean(points: int) -> None:
    """The differences of neighbouring points understate such noise. Of fifty flat curves at most
    one fires."""
    alarms = []
    for seed in range(50):
        drawn = 1 + 0.5 * noise(points + 19, seed)
        alarms += sources(np.convolve(drawn, np.full(20, 1 / 20), mode="valid"))
    assert len(alarms) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_it_stays_quiet_on_a_spike_at_the_very_end(seed: int) -> None:
    """Three high points in a last segment of five are a spike, which another detector finds."""
    losses = learned(np.arange(20) / 20) + 0.02 * noise(20, seed)
    losses[-3:] += 4.0
    assert sources(losses) == []


ONE_LIMIT_MISSED = {
    "on its way down": np.interp(T, [0, 0.4, 0.7, 1], [2, 10, 2.6, 2.2]) + 0.1 * noise(),
    "creeping up": learned() + 0.6 * np.maximum(0, T - 0.5) + 0.02 * noise(),
    "doubled within its noise": np.interp(T, [0, 0.3, 1], [1, 2, 2]) * np.exp(1.5 * noise(seed=3)),
}


@pytest.mark.parametrize("losses", ONE_LIMIT_MISSED.values(), ids=ONE_LIMIT_MISSED)
def test_it_stays_quiet_when_a_single_limit_is_missed(losses: Array) -> None:
    """Each of these losses meets all limits of a rule but one."""
    assert sources(losses) == []


def test_nonfinite_points_are_ignored() -> None:
    """The points before them are judged."""
    assert sources(np.r_[LOST, np.full(20, np.nan)]) == [BACK_AT_START]


def test_it_cannot_judge_fewer_than_three_points() -> None:
    """Two of them are the end."""
    assert why_not(DETECTOR, record_of(np.ones(2))) == "2 finite points of loss; 3 are needed"


@pytest.mark.parametrize(("times", "expected"), [(9.0, []), (11.0, [FAR_ABOVE_START])])
def test_a_loss_of_five_points_must_rise_to_ten_times_its_first(
    times: float, expected: list[str]
) -> None:
    """Its noise is not known."""
    losses = np.array([2.0, 2.1, 1.9, 2.0 * times, 2.0 * times])
    assert sources(losses)[:1] == expected


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([3.6, 9.1, 9.4, 9.2, 9.3, 9.4, 9.2, 9.4], ["far above its first value"]),
        ([9.0, 3.0, 0.6, 0.5, 2.0, 2.2, 2.1, 2.3, 2.2, 2.1], ["far above its lowest"]),
        ([9.0, 3.0, 1.9, 1.7, 2.0, 2.2, 2.1, 2.3], []),
        ([3.0, 2.5, 2.2, 2.0, 1.9, 1.8, 1.75, 1.7], []),
    ],
    ids=["above its start", "above its lowest", "a little above", "falls"],
)
def test_a_short_loss_is_judged_on_a_ratio_scale(losses: list[float], expected: list[str]) -> None:
    """Eight or ten points: it ends half above its first value, or at twice its lowest."""
    wanted = {
        "far above its first value": FAR_ABOVE_START,
        "far above its lowest": FAR_ABOVE_LOWEST,
    }
    assert sources(np.array(losses))[:1] == [wanted[name] for name in expected]


def test_a_validation_loss_that_ends_well_clears_a_training_loss_that_ends_high() -> None:
    """Batches that become harder raise the training loss alone."""
    rising = np.interp(T, [0, 0.5, 0.52, 1], [4, 1, 3, 3]) * np.exp(0.05 * noise())
    record = record_of(rising)
    assert found(DETECTOR, record) != []
    good = [None] * len(rising)
    good[9::10] = np.linspace(3, 1, len(rising) // 10).tolist()
    assert found(DETECTOR, hand_made({"loss": rising.tolist(), "val_loss": good})) == []
