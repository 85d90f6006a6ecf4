"""The training loop: its bits, its batches, its evaluations, its facts and its provenance."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from model import HEALTHY, ConfigError, build
from model.batches import Batch, draw
from model.config import change, leaves
from model.corpus import COMPOSITIONAL_TENSES, SEQUENCES, encode, verb_token_mask
from probes import Inspector

ROOT = Path(__file__).parent.parent
SHORT = replace(
    HEALTHY, steps=8, eval_every=3, seed=7, optimizer=replace(HEALTHY.optimizer, warmup_steps=3)
)

TRAIN_AND_HASH = "from tests.test_train import SHORT, Trained; print(Trained(SHORT).digest)"


class Trained:
    """A run that was trained to its end, and its steps."""

    def __init__(self, config):
        self.specimen = build(config)
        self.losses = [
            (step.loss, step.grad_norm, step.evaluation) for step in self.specimen.steps()
        ]
        self.flat = self.specimen.params.flat.copy()

    @property
    def digest(self):
        return hashlib.sha256(repr(self.losses).encode() + self.flat.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def trained():
    """SHORT, trained to its end. Tests must not train or change it."""
    return Trained(SHORT)


def test_same_config_trains_to_the_same_bits_in_one_process(trained):
    """No state is carried from one run to the next."""
    assert Trained(SHORT).digest == trained.digest


@pytest.mark.parametrize("threads", ["1", "2"])
def test_same_config_trains_to_the_same_bits_in_another_process(trained, threads):
    """Training uses one BLAS thread, whatever the environment sets."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
    output = subprocess.run(
        [sys.executable, "-c", TRAIN_AND_HASH],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert output.stdout.strip() == trained.digest


def test_seed_decides_split_initialisation_and_batches():
    """Two seeds have none of the three in common."""
    a, b = build(SHORT), build(replace(SHORT, seed=8))
    # Places within the split, so that another order is told from the same order of another split.
    first_a, first_b = (
        np.searchsorted(s.split.train, next(s.steps()).batch_ids).tolist() for s in (a, b)
    )
    assert a.split.val.tolist() != b.split.val.tolist()
    assert not np.allclose(a.params.flat, b.params.flat)
    assert first_a != first_b


def test_epoch_holds_no_row_twice():
    """Rows are drawn without replacement, and each epoch has a new order."""
    rows = np.arange(100)
    batches = list(islice(draw(rows, 32, np.random.default_rng(0)), 6))
    first, second = np.concatenate(batches[:3]), np.concatenate(batches[3:])
    assert len(set(first.tolist())) == len(set(second.tolist())) == 96
    assert first.tolist() != second.tolist()


@pytest.fixture(scope="module")
def epoch():
    """An epoch of 17 batches of 30 rows out of 512: the specimen, and the rows of each batch."""
    specimen = build(change(replace(SHORT, steps=17, eval_every=17), "data.batch_size", 30))
    return specimen, [step.batch_ids for step in specimen.steps()]


def test_batches_are_drawn_from_the_training_split_only(epoch):
    """No validation row is trained on."""
    specimen, batches = epoch
    assert set(np.concatenate(batches).tolist()) <= set(specimen.split.train.tolist())


def test_first_character_is_not_predicted():
    """A batch predicts all other characters of its rows."""
    batch = Batch.of(np.array([5, 9]), "causal")
    rows = [encode(SEQUENCES[i].text) for i in (5, 9)]
    assert batch.tokens.tolist() == np.concatenate([row[:-1] for row in rows]).tolist()
    assert batch.targets.tolist() == np.concatenate([row[1:] for row in rows]).tolist()


def row_by_row(specimen, ids, wanted):
    """Mean loss over the chosen tokens, one row at a time."""
    losses = []
    for i in ids:
        sequence = SEQUENCES[i]
        batch = Batch.of(np.array([i]), "causal")
        token_losses = specimen.model.token_losses(*batch[1:])
        losses.append(token_losses[wanted(sequence)].astype(np.float64))
    return float(np.concatenate(losses).mean())


def test_evaluation_is_the_mean_over_every_token_of_the_split():
    """One packed pass gives the same mean as a pass for each row."""
    specimen = build(SHORT)
    evaluation = specimen.evaluate(specimen.model)
    every = row_by_row(specimen, specimen.split.val, lambda s: np.ones(len(s.text) - 1, bool))
    assert evaluation["val_loss"] == pytest.approx(every, rel=1e-5)


def test_class_losses_are_means_over_verb_words_of_that_class():
    """The last English word and the full stop of irregular rows, from Spanish to English."""
    specimen = build(SHORT)
    evaluation = specimen.evaluate(specimen.model)
    irregular = [i for i in specimen.split.val if not SEQUENCES[i].row.regular]
    expected = row_by_row(specimen, irregular, verb_token_mask)
    assert evaluation["val_loss_by_class/irregular"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("name", "regular"), [("regular", True), ("irregular", False)])
def test_compositional_class_losses_are_means_over_the_compositional_tenses(name, regular):
    """The same words, in rows whose English is a fixed phrase and the base verb."""
    specimen = build(SHORT)
    evaluation = specimen.evaluate(specimen.model)
    rows = {i: SEQUENCES[i].row for i in specimen.split.val}
    ids = [
        i for i, row in rows.items() if row.regular is regular and row.tense in COMPOSITIONAL_TENSES
    ]
    expected = row_by_row(specimen, ids, verb_token_mask)
    assert evaluation[f"val_loss_by_class_compositional/{name}"] == pytest.approx(
        expected, rel=1e-5
    )


def test_evaluations_come_at_their_cadence_and_after_the_last_step(trained):
    """Eight steps with an evaluation every 3: after steps 2 and 5, and after the last."""
    assert [i for i, (_, _, evaluation) in enumerate(trained.losses) if evaluation is not None] == [
        2,
        5,
        7,
    ]


def test_evaluation_describes_the_parameters_after_the_update(trained):
    """Another evaluation after the last step gives the same numbers."""
    _, _, last = trained.losses[-1]
    assert dict(last) == dict(trained.specimen.evaluate(trained.specimen.model))


def test_views_of_a_step_are_read_only():
    """A caller cannot change parameters, gradients or updates."""
    step = next(build(SHORT).steps())
    for views in (step.params, step.grads, step.updates):
        with pytest.raises(ValueError, match="read-only"):
            views["embed.weight"][0, 0] = 1.0


def test_training_a_specimen_twice_is_refused(trained):
    """The second training would start from trained weights."""
    with pytest.raises(RuntimeError, match="build another one"):
        next(trained.specimen.steps())


@pytest.mark.parametrize(
    ("leaf", "value"),
    [
        ("model.init_scale", 100.0),
        ("optimizer.warmup_steps", 0),
        ("model.attention_mask", "all-ones"),
    ],
)
def test_facts_do_not_depend_on_leaves_that_experiments_change(leaf, value):
    """Detectors do not see the answer."""
    assert build(change(SHORT, leaf, value)).facts() == build(SHORT).facts()


def test_tokens_per_batch_is_the_mean_over_an_epoch(epoch):
    """The mean is taken over all 17 batches."""
    specimen, batches = epoch
    predicted = [len(Batch.of(ids, "causal").targets) for ids in batches]
    assert specimen.facts()["tokens_per_batch"] == pytest.approx(np.mean(predicted), rel=0.02)


def test_provenance_names_every_leaf_of_the_config():
    """The record says exactly what was trained."""
    config = build(SHORT).provenance()["config"]
    assert sum(len(v) if isinstance(v, dict) else 1 for v in config.values()) == len(leaves(SHORT))


@pytest.mark.parametrize(
    ("leaf", "value", "message"),
    [
        ("model.vocab_size", 20, "model.vocab_size is 20; it must be at least 34"),
        ("data.batch_size", 4000, "data.batch_size is 4000; it must be at most 512"),
    ],
)
def test_config_that_does_not_fit_the_corpus_is_refused(leaf, value, message):
    """The error is raised when the specimen is built, because the config does not know the
    corpus."""
    with pytest.raises(ConfigError, match=message):
        build(change(HEALTHY, leaf, value))


def test_logits_are_a_copy():
    """A later pass does not overwrite them."""
    specimen = build(SHORT)
    kept = specimen.logits(np.array([0]))
    before = kept.copy()
    specimen.logits(np.array([300]))
    np.testing.assert_array_equal(kept, before)


def test_runs_that_take_turns_train_to_the_bits_they_have_alone(trained):
    """The run that started first ends first, and must not raise the other's thread limit."""
    first, second = build(replace(SHORT, seed=3)), build(SHORT)
    first_steps, second_steps = first.steps(), second.steps()
    next(first_steps)
    losses = [next(second_steps).loss]
    for _ in first_steps:
        pass
    losses += [step.loss for step in second_steps]
    assert losses == [loss for loss, _, _ in trained.losses]
    assert second.params.flat.tobytes() == trained.flat.tobytes()


def test_training_limits_blas_to_one_thread_during_steps_only():
    """Between two steps the caller has the threads that the environment allows."""
    with threadpool_limits(limits=2, user_api="blas"):
        specimen, inside = build(SHORT), []
        with Inspector(specimen.model, specimen.params) as inspector:
            inspector.register_forward("embed", hook=lambda *_: inside.append(blas_threads()))
            next(specimen.steps())
            outside = blas_threads()
    assert (set(inside), outside) == ({1}, 2)


def blas_threads():
    return max(info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas")
