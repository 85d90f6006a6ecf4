"""The diagnosis names each engineered break from its record alone: the right cause, by the right
step, with the break's own symptoms and no other break's.

The signatures were measured on the choosing seeds. The measurement stands where it differs from the
usual prediction, such as a NaN after a bad initialisation or a loss spike without warmup
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

SIGNATURES = frozenset().union(*(brk.signature for brk in BREAKS.values()))
"""Every symptom by which some break is known."""


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


# Every break


def test_break_changes_exactly_one_leaf_of_healthy(run, brk):
    """The config of the trained run differs from the reference only in the leaf of its row."""
    trained, reference = (from_dict(run(name).config) for name in (brk.name, "healthy"))
    assert diff(reference, trained) == {brk.leaf: (brk.old, brk.new)}


def test_break_is_the_first_cause_and_the_sole_one(broken, brk):
    """The diagnosis names the cause of the break and no other."""
    assert (broken.diagnosis.verdict, broken.diagnosis.cause) == ("unhealthy", brk.cause)
    assert broken.diagnosis.margin is None


def test_break_shows_its_own_signature_and_no_other_ones(broken, brk):
    """The run shows all symptoms of its own break and no symptom of another break."""
    found = {finding.symptom for finding in broken.diagnosis.findings}
    assert found & SIGNATURES == brk.signature


def test_break_is_certain_by_the_step_of_its_row(broken, brk):
    """Every prefix of the record that reaches this step has the cause in first place."""
    assert broken.diagnosis.causes[0].certain_since <= brk.certain_by


def test_break_is_named_from_the_record_and_not_from_its_label(broken, run):
    """The diagnosis is the same, to the byte, with the provenance of the healthy run and without
    any."""
    for provenance in (run("healthy").record.provenance, {}):
        disguised = replace(broken.record, provenance=provenance)
        assert str(diagnose(disguised)) == str(broken.diagnosis)


def test_break_is_removed_by_the_remedy_of_its_cause(run, brk):
    """Applying the remedy gives the config of the healthy run."""
    reference = from_dict(run("healthy").config)
    assert remedied(brk.apply(reference), brk.cause) == reference


def test_break_diagnosis_is_the_one_on_file(broken, on_file, snapshot):
    """Verdict, causes, symptoms, sites and limits are as in the snapshot."""
    assert on_file(broken.diagnosis) == snapshot


def test_break_leaves_the_reference_without_any_of_these_signatures(run):
    """The healthy run shows no symptom of any break."""
    found = {finding.symptom for finding in run("healthy").diagnosis.findings}
    assert found & SIGNATURES == set()


# Bad initialisation


@pytest.fixture
def bad_init(run):
    return run("bad-init").record


def test_break_bad_init_shows_at_step_zero(run, bad_init):
    """The loss is over a hundred nats before the first update, and the cause is certain there."""
    assert bad_init.column("loss")[0] > 100
    assert run("bad-init").diagnosis.causes[0].certain_since == 0


def test_break_bad_init_drives_activations_up_a_thousandfold(bad_init, healthy):
    """Compared at the last block of the residual stream, at step 0."""
    last = "blocks.1"
    assert bad_init.column("activation", last)[0] > 1000 * healthy.column("activation", last)[0]


def test_break_bad_init_saturates_every_head_from_the_start(bad_init):
    """Attention scores are so large that each query attends to a single key."""
    entropies = [
        bad_init.series("attention_entropy", head)[1][0]
        for head in bad_init.sites("attention_entropy")
    ]
    assert max(entropies) < 0.01


def test_break_bad_init_stays_finite_throughout(bad_init):
    """The prediction is a NaN within 30 steps. A stable softmax and LayerNorm produce none."""
    counts = [
        bad_init.column("nonfinite_count", site) for site in bad_init.sites("nonfinite_count")
    ]
    assert np.sum(counts) == 0


def test_break_bad_init_ends_worse_than_knowing_nothing(bad_init):
    """The final loss is still above ln V."""
    assert bad_init.series("train_loss")[1][-1] > bad_init.facts["ladder"]["train"]["uniform"]


# No warmup


@pytest.fixture
def no_warmup(run):
    return run("no-warmup").record


def test_break_no_warmup_takes_its_whole_first_step_at_once(no_warmup, healthy):
    """Its first update is `warmup_steps` times as large as that of the healthy run."""
    ratio = largest_first_change(no_warmup) / largest_first_change(healthy)
    assert ratio == pytest.approx(HEALTHY.optimizer.warmup_steps, rel=0.02)


def test_break_no_warmup_overwrites_what_a_layer_computed(no_warmup, healthy):
    """Its first update changes some layer's output by more than twice that output; in the healthy
    run the change is less than half of it."""
    assert largest_first_change(healthy) < 0.5 < 2 < largest_first_change(no_warmup)


def test_break_no_warmup_costs_a_tenth_of_the_train_loss_at_least(no_warmup, healthy):
    """The final loss on the full train split is higher: by 26 % and more on the choosing seeds."""
    assert no_warmup.series("train_loss")[1][-1] > 1.1 * healthy.series("train_loss")[1][-1]


def test_break_no_warmup_shows_no_loss_spike(run):
    """The prediction is a jump to 8-10 nats. The loss only falls more slowly."""
    assert not run("no-warmup").diagnosis.shows("loss-spike")
    assert run("no-warmup").record.column("loss").max() < 6


# Mask leak


@pytest.fixture
def mask_leak(run):
    return run("mask-leak").record


@pytest.mark.parametrize("split", ["train", "val"])
def test_break_mask_leak_collapses_loss_below_the_floor(mask_leak, split):
    """The final loss is less than half of what the best causal model reaches on that split."""
    assert (
        mask_leak.series(f"{split}_loss")[1][-1] < 0.5 * mask_leak.facts["ladder"][split]["floor"]
    )


def test_break_mask_leak_looks_better_than_the_reference_at_everything_else(mask_leak, healthy):
    """Every other curve looks better than in the healthy run: validation loss ends at less than a
    tenth."""
    smooth = [centred_mean(record.series("val_loss")[1])[-1] for record in (mask_leak, healthy)]
    assert smooth[0] < 0.1 * smooth[1]


def test_break_mask_leak_is_not_mistaken_for_overfitting(run):
    """Memorising the training rows cannot take a loss below its floor."""
    assert "overfit" not in [cause.name for cause in run("mask-leak").diagnosis.causes]


# Ended early


def test_break_that_is_certain_can_be_ended_early(broken, brk):
    """A diagnosis at each evaluation is certain of the cause within CONFIRMATIONS evaluations of
    the step of its row."""
    record, early_stop = broken.record, EarlyStop()
    evaluated = record.series("val_loss")[0].tolist()
    answers = ((step, early_stop.certain_cause(partial(record.prefix, step))) for step in evaluated)
    step, cause = next((step, cause) for step, cause in answers if cause)
    assert cause == brk.cause
    assert step <= brk.certain_by + CONFIRMATIONS * HEALTHY.eval_every
