"""The PyTorch loop records all signals that it has, healthy and with a fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from probes import Record, diagnose

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed here; `make parity` installs it and runs this"
)


@pytest.fixture(scope="module")
def example() -> Any:
    """The example runs in single precision and on one thread, whatever other tests have set."""
    from examples import torch_minigpt

    before = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(1)
    yield torch_minigpt
    torch.set_default_dtype(before[0])
    torch.set_num_threads(before[1])


WITHOUT_PROOFS = {
    "attention-sum", "blind-attention", "data-audit", "first-update-scale", "future-attention",
    "future-influence", "order-blind", "random-loss", "reported-loss", "rows-mixed",
    "schedule-followed", "train-eval", "untrained-parameter", "weights-overwritten",
    "wrong-gradient",
}  # fmt: skip
"""Detectors that judge what only `watch` records or states."""


@pytest.fixture(scope="module")
def sound(example: Any, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The record of the example's command line."""
    folder = tmp_path_factory.mktemp("runs")
    assert example.main(["--out", str(folder)]) == 0
    return Record.load(folder / "gpt.jsonl")


def test_loop_leaves_a_healthy_record(sound: Record) -> None:
    """Every detector judges it except those that need the entropy ladder, an accuracy, or proofs
    and the facts about them."""
    diagnosis = diagnose(sound)
    assert (sound.complete, len(sound.steps), diagnosis.verdict) == (True, 160, "healthy")
    assert set(diagnosis.not_judged) == {"floor", "stuck-heads", "at-chance", *WITHOUT_PROOFS}
    assert sound.column("val_loss")[-1] < 1.0


def test_loop_records_every_signal(sound: Record) -> None:
    """The signals are recorded at three layers, ten matrices, two FFNs and eight heads."""
    assert {name: len(table.sites) for name, table in sound.tables.items()} == {
        "loss": 1,
        "train_loss": 1,
        "val_loss": 1,
        "lr": 1,
        "grad_norm": 1,
        "grad_norm_by_layer": 3,
        "activation": 3,
        "grad_activation_ratio": 3,
        "update_weight_ratio": 10,
        "spectral_norm": 10,
        "dead_fraction": 2,
        "attention_entropy": 8,
        "nonfinite_count": 7,
    }


def test_recorded_gradients_are_those_before_clipping(example: Any, sound: Record) -> None:
    """Each recorded norm is at most the norm that PyTorch's clipping measures; some are larger than
    the clipped norm."""
    layers = (sound.tables["grad_norm_by_layer"].values ** 2).sum(axis=1) ** 0.5
    assert (layers < sound.column("grad_norm")).all()
    assert layers.max() > example.CLIP_NORM


def test_loop_without_warmup_at_a_high_rate_is_diagnosed(example: Any, tmp_path: Path) -> None:
    """Within two steps; it ends at three times the validation loss."""
    assert example.main(["--out", str(tmp_path), "--warmup", "0", "--lr", "0.1"]) == 1
    record = Record.load(tmp_path / "gpt.jsonl")
    first = diagnose(record).causes[0]
    assert (first.name, first.certain_since) == ("no-warmup", 1)
    assert record.column("val_loss")[-1] > 1.2
