"""When proofs run, and that they leave no trace in the training."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from model import HEALTHY, build
from probes import Recorder, proofs, watch
from probes.proofs import PROOFS, Prover, steps_to_prove
from probes.proofs.base import Proof
from probes.record.signals import BY_NAME, SIGNALS
from probes.recording.watch import watched_steps

SHORT = replace(HEALTHY, steps=16, eval_every=4)
PROVEN = (0, 2, 8, 15)


def rows(signals: Any = SIGNALS) -> dict[int, Any]:
    """Every step of a short run: its losses, and copies of its weights and gradients."""
    specimen = build(SHORT)
    recorder = Recorder(**specimen.facts())
    with closing(watched_steps(specimen, recorder, signals)) as steps:
        return {
            step.index: (step.loss, step.evaluation, specimen.weights(), specimen.gradients())
            for step in steps
        }


def test_proofs_run_at_the_first_and_the_last_step_and_twice_between() -> None:
    assert steps_to_prove(16) == PROVEN
    assert steps_to_prove(1) == (0,)
    assert steps_to_prove(0) == (0, *proofs.LATER_STEPS)


def test_every_signal_of_a_proof_is_measured_at_the_proven_steps_only() -> None:
    record = watch(build(SHORT))
    wanted = [signal.name for signal in SIGNALS if signal.cadence == "proof"]
    assert sorted(wanted) == sorted(name for proof in PROOFS for name in proof.signals)
    for name in wanted:
        steps, _ = record.series(name, record.sites(name)[0])
        assert set(steps) <= set(PROVEN), name
        assert 0 in steps, name


def test_proofs_change_no_bit_of_the_training() -> None:
    """Losses, weights and gradients of every step are those of a run without proofs."""
    with_proofs = rows()
    without = rows([signal for signal in SIGNALS if signal.cadence != "proof"])
    for step, (loss, evaluation, weights, gradients) in without.items():
        assert with_proofs[step][:2] == (loss, evaluation)
        for mine, theirs in zip((weights, gradients), with_proofs[step][2:], strict=True):
            for name, values in mine.items():
                assert np.array_equal(values, theirs[name]), (step, name)


def test_proofs_change_no_other_signal_of_the_record() -> None:
    specimen = build(SHORT)
    plain = Recorder(**specimen.facts())
    for _ in watched_steps(specimen, plain, [s for s in SIGNALS if s.cadence != "proof"]):
        pass
    proven = watch(build(SHORT))
    for name, table in plain.record.tables.items():
        assert np.array_equal(table.values, proven.tables[name].values, equal_nan=True), name


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.name)
def test_a_proof_measures_what_it_declares_and_restores_everything(proof: Proof) -> None:
    specimen = build(SHORT)
    prover = Prover(specimen, signals=proof.signals)
    prover.prepare(0)
    step = next(specimen.steps())
    weights, gradients = specimen.weights(), specimen.gradients()
    readings = prover.readings(step)
    assert set(readings) <= set(proof.signals)
    assert readings
    assert all(BY_NAME[name].cadence == "proof" for name in readings)
    for before, after in ((weights, specimen.weights()), (gradients, specimen.gradients())):
        assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_proof_that_raises_does_not_end_the_training(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(moment: Any) -> Any:
        raise ArithmeticError("on purpose")

    broken = Proof("broken", ("loss_repeat_error",), (), fail)
    monkeypatch.setattr(proofs, "PROOFS", (broken, *PROOFS))
    with caplog.at_level(logging.WARNING, "probes"):
        record = watch(build(SHORT))
    assert record.complete
    assert "proof broken failed at step 0: ArithmeticError: on purpose" in caplog.text


def test_a_specimen_without_the_methods_is_not_proven() -> None:
    class Bare:
        """It cannot even hand out its weights."""

    prover = Prover(Bare())
    prover.prepare(0)
    assert prover.readings(next(build(SHORT).steps())) == {}
