"""The healthy run is the reference pattern to compare every other run with.

Bands were measured on the choosing seeds 0-9, with room to spare (`python -m studies.bands` prints
them). Bounds are exact."""

from contextlib import closing
from dataclasses import replace
from math import cos, log, pi
from time import process_time

import numpy as np
import pytest

from bench.recording_cost import EVERY_SIGNAL, evaluation_costs
from model import HEALTHY, build
from probes import Recorder
from probes.diagnosis.curves import centred_mean, first_step_below
from probes.recording.watch import watched_steps
from testing.overhead import Overhead

FLOAT32_SLACK = 1e-5
"""Nats by which a mean of float32 losses may fall below an exact bound."""
CLASSES = ("regular", "irregular")


@pytest.fixture
def healthy(run):
    return run("healthy")


@pytest.fixture
def record(healthy):
    return healthy.record


def area_between(record, signal):
    """Mean over the run of irregular minus regular, in nats per token."""
    regular, irregular = (record.series(signal, site)[1] for site in CLASSES)
    return float((irregular - regular).mean())


def test_healthy_loss_starts_where_a_model_that_knows_nothing_starts(record):
    """Near ln V, the loss of uniform predictions."""
    uniform = log(record.facts["vocab_size"])
    assert uniform - 0.5 <= record.column("loss")[0] <= uniform + 1.2


@pytest.mark.parametrize("split", ["train", "val"])
def test_healthy_loss_falls_and_ends_below_the_ngram_baseline(record, split):
    """The model uses more context than the best n-gram."""
    smooth = centred_mean(record.series(f"{split}_loss")[1])
    assert smooth[-1] < record.facts["ladder"][split]["ngram"] < smooth[0]


@pytest.mark.parametrize("split", ["train", "val"])
def test_healthy_loss_never_falls_below_the_entropy_floor(record, split):
    """A causal model cannot reach it, so a loss below the floor proves a leak."""
    floor = record.facts["ladder"][split]["floor"]
    assert record.series(f"{split}_loss")[1].min() >= floor - FLOAT32_SLACK


def test_healthy_run_ends_where_its_validation_loss_is_lowest(record):
    """Smoothed validation loss ends within 3 % of its minimum, so the run is long enough and does
    not overfit."""
    smooth = centred_mean(record.series("val_loss")[1])
    assert smooth[-1] <= 1.03 * smooth.min()


def test_healthy_learning_rate_ramps_up_and_decays_as_configured(healthy):
    """The rate rises linearly to its peak, then follows a cosine down to a tenth of the peak."""
    steps, optimizer = healthy.config["steps"], healthy.config["optimizer"]
    warmup, peak = optimizer["warmup_steps"], optimizer["lr_max"]
    ramp = [peak * (s + 1) / warmup for s in range(warmup)]
    decay = [
        peak * (0.55 + 0.45 * cos(pi * s / (steps - warmup - 1))) for s in range(steps - warmup)
    ]
    np.testing.assert_allclose(healthy.record.column("lr"), ramp + decay, rtol=1e-12)


def test_healthy_gradient_norms_stay_in_range(record):
    """The first one lies in [0.1, 10], the others in [0.05, 10]."""
    norms = record.column("grad_norm")
    assert 0.1 <= norms[0] <= 10
    assert 0.05 <= norms.min() <= norms.max() <= 10


def test_healthy_activations_keep_their_scale_through_depth_and_time(record):
    """The mean magnitude of every layer stays in one band at every step."""
    scales = [record.column("activation", layer) for layer in record.sites("activation")]
    assert len(scales) == 4
    assert 0.03 <= np.min(scales) <= np.max(scales) <= 30


def test_healthy_weights_keep_their_spectral_norm(record):
    """The largest singular value of every matrix stays in one band."""
    norms = [record.series("spectral_norm", matrix)[1] for matrix in record.sites("spectral_norm")]
    assert len(norms) == 13
    assert 0.5 <= np.min(norms) <= np.max(norms) <= 30


