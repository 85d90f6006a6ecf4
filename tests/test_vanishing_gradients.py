"""A gradient norm that becomes exactly 0 while there is a loss is found. A norm that is 0 for a
harmless reason is not."""

from math import inf

import numpy as np
import pytest

from probes.diagnosis.detectors.vanishing_gradients import DETECTOR
from probes.diagnosis.diagnose import diagnose
from probes.diagnosis.evidence import CannotJudgeError
from probes.record import Record
from testing.small_net import Loop, Net, blobs, constant, train
from tests.judging import found, symptoms, why_not
from tests.records import hand_made

POINTS, DIES = 100, 60
RNG = np.random.default_rng(0)
LOSS = 0.8 + 0.6 * 0.8 ** np.arange(POINTS) + 0.01 * RNG.standard_normal(POINTS)
NORM = np.exp(0.3 * RNG.standard_normal(POINTS))


def constant_from(before: np.ndarray, after: float, at: int = DIES) -> np.ndarray:
    """The first values of a series, followed by one constant value to the end."""
    return np.r_[before[:at], np.full(POINTS - at, after)]


def run(loss: np.ndarray, norm: np.ndarray) -> Record:
    """A record of a loss and a gradient norm."""
    return hand_made({"loss": list(loss), "grad_norm": list(norm)})


def has_finding(loss: np.ndarray, norm: np.ndarray) -> bool:
    """True if a record with this loss and this norm has a finding."""
    return bool(found(DETECTOR, run(loss, norm)))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("after", [1.4, 0.8], ids=["what was learned is lost", "the loss rests"])
def test_it_fires_on_a_norm_that_becomes_0(after: float, scale: float) -> None:
    """The norm becomes 0 from one point to the next and stays 0 to the end. The onset is the first
    0."""
    (finding,) = found(DETECTOR, run(scale * constant_from(LOSS, after), constant_from(NORM, 0.0)))
    assert (finding.symptom, finding.step, finding.onset) == ("gradient-vanished", POINTS - 1, DIES)
    assert (finding.observed, finding.limit) == (0.0, NORM[:DIES].min())


@pytest.mark.parametrize(("zeros", "fires"), [(4, False), (5, True)])
def test_it_needs_five_zeros(zeros: int, fires: bool) -> None:
    """Fewer zeros may come from batches without a target."""
    at = POINTS - zeros
    assert has_finding(constant_from(LOSS, 1.4, at), constant_from(NORM, 0.0, at)) == fires


def test_it_stays_quiet_on_a_norm_that_is_nearly_0() -> None:
    """A converged regression on a full batch has such a norm, at any loss that its noise leaves."""
    assert not has_finding(constant_from(LOSS, 0.8), constant_from(NORM, 1e-16))


def test_it_stays_quiet_on_a_norm_that_comes_back() -> None:
    """The norm must be 0 at the last point."""
    assert not has_finding(constant_from(LOSS, 1.4), np.r_[constant_from(NORM, 0.0)[:-1], 1.0])


def test_it_stays_quiet_when_the_norm_is_measured_every_eighth_step() -> None:
    """This happens when gradients are accumulated. The log ends with seven zeros by chance."""
    measured = np.where(np.arange(POINTS) % 8 == 0, NORM, 0.0)[:96]
    assert not has_finding(LOSS[:96], measured)


def test_it_stays_quiet_on_a_loss_that_goes_on_falling() -> None:
    """The loss shows that gradients arrive. The trainer does not measure the norm."""
    falls = 3 - np.arange(POINTS) / 50 + 0.01 * RNG.standard_normal(POINTS)
    assert not has_finding(falls, constant_from(NORM, 0.0))


@pytest.mark.parametrize(
    "since", [1.4 - 0.6 * np.arange(40) / 40, np.full(40, 0.7)], ids=["from above", "at once"]
)
def test_it_stays_quiet_on_a_loss_that_falls_from_higher_or_by_a_step(since: np.ndarray) -> None:
    """On new data the loss falls from a higher level. After the rate is lowered it falls by a
    step."""
    noise = 0.01 * RNG.standard_normal(40)
    assert not has_finding(np.r_[LOSS[:DIES], since + noise], constant_from(NORM, 0.0))


@pytest.mark.parametrize("zeros", [1, 40])
def test_it_stays_quiet_on_a_loss_of_0(zeros: int) -> None:
    """There is nothing left to learn."""
    assert not has_finding(
        np.r_[constant_from(LOSS, 1.4)[: POINTS - zeros], np.zeros(zeros)], constant_from(NORM, 0.0)
    )


@pytest.mark.parametrize(("after", "fires"), [(0.8, False), (1.4, True)])
def test_with_rounded_norms_the_loss_must_rise(after: float, fires: bool) -> None:
    """The norm of a converging run that is logged every 500 steps goes from 0.03 to 0.0 at once."""
    norms = np.round(0.5 * 0.95 ** np.arange(POINTS), 2)
    norms = constant_from(norms, 0.0)
    assert norms[DIES - 1] > 0
    assert has_finding(constant_from(LOSS, after), norms) == fires


def test_it_stays_quiet_on_norms_that_are_infinite_until_they_are_0() -> None:
    """Mixed precision overflows from the first step on, which another detector judges."""
    assert not has_finding(LOSS, constant_from(np.full(POINTS, inf), 0.0))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (
            run(LOSS, np.zeros(POINTS)),
            "grad_norm is 0 throughout; some trainers write 0 when they do not measure it",
        ),
        (hand_made({"loss": list(LOSS)}), "grad_norm was not recorded"),
        (run(LOSS[:19], NORM[:19]), "19 finite points of loss; 20 are needed"),
    ],
)
def test_it_says_why_it_cannot_judge(record: Record, reason: str) -> None:
    """A trainer that never measures the norm may write 0."""
    assert why_not(DETECTOR, record) == reason


