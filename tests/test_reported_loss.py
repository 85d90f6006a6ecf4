"""A reported loss that is not the mean cross-entropy of the predicted tokens is found, and common
mistakes are told apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from model import build
from model.train import Specimen
from model.zoo import ZOO
from probes import watch
from probes.diagnosis.detectors.reported_loss import DETECTOR
from probes.diagnosis.diagnose import diagnose
from tests.judging import found, why_not
from tests.records import hand_made
from tests.test_data_audit import FEW_STEPS


def symptom_and_cause(specimen: Specimen) -> tuple[str, str, str | None]:
    record = watch(specimen)
    first = found(DETECTOR, record)[0]
    return first.symptom, first.site, diagnose(record).cause


def test_a_sound_training_reports_the_mean() -> None:
    """To the rounding of float32."""
    record = watch(build(FEW_STEPS))
    assert found(DETECTOR, record) == []
    for site in ("step", "repeated", "evaluated", "val_loss"):
        _, ratios = record.series("loss_ratio", site)
        assert ratios == pytest.approx(1, abs=1e-6), site


@pytest.mark.parametrize(
    ("fault", "symptom", "site", "cause"),
    [
        ("loss-summed-over-tokens", "loss-is-sum", "step.sum", "summed-loss"),
        ("loss-divided-by-ten", "loss-not-mean", "step", "wrong-loss"),
        ("labels-smoothed-in-training-only", "loss-not-mean", "step", "wrong-loss"),
        ("softmax-taken-twice", "loss-not-mean", "step", "wrong-loss"),
    ],
)
def test_a_fault_of_the_zoo_is_found(fault: str, symptom: str, site: str, cause: str) -> None:
    assert symptom_and_cause(ZOO[fault].build(FEW_STEPS)) == (symptom, site, cause)


def test_a_sum_over_each_row_is_a_sum() -> None:
    specimen = build(FEW_STEPS)
    specimen.model.cross_entropy.mean = lambda losses: float(  # type: ignore[method-assign]
        losses.sum(dtype=np.float64) / FEW_STEPS.data.batch_size
    )
    assert symptom_and_cause(specimen) == ("loss-is-sum", "step.row-sum", "summed-loss")


def test_targets_shifted_inside_the_loss_are_wrong_data() -> None:
    """The audit sees the right targets, which the loss then replaces by the tokens."""
    specimen, fed = build(FEW_STEPS), []
    embed, entropy = specimen.model.embed, specimen.model.cross_entropy
    embed_as_before, loss_as_before = embed.forward, entropy.forward

    def forward(tokens: Any) -> Any:
        fed[:] = [tokens]
        return embed_as_before(tokens)

    embed.forward = forward  # type: ignore[method-assign]
    entropy.forward = lambda logits, _: loss_as_before(logits, fed[0])  # type: ignore[method-assign]
    assert symptom_and_cause(specimen) == ("targets-not-next", "step.unshifted", "wrong-data")


def test_a_validation_loss_of_other_rows_is_wrong() -> None:
    specimen = build(FEW_STEPS)
    evaluate = specimen.evaluate

    def swapped(model: Any) -> Mapping[str, float]:
        losses = evaluate(model)
        return {**losses, "val_loss": losses["train_loss"]}

    specimen.evaluate = swapped  # type: ignore[assignment]
    assert symptom_and_cause(specimen) == ("loss-not-mean", "val_loss", "wrong-loss")


def test_the_loss_of_the_step_before_is_wrong() -> None:
    """It was computed with other weights and another batch."""
    specimen = build(FEW_STEPS)
    compute, late = specimen.model.loss_and_gradient, [4.0]

    def one_step_late(*args: Any) -> float:
        late.append(compute(*args))
        return late[-2]

    specimen.model.loss_and_gradient = one_step_late  # type: ignore[method-assign]
    assert symptom_and_cause(specimen)[2] == "wrong-loss"


def test_a_record_without_the_proof_is_not_judged() -> None:
    assert why_not(DETECTOR, hand_made({"loss": [2.0, 1.0]})) == "loss_ratio was not recorded"
