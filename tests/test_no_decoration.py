"""Every detector is needed: without it, the diagnosis of some real training is wrong."""

import warnings
from dataclasses import replace
from functools import cache

import pytest

from model import HEALTHY, build
from model.train import Specimen
from model.zoo import ZOO
from probes import Record, Recorder, diagnose, watch
from probes.diagnosis import diagnose as module
from probes.diagnosis.base import Detector
from probes.diagnosis.detectors import DETECTORS
from probes.diagnosis.diagnose import Diagnosis
from probes.record.builder import Builder
from probes.record.signals import SIGNALS
from probes.recording.watch import watched_steps
from testing.faults import CASES, rows_of, without_inputs
from testing.log_files import record_of
from testing.small_net import Adam, Loop, Net, blobs, constant, train
from tests.records import STEPS, thorough
from tests.sabotage import LEAKING, SABOTAGED, SHORT

NEEDED_FOR = {
    "instrument": "impossible-entropy",
    "non-finite": "overflow",
    "no-finite-gradient": "lost-from-the-first",
    "random-loss": "noise-left-on",
    "data-audit": "validation-rows-in-training",
    "reported-loss": "labels-smoothed-in-training-only",
    "wrong-gradient": "square-gradients-transposed",
    "untrained-parameter": "block-that-no-optimizer-holds",
    "weights-overwritten": "weights-kept-in-bfloat16",
    "first-update-scale": "no-bias-correction",
    "loss-zero": "masked",
    "initial-loss": "bad-init",
    "initial-activation": "loud-layer",
    "first-gradient": "summed-loss",
    "first-update": "no-warmup",
    "schedule": "constant-rate",
    "rate-of-log": "zero-rate",
    "rows-mixed": "mixed-rows",
    "future-influence": "leak-without-hooks",
    "future-attention": "leak-without-proofs",
    "blind-attention": "short-window",
    "order-blind": "no-positions",
    "attention-sum": "no-denominator",
    "schedule-followed": "schedule-runs-several-times-too-fast",
    "floor": "leak-in-the-loss",
    "stalled": "tiny-rate",
    "at-ln-k": "blind",
    "at-chance": "guessing",
    "frozen": "not-updated",
    "zero-updates": "no-update",
    "loss-spike": "wild-update",
    "divergence": "ascending",
    "vanishing-gradients": "killed-units",
    "exploding-gradients": "growing-weights",
    "rate-too-high": "peak-too-high",
    "dead-neurons": "silent-ffn",
    "stuck-heads": "sharp-heads",
    "overfitting": "overfit",
    "validation-end": "overfit-few",
    "train-eval": "loss-smoothed",
}
"""Detector -> a run that is diagnosed by it: one of SABOTAGED, of `model.zoo` or of
`testing.faults`, or the experiments' overfit run."""


def guessing() -> Record:
    """A classifier of eight classes without inputs, at a rate so high that its loss is noisy. Its
    accuracy on held-out rows is evaluated every 30 steps."""
    data = without_inputs(blobs(0, k=8))
    net = Net((data.x.shape[1], 16, 8), "classes", 0)
    log = Builder({}, {})
    for epoch in range(24):
        rows = train(net, data, Loop(constant(0.05), 30, Adam, 8, seed=epoch))
        right = net.outputs(data.val_x).argmax(axis=1) == data.val_y.argmax(axis=1)
        log.append(epoch, {"loss": rows[-1]["loss"], "metric": {"accuracy": float(right.mean())}})
    return log.record(complete=True)


def leak_without(name: str) -> Record:
    """The record of a leak in which some signals are missing. Long before it shows in the loss, the
    signals of proofs and those of hooks show it; the loss alone shows it after some forty steps."""
    left_out = {
        "leak-without-hooks": [s for s in SIGNALS if s.name == "future_attention"],
        "leak-without-proofs": [s for s in SIGNALS if s.cadence == "proof"],
    }.get(name, [s for s in SIGNALS if s.cadence == "proof" or s.name == "future_attention"])
    specimen = build(LEAKING if name == "leak-in-the-loss" else replace(LEAKING, steps=24))
    recorder = Recorder(**specimen.facts())
    for _ in watched_steps(specimen, recorder, [s for s in SIGNALS if s not in left_out]):
        pass
    recorder.close()
    return recorder.record


def without_proofs(specimen: Specimen) -> Record:
    """The record of a run, without the signals of proofs."""
    recorder = Recorder(**specimen.facts())
    for _ in watched_steps(specimen, recorder, [s for s in SIGNALS if s.cadence != "proof"]):
        pass
    recorder.close()
    return recorder.record


@cache
def record(name: str) -> Record:
    """The record of a run of SABOTAGED, of the zoo or of `testing.faults`."""
    if name == "guessing":
        return guessing()
    if name == "impossible-entropy":
        return thorough(attention_entropy={"attn.0": [1.5] * STEPS})
    if name == "loss-smoothed":
        return without_proofs(ZOO["labels-smoothed-in-training-only"].build(HEALTHY))
    if name.startswith("leak-"):
        return leak_without(name)
    if name in CASES:
        return record_of(rows_of(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a run that is ruined on purpose may overflow
        return watch(ZOO[name].build(SHORT) if name in ZOO else SABOTAGED[name][0]())


def named(diagnosis: Diagnosis) -> tuple[str, str | None]:
    """Verdict and cause."""
    return diagnosis.verdict, diagnosis.cause


def without(detector: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes one detector find nothing."""

    def sees_nothing(one: Detector) -> Detector:
        return one._replace(judge=lambda evidence: []) if one.name == detector else one

    monkeypatch.setattr(module, "DETECTORS", tuple(map(sees_nothing, DETECTORS)))


@pytest.mark.parametrize("name", SABOTAGED)
def test_a_sabotaged_run_is_diagnosed_by_its_fault(name: str) -> None:
    """The fault ranks first, whatever follows from it."""
    assert named(diagnose(record(name))) == ("unhealthy", SABOTAGED[name][1])


def test_every_detector_has_a_run_that_needs_it() -> None:
    """A new detector needs a row in NEEDED_FOR."""
    assert list(NEEDED_FOR) == [detector.name for detector in DETECTORS]


@pytest.mark.parametrize("detector", [name for name, run in NEEDED_FOR.items() if run != "overfit"])
def test_without_a_detector_the_run_that_needs_it_is_diagnosed_differently(
    detector: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict or the cause changes."""
    run = record(NEEDED_FOR[detector])
    whole = named(diagnose(run))
    without(detector, monkeypatch)
    assert named(diagnose(run)) != whole


def test_without_its_detector_the_overfit_run_passes_for_healthy(
    run, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    """Nothing else is wrong with it."""
    overfit = run("overfit").record
    without("overfitting", monkeypatch)
    assert named(diagnose(overfit)) == ("healthy", None)
