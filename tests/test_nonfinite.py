"""A gradient alone that is not finite is half precision finding its scale; with a lost loss, or for
good, it is not."""

from math import inf, nan

import pytest

from probes.diagnosis.detectors import nonfinite
from probes.diagnosis.diagnose import diagnose
from tests.judging import found, symptoms, why_not
from tests.records import changed, hand_made

LEARNING = [4.0 - i / 50 for i in range(120)]
STILL = [2.0 + (i * 7 % 11) / 10 for i in range(120)]


def norms(*bad, points=120, value=inf):
    """Norms of 1, and a value that is not finite at some points."""
    return [value if i in bad else 1.0 for i in range(points)]


def log(loss, grad_norm, every=1, **signals):
    return hand_made(
        {"loss": loss, "grad_norm": grad_norm, **signals}, steps=range(0, len(loss) * every, every)
    )


def of(record):
    """Site, step and onset of what is found."""
    return [(f.site, f.step, f.onset) for f in found(nonfinite.DETECTOR, record)]


@pytest.mark.parametrize("value", [nan, inf])
@pytest.mark.parametrize("loss", [LEARNING, STILL])
@pytest.mark.parametrize(
    "bad",
    [range(16), range(33), [0, 1, 60], [119], range(0, 120, 2)],
    ids=["found", "found from 2^32", "raised", "at the end", "every other"],
)
def test_half_precision_finding_its_scale_is_none(bad, loss, value):
    """Up to 33 in a row at the start, then single ones; the loss is finite throughout."""
    assert of(log(loss, norms(*bad, value=value))) == []


def test_nor_is_a_gradient_by_parameter_whose_loss_is_finite():
    """A recorder may have seen it before it was scaled back."""
    counts = {"embed": [0] * 9, "loss": [0] * 9, "blocks.0.grad": [0, 7, 7, 0, 0, 0, 7, 0, 0]}
    assert symptoms(nonfinite.DETECTOR, hand_made({"nonfinite_count": counts})) == []


def test_nor_a_mean_that_one_overflow_spoils_while_the_loss_falls():
    """Some trainers write the mean of an epoch's norms: infinite from the first overflow on."""
    assert of(log(LEARNING, norms(*range(120)), every=10)) == []


@pytest.mark.parametrize(
    ("every", "points", "expected"),
    [
        (1, 70, [("grad_norm", 89, 50)]),
        (10, 20, [("grad_norm", 690, 500)]),
        (500, 20, [("grad_norm", 34_500, 25_000)]),
    ],
)
def test_gradients_that_stay_lost_while_the_loss_stands_still(every, points, expected):
    """After twenty points at the least, and more steps than a scale needs; of a log of every step
    that is at forty."""
    record = log(STILL[: 50 + points], norms(*range(50, 120))[: 50 + points], every)
    assert of(record) == expected


@pytest.mark.parametrize(("every", "points"), [(1, 39), (10, 19), (500, 19)])
def test_gradients_that_may_yet_be_found(every, points):
    """One point fewer."""
    assert of(log(STILL[: 50 + points], norms(*range(50, 120))[: 50 + points], every)) == []


def test_lost_gradients_that_are_a_small_part_of_the_log():
    """Forty in a row after four hundred are less than a tenth; eighty are more."""
    loss, norm = (STILL * 5)[:520], [*[1.0] * 400, *[nan] * 120]
    assert of(log(loss[:470], norm[:470])) == []
    assert of(log(loss, norm)) == [("grad_norm", 479, 400)]


@pytest.mark.parametrize("value", [nan, inf])
def test_a_gradient_before_the_loss_that_it_loses(value):
    """Known with the loss; it began where the gradient did, and not at the overflow that was got
    over."""
    record = log([*LEARNING[:61], *[value] * 59], norms(3, *range(60, 120)))
    assert of(record) == [("grad_norm", 61, 60)]


def test_a_loss_that_is_lost_once():
    """The log says so, whatever comes after; an overflow before it that was got over is another
    matter."""
    assert of(log([*LEARNING[:60], nan, *LEARNING[61:]], norms(3))) == [("loss", 60, None)]


