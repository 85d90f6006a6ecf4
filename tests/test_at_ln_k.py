"""A loss that rests at ln K is called, from first to last or once it came down to it; one anywhere
else is not."""

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
    return level + noise * np.random.default_rng(seed).standard_normal(points)


def called(losses, **facts) -> bool:
    return bool(found(DETECTOR, hand_made({"loss": list(losses)}, **facts)))


@pytest.mark.parametrize("k", range(2, 11))
def test_it_fires_at_every_small_k(k: int) -> None:
    """With a noise such as a model has that gives every row nearly the same."""
    record = hand_made({"loss": list(flat(log(k), 0.03 / k))})
    assert symptoms(DETECTOR, record) == [("loss-at-ln-k", "loss", 399)]


@pytest.mark.parametrize("off", [-0.015, 0.02, 0.5])
@pytest.mark.parametrize("k", [2, 4, 10])
def test_it_stays_quiet_off_it(k: int, off: float) -> None:
    """By two hundredths of the way to the next level, or half of it."""
    assert called(flat(log(k), 0.03 / k))
    assert not called(flat(log(k) + off / k, 0.03 / k))


def test_it_stays_quiet_at_the_level_of_more_classes() -> None:
    """Their levels are so near to each other that a loss lies on one of them anyway."""
    assert not called(flat(log(11), 0.001))


def test_it_stays_quiet_where_the_noise_is_that_of_a_model_which_knows_something() -> None:
    """However well its mean is known: here to a thousandth."""
    assert called(flat(log(2), 0.03, 20_000))
    assert not called(flat(log(2), 0.13, 20_000))


def test_it_stays_quiet_on_few_points_with_much_noise() -> None:
    """Where the mean might as well be anything near."""
    assert called(flat(log(4), 0.008, 24))
    assert not called(flat(log(4), 0.02, 24))


@pytest.mark.parametrize(
    "course", [np.r_[np.full(380, 0.0), np.full(20, 0.1)], np.sin(np.arange(400) / 40) / 10]
)
def test_it_stays_quiet_on_a_loss_that_is_there_on_average(course: np.ndarray) -> None:
    """It has to be there all along: a rise at the end, and a wave."""
    losses = flat(log(2), 0.01) + course - course.mean()
    assert not called(losses)


def test_it_stays_quiet_on_a_loss_that_fell_to_about_there() -> None:
    """With the noise of a model that knows something, which lies near by chance."""
    assert not called(np.r_[1.6, 1.5, 1.45, flat(log(4), 0.01)])


