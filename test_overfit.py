"""HEALTHY carried past convergence on purpose: the gap between train and validation opens, the tax
does not close."""

import numpy as np
import pytest

from model import HEALTHY, OVERFIT, remedied
from model.config import diff, from_dict
from probes.diagnosis.curves import WINDOW, centred_mean

CLASSES = ("regular", "irregular")


@pytest.fixture
def overfit(run):
    return run("overfit")


@pytest.fixture
def record(overfit):
    return overfit.record


def smooth(record, signal):
    """The steps at which a signal was evaluated and its centred mean of five there."""
    steps, values = record.series(signal)
    return steps[WINDOW // 2 : -(WINDOW // 2)], centred_mean(values)


@pytest.fixture
def best(record):
    """t*: where among the smoothed evaluations val is lowest."""
    return int(smooth(record, "val_loss")[1].argmin())


def tax(record, split):
    """Loss of irregular forms minus that of regular ones, at each evaluation, in nats per token."""
    regular, irregular = (record.series(f"{split}_loss_by_class", site)[1] for site in CLASSES)
    return irregular - regular


def quarter(values, which):
    return values[(which - 1) * len(values) // 4 : which * len(values) // 4].mean()


def test_overfit_changes_nothing_but_length_and_cadence(run):
    """At least eight times the steps of the reference. A longer run needs fewer evaluations per
    step to show the same curve."""
    reference, trained = (from_dict(run(name).config) for name in ("healthy", "overfit"))
    assert diff(reference, trained) == {
        "steps": (HEALTHY.steps, OVERFIT.steps),
        "eval_every": (HEALTHY.eval_every, OVERFIT.eval_every),
    }
    assert OVERFIT.steps >= 8 * HEALTHY.steps


def test_overfit_validation_loss_rises_after_its_minimum(record, best):
    """It ends at least 5 % above it."""
    val = smooth(record, "val_loss")[1]
    assert val[-1] >= 1.05 * val[best]


def test_overfit_train_loss_goes_on_falling_to_its_floor(record, best):
    """Below where it was when validation was best, and within 0.03 nats of what is possible."""
    train, floor = smooth(record, "train_loss")[1], record.facts["ladder"]["train"]["floor"]
    assert train[-1] < train[best]
    assert record.series("train_loss")[1][-1] <= floor + 0.03


def test_overfit_gap_is_wider_at_the_end_than_at_the_minimum(record, best):
    """Validation minus train."""
    gap = smooth(record, "val_loss")[1] - smooth(record, "train_loss")[1]
    assert gap[-1] > gap[best]


def test_overfit_tax_does_not_close_on_held_out_forms(record, best):
    """More training does not tell what was never shown: over the last quarter the tax is at least
    nine tenths of what it was in the third, and at the minimum of validation."""
    held_out = tax(record, "val")
    assert quarter(held_out, 4) >= 0.9 * quarter(held_out, 3)
    assert quarter(held_out, 4) >= 0.9 * centred_mean(held_out)[best]


def test_overfit_tax_is_all_but_gone_on_training_rows(record):
    """Exceptions can be learned by heart."""
    assert abs(quarter(tax(record, "train"), 4)) <= 0.05


def test_overfit_is_what_the_diagnosis_says(overfit):
    """The first cause, and the sole one."""
    assert (overfit.diagnosis.verdict, overfit.diagnosis.cause) == ("unhealthy", "overfit")
    assert overfit.diagnosis.margin is None


def test_overfit_is_never_raised_before_validation_was_best(overfit, best):
    """The warning is no guess: the minimum lies behind it."""
    steps = smooth(overfit.record, "val_loss")[0]
    assert overfit.diagnosis.findings[0].step > steps[best]


def test_overfit_diagnosis_names_the_step_to_have_stopped_at(overfit, best):
    """Smoothed validation there is within 1 % of its minimum, and the remedy says so."""
    steps, val = smooth(overfit.record, "val_loss")
    stop = overfit.diagnosis.causes[0].evidence[0].onset
    assert val[np.flatnonzero(steps == stop)[0]] <= 1.01 * val[best]
    assert f"stop at step {stop}" in overfit.diagnosis.remedy


def test_overfit_shows_no_symptom_but_its_own(overfit):
    """The same model at the same rate, only longer."""
    assert {finding.symptom for finding in overfit.diagnosis.findings} == {"val-loss-rising"}


def test_overfit_is_undone_by_the_remedy_of_its_cause(run):
    """Steps and cadence go back to the reference's values."""
    reference, trained = (from_dict(run(name).config) for name in ("healthy", "overfit"))
    assert remedied(trained, "overfit") == reference


def test_overfit_leaves_the_reference_quiet(run):
    """Which ends where its validation loss is lowest."""
    assert not run("healthy").diagnosis.shows("val-loss-rising")


def test_overfit_diagnosis_is_the_one_on_file(overfit, snapshot):
    """Verdict, causes, symptoms, sites and limits."""
    assert overfit.diagnosis.summary() == snapshot