def test_healthy_run_leaves_no_layer_dead(record):
    """In no layer is more than a quarter of the neurons silent on every token of an evaluation."""
    fractions = [
        record.series("dead_fraction", layer)[1] for layer in record.sites("dead_fraction")
    ]
    assert len(fractions) == 2
    assert np.max(fractions) <= 0.25


def test_healthy_run_leaves_no_head_stuck_on_one_key(record):
    """The attention entropy of every head stays above 1 % of its maximum."""
    entropies = [
        record.series("attention_entropy", head)[1] for head in record.sites("attention_entropy")
    ]
    assert len(entropies) == 8
    assert np.min(entropies) >= 0.01


def test_healthy_run_is_diagnosed_healthy(healthy):
    """No cause is named, and every detector could judge."""
    assert (healthy.diagnosis.verdict, healthy.diagnosis.cause) == ("healthy", None)
    assert healthy.diagnosis.not_judged == {}


def test_regular_verbs_are_learned_before_irregular_ones_on_held_out_forms(record):
    """The loss of regular forms falls below that of the best n-gram, and the loss of irregular
    forms does not fall below it earlier."""
    level = record.facts["ladder"]["val"]["class_baseline"]
    regular, irregular = (
        first_step_below(*record.series("val_loss_by_class", site), level) for site in CLASSES
    )
    assert regular < np.inf
    assert regular <= irregular


def test_irregular_verbs_cost_more_than_regular_ones_on_held_out_forms(record):
    """The mean difference of the two losses over the run, the tax, is positive."""
    assert area_between(record, "val_loss_by_class") > 0


def test_both_classes_are_learned_on_training_rows_regular_first(record):
    """The model memorises the exceptions too, but later than the rule."""
    level = record.facts["ladder"]["val"]["class_baseline"]
    regular, irregular = (
        first_step_below(*record.series("train_loss_by_class", site), level) for site in CLASSES
    )
    assert regular < irregular < np.inf


def test_healthy_diagnosis_is_the_one_on_file(healthy, on_file, snapshot):
    """Verdict, causes and findings are as in the snapshot, and every detector judged."""
    assert on_file(healthy.diagnosis) == snapshot


@pytest.mark.benchmark(timer=process_time)
def test_recording_costs_no_more_than_its_budget(benchmark, overhead_budget, tmp_path, note):
    """Records every signal to disk. Bare and recorded steps alternate, so that a busy machine slows
    both alike."""
    if benchmark.disabled:
        pytest.skip(
            "benchmarks are off here, as under pytest-xdist: run this test alone, in one process"
        )
    config = replace(HEALTHY, eval_every=HEALTHY.steps)
    specimen = build(config)
    recorder = Recorder(tmp_path / "run.jsonl", **specimen.facts())
    bare_seconds = []

    def time_one_bare_step():
        start = process_time()
        next(bare)
        bare_seconds.append(process_time() - start)

    with (
        closing(build(config).steps()) as bare,
        recorder,
        closing(watched_steps(specimen, recorder)) as watched,
    ):
        benchmark.pedantic(
            lambda: next(watched), setup=time_one_bare_step, rounds=60, warmup_rounds=5
        )
    overhead = Overhead.of(bare_seconds[-60:], benchmark.stats.stats.data)
    verdict = overhead.judge(overhead_budget)
    evaluation = dict(evaluation_costs(rounds=20, each_signal=False))[EVERY_SIGNAL]
    benchmark.extra_info.update(
        vars(overhead), budget=overhead_budget, verdict=verdict, of_an_evaluation=vars(evaluation)
    )
    found = f"Recording adds {overhead} to a step; the budget is {overhead_budget:.0%}: {verdict}"
    note(f"{found}; to an evaluation it adds {evaluation}.")
    assert verdict != "exceeded", found
