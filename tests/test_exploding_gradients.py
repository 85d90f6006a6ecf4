"""A gradient norm that grows before a loss that ends high is found; a growth that does no harm or
follows the loss is not."""

from functools import cache

import numpy as np
import pytest

from probes.diagnosis.detectors.exploding_gradients import DETECTOR
from probes.diagnosis.diagnose import diagnose
from probes.record import Record
from testing.small_net import Loop, Net, Row, blobs, constant, train
from tests.judging import found, why_not
from tests.records import hand_made

POINTS = 400
TIME = np.arange(POINTS) / POINTS
NOISE = np.random.default_rng(0).standard_normal(POINTS)
LATE = 1.0 + 9.0 * np.maximum(0, TIME - 0.6)
"""A loss that is where it began for more than half of the run, and then climbs."""


def noisy_run(loss: np.ndarray, norm: np.ndarray) -> Record:
    """A record of a loss and a gradient norm, both with noise."""
    return hand_made(
        {
            "loss": list(loss * np.exp(0.05 * NOISE)),
            "grad_norm": list(norm * np.exp(0.3 * NOISE[::-1])),
        }
    )


def has_finding(loss: np.ndarray, norm: np.ndarray) -> bool:
    """True if a record with this loss and this norm has a finding."""
    return bool(found(DETECTOR, noisy_run(loss, norm)))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_it_fires_on_a_norm_that_grows_before_the_loss_does(scale: float) -> None:
    """The norm grows a hundredfold. The finding is at the last step, its onset where the norm had
    doubled."""
    (finding,) = found(DETECTOR, noisy_run(scale * LATE, scale * 100**TIME))
    assert (finding.symptom, finding.step, finding.limit) == ("grad-norm-rising", POINTS - 1, 10.0)
    assert 20 < finding.observed < 60
    assert 0.1 * POINTS < (finding.onset or 0) < 0.3 * POINTS


@pytest.mark.parametrize(("times", "fires"), [(6, False), (20, True)])
def test_it_needs_a_growth_of_ten_times(times: float, fires: bool) -> None:
    """The norms of sound runs grow by a factor of about five."""
    assert has_finding(LATE, times**TIME) == fires


def test_it_stays_quiet_when_the_loss_falls() -> None:
    """Weights sharpen in healthy runs too."""
    falls = 0.3 + np.exp(-5 * TIME)
    assert not has_finding(falls, 100**TIME)
    assert diagnose(noisy_run(falls, 100**TIME)).verdict == "healthy"


def test_it_stays_quiet_on_a_norm_that_rises_with_the_loss() -> None:
    """The loss is then the reason why the norm grows."""
    climbs = 1.0 + 99 * TIME
    assert has_finding(LATE, 100**TIME)
    assert not has_finding(climbs, climbs)


@pytest.mark.parametrize("outliers", [1, 9])
def test_it_stays_quiet_on_outlying_norms(outliers: int) -> None:
    """The outliers are a thousand times the other norms. Some are next to each other, others are
    spread over the run."""
    norms = np.ones(POINTS)
    norms[100 : 100 + outliers] = 1e3
    norms[200 : 200 + 40 * outliers : 40] = 1e3
    assert not has_finding(LATE, norms)


@pytest.mark.parametrize(("points", "fires"), [(30, False), (90, True)])
def test_it_needs_three_high_segments_of_twenty(points: int, fires: bool) -> None:
    """The norm rises to three times its lowest level, and for a while to thirty times."""
    norms = np.where(TIME < 0.3, 1.0, 3.0)
    norms[250 : 250 + points] = 30.0
    assert has_finding(LATE, norms) == fires


def test_a_loss_that_is_higher_by_less_than_its_noise_has_not_risen() -> None:
    """A rise of 5 % before the norm grows does not count as a rise of the loss."""
    assert has_finding(LATE + 0.05 * (TIME > 0.05), 100**TIME)


def test_it_stays_quiet_on_few_norms_with_much_noise() -> None:
    """The segments of twenty norms that vary by a factor of ten differ by chance."""
    rng = np.random.default_rng(0)
    losses = list(LATE[19::20])
    norms = [list(np.exp(2.3 * rng.standard_normal(20))) for _ in range(200)]
    assert (
        sum(bool(found(DETECTOR, hand_made({"loss": losses, "grad_norm": few}))) for few in norms)
        <= 2
    )


def test_it_stays_quiet_on_norms_written_after_clipping() -> None:
    """Clipped norms show no growth."""
    assert not has_finding(LATE, np.minimum(100**TIME, 1.0))


def test_it_cannot_judge_a_few_norms() -> None:
    """Norms that are 0 or not finite do not count."""
    norms = [1.0] * 19 + [0.0] * 10 + [float("inf")] * 10
    record = hand_made({"loss": [1.0] * 39, "grad_norm": norms})
    assert why_not(DETECTOR, record) == "19 norms that are finite and not 0; 20 are needed"


@cache
def rows_of(decay: float, lr: float) -> list[Row]:
    """A training of a small network at a constant rate."""
    return train(Net((8, 16, 4), "classes", 0), blobs(0), Loop(constant(lr), decay=decay))


def record_of_network(every: int = 1, decay: float = 0.0, lr: float = 0.1) -> Record:
    """A record that holds one of every `every` rows of that training."""
    rows = rows_of(decay, lr)[every - 1 :: every]
    return hand_made({name: [row[name] for row in rows] for name in ("loss", "grad_norm")})


@pytest.mark.parametrize("every", [1, 10])
def test_weight_decay_of_the_wrong_sign_explodes(every: int) -> None:
    """The explosion is named first, and then the divergence that follows from it."""
    causes = [suspect.name for suspect in diagnose(record_of_network(every, decay=-0.05)).causes]
    assert causes[0] == "exploding-gradients"
    assert "diverged" in causes


@pytest.mark.parametrize("every", [1, 10])
def test_an_update_of_the_wrong_sign_diverges(every: int) -> None:
    """The norm grows to two hundred times its lowest level, but not before the loss rises."""
    record = record_of_network(every, lr=-0.003)
    assert found(DETECTOR, record) == []
    assert diagnose(record).cause == "diverged"
