"""Each engineered break is named from its record alone: its signature, its cause, its deadline, and
none of the others.

The signatures are what was measured on the choosing seeds. Where that is not what is usually
predicted (a NaN after a bad initialisation, a loss spike without warmup), the measurement stands
(docs/why.md)."""

from dataclasses import replace
from functools import partial
from math import sqrt

import numpy as np
import pytest

from model import BREAKS, HEALTHY, remedied
from model.config import diff, from_dict
from probes import diagnose
from probes.diagnosis.curves import centred_mean
from probes.diagnosis.early_stop import CONFIRMATIONS, EarlyStop

SIGNATURES = {
    "bad-init": {"initial-loss-high", "initial-activation-large", "first-gradient-large"},
    "no-warmup": {"first-update-large", "lr-starts-at-peak"},
    "mask-leak": {"loss-below-floor"},
}
"""The symptoms that tell one break from the others."""


@pytest.fixture(params=list(BREAKS.values()), ids=list(BREAKS))
def brk(request):
    return request.param


@pytest.fixture
def broken(run, brk):
    return run(brk.name)


@pytest.fixture
def healthy(run):
    return run("healthy").record


def largest_first_change(record):
    """The largest relative change of a layer's output by the first update
    (`probes.diagnosis.detectors.first_update`)."""
    ratios = {
        matrix: record.column("update_weight_ratio", matrix)[0]
        for matrix in record.sites("update_weight_ratio")
    }
    return max(ratio * sqrt(record.facts["fan_in"][matrix]) for matrix, ratio in ratios.items())


# All three


def test_break_changes_exactly_one_leaf_of_healthy(run, brk):
    """The run that was trained differs from the reference in nothing but the leaf of its row."""
    trained, reference = (from_dict(run(name).config) for name in (brk.name, "healthy"))
    assert diff(reference, trained) == {brk.leaf: (brk.old, brk.new)}


def test_break_is_the_first_cause_and_the_sole_one(broken, brk):
    """No other cause comes near: there is no margin to give."""
    assert (broken.diagnosis.verdict, broken.diagnosis.cause) == ("unhealthy", brk.cause)
    assert broken.diagnosis.margin is None


def test_break_shows_its_own_signature_and_no_other_ones(broken, brk):
    """All of its symptoms, and none by which another break is known."""
    found = {finding.symptom for finding in broken.diagnosis.findings}
    assert found & set().union(*SIGNATURES.values()) == SIGNATURES[brk.name]


def test_break_is_certain_by_the_step_of_its_row(broken, brk):
    """From there on every longer record names it first."""
    assert broken.diagnosis.causes[0].certain_since <= brk.certain_by


def test_break_is_named_from_the_record_and_not_from_its_label(broken, run):
    """With the reference's provenance, and with none, the diagnosis is the same to the byte."""
    for provenance in (run("healthy").record.provenance, {}):
        disguised = replace(broken.record, provenance=provenance)
        assert str(diagnose(disguised)) == str(broken.diagnosis)


def test_break_is_undone_by_the_remedy_of_its_cause(run, brk):
    """The remedy names a leaf and a value, and they lead back to the reference."""
    reference = from_dict(run("healthy").config)
    assert remedied(brk.apply(reference), brk.cause) == reference


def test_break_diagnosis_is_the_one_on_file(broken, snapshot):
    """Verdict, causes, symptoms, sites and limits."""
    assert broken.diagnosis.summary() == snapshot


def test_break_leaves_the_reference_without_any_of_these_signatures(run):
    """The quiet half."""
    found = {finding.symptom for finding in run("healthy").diagnosis.findings}
    assert found & set().union(*SIGNATURES.values()) == set()


# Bad initialisation


@pytest.fixture
def bad_init(run):
    return run("bad-init").record


def test_break_bad_init_screams_at_step_zero(run, bad_init):
    """A loss of hundreds of nats before the first update, certain at once."""
    assert bad_init.column("loss")[0] > 100
    assert run("bad-init").diagnosis.causes[0].certain_since == 0