@pytest.mark.parametrize("k", range(2, 11))
@pytest.mark.parametrize("points", [20, 60, 1000])
def test_it_fires_where_a_loss_came_down_to_it_and_stays(k: int, points: int) -> None:
    """From a bias that it began with, in less than half of the log; not where it rests a little
    off, or rose to it."""
    came = log(k) + 0.5 * np.exp(-40 * np.arange(points) / points)
    record = hand_made({"loss": list(came)})
    (finding,) = found(DETECTOR, record)
    assert (finding.onset, finding.step) == (record.steps[points // 2], points - 1)
    assert called(came - 0.003 / k)
    assert not called(came + 0.004 / k)
    assert not called(came - 0.007 / k)
    assert not called(2 * log(k) - came)


def test_it_stays_quiet_on_a_loss_that_passes_it_slowly() -> None:
    """Whose second half is there on average only."""
    above = 0.5 * np.exp(-np.arange(30.0)) + 0.004 / 4
    assert called(log(4) + np.r_[above, np.zeros(30)])
    assert not called(log(4) + np.r_[above, np.linspace(0.004, -0.004, 30) / 4])


def test_it_stays_quiet_where_validation_rests_elsewhere() -> None:
    """Which tells more of the same model."""
    came = list(log(2) + 0.5 * np.exp(-np.arange(60.0)))
    assert symptoms(DETECTOR, hand_made({"loss": came, "val_loss": came})) == [
        ("loss-at-ln-k", "loss", 59)
    ]
    assert not symptoms(
        DETECTOR, hand_made({"loss": came, "val_loss": [loss - 0.1 for loss in came]})
    )


@pytest.mark.parametrize("k", [2, 4, 10])
def test_it_fires_where_validation_is_there_all_along_and_training_near(k: int) -> None:
    """Whose noise, or dropout, hides it; not where training is far, nor where validation falls or
    is elsewhere."""
    train = (
        log(k)
        + 0.02 / k
        + 0.2 * np.exp(-np.arange(60) / 6)
        + 0.03 * np.random.default_rng(1).standard_normal(60) / k
    )
    val = flat(log(k), 0.001 / k, 60)
    assert not called(train)
    assert symptoms(DETECTOR, hand_made({"loss": list(train), "val_loss": list(val)})) == [
        ("loss-at-ln-k", "val_loss", 59)
    ]
    for other, beside in [
        (train - 0.2 / k, val),
        (train, val + 0.03 / k),
        (train, val - np.arange(60) / 1000),
    ]:
        assert not symptoms(DETECTOR, hand_made({"loss": list(other), "val_loss": list(beside)}))


def test_a_loss_that_came_down_to_any_level_is_hardly_ever_called() -> None:
    """However little noise there is: by its width five in a thousand, ten at most."""
    rng = np.random.default_rng(51)
    falls = np.exp(-np.arange(100.0))
    assert 0 < sum(called(level + falls) for level in rng.uniform(0.1, 3, 2000)) <= 20


def test_a_network_that_unlearns_its_bias_alone_comes_down_to_it() -> None:
    """It sees nothing of its input."""
    assert called(row["loss"] for row in rows_of("blind-biased"))
    assert not called(row["loss"] for row in rows_of("constant"))


@pytest.mark.parametrize(("digits", "there"), [(4, True), (3, True), (2, False)])
def test_a_rounded_log_is_as_good_as_its_digits(digits: int, there: bool) -> None:
    """At 1.10 lies ln 3 and much else."""
    assert called(np.round(flat(log(3), 0.01), digits)) == there


@pytest.mark.parametrize(("vocab_size", "there"), [(2, True), (3, False), (64, False)])
def test_of_a_stated_vocabulary_that_level_alone_counts(vocab_size: int, there: bool) -> None:
    """ln 2 is nothing to a model of three classes."""
    assert called(flat(log(2)), vocab_size=vocab_size) == there


def test_values_that_are_not_finite_are_stepped_over() -> None:
    """They are another detector's business."""
    assert called(np.r_[nan, flat(log(2))])


def test_it_cannot_judge_a_few_points() -> None:
    """A flat beginning is nothing yet."""
    assert (
        why_not(DETECTOR, hand_made({"loss": [log(2)] * 19}))
        == "19 finite points of loss; 20 are needed"
    )


@pytest.mark.parametrize("batch", [8, 32, 256])
def test_a_network_that_sees_nothing_rests_there(batch: int) -> None:
    """Whatever its batch; the rate goes with it."""
    data = blobs(0)
    rows = train(
        Net((8, 16, 4), "classes", 0),
        data._replace(x=0 * data.x),
        Loop(constant(batch**0.5 / 100), 400, batch=batch),
    )
    assert called(row["loss"] for row in rows)


def test_a_flat_loss_at_any_level_is_hardly_ever_called() -> None:
    """Of levels from 0.1 to 3, with noise of many sizes, about one in a hundred is; 2 % is the
    promise."""
    rng = np.random.default_rng(50)
    sizes = 10 ** rng.uniform(-3.5, -1.3, 1000)
    hits = sum(
        called(flat(level, size, 100, int(1e9 * size)))
        for level, size in zip(rng.uniform(0.1, 3, 1000), sizes, strict=True)
    )
    assert 0 < hits <= 20


def test_the_diagnosis_says_what_else_it_may_be() -> None:
    """And nothing else is named."""
    diagnosis = diagnose(hand_made({"loss": list(flat(log(4)))}))
    assert [suspect.title for suspect in diagnosis.causes] == ["plateau or shuffled-labels"]


def test_a_ladder_says_more() -> None:
    """What rests on a rung of it is named by the rung first."""
    facts = {
        **FACTS,
        "vocab_size": 4,
        "total_steps": 400,
        "ladder": LADDER | {"train": {"uniform": log(4)}},
    }
    diagnosis = diagnose(hand_made({"loss": list(flat(log(4)))}, **facts))
    assert [suspect.name for suspect in diagnosis.causes] == ["learns-nothing", "plateau"]
    assert diagnosis.margin is None
