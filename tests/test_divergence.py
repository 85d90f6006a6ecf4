"""A loss ends high when it climbs away, is thrown up or loses what it had learned, and not when it
comes back."""

from collections.abc import Callable

import numpy as np
import pytest

from probes.diagnosis.detectors.divergence import (
    ABOVE,
    BACK,
    CLIMBS,
    DETECTOR,
    ENDS_ABOVE_START,
    ENDS_HIGH,
    EXPLODES,
    THREW,
)
from probes.record import Record, Table
from testing.faults import rows_of
from tests.judging import found, why_not

N = 400
T = np.arange(N) / N
Array = np.ndarray


def noise(points: int = N, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(points)


def of(losses: Array) -> Record:
    """A record of a loss alone, made at once."""
    return Record(
        {}, np.arange(len(losses)), {"loss": Table(("",), np.asarray(losses, dtype=float)[:, None])}
    )


def sources(losses: Array) -> list[str]:
    return [f.source for f in found(DETECTOR, of(losses))]


def learned(t: Array = T) -> Array:
    """A loss that falls from 4 to 1."""
    return 1 + 3 * np.exp(-10 * t)


THROWN = np.r_[1.4, 12, 10, 14, 7, 7, np.full(N - 6, 1.6)] + np.r_[0, 0.05 * noise(N - 1)]
LOST = np.where(T < 0.5, learned(), 4.0) + 0.1 * noise()
HIGH = {
    "climbs above its start": (2 + 3 * T**2 + 0.1 * noise(), ABOVE),
    "thrown by the first updates": (THROWN, THREW),
    "explodes at the end": (np.r_[learned()[:-5], 1e3 * np.ones(5)], EXPLODES),
    "lost for good": (LOST, BACK),
    "climbs back": (learned() + 3 * np.maximum(0, T - 0.5) ** 0.5 + 0.1 * noise(), CLIMBS),
}


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(("losses", "source"), HIGH.values(), ids=HIGH)
def test_it_fires_on_a_loss_that_ends_high(losses: Array, source: str, scale: float) -> None:
    """Whatever its unit, and at the last step, since only the end tells."""
    first = found(DETECTOR, of(scale * losses))[0]
    assert (first.symptom, first.step, first.source) == (ENDS_HIGH.name, N - 1, source)
    assert 0 < first.strength < 5


@pytest.mark.parametrize(
    ("losses", "symptoms"),
    [
        (HIGH["climbs above its start"][0], [ENDS_HIGH.name, ENDS_ABOVE_START.name]),
        (LOST, [ENDS_HIGH.name]),
    ],
)
def test_what_ends_above_its_start_is_told_from_what_is_only_lost(
    losses: Array, symptoms: list[str]
) -> None:
    """A model that no gradient reaches is as bad as at its start, and no worse."""
    assert [f.symptom for f in found(DETECTOR, of(losses))] == symptoms


def test_it_says_since_when() -> None:
    """The stretch from which on all was lost."""
    assert [f.onset for f in found(DETECTOR, of(LOST))] == [N // 2]


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("ascending", 20),
        *((name, n) for name in ("ascending", "killed-units") for n in (100, 10_000)),
    ],
)
def test_it_depends_on_no_length(name: str, points: int) -> None:
    """Each point the value at its place of a training; of what was learned, twenty in noise do not
    show enough."""
    losses = np.array([row["loss"] for row in rows_of(name)])
    at = np.linspace(0, len(losses) - 1, points).astype(int)
    assert ENDS_HIGH.name in [f.symptom for f in found(DETECTOR, of(losses[at]))]


BACK_AGAIN: dict[str, Callable[[Array], Array]] = {
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
@pytest.mark.parametrize("shape", BACK_AGAIN.values(), ids=BACK_AGAIN)
def test_it_stays_quiet_on_what_comes_back(
    shape: Callable[[Array], Array], tails: float, seed: int
) -> None:
    """In noise of a tenth, with tails that have no variance to speak of and without."""
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal(N) if np.isinf(tails) else rng.standard_t(tails, N)
    assert sources(shape(T) + 0.1 * drawn) == []


@pytest.mark.parametrize(
    "name", ["high-peak", "fine-tuned", "resumed", "killed-and-resumed", "restarts"]
)
def test_it_stays_quiet_wherever_a_training_is_cut(name: str) -> None:
    """A bump that is still to come back among them."""
    losses = np.array([row["loss"] for row in rows_of(name)])
    assert [cut for cut in range(20, len(losses), 20) if sources(losses[:cut])] == []


@pytest.mark.parametrize("points", [20, 40, 200, 2000])
def test_it_stays_quiet_on_noise_smoothed_by_a_running_mean(points: int) -> None:
    """Which wanders, and whose neighbouring points say nothing of by how much: of fifty flat curves
    hardly any."""
    alarms = []
    for seed in range(50):
        drawn = 1 + 0.5 * noise(points + 19, seed)
        alarms += sources(np.convolve(drawn, np.full(20, 1 / 20), mode="valid"))
    assert len(alarms) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_a_spike_at_the_very_end_is_no_loss_for_good(seed: int) -> None:
    """Three wild points of a last stretch of five are the business of another."""
    losses = learned(np.arange(20) / 20) + 0.02 * noise(20, seed)
    losses[-3:] += 4.0
    assert sources(losses) == []


NO_MORE = {
    "on its way down": np.interp(T, [0, 0.5, 1], [2, 10, 6]) + 0.1 * noise(),
    "far below its highest": np.interp(T, [0, 0.3, 0.5, 0.52, 1], [2, 2.5, 40, 4.2, 4.4])
    + 0.1 * noise(),
    "creeping up": learned() + 0.6 * np.maximum(0, T - 0.5) + 0.02 * noise(),
    "doubled within its noise": np.interp(T, [0, 0.3, 1], [1, 2, 2]) * np.exp(0.6 * noise(seed=3)),
}


@pytest.mark.parametrize("losses", NO_MORE.values(), ids=NO_MORE)
def test_it_stays_quiet_on_what_is_high_and_no_more(losses: Array) -> None:
    """Each held back by one limit alone."""
    assert sources(losses) == []


def test_points_that_are_not_finite_do_not_count() -> None:
    """Those before them do."""
    assert sources(np.r_[LOST, np.full(20, np.nan)]) == [BACK]


def test_it_cannot_judge_fewer_than_twenty_points() -> None:
    """Four stretches of five are the fewest."""
    assert why_not(DETECTOR, of(np.ones(19))) == "19 finite points of loss; 20 are needed"
