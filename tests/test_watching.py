"""watch(): any specimen, trained to the end, with everything attached and the record written as it
goes."""

from dataclasses import replace

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from model import HEALTHY, build
from probes import Record, Recorder, diagnose, watch
from probes.record.signals import BY_NAME, UnknownSignalError
from probes.recording.watch import watched_steps
from tests.mlp import MLP

SHORT = replace(HEALTHY, steps=15, eval_every=5)


def test_watch_attaches_to_a_specimen_that_is_no_minigpt():
    """An MLP of the test's own: the protocol is all that is asked for."""
    record = watch(MLP())
    assert record.sites("activation") == ("hidden", "out")
    assert record.sites("update_weight_ratio") == ("hidden.weight", "out.weight")
    assert record.column("loss")[0] > record.column("loss")[-1]


def test_what_a_specimen_cannot_show_is_not_recorded():
    """The MLP has no attention and no validation split; nobody makes them up."""
    record = watch(MLP())
    assert record.sites("attention_entropy") == record.sites("val_loss") == ()


def test_sound_mlp_is_diagnosed_healthy_and_one_with_huge_weights_is_not():
    """The same verdicts for somebody else's specimen."""
    assert diagnose(watch(MLP())).verdict == "healthy"
    assert diagnose(watch(MLP(scale=100.0))).cause == "bad-init"


def test_record_on_disk_is_the_record_returned(tmp_path):
    """What a later process loads is what this one saw."""
    record = watch(build(SHORT), tmp_path / "run.jsonl")
    loaded = Record.load(tmp_path / "run.jsonl")
    assert loaded.complete
    assert repr(loaded) == repr(record)


def test_two_runs_of_one_config_leave_the_same_bytes(tmp_path):
    """No clock, no path, no process id in the record."""
    for name in ("a.jsonl", "b.jsonl"):
        watch(build(SHORT), tmp_path / name)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_record_carries_config_corpus_versions_and_hardware():
    """Enough to train the run again, and to know on what it was trained."""
    provenance = watch(build(SHORT)).provenance
    assert provenance["config"]["optimizer"]["lr_max"] == SHORT.optimizer.lr_max
    assert {"seed", "corpus_sha256", "versions", "hardware"} <= set(provenance)


def test_every_step_is_reported_to_whoever_shows_progress():
    """on_step(step, total_steps)."""
    steps = []
    watch(MLP(total_steps=3), on_step=lambda *a: steps.append(a))
    assert steps == [(0, 3), (1, 3), (2, 3)]


def test_run_that_dies_leaves_what_came_before(tmp_path):
    """Ten steps, then an error of the specimen's own: ten rows on disk, marked incomplete, no hook
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


def test_loop_that_is_interrupted_from_outside_leaves_no_hook_behind():
    """Ctrl-C while somebody is shown the progress: the model is as it was."""
    mlp = MLP()

    def interrupt(step, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        watch(mlp, on_step=interrupt)
    assert caught.value.__traceback__ is not None
    assert mlp.model.sites["hidden"].forward_hooks == ()


def test_specimen_that_declares_no_sites_is_told_so():
    """Nothing can be watched where nothing is named."""
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
            "'hiden', of kind 'layer', is no site of the model; there are hidden",
        ),
        (
            lambda: declaring({"out": "matrix"}),
            "'out', of kind 'matrix', is no parameter; there are hidden.weight",
        ),
        (lambda: without_hooks("hidden"), "'hidden' has no forward_hooks"),
        (lambda: without_hooks("out.weight"), "'out.weight' has no backward_hooks"),
        (lambda: evaluating({"loss": 1.0}), "loss has cadence step"),
        (lambda: evaluating({"val_loss/a": 1.0}), "is written 'val_loss'"),
        (lambda: evaluating({"val_loss_by_class": 1.0}), "is written 'val_loss_by_class/<class>'"),
    ],
)
def test_specimen_whose_parts_do_not_fit_is_told_which(specimen, message):
    """Nothing that was declared or evaluated is dropped without a word."""
    with pytest.raises(ValueError, match=message):
        watch(specimen())


def test_evaluation_of_an_unknown_signal_names_the_nearest():
    """As everywhere else."""
    with pytest.raises(UnknownSignalError, match="no signal 'vall_loss'; did you mean 'val_loss'"):
        watch(evaluating({"vall_loss": 1.0}))


def test_record_does_not_say_which_other_packages_were_loaded(monkeypatch):
    """SciPy brings a BLAS of its own; whether a test imported it changes no byte of the record."""
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


def test_signals_are_measured_on_one_blas_thread_and_the_others_come_back():
    """Two add up in another order; the training itself may have as many as it likes."""
    mlp = MLP(total_steps=2)
    measuring = []
    signal = replace(BY_NAME["loss"], measure=lambda _: measuring.append(blas_threads()))
    with threadpool_limits(2, "blas"):
        between = [blas_threads() for _ in watched_steps(mlp, Recorder(**mlp.facts()), [signal])]
    assert (measuring, between) == ([{1}, {1}], [{2}, {2}])
