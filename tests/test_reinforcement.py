"""The loss of a policy is recognised by the columns beside it or by its signs, and rules for a loss
are not applied to it."""

from pathlib import Path

import numpy as np
import pytest

from probes import diagnose, read
from probes.record import REINFORCEMENT
from testing.logs import csv_of, written
from tests.records import hand_made

POINTS = 200
TIME = np.arange(POINTS) / POINTS
FALLS = list(3.0 - 2.0 * TIME)
OF_LOSSES = (
    "loss-spike",
    "divergence",
    "stalled",
    "at-ln-k",
    "loss-zero",
    "vanishing-gradients",
    "exploding-gradients",
)


def noise(seed: int = 0, points: int = POINTS) -> np.ndarray:
    """Independent Gaussian noise of deviation 1."""
    return 0.1 * np.random.default_rng(seed).standard_normal(points)


def logged(folder: Path, **columns):
    """The diagnosis of a log with these columns."""
    return diagnose(read(written(folder, csv_of(step=range(POINTS), **columns))))


# By its columns


def test_a_log_with_rewards_is_not_judged_by_its_loss(tmp_path: Path) -> None:
    """Without the rewards its loss would be an alarm."""
    spiked = [*FALLS[:120], 30.0, 30.0, 30.0, *FALLS[123:]]
    assert logged(tmp_path, loss=spiked).cause == "loss-spike"
    diagnosis = logged(tmp_path, loss=spiked, grad_norm=[1.0] * POINTS, reward=list(TIME))
    assert (diagnosis.verdict, diagnosis.alarm, diagnosis.findings) == ("undetermined", False, ())
    assert diagnosis.reason.startswith("cannot judge: reinforcement learning")
    assert all(diagnosis.not_judged[name].startswith(REINFORCEMENT) for name in OF_LOSSES)


def test_preference_learning_is_judged_by_its_loss(tmp_path: Path) -> None:
    """The loss of preference learning falls from ln 2."""
    falls = list(np.log(2) * np.exp(-TIME))
    diagnosis = logged(
        tmp_path, loss=falls, **{"rewards/chosen": list(TIME), "rewards/margins": list(TIME)}
    )
    assert diagnosis.verdict == "healthy"


def test_a_log_of_rewards_without_a_loss_is_not_judged(tmp_path: Path) -> None:
    """Such a log is no alarm either."""
    diagnosis = logged(tmp_path, lr=[0.1] * POINTS, reward=list(-TIME))
    assert (diagnosis.verdict, diagnosis.alarm) == ("undetermined", False)


# By the fact, in a record of one's own


@pytest.mark.parametrize(
    ("stated", "verdict"), [(REINFORCEMENT, "undetermined"), ("classification", "healthy")]
)
def test_a_record_may_state_that_it_is_of_reinforcement_learning(stated: str, verdict: str) -> None:
    """Other objectives change nothing."""
    assert diagnose(hand_made({"loss": FALLS}, objective=stated)).verdict == verdict


def test_the_schedule_of_a_policy_is_judged() -> None:
    """The rule for the schedule needs no loss."""
    signals = {"loss": FALLS, "lr": [0.1] * POINTS}
    diagnosis = diagnose(
        hand_made(signals, objective=REINFORCEMENT, schedule="cosine", total_steps=POINTS)
    )
    assert diagnosis.cause == "schedule-never-stepped"


@pytest.mark.parametrize(
    "stated", [{}, {"objective": REINFORCEMENT}], ids=["by its signs", "stated"]
)
def test_a_nonfinite_value_of_a_policy_is_found(stated) -> None:
    """A non-finite value is a fault in any run."""
    losses = list(noise())
    losses[100] = float("nan")
    assert diagnose(hand_made({"loss": losses}, **stated)).cause == "non-finite"


# By its signs


@pytest.mark.parametrize("points", [POINTS, 5000])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_loss_of_both_signs_throughout_is_a_policys(points: int, scale: float) -> None:
    """This holds for a loss in any unit."""
    for seed in range(5):
        diagnosis = diagnose(hand_made({"loss": list(scale * noise(seed, points))}))
        assert diagnosis.reason.startswith("cannot judge: reinforcement learning, probably")
        assert not diagnosis.alarm


def test_few_points_of_both_signs_are_rarely_taken_for_a_loss() -> None:
    """The five points of a quarter may have one sign by chance; then the loss never fell."""
    reasons = [diagnose(hand_made({"loss": list(noise(seed, 20))})).reason for seed in range(50)]
    assert sum("reinforcement learning" in reason for reason in reasons) >= 40
    assert all(reason.startswith("cannot judge") for reason in reasons)


@pytest.mark.parametrize(
    "losses",
    [
        2.0 - 4.0 * TIME + noise(),
        -1.0 - 2.0 * TIME + noise(),
        np.where(np.arange(POINTS) % 17 == 0, -1.0, FALLS),
        np.exp(-20 * TIME) + 0.01 * noise(),
    ],
    ids=["falls through zero", "below zero", "few outliers below", "comes to rest at zero"],
)
def test_a_loss_that_changes_its_sign_once_is_judged(losses: np.ndarray) -> None:
    """The loss of a density estimate changes its sign once."""
    assert diagnose(hand_made({"loss": list(losses)})).verdict == "healthy"


def test_a_density_whose_loss_falls_through_0_early_is_judged() -> None:
    """Both signs occur within the first quarter, but not from the first point on."""
    rest = -0.3 + 0.8 * np.random.default_rng(0).standard_normal(56)
    density = [10.5, 6.6, 5.1, 6.4, 4.2, 5.1, 2.6, 4.6, 3.0, 6.5, *rest]
    assert diagnose(hand_made({"loss": density})).verdict == "healthy"
    assert "reinforcement" in diagnose(hand_made({"loss": [*rest[:10], *rest]})).reason
