"""A loss that rises with the learning rate and ends no better is found; a warm restart is not."""

import numpy as np
import pytest

from probes.diagnosis.detectors.rate_too_high import DETECTOR, RISES_WITH_LR
from probes.record import Record, Table
from testing.faults import rows_of
from tests.judging import found, why_not

N = 400
T = np.arange(N) / N
Array = np.ndarray
WARMUP = np.interp(T, [0, 0.4, 1], [0.01, 1.0, 0.0])
"""A rate that rises linearly for 0.4 of the run and then falls to 0."""
ONLY_DOWN = 1 - T
RESTARTED = np.interp(T, [0, 0.1, 0.3, 0.301, 1], [0.01, 1, 0.1, 1, 0])


def record_of(losses: Array, rates: Array) -> Record:
    """A record of a loss and a learning rate, built from their arrays."""
    columns = {"loss": losses, "lr": rates}
    tables = {
        name: Table(("",), np.asarray(column, dtype=float)[:, None])
        for name, column in columns.items()
    }
    return Record({}, np.arange(len(losses)), tables)


def curve(given: float, end: float, top: float = 0.45, sigma: float = 0.1, seed: int = 0) -> Array:
    """A loss that falls from 4 to 1 by 15 % of the run, rises by `given` of what was learned, and
    comes to `end`."""
    level = np.interp(T, [0, 0.15, 0.2, top, 1], [4.0, 1.0, 1.0, 1 + 3 * given, end])
    return level + sigma * np.random.default_rng(seed).standard_normal(N)


def symptoms(losses: Array, rates: Array) -> list[str]:
    return [f.symptom for f in found(DETECTOR, record_of(losses, rates))]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(("given", "end"), [(0.4, 1.3), (1.0, 1.3), (1.0, 4.0)])
def test_it_fires_where_the_loss_rises_with_the_rate_and_ends_no_better(
    given: float, end: float, scale: float
) -> None:
    """It fires in any unit, whether the loss comes down again with the rate or stays high."""
    (finding,) = found(DETECTOR, record_of(scale * curve(given, end), WARMUP))
    assert (finding.symptom, finding.step) == (RISES_WITH_LR.name, N - 1)
    assert finding.observed == pytest.approx(max(given, (end - 1) / 3), abs=0.1)
    assert 0.1 * N <= (finding.onset or 0) <= 0.3 * N


@pytest.mark.parametrize("name", ["peak-too-high", "peak-too-high-plain", "peak-far-too-high"])
def test_it_fires_on_trainings(name: str) -> None:
    """The peak rates are ten to a hundred times what the task needs."""
    rows = rows_of(name)
    losses, rates = (np.array([row[column] for row in rows]) for column in ("loss", "lr"))
    assert symptoms(losses, rates) == [RISES_WITH_LR.name]


@pytest.mark.parametrize(
    ("losses", "rates"),
    [
        (curve(0.2, 1.3), WARMUP),
        (curve(0.4, 0.7), WARMUP),
        (curve(0.4, 1.3), RESTARTED),
        (curve(0.4, 1.3, sigma=1.0), WARMUP),
        (curve(0.4, 1.3)[: N // 2], WARMUP[: N // 2]),
    ],
    ids=[
        "a fifth given back",
        "ends better",
        "a rate that was there before",
        "within noise",
        "may yet come back",
    ],
)
def test_it_stays_quiet_just_off_each_limit(losses: Array, rates: Array) -> None:
    """The cases are a rise of less than a quarter, a better end, a rate that was as high before,
    noise, and less than half of the rise left while the rate is high."""
    assert symptoms(losses, rates) == []


def test_it_fires_while_the_rate_is_still_high_if_half_is_lost() -> None:
    """The run is cut at its peak rate and has given back most of what it had learned."""
    assert symptoms(curve(0.9, 1.3)[: N // 2], WARMUP[: N // 2]) == [RISES_WITH_LR.name]


def test_it_stays_quiet_on_a_rate_that_jumps_for_one_step() -> None:
    """The detector of loss spikes judges such a jump."""
    rates = np.full(N, 0.1)
    rates[101] = 5.0
    assert symptoms(curve(0.9, 1.3), rates) == []


@pytest.mark.parametrize(
    "name", ["high-peak", "mid-schedule", "momentum", "cosine", "regression", "in-millions"]
)
def test_it_stays_quiet_wherever_a_training_is_cut(name: str) -> None:
    """Some cuts fall into a temporary rise during warmup, after which the run learns as it
    should."""
    rows = rows_of(name)
    losses, rates = (np.array([row[column] for row in rows]) for column in ("loss", "lr"))
    alarms = []
    for cut in range(20, len(losses), 20):
        if rates[:cut].max() > 2 * rates[0]:
            alarms += symptoms(losses[:cut], rates[:cut])
    assert alarms == []


@pytest.mark.parametrize("rates", [np.full(N, 0.1), ONLY_DOWN], ids=["constant", "only falls"])
def test_it_cannot_judge_a_rate_that_never_rises(rates: Array) -> None:
    """There is no lower rate to compare with."""
    assert (
        why_not(DETECTOR, record_of(curve(1, 4), rates))
        == "the rate never rises: no lower rate to compare with"
    )


def test_it_cannot_judge_without_a_rate_or_enough_points() -> None:
    """The reason says which is missing."""
    losses = curve(1, 4)
    alone = Record({}, np.arange(N), {"loss": Table(("",), losses[:, None])})
    assert why_not(DETECTOR, alone) == "lr was not recorded"
    assert (
        why_not(DETECTOR, record_of(losses[:19], WARMUP[:19]))
        == "19 finite points of loss; 20 are needed"
    )
