"""HEALTHY trained far past convergence: the gap between train and validation loss opens, and the
difference between irregular and regular verbs (the tax) does not close."""

import numpy as np
import pytest

from model import HEALTHY, OVERFIT, remedied
from model.config import diff, from_dict
from probes.diagnosis.curves import SMOOTHING_WINDOW, centred_mean

CLASSES = ("regular", "irregular")


@pytest.fixture
def overfit(run):
    return run("overfit")


@pytest.fixture
def record(overfit):
    return overfit.record


def smooth(record, signal):
    """The evaluated steps of a signal and its centred mean over five evaluations."""
    steps, values = record.series(signal)
    return steps[SMOOTHING_WINDOW // 2 : -(SMOOTHING_WINDOW // 2)], centred_mean(values)


@pytest.fixture
def best(record):
    """t*: the index of the lowest smoothed validation loss."""
    return int(smooth(record, "val_loss")[1].argmin())


def tax(record, split):
    """Loss of irregular forms minus loss of regular forms at each evaluation, in nats per token."""
    regular, irregular = (record.series(f"{split}_loss_by_class", site)[1] for site in CLASSES)
    return irregular - regular


def quarter(values, which):
    return values[(which - 1) * len(values) // 4 : which * len(values) // 4].mean()


def test_overfit_validation_loss_rises_after_its_minimum(record, best):
    """Smoothed, it ends at least 5 % above its minimum."""
    val = smooth(record, "val_loss")[1]
    assert val[-1] >= 1.05 * val[best]


def test_overfit_train_loss_goes_on_falling_to_its_floor(record, best):
    """The training loss ends below its value at t*, and within 0.03 nats of the entropy floor."""
    train, floor = smooth(record, "train_loss")[1], record.facts["ladder"]["train"]["floor"]
    assert train[-1] < train[best]
    assert record.series("train_loss")[1][-1] <= floor + 0.03


def test_overfit_gap_is_wider_at_the_end_than_at_the_minimum(record, best):
    """The gap is validation loss minus train loss."""
    gap = smooth(record, "val_loss")[1] - smooth(record, "train_loss")[1]
    assert gap[-1] > gap[best]


def test_overfit_tax_does_not_close_on_held_out_forms(record, best):
    """The model cannot infer irregular forms that it never saw: in the last quarter of the run the
    tax is at least nine tenths of its value in the third quarter and at t*."""
    held_out = tax(record, "val")
    assert quarter(held_out, 4) >= 0.9 * quarter(held_out, 3)
    assert quarter(held_out, 4) >= 0.9 * centred_mean(held_out)[best]


def test_overfit_tax_is_all_but_gone_on_training_rows(record):
    """The model memorises the irregular forms that it trains on."""
    assert abs(quarter(tax(record, "train"), 4)) <= 0.05


def test_overfit_is_what_the_diagnosis_says(overfit):
    """`overfit` is the first cause, and no other cause is named."""
    assert (overfit.diagnosis.verdict, overfit.diagnosis.cause) == ("unhealthy", "overfit")
    assert overfit.diagnosis.margin is None


def test_overfit_is_never_raised_before_validation_was_best(overfit, best):
    """The finding comes after t*."""
    steps = smooth(overfit.record, "val_loss")[0]
    assert overfit.diagnosis.findings[0].step > steps[best]


def test_overfit_diagnosis_names_the_step_to_have_stopped_at(overfit, best):
    """Smoothed validation loss at that step is within 1 % of its minimum, and the remedy names
    it."""
    steps, val = smooth(overfit.record, "val_loss")
    stop = overfit.diagnosis.causes[0].evidence[0].onset
    assert val[np.flatnonzero(steps == stop)[0]] <= 1.01 * val[best]
    assert f"stop at step {stop}" in overfit.diagnosis.remedy


def test_overfit_shows_no_symptom_but_its_own(overfit):
    """The model and the learning rate are those of the healthy run."""
    assert {finding.symptom for finding in overfit.diagnosis.findings} == {"val-loss-rising"}


def test_overfit_changes_nothing_but_length_and_cadence(run):
    """The run has at least eight times the steps of the reference. A longer run needs fewer
    evaluations per step to show the same curve."""
    reference, trained = (from_dict(run(name).config) for name in ("healthy", "overfit"))
    assert diff(reference, trained) == {
        "steps": (HEALTHY.steps, OVERFIT.steps),
        "eval_every": (HEALTHY.eval_every, OVERFIT.eval_every),
    }
    assert OVERFIT.steps >= 8 * HEALTHY.steps


def test_overfit_is_removed_by_the_remedy_of_its_cause(run):
    """Steps and cadence go back to the reference's values."""
    reference, trained = (from_dict(run(name).config) for name in ("healthy", "overfit"))
    assert remedied(trained, "overfit") == reference


def test_overfit_leaves_the_reference_quiet(run):
    """The healthy run ends where its validation loss is lowest, so it has no such finding."""
    assert not run("healthy").diagnosis.shows("val-loss-rising")


def test_overfit_diagnosis_is_the_one_on_file(overfit, on_file, snapshot):
    """Verdict, causes, symptoms, sites and limits are as in the snapshot."""
    assert on_file(overfit.diagnosis) == snapshot
