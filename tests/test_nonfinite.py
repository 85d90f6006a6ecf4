"""A gradient that is not finite usually comes from mixed precision, which searches for its loss
scale. It is a fault when the loss is not finite or 0 as well, or when no gradient is finite any
more."""

from math import inf, nan

import pytest

from probes.diagnosis.detectors import nonfinite
from probes.diagnosis.diagnose import diagnose
from tests.judging import found, symptoms, why_not
from tests.records import changed, hand_made

LEARNING = [4.0 - i / 50 for i in range(120)]
STILL = [2.0 + (i * 7 % 11) / 10 for i in range(120)]


def norms(*bad, points=120, value=inf):
    """Norms of 1, with a value that is not finite at some points."""
    return [value if i in bad else 1.0 for i in range(points)]


def logged(loss, grad_norm, every=1, **signals):
    """A record of a loss and a gradient norm, with one row every few steps."""
    return hand_made(
        {"loss": loss, "grad_norm": grad_norm, **signals}, steps=range(0, len(loss) * every, every)
    )


def sites_steps_and_onsets(record):
    """Site, step and onset of each finding."""
    return [(f.site, f.step, f.onset) for f in found(nonfinite.DETECTOR, record)]


@pytest.mark.parametrize("value", [nan, inf])
@pytest.mark.parametrize("loss", [LEARNING, STILL])
@pytest.mark.parametrize(
    "bad",
    [range(16), range(33), [0, 1, 60], [119], range(0, 120, 2)],
    ids=["found", "found from 2^32", "raised", "at the end", "every other"],
)
def test_it_stays_quiet_while_mixed_precision_searches_for_its_scale(bad, loss, value):
    """Up to 33 overflows in a row at the start, single ones later; the loss is finite
    throughout."""
    assert sites_steps_and_onsets(logged(loss, norms(*bad, value=value))) == []


def test_it_stays_quiet_on_gradients_of_parameters_with_a_finite_loss():
    """A recorder may have read them before they were unscaled."""
    counts = {"embed": [0] * 9, "loss": [0] * 9, "blocks.0.grad": [0, 7, 7, 0, 0, 0, 7, 0, 0]}
    assert symptoms(nonfinite.DETECTOR, hand_made({"nonfinite_count": counts})) == []


def test_it_stays_quiet_on_mean_norms_that_one_overflow_spoils():
    """Some trainers log the mean norm of an epoch, which is infinite from the first overflow on.
    The loss falls."""
    assert sites_steps_and_onsets(logged(LEARNING, norms(*range(120)), every=10)) == []


@pytest.mark.parametrize(
    ("every", "points", "expected"),
    [
        (1, 70, [("grad_norm", 89, 50)]),
        (10, 20, [("grad_norm", 690, 500)]),
        (500, 20, [("grad_norm", 34_500, 25_000)]),
    ],
)
def test_it_fires_on_gradients_that_stay_lost_while_the_loss_stands_still(every, points, expected):
    """It fires after twenty points that cover more steps than the search for a scale. With a row
    for each step, that is after forty points."""
    record = logged(STILL[: 50 + points], norms(*range(50, 120))[: 50 + points], every)
    assert sites_steps_and_onsets(record) == expected


@pytest.mark.parametrize(("every", "points"), [(1, 39), (10, 19), (500, 19)])
def test_it_stays_quiet_on_one_point_fewer(every, points):
    """The gradients may become finite again."""
    assert (
        sites_steps_and_onsets(
            logged(STILL[: 50 + points], norms(*range(50, 120))[: 50 + points], every)
        )
        == []
    )


def test_lost_gradients_must_be_a_tenth_of_the_log():
    """Forty lost gradients in a row after four hundred finite ones are too few; eighty are
    enough."""
    loss, norm = (STILL * 5)[:520], [*[1.0] * 400, *[nan] * 120]
    assert sites_steps_and_onsets(logged(loss[:470], norm[:470])) == []
    assert sites_steps_and_onsets(logged(loss, norm)) == [("grad_norm", 479, 400)]


@pytest.mark.parametrize("value", [nan, inf])
def test_the_onset_is_the_first_lost_gradient_before_the_lost_loss(value):
    """The finding comes with the lost loss. An earlier overflow after which gradients were finite
    again does not count."""
    record = logged([*LEARNING[:61], *[value] * 59], norms(3, *range(60, 120)))
    assert sites_steps_and_onsets(record) == [("grad_norm", 61, 60)]


def test_it_fires_on_a_single_lost_loss():
    """It fires whatever follows. An earlier overflow after which gradients were finite again is
    unrelated."""
    assert sites_steps_and_onsets(logged([*LEARNING[:60], nan, *LEARNING[61:]], norms(3))) == [
        ("loss", 60, None)
    ]


