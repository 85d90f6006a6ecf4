"""A loss at ln K is found, whether it rests there from first to last or came down to it. A loss at
any other level is not."""

from math import log, nan

import numpy as np
import pytest

from probes.diagnosis.detectors.at_ln_k import DETECTOR
from probes.diagnosis.diagnose import diagnose
from testing.faults import rows_of
from testing.small_net import Loop, Net, blobs, constant, train
from tests.judging import found, symptoms, why_not
from tests.records import FACTS, LADDER, hand_made


def flat(level: float, noise: float = 0.01, points: int = 400, seed: int = 0) -> np.ndarray:
    """A loss at one level with Gaussian noise."""
    return level + noise * np.random.default_rng(seed).standard_normal(points)


def has_finding(losses, **facts) -> bool:
    """Whether a record of this loss alone has a finding."""
    return bool(found(DETECTOR, hand_made({"loss": list(losses)}, **facts)))


@pytest.mark.parametrize("k", range(2, 11))
def test_it_fires_at_every_small_k(k: int) -> None:
    """The noise is that of a model that predicts nearly the same for every row."""
    record = hand_made({"loss": list(flat(log(k), 0.03 / k))})
    assert symptoms(DETECTOR, record) == [("loss-at-ln-k", "loss", 399)]


@pytest.mark.parametrize("off", [-0.015, 0.02, 0.5])
@pytest.mark.parametrize("k", [2, 4, 10])
def test_it_stays_quiet_at_other_levels(k: int, off: float) -> None:
    """The levels are off by 1.5 % to 50 % of the distance to the next ln K."""
    assert has_finding(flat(log(k), 0.03 / k))
    assert not has_finding(flat(log(k) + off / k, 0.03 / k))


def test_it_stays_quiet_at_ln_11() -> None:
    """The levels of larger K are so close to each other that any loss is near one of them."""
    assert not has_finding(flat(log(11), 0.001))


def test_it_stays_quiet_with_the_noise_of_a_model_that_has_learned() -> None:
    """Its noise is too large, although 20,000 points give its mean precisely."""
    assert has_finding(flat(log(2), 0.03, 20_000))
    assert not has_finding(flat(log(2), 0.13, 20_000))


def test_it_stays_quiet_on_few_points_with_much_noise() -> None:
    """The standard error of their mean is too large."""
    assert has_finding(flat(log(4), 0.008, 24))
    assert not has_finding(flat(log(4), 0.02, 24))


@pytest.mark.parametrize(
    "shape", [np.r_[np.full(380, 0.0), np.full(20, 0.1)], np.sin(np.arange(400) / 40) / 10]
)
def test_it_stays_quiet_on_a_loss_whose_mean_alone_is_at_ln_k(shape: np.ndarray) -> None:
    """One loss rises at its end, the other one is a wave."""
    losses = flat(log(2), 0.01) + shape - shape.mean()
    assert not has_finding(losses)


def test_it_stays_quiet_on_a_noisy_loss_that_fell_to_ln_k() -> None:
    """A loss with the noise of a model that has learned is near ln K by chance."""
    assert not has_finding(np.r_[1.6, 1.5, 1.45, flat(log(4), 0.01)])


