"""watch(): trains any specimen to the end with hooks attached, and writes the record step by
step."""

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from model import HEALTHY, build
from probes import Record, Recorder, diagnose, watch
from probes.record.signals import BY_NAME, UnknownSignalError
from probes.recording.hook_collector import SignalCollector
from probes.recording.watch import watch as train
from probes.recording.watch import watched_steps
from tests.mlp import MLP
from tests.records import assert_same

SHORT = replace(HEALTHY, steps=15, eval_every=7)


def test_watch_attaches_to_a_specimen_that_is_no_minigpt():
    """The specimen is an MLP that offers no more than the protocol."""
    record = watch(MLP())
    assert record.sites("activation") == ("hidden", "out")
    assert record.sites("update_weight_ratio") == ("hidden.weight", "out.weight")
    assert record.column("loss")[0] > record.column("loss")[-1]


def test_signals_that_a_specimen_does_not_have_are_not_recorded():
    """The MLP has no attention and no validation split."""
    record = watch(MLP())
    assert record.sites("attention_entropy") == record.sites("val_loss") == ()


def test_mlp_is_diagnosed_healthy_and_one_with_huge_weights_is_not():
    """Detectors work for specimens other than MiniGPT."""
    assert diagnose(watch(MLP())).verdict == "healthy"
    assert diagnose(watch(MLP(scale=100.0))).cause == "bad-init"


@pytest.mark.parametrize("ending", ["complete", "stopped early", "not finite"])
def test_record_in_memory_is_the_record_in_its_file(tmp_path, ending):
    """Facts, provenance, every signal at every site and step, how the run ended. The caller may use
    the record that `watch` returns and need not read the file."""
    specimen, path = build(SHORT), tmp_path / "run.jsonl"

    def spoil(step, total_steps):
        if step == 8 and ending == "not finite":
            specimen.params.views(specimen.params.flat)["blocks.1.ffn.down.bias"][0] = np.nan

    stop_rule = (lambda record: "overfit") if ending == "stopped early" else None
    with np.errstate(all="ignore"):
        record = train(specimen, path, on_step=spoil, stop_rule=stop_rule)
    assert record.complete == (ending != "stopped early")
    assert set(record.tables) == set(BY_NAME) - {"metric"}
    assert_same(record, Record.load(path))


def test_two_runs_of_one_config_leave_the_same_bytes(tmp_path):
    """The record holds no clock, path or process id."""
    for name in ("a.jsonl", "b.jsonl"):
        watch(build(SHORT), tmp_path / name)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_record_carries_config_corpus_versions_and_hardware():
    """The provenance is enough to train the run again, and says where it was trained."""
    provenance = watch(build(SHORT)).provenance
    assert provenance["config"]["optimizer"]["lr_max"] == SHORT.optimizer.lr_max
    assert {"seed", "corpus_sha256", "versions", "hardware"} <= set(provenance)


def test_on_step_is_called_after_every_step():
    """It is called as on_step(step, total_steps)."""
    steps = []
    watch(MLP(total_steps=3), on_step=lambda *a: steps.append(a))
    assert steps == [(0, 3), (1, 3), (2, 3)]


def test_run_that_dies_leaves_what_came_before(tmp_path):
    """The specimen raises after ten steps: ten rows on disk, marked incomplete, and no hook
    left."""
    mlp = MLP()
    steps = mlp.steps()

    def dying():
        for _ in range(10):
            yield next(steps)
        raise FloatingPointError("the run died")

    mlp.steps = dying
    with pytest.raises(FloatingPointError):
        watch(mlp, tmp_path / "run.jsonl")
    record = Record.load(tmp_path / "run.jsonl")
    assert (len(record.steps), record.complete) == (10, False)
    assert mlp.model.sites["hidden"].forward_hooks == ()