@pytest.mark.parametrize("value", [nan, inf])
def test_a_validation_loss_alone(value):
    """The evaluation is lost, or the model is, which the training loss will show."""
    val_loss = [value if i == 40 else None if i % 20 else 3.0 for i in range(120)]
    assert of(log(LEARNING, norms(), val_loss=val_loss)) == [("val_loss", 40, None)]


ZERO = [*LEARNING[:50], *[0.0] * 70]


@pytest.mark.parametrize(
    ("norm", "expected"),
    [
        (norms(*range(50, 120), value=nan), [("grad_norm", 55, 50)]),
        (norms(*range(48, 120), value=nan), [("grad_norm", 55, 48)]),
        ([*[1.0] * 50, *[0.0] * 30, *[nan] * 40], [("grad_norm", 80, None)]),
        ([*[1.0] * 50, nan, *[0.0] * 69], []),
        ([nan, *[None] * 119], []),
    ],
    ids=["from there on", "from before", "later", "and finite again", "long ago"],
)
def test_a_gradient_with_a_loss_of_zero(norm, expected):
    """Some trainers write 0 where the loss was NaN: known when the loss had been 0 for a tenth of
    the log."""
    assert of(log(ZERO, norm)) == expected


def test_a_loss_of_zero_is_explained_by_the_gradient_that_is_lost_with_it():
    """And may be either where the loss is all that was logged."""
    assert diagnose(log(ZERO, norms(*range(50, 120), value=nan))).title == "non-finite"
    assert diagnose(hand_made({"loss": ZERO})).title == "loss-zero or non-finite"
    assert diagnose(log(ZERO, [*[1.0] * 50, *[0.0] * 70])).title == "loss-zero"


def test_the_loss_of_a_policy_that_begins_at_zero_in_half_precision():
    """It is its own reference at first, and the scale is not found yet."""
    assert of(log([*[0.0] * 16, *LEARNING[16:]], norms(*range(16)))) == []


def test_a_loss_of_zero_from_the_first_point_on_without_a_gradient_for_longer_than_that():
    """Five points will do where they are far apart, as in the log of a trainer whose user gave
    up."""
    assert of(log([0.0] * 11, norms(*range(11))[:11], every=500)) == [("grad_norm", 2000, 0)]
    assert of(log([0.0] * 11, norms(*range(11))[:11])) == []
    assert of(log([0.0] * 11, norms(0, 1, 2, 3)[:11], every=500)) == []
    assert of(log([0.0] * 11, norms(4)[:11], every=500)) == []


# Values elsewhere


def test_it_fires_at_the_first_step_and_site() -> None:
    """Earliest step first, then the order of the computation."""
    counts = {"embed": [0, 0, 5], "block": [0, 2, 9], "norm": [0, 1, 9]}
    assert symptoms(nonfinite.DETECTOR, hand_made({"nonfinite_count": counts})) == [
        ("non-finite", "block", 1)
    ]


@pytest.mark.parametrize("signal", ["loss", "lr", "val_loss", "train_loss"])
@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_it_fires_on_any_signal_of_the_run(signal: str, value: float) -> None:
    """Nothing need have been counted: the value itself is the evidence."""
    record = changed(**{signal: [1.0] * 7 + [value] + [1.0] * 32})
    assert symptoms(nonfinite.DETECTOR, record) == [("non-finite", signal, 7)]


def test_it_names_the_site_before_the_loss_it_spoils() -> None:
    """Within one step the site inside the model came first."""
    record = hand_made({"loss": [nan], "nonfinite_count": {"embed": [3.0]}})
    assert symptoms(nonfinite.DETECTOR, record) == [("non-finite", "embed", 0)]


def test_it_stays_quiet_on_zero_counts_and_large_values() -> None:
    """1e308 is finite, and not measured is not NaN."""
    record = hand_made({"loss": [1e308, None, 1.0], "nonfinite_count": {"embed": [0, 0, 0]}})
    assert found(nonfinite.DETECTOR, record) == []


def test_it_cannot_judge_a_record_of_nothing() -> None:
    """Batch ids are no measurement."""
    assert (
        why_not(nonfinite.DETECTOR, hand_made({"batch_ids": {"0": [1.0, 2.0]}}))
        == "no signal was recorded"
    )