@pytest.mark.parametrize("k", range(2, 11))
@pytest.mark.parametrize("points", [20, 60, 1000])
def test_it_fires_on_a_loss_that_came_down_to_ln_k_and_stays(k: int, points: int) -> None:
    """The loss fell from an initial bias within its first half. Nothing is found when it rests
    slightly off ln K or rose to it."""
    came = log(k) + 0.5 * np.exp(-40 * np.arange(points) / points)
    record = hand_made({"loss": list(came)})
    (finding,) = found(DETECTOR, record)
    assert (finding.onset, finding.step) == (record.steps[points // 2], points - 1)
    assert has_finding(came - 0.003 / k)
    assert not has_finding(came + 0.004 / k)
    assert not has_finding(came - 0.007 / k)
    assert not has_finding(2 * log(k) - came)


def test_it_stays_quiet_on_a_loss_that_passes_ln_k_slowly() -> None:
    """Only the mean of its second half is at ln K."""
    above = 0.5 * np.exp(-np.arange(30.0)) + 0.004 / 4
    assert has_finding(log(4) + np.r_[above, np.zeros(30)])
    assert not has_finding(log(4) + np.r_[above, np.linspace(0.004, -0.004, 30) / 4])


def test_it_stays_quiet_where_validation_rests_elsewhere() -> None:
    """Validation loss shows that the model has learned."""
    came = list(log(2) + 0.5 * np.exp(-np.arange(60.0)))
    assert symptoms(DETECTOR, hand_made({"loss": came, "val_loss": came})) == [
        ("loss-at-ln-k", "loss", 59)
    ]
    assert not symptoms(
        DETECTOR, hand_made({"loss": came, "val_loss": [loss - 0.1 for loss in came]})
    )


@pytest.mark.parametrize("k", [2, 4, 10])
def test_it_fires_on_validation_at_ln_k_throughout_beside_a_training_loss_near_it(k: int) -> None:
    """Noise and dropout hide the level of the training loss. It stays quiet when the training loss
    is far from ln K, or validation falls or rests elsewhere."""
    train = (
        log(k)
        + 0.02 / k
        + 0.2 * np.exp(-np.arange(60) / 6)
        + 0.03 * np.random.default_rng(1).standard_normal(60) / k
    )
    val = flat(log(k), 0.001 / k, 60)
    assert not has_finding(train)
    assert symptoms(DETECTOR, hand_made({"loss": list(train), "val_loss": list(val)})) == [
        ("loss-at-ln-k", "val_loss", 59)
    ]
    for other, beside in [
        (train - 0.2 / k, val),
        (train, val + 0.03 / k),
        (train, val - np.arange(60) / 1000),
    ]:
        assert not symptoms(DETECTOR, hand_made({"loss": list(other), "val_loss": list(beside)}))


def test_it_rarely_fires_on_a_loss_that_came_down_to_any_level() -> None:
    """The levels at which it fires cover 0.5 % of all levels. At most 1 % of the losses may fire,
    even when there is little noise."""
    rng = np.random.default_rng(51)
    falls = np.exp(-np.arange(100.0))
    assert 0 < sum(has_finding(level + falls) for level in rng.uniform(0.1, 3, 500)) <= 5


def test_it_fires_on_a_network_that_only_unlearns_its_bias() -> None:
    """The network sees nothing of its input."""
    assert has_finding(row["loss"] for row in rows_of("blind-biased"))
    assert not has_finding(row["loss"] for row in rows_of("constant"))


@pytest.mark.parametrize(("digits", "there"), [(4, True), (3, True), (2, False)])
def test_rounding_to_two_decimals_hides_ln_3(digits: int, there: bool) -> None:
    """A loss of 1.10 may be at ln 3 or at many other levels."""
    assert has_finding(np.round(flat(log(3), 0.01), digits)) == there


@pytest.mark.parametrize(("vocab_size", "there"), [(2, True), (3, False), (64, False)])
def test_with_a_stated_vocabulary_only_its_level_counts(vocab_size: int, there: bool) -> None:
    """A model of three classes that rests at ln 2 has learned something."""
    assert has_finding(flat(log(2)), vocab_size=vocab_size) == there


def test_nonfinite_values_are_ignored() -> None:
    """Another detector reports them."""
    assert has_finding(np.r_[nan, flat(log(2))])


def test_it_cannot_judge_a_few_points() -> None:
    """A loss that is flat at first may still fall."""
    assert (
        why_not(DETECTOR, hand_made({"loss": [log(2)] * 4}))
        == "4 finite points of loss; 20 are needed"
    )


def test_a_few_points_must_all_lie_at_ln_k() -> None:
    """Seven epochs of a validation loss at ln 2, in four digits. A point that is further away, and
    a training loss that has left the level, show that something was learned."""
    val = [0.6934, 0.6932, 0.6931, 0.6932, 0.6931, 0.6932, 0.6931]
    train = [0.7102, 0.6948, 0.6936, 0.6934, 0.6933, 0.6934, 0.6933]
    assert [f.site for f in found(DETECTOR, hand_made({"loss": train, "val_loss": val}))] == [
        "val_loss"
    ]
    for rows in (
        {"loss": train, "val_loss": [*val[:-1], 0.68]},
        {"loss": [0.7 - i / 20 for i in range(7)], "val_loss": val},
    ):
        assert why_not(DETECTOR, hand_made(rows)) == "7 finite points of loss; 20 are needed"


def test_the_logarithm_of_a_well_known_vocabulary_is_recognised() -> None:
    """10.8259 is ln 50304. A loss that is 0.002 away from it, or that falls, is not at it."""
    level = [10.8259, 10.8257, 10.8261, 10.8258, 10.8259, 10.8260]
    assert [f.observed for f in found(DETECTOR, hand_made({"loss": level}))] == [
        pytest.approx(10.8259, abs=1e-4)
    ]
    for other in ([v + 0.002 for v in level], [*level[:-1], 10.7]):
        assert why_not(DETECTOR, hand_made({"loss": other})).endswith("20 are needed")


@pytest.mark.parametrize("batch", [8, 32, 256])
def test_it_fires_on_networks_that_see_nothing(batch: int) -> None:
    """It fires for any batch size, when the learning rate fits the batch size."""
    data = blobs(0)
    rows = train(
        Net((8, 16, 4), "classes", 0),
        data._replace(x=0 * data.x),
        Loop(constant(batch**0.5 / 100), 400, batch=batch),
    )
    assert has_finding(row["loss"] for row in rows)


def test_it_rarely_fires_on_a_flat_loss_at_any_level() -> None:
    """Of flat losses at levels from 0.1 to 3 with noise of many sizes, 1 to 2 % fire. Of these 300,
    at most 3 % may fire."""
    rng = np.random.default_rng(50)
    sizes = 10 ** rng.uniform(-3.5, -1.3, 300)
    hits = sum(
        has_finding(flat(level, size, 100, int(1e9 * size)))
        for level, size in zip(rng.uniform(0.1, 3, 300), sizes, strict=True)
    )
    assert 0 < hits <= 9


def test_the_diagnosis_says_what_else_it_may_be() -> None:
    """Shuffled labels look the same, and no other cause is named."""
    diagnosis = diagnose(hand_made({"loss": list(flat(log(4)))}))
    assert [suspect.title for suspect in diagnosis.causes] == ["plateau or shuffled-labels"]


def test_a_rung_of_the_ladder_is_named_before_the_plateau() -> None:
    """With a ladder the diagnosis says what the model does not see."""
    facts = {
        **FACTS,
        "vocab_size": 4,
        "total_steps": 400,
        "ladder": LADDER | {"train": {"uniform": log(4)}},
    }
    diagnosis = diagnose(hand_made({"loss": list(flat(log(4)))}, **facts))
    assert [suspect.name for suspect in diagnosis.causes] == ["learns-nothing", "plateau"]
    assert diagnosis.margin is None