@pytest.mark.parametrize("value", [nan, inf])
def test_it_fires_on_a_validation_loss_alone(value):
    """Either the evaluation or the model is broken."""
    val_loss = [value if i == 40 else None if i % 20 else 3.0 for i in range(120)]
    assert sites_steps_and_onsets(logged(LEARNING, norms(), val_loss=val_loss)) == [
        ("val_loss", 40, None)
    ]


ZERO = [*LEARNING[:50], *[0.0] * 70]


@pytest.mark.parametrize(
    ("norm", "expected"),
    [
        (norms(*range(50, 120), value=nan), [("grad_norm", 52, 50)]),
        (norms(*range(48, 120), value=nan), [("grad_norm", 52, 48)]),
        ([*[1.0] * 50, *[0.0] * 30, *[nan] * 40], [("grad_norm", 80, None)]),
        ([*[1.0] * 50, nan, *[0.0] * 69], []),
        ([nan, *[None] * 119], []),
    ],
    ids=["from there on", "from before", "later", "and finite again", "long ago"],
)
def test_a_lost_gradient_beside_a_loss_of_zero(norm, expected):
    """Some trainers write 0 where the loss was NaN. Three such points in a row are a proof."""
    assert sites_steps_and_onsets(logged(ZERO, norm)) == expected


def test_a_loss_of_zero_is_explained_by_the_gradient_that_is_lost_with_it():
    """A log of the loss alone cannot tell the two causes apart."""
    assert diagnose(logged(ZERO, norms(*range(50, 120), value=nan))).title == "non-finite"
    assert diagnose(hand_made({"loss": ZERO})).title == "loss-zero or non-finite"
    assert diagnose(logged(ZERO, [*[1.0] * 50, *[0.0] * 70])).title == "loss-zero"


def test_it_stays_quiet_on_a_policy_that_begins_at_zero_in_mixed_precision():
    """At first the policy equals its reference, and the loss scale is not found yet."""
    assert sites_steps_and_onsets(logged([*[0.0] * 16, *LEARNING[16:]], norms(*range(16)))) == []


def test_it_fires_on_zeros_from_the_first_point_on_that_outlast_the_search():
    """Five points are enough if they are many steps apart, as in a run that was given up early."""
    assert sites_steps_and_onsets(logged([0.0] * 11, norms(*range(11))[:11], every=500)) == [
        ("grad_norm", 2000, 0)
    ]
    assert sites_steps_and_onsets(logged([0.0] * 11, norms(*range(11))[:11])) == []
    assert sites_steps_and_onsets(logged([0.0] * 11, norms(0, 1, 2, 3)[:11], every=500)) == []
    assert sites_steps_and_onsets(logged([0.0] * 11, norms(4)[:11], every=500)) == []


# Values elsewhere


def test_it_fires_at_the_first_step_and_site() -> None:
    """The earliest step counts, then the order of the computation."""
    counts = {"embed": [0, 0, 5], "block": [0, 2, 9], "norm": [0, 1, 9]}
    assert symptoms(nonfinite.DETECTOR, hand_made({"nonfinite_count": counts})) == [
        ("non-finite", "block", 1)
    ]


@pytest.mark.parametrize("signal", ["loss", "lr", "val_loss", "train_loss"])
@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_it_fires_on_any_signal_of_the_run(signal: str, value: float) -> None:
    """The value itself is the evidence; nothing needs to be counted."""
    record = changed(**{signal: [1.0] * 7 + [value] + [1.0] * 32})
    assert symptoms(nonfinite.DETECTOR, record) == [("non-finite", signal, 7)]


def test_it_names_the_site_before_the_loss_it_spoils() -> None:
    """Within one step the site inside the model comes first."""
    record = hand_made({"loss": [nan], "nonfinite_count": {"embed": [3.0]}})
    assert symptoms(nonfinite.DETECTOR, record) == [("non-finite", "embed", 0)]


def test_it_stays_quiet_on_zero_counts_and_large_values() -> None:
    """1e308 is finite, and a value that was not measured is not NaN."""
    record = hand_made({"loss": [1e308, None, 1.0], "nonfinite_count": {"embed": [0, 0, 0]}})
    assert found(nonfinite.DETECTOR, record) == []


def test_it_cannot_judge_a_record_of_nothing() -> None:
    """Batch ids are no measurement."""
    assert (
        why_not(nonfinite.DETECTOR, hand_made({"batch_ids": {"0": [1.0, 2.0]}}))
        == "no signal was recorded"
    )
