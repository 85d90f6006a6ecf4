"""A log that is one JSON document is loaded as a whole, up to a limit."""

import json
import tracemalloc
from pathlib import Path

import pytest

from probes import read
from probes.readers import json_document
from probes.record import RecordError
from testing.logs import KERAS_HISTORY, TRAINER_STATE, curve, written


@pytest.mark.parametrize("text", [KERAS_HISTORY, TRAINER_STATE], ids=["columns", "trainer state"])
def test_a_file_above_the_limit_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """The message names the size of the file and the limit."""
    monkeypatch.setattr(json_document, "MAX_BYTES", json_document.MIB // 2)
    path = written(tmp_path, text + " " * json_document.MIB)
    with pytest.raises(
        RecordError,
        match=r"log has 1[.\d]* MiB; .* read up to 0\.5 MiB: write it as JSON lines or CSV",
    ):
        read(path)


def test_the_limit_is_256_mib() -> None:
    assert json_document.MAX_BYTES == 268_435_456


@pytest.mark.parametrize("form", ["rows", "columns"])
def test_memory_is_at_most_four_times_the_file(tmp_path: Path, form: str) -> None:
    """Counted is what Python allocates while it loads losses with all their digits."""
    losses = curve(20_000)
    rows = [
        {"step": step, "loss": loss, "learning_rate": loss / 1e4, "grad_norm": loss**2}
        for step, loss in enumerate(losses)
    ]
    document = rows if form == "rows" else {"loss": losses}
    path = written(tmp_path, json.dumps(document))
    del rows, document
    tracemalloc.start()
    try:
        json_document.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 4 * path.stat().st_size


def test_keys_are_found_in_the_beginning_of_a_document() -> None:
    """Keys within a text are not."""
    head = b'[{"step": 1, "train/loss" : 2.0, "note": "\\"lr\\": 1", "unfinished'
    assert list(json_document.keys_in(head)) == ["step", "train/loss", "note"]