def test_interrupted_run_leaves_no_hook_behind():
    """The interrupt (Ctrl-C) comes in the callback that shows progress."""
    mlp = MLP()

    def interrupt(step, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        watch(mlp, on_step=interrupt)
    assert caught.value.__traceback__ is not None
    assert mlp.model.sites["hidden"].forward_hooks == ()


def test_specimen_without_sites_is_refused():
    """Without sites there is nothing to attach hooks to."""
    mlp = MLP()
    mlp.facts = lambda: {"vocab_size": 4}
    with pytest.raises(ValueError, match=r"facts\(\) has no 'sites'"):
        watch(mlp)


def declaring(sites):
    mlp = MLP()
    mlp.facts = lambda: {"sites": sites}
    return mlp


def evaluating(evaluation):
    mlp = MLP()
    steps = list(mlp.steps())
    for step in steps:
        step.evaluation = evaluation
    mlp.steps = lambda: iter(steps)
    return mlp


def without_hooks(part):
    mlp = MLP()
    if part == "hidden":
        del mlp.model.sites["hidden"].forward_hooks
    else:
        del mlp.params[part].backward_hooks
    return mlp


@pytest.mark.parametrize(
    ("specimen", "message"),
    [
        (lambda: declaring(["hidden"]), "must map each site to its kind"),
        (
            lambda: declaring({"hidden": "layr"}),
            "site 'hidden' is of kind 'layr'; it must be one of layer, ffn",
        ),
        (
            lambda: declaring({"hiden": "layer"}),
            "'hiden', of kind 'layer', is not a site of the model; the specimen has hidden",
        ),
        (
            lambda: declaring({"out": "matrix"}),
            "'out', of kind 'matrix', is not a parameter; the specimen has hidden.weight",
        ),
        (lambda: without_hooks("hidden"), "'hidden' has no forward_hooks"),
        (lambda: without_hooks("out.weight"), "'out.weight' has no backward_hooks"),
        (lambda: evaluating({"loss": 1.0}), "loss is a signal of every step"),
        (lambda: evaluating({"val_loss/a": 1.0}), "val_loss must be written 'val_loss'"),
        (
            lambda: evaluating({"val_loss_by_class": 1.0}),
            "must be written 'val_loss_by_class/<class>'",
        ),
    ],
)
def test_specimen_whose_parts_do_not_fit_is_refused(specimen, message):
    """The message names the site, the hook or the entry of the evaluation that is wrong."""
    with pytest.raises(ValueError, match=message):
        watch(specimen())


def test_evaluation_of_an_unknown_signal_names_the_nearest():
    """The error names the nearest signal, as for any wrong name."""
    with pytest.raises(UnknownSignalError, match="no signal 'vall_loss'; did you mean 'val_loss'"):
        watch(evaluating({"vall_loss": 1.0}))


def test_record_names_the_blas_of_numpy_only(monkeypatch):
    """SciPy brings its own BLAS. Importing it must not change the record."""
    numpys = {
        "user_api": "blas",
        "internal_api": "openblas",
        "version": "0.3",
        "filepath": "/x/numpy.libs/a.so",
    }
    scipys = {**numpys, "version": "0.2", "filepath": "/x/scipy.libs/b.so"}
    monkeypatch.setattr("probes.recording.watch.threadpool_info", lambda: [scipys, numpys])
    assert watch(MLP(total_steps=1)).provenance["hardware"]["blas"] == ["openblas 0.3"]


def blas_threads():
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


def test_signals_are_measured_on_one_blas_thread(monkeypatch):
    """Two threads add in another order. Between the measurements the limit is what it was."""
    measuring, readings = [], SignalCollector.readings

    def noting_threads(self, step):
        measuring.append(blas_threads())
        return readings(self, step)

    monkeypatch.setattr(SignalCollector, "readings", noting_threads)
    mlp = MLP(total_steps=2)
    with threadpool_limits(2, "blas"):
        between = [blas_threads() for _ in watched_steps(mlp, Recorder(**mlp.facts()))]
    assert (measuring, between) == ([{1}, {1}], [{2}, {2}])
