"""Rows of training and validation are told apart by the column that names their split."""

from pathlib import Path

import pytest

from probes import diagnose, read
from probes.readers.base import Block
from probes.readers.split_rows import with_splits_apart
from testing.logs import csv_of, curve, lines_of, points, reader_of, written

TRAIN, VAL = {1: 4.0, 2: 3.0}, {1: 4.5, 2: 3.5}


@pytest.mark.parametrize("column", ["phase", "split", "mode", "name", "stage", "Set"])
@pytest.mark.parametrize("word", ["val", "valid", "Validation", "eval", "dev", "test"])
@pytest.mark.parametrize("write", [csv_of, lines_of], ids=["CSV", "JSON lines"])
def test_a_column_tells_the_split(tmp_path: Path, column: str, word: str, write) -> None:
    rows = [
        {"epoch": epoch, column: split, "loss": loss}
        for epoch in (1, 2)
        for split, loss in (("train", TRAIN[epoch]), (word, VAL[epoch]))
    ]
    if write is csv_of:
        text = csv_of(**{name: [row[name] for row in rows] for name in rows[0]})
    else:
        text = lines_of(*rows)
    record = read(written(tmp_path, text))
    assert (points(record, "loss"), points(record, "val_loss")) == (TRAIN, VAL)
    assert reader_of(record)["step"] == "epoch"


def test_a_count_that_is_the_same_in_each_split_does_not_count_steps(tmp_path: Path) -> None:
    """Such a count is the number of batches of the split."""
    rows = [
        {"name": name, "epoch": epoch, "average loss": loss, "iteration": count}
        for epoch in (1, 2)
        for name, count, loss in (("train", 120, TRAIN[epoch]), ("validation", 24, VAL[epoch]))
    ]
    record = read(written(tmp_path, lines_of(*rows)))
    assert (points(record, "loss"), points(record, "val_loss")) == (TRAIN, VAL)


def test_steps_that_both_splits_share_are_kept(tmp_path: Path) -> None:
    text = csv_of(step=[10, 20, 20], split=["train", "train", "val"], loss=[4.0, 3.0, 3.5])
    record = read(written(tmp_path, text))
    assert (points(record, "loss"), points(record, "val_loss")) == ({10: 4.0, 20: 3.0}, {20: 3.5})


@pytest.mark.parametrize("overfits", [True, False])
def test_such_a_run_is_diagnosed(tmp_path: Path, overfits: bool) -> None:
    """A steady gap between the splits is healthy."""
    train = curve(40)
    val = [loss + 0.8 + (0.06 * max(0, i - 12) if overfits else 0) for i, loss in enumerate(train)]
    rows = [
        {"epoch": i, "phase": phase, "loss": loss}
        for i, pair in enumerate(zip(train, val, strict=True))
        for phase, loss in zip(("train", "val"), pair, strict=True)
    ]
    diagnosis = diagnose(read(written(tmp_path, lines_of(*rows))))
    assert diagnosis.cause == ("overfit" if overfits else None)


def test_a_column_with_other_words_changes_nothing() -> None:
    """A column that names the splits but has another name changes nothing either."""
    for columns in (
        {"name": ["a", "b"], "loss": [1.0, 2.0]},
        {"who": ["train", "val"], "loss": [1.0, 2.0]},
        {"mode": ["train", "train"], "loss": [1.0, 2.0]},
    ):
        block = Block([1, 2], columns)
        assert with_splits_apart(block) is block


def test_a_loss_of_the_validation_keeps_its_column() -> None:
    columns = {"mode": ["train", "val"], "loss": [1.0, None], "val_loss": [None, 2.0]}
    found = with_splits_apart(Block([1, 2], columns))
    assert found.columns["val_loss"] == [None, 2.0]
    assert found.columns["loss"] == [1.0, None]
