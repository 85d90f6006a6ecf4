"""The examples do what they show. The PyTorch loop is tested in test_torch_example.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples.mlp import Classifier, main
from probes import Record, diagnose


def test_classifier_trains_to_a_healthy_record_and_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its record has every signal that such a network has, at every layer and matrix."""
    assert main(["--out", str(tmp_path)]) == 0
    record = Record.load(tmp_path / "mlp.jsonl")
    assert (record.complete, len(record.steps), diagnose(record).verdict) == (True, 400, "healthy")
    assert {
        name: len(table.sites) for name, table in record.tables.items() if len(table.sites) > 1
    } == {
        "grad_norm_by_layer": 3,
        "activation": 3,
        "grad_activation_ratio": 3,
        "update_weight_ratio": 3,
        "spectral_norm": 3,
        "nonfinite_count": 7,
        "batch_ids": 64,
    }
    assert record.column("val_loss")[-1] < 0.1
    assert capsys.readouterr().out.startswith("verdict: healthy\n")
    assert "mlp" in (tmp_path / "mlp.html").read_text(encoding="utf-8")


def test_classifier_with_huge_weights_is_diagnosed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 1, and the cause is named."""
    assert main(["--out", str(tmp_path), "--init-scale", "100"]) == 1
    (cause,) = diagnose(Record.load(tmp_path / "mlp.jsonl")).causes
    assert (cause.name, cause.certain_since) == ("bad-init", 0)
    assert "cause 1: bad-init" in capsys.readouterr().out


def test_backward_pass_of_the_classifier_is_correct() -> None:
    """Along a random direction the gradient predicts the change of the loss."""
    specimen, h = Classifier(), 1e-6
    rng = np.random.default_rng(1)
    network, params = specimen.model, specimen.params.values()
    directions = [rng.standard_normal(param.data.shape) for param in params]
    network.backward(network.loss(specimen.x, specimen.y)[1])
    foretold = sum(
        float((param.grad * v).sum()) for param, v in zip(params, directions, strict=True)
    )
    losses = []
    for sign in (1, -2):
        for param, v in zip(params, directions, strict=True):
            param.data += sign * h * v
        losses.append(network.loss(specimen.x, specimen.y)[0])
    assert (losses[0] - losses[1]) / (2 * h) == pytest.approx(foretold, rel=1e-6)