def by_layer(*norms: float, loss: float = 1.386) -> Record:
    """A record with one norm for each layer, and a loss that rests or falls."""
    layers = {f"layer.{i}": [norm] * 40 for i, norm in enumerate(norms)}
    losses = [loss - (1.386 - loss) * i / 40 for i in range(40)]
    return hand_made({"loss": losses, "grad_norm": [1.0] * 40, "grad_norm_by_layer": layers})


def record_of_network(sigmoid: bool) -> Record:
    """The norms by layer of eight hidden layers at their start, beside a loss that rests."""
    net = Net((8, *(16,) * 8, 4), "classes", 0, sigmoid=sigmoid)
    data = blobs(0)
    _, grads = net.loss_and_grads(data.x[:32], data.y[:32], np.random.default_rng(0))
    pairs = zip(grads[::2], grads[1::2], strict=True)
    return by_layer(*(float(np.hypot(np.linalg.norm(w), np.linalg.norm(b))) for w, b in pairs))


def test_it_fires_on_a_first_layer_with_a_tiny_norm() -> None:
    """Eight layers of sigmoids have such a first layer, and eight rectified layers do not."""
    assert symptoms(DETECTOR, record_of_network(sigmoid=True)) == [
        ("gradient-vanished", "layer.0", 39)
    ]
    assert found(DETECTOR, record_of_network(sigmoid=False)) == []


@pytest.mark.parametrize(
    ("norms", "fires"),
    [
        ((0.9e-3, 0.03, 1.0), True),
        ((0.9e-3, 0.03, 1.0, 0.07), True),
        ((1.1e-3, 0.03, 1.0), False),
        ((0.9e-3, 1.0), False),
        ((0.9e-3, 0.5e-3, 1.0), False),
        ((0.0, 0.03, 1.0), False),
        ((1.0, 0.03, 0.9e-3), False),
    ],
    ids=[
        "falls",
        "small last norm",
        "hardly a thousandth",
        "two layers",
        "one of its own",
        "frozen",
        "other way",
    ],
)
def test_the_norm_must_fall_from_each_layer_to_the_one_before(
    norms: tuple[float, ...], fires: bool
) -> None:
    """The norms must fall by a factor of a thousand in all. A layer that is not trained has no
    norm."""
    assert bool(found(DETECTOR, by_layer(*norms))) == fires


def test_it_stays_quiet_on_layers_of_a_model_that_learns() -> None:
    """The norms are the same, but the loss falls."""
    assert found(DETECTOR, by_layer(0.9e-3, 0.03, 1.0))
    assert found(DETECTOR, by_layer(0.9e-3, 0.03, 1.0, loss=1.0)) == []


def test_vanishing_gradients_are_named_before_their_consequences() -> None:
    """The consequence is a loss that is back at its start, or one that rests at ln 4."""
    lost = np.r_[LOSS[:DIES], np.full(POINTS - DIES, 1.4)]
    of_all = [suspect.name for suspect in diagnose(run(lost, constant_from(NORM, 0.0))).causes]
    of_first = [suspect.name for suspect in diagnose(record_of_network(sigmoid=True)).causes]
    assert (of_all[0], of_first) == ("vanishing-gradients", ["vanishing-gradients", "plateau"])


def test_it_fires_on_a_network_whose_units_are_killed() -> None:
    """The bias behind the units is frozen, so no parameter gets a gradient."""
    net = Net((8, 16, 4), "classes", 0)
    net.frozen = (3,)

    def kill(step: int, net: Net) -> None:
        if step == 200:
            net.params[1][:] = -100

    rows = train(net, blobs(0), Loop(constant(0.1), 400, before=kill))
    record = run(
        np.array([row["loss"] for row in rows]), np.array([row["grad_norm"] for row in rows])
    )
    assert [(f.onset, f.step) for f in found(DETECTOR, record)] == [(200, 399)]


@pytest.mark.parametrize(
    ("losses", "last_layer", "fires"),
    [
        (LOSS[50:], np.zeros(50), True),
        (LOSS[50:], np.ones(50), False),
        (3 - np.arange(50) / 50, np.zeros(50), False),
        (np.zeros(50), np.zeros(50), False),
    ],
    ids=["at rest", "one layer has a gradient", "the loss falls", "the loss is 0"],
)
def test_it_fires_on_norms_that_are_0_in_every_layer(
    losses: np.ndarray, last_layer: np.ndarray, fires: bool
) -> None:
    """A loss that is not 0 has a gradient in some layer, unless no parameter can change it. Frozen
    layers have none."""
    norms = {"first": [0.0] * 50, "last": last_layer.tolist()}
    record = hand_made(
        {"loss": losses.tolist(), "grad_norm": last_layer.tolist(), "grad_norm_by_layer": norms}
    )
    try:
        findings = found(DETECTOR, record)
    except CannotJudgeError:  # grad_norm is 0 throughout
        findings = []
    assert [(f.symptom, f.onset, f.observed) for f in findings] == (
        [("gradient-vanished", 0, 0.0)] if fires else []
    )
    assert (diagnose(record).cause == "vanishing-gradients") == fires
