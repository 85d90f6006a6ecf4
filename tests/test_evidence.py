"""The evidence that detectors share is computed once."""

from collections import Counter
from functools import cached_property
from typing import Any

import numpy as np
import pytest

from probes.diagnosis import diagnose as module
from probes.diagnosis.curves import Curve
from probes.diagnosis.detectors import divergence
from probes.diagnosis.diagnose import diagnose
from probes.diagnosis.evidence import Evidence
from probes.record import Record
from tests.records import changed, hand_made, sound, thorough

NOISE = np.random.default_rng(0).standard_normal((3, 400))
TIME = np.arange(400) / 400
EXPLODING = hand_made(
    {
        "loss": list((1 + 9 * np.maximum(0, TIME - 0.6)) * np.exp(0.05 * NOISE[0])),
        "grad_norm": list(100**TIME * np.exp(0.3 * NOISE[1])),
        "lr": list(0.01 + 0.01 * TIME),
        "val_loss": list(1 + TIME + 0.1 * NOISE[2]),
    }
)
OVERFITTING = hand_made(
    {
        "loss": list(2 - TIME + 0.05 * NOISE[0]),
        "val_loss": list(2 + TIME + 0.05 * NOISE[1]),
        "grad_norm": list(np.exp(0.3 * NOISE[2])),
    }
)
SOUND = thorough(
    train_loss=[loss - 0.1 for loss in sound()["loss"]],
    val_loss=[loss + 0.1 for loss in sound()["loss"]],
)


@pytest.mark.parametrize(
    "record", [EXPLODING, OVERFITTING, SOUND], ids=["exploding", "overfitting", "sound"]
)
def test_a_diagnosis_computes_no_property_of_a_curve_twice(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Properties are counted by the values of the curve, so two curves of the same signal would
    count as the same."""
    computed: Counter[tuple[str, bytes]] = Counter()

    def counting(name: str) -> Any:
        compute = vars(Curve)[name].func

        def count(curve: Curve) -> Any:
            computed[name, curve.values.tobytes()] += 1
            return compute(curve)

        replacement = cached_property(count)
        replacement.__set_name__(Curve, name)
        return replacement

    cached = [name for name, value in vars(Curve).items() if isinstance(value, cached_property)]
    assert {"segments", "fell", "correlation_length"} <= set(cached)
    for name in cached:
        monkeypatch.setattr(Curve, name, counting(name))
    diagnose(record)
    assert computed["segments", record.series("loss")[1].tobytes()] == 1
    assert [key for key, times in computed.items() if times > 1] == []


def test_a_diagnosis_judges_the_end_of_the_loss_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two detectors need to know whether it ends high."""
    calls = []
    rule = divergence._above_start
    monkeypatch.setattr(divergence, "_above_start", lambda loss: calls.append(loss) or rule(loss))
    assert [cause.name for cause in diagnose(EXPLODING).causes][:2] == [
        "exploding-gradients",
        "diverged",
    ]
    assert len(calls) == 1


def test_once_calls_a_function_once_for_each_evidence() -> None:
    """The result is kept, also when it is None."""
    calls = []

    def compute(evidence: Evidence) -> None:
        calls.append(evidence)

    first, second = Evidence(changed()), Evidence(changed())
    for evidence in (first, first, second):
        assert evidence.cached(compute) is None
    assert calls == [first, second]


@pytest.mark.parametrize("signal", ["val_loss", "lr", "loss"])
def test_a_signal_has_one_curve(signal: str) -> None:
    """The curve is computed once, and all detectors share it."""
    evidence = Evidence(thorough())
    assert evidence.curve(signal) is evidence.curve_or_empty(signal)


def test_a_signal_that_was_not_recorded_has_an_empty_curve() -> None:
    """An empty curve serves detectors that can judge without this signal."""
    curve = Evidence(hand_made({"loss": [1.0, 2.0]})).curve_or_empty("lr")
    assert (len(curve), curve.has_segments) == (0, False)


@pytest.mark.parametrize(
    "signals",
    [
        {"val_loss": [1.0 + i / 40 for i in range(40)]},
        {"lr": [0.0] * 40, "val_loss": [1.0] * 40},
        {"loss": [float("nan"), *[(-1.0) ** i for i in range(40)]], "val_loss": [1.0] * 41},
    ],
    ids=["validation loss alone", "without a training loss", "a loss of both signs"],
)
def test_a_policy_with_a_validation_loss_is_diagnosed(signals: dict[str, list[float]]) -> None:
    """No rule for a loss applies to it, and there is nothing to remark."""
    record = hand_made(signals, objective="reinforcement learning")
    diagnosis = diagnose(record)
    assert diagnosis.remarks == ()
    assert "overfitting" in diagnosis.not_judged
    assert module.Evidence(record).no_loss_rules