def test_break_bad_init_drives_activations_up_a_thousandfold(bad_init, healthy):
    """The deepest layer of the residual stream, at step 0."""
    last = "blocks.1"
    assert bad_init.column("activation", last)[0] > 1000 * healthy.column("activation", last)[0]


def test_break_bad_init_saturates_every_head_from_the_start(bad_init):
    """Scores are so large that each query sees one key."""
    entropies = [
        bad_init.series("attention_entropy", head)[1][0]
        for head in bad_init.sites("attention_entropy")
    ]
    assert max(entropies) < 0.01


def test_break_bad_init_stays_finite_throughout(bad_init):
    """Predicted is a NaN within thirty steps; a stable softmax and LayerNorm do not give one."""
    counts = [
        bad_init.column("nonfinite_count", site) for site in bad_init.sites("nonfinite_count")
    ]
    assert np.sum(counts) == 0


def test_break_bad_init_ends_worse_than_knowing_nothing(bad_init):
    """The whole run later its loss is still above ln V."""
    assert bad_init.series("train_loss")[1][-1] > bad_init.facts["ladder"]["train"]["uniform"]


# No warmup


@pytest.fixture
def no_warmup(run):
    return run("no-warmup").record


def test_break_no_warmup_takes_its_whole_first_step_at_once(no_warmup, healthy):
    """The first update is as many times the reference's as the reference has warmup steps."""
    ratio = largest_first_change(no_warmup) / largest_first_change(healthy)
    assert ratio == pytest.approx(HEALTHY.optimizer.warmup_steps, rel=0.02)


def test_break_no_warmup_overwrites_what_a_layer_computed(no_warmup, healthy):
    """The first update changes some layer's output by over twice the output itself; the reference
    by under half."""
    assert largest_first_change(healthy) < 0.5 < 2 < largest_first_change(no_warmup)


def test_break_no_warmup_costs_a_tenth_of_the_train_loss_at_least(no_warmup, healthy):
    """At the end, on the full split: 26 % and more on the choosing seeds."""
    assert no_warmup.series("train_loss")[1][-1] > 1.1 * healthy.series("train_loss")[1][-1]


def test_break_no_warmup_shows_no_loss_spike(run):
    """Predicted is a jump to 8-10 nats; the loss only falls more slowly."""
    assert not run("no-warmup").diagnosis.shows("loss-spike")
    assert run("no-warmup").record.column("loss").max() < 6


# Mask leak


@pytest.fixture
def mask_leak(run):
    return run("mask-leak").record


@pytest.mark.parametrize("split", ["train", "val"])
def test_break_mask_leak_collapses_loss_below_the_floor(mask_leak, split):
    """Under half of what the best causal model could reach on that very split."""
    assert (
        mask_leak.series(f"{split}_loss")[1][-1] < 0.5 * mask_leak.facts["ladder"][split]["floor"]
    )


def test_break_mask_leak_looks_better_than_the_reference_at_everything_else(mask_leak, healthy):
    """No other curve gives it away: the loss is lower on held-out forms, and both classes are
    solved."""
    smooth = [centred_mean(record.series("val_loss")[1])[-1] for record in (mask_leak, healthy)]
    assert smooth[0] < 0.1 * smooth[1]


def test_break_mask_leak_is_not_mistaken_for_overfitting(run):
    """What lies below its floor did not get there by learning rows by heart."""
    assert "overfit" not in [cause.name for cause in run("mask-leak").diagnosis.causes]


# Ended early


def test_break_that_is_certain_can_be_ended_early(broken, brk):
    """Judged as the record grows, it is certain of its cause within a few evaluations of its
    deadline."""
    record, online = broken.record, EarlyStop()
    evaluated = record.series("val_loss")[0].tolist()
    answers = ((step, online.certain_cause(partial(record.prefix, step))) for step in evaluated)
    step, cause = next((step, cause) for step, cause in answers if cause)
    assert cause == brk.cause
    assert step <= brk.certain_by + CONFIRMATIONS * HEALTHY.eval_every
