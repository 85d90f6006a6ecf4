"""Which columns can count the steps of a log."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from probes import read
from probes.readers import base
from probes.record import RecordError
from testing.logs import csv_of, lines_of, points, reader_of, written


@pytest.mark.parametrize(
    "column",
    [
        "step",
        "global_step",
        "current_steps",
        "trainer/global_step",
        "_step",
        "Step",
        "iteration",
        "iter",
    ],
)
def test_a_column_named_like_a_step_counts_steps(tmp_path: Path, column: str) -> None:
    record = read(written(tmp_path, csv_of(**{column: [5, 10]}, loss=[4.0, 3.0])))
    assert (points(record, "loss"), reader_of(record)["step"]) == ({5: 4.0, 10: 3.0}, column)


def test_of_several_step_columns_the_fullest_counts(tmp_path: Path) -> None:
    """A sparse one may be written only at evaluations."""
    text = csv_of(step=["", 1], global_step=[5, 10], loss=[4.0, 3.0])
    assert points(read(written(tmp_path, text)), "loss") == {5: 4.0, 10: 3.0}


def test_a_column_that_restarts_in_every_epoch_does_not_count(tmp_path: Path) -> None:
    """MMDetection's `iter` does; in rows of an evaluation it counts something else."""
    rows = [
        {"mode": "train", "epoch": e, "iter": i, "loss": 9.0 - 3 * e - i / 50}
        for e in (1, 2)
        for i in (50, 100)
    ]
    rows.insert(2, {"mode": "val", "epoch": 1, "iter": 7, "bbox_mAP": 0.5})
    record = read(written(tmp_path, lines_of(*rows)))
    assert points(record, "loss") == {0: 5.0, 1: 4.0, 3: 2.0, 4: 1.0}
    assert reader_of(record)["stitched"] == [
        "'iter' begins again in every epoch, so rows are counted instead"
    ]


def test_a_step_that_falls_within_an_epoch_still_counts(tmp_path: Path) -> None:
    """The run was resumed from a checkpoint."""
    pairs = ((0, 1), (0, 2), (1, 3), (1, 4), (1, 3), (2, 1))
    rows = [{"epoch": epoch, "step": step, "loss": 9.0 - step} for epoch, step in pairs]
    assert points(read(written(tmp_path, lines_of(*rows))), "loss") == {1: 8.0}


def test_another_step_column_counts_where_one_restarts(tmp_path: Path) -> None:
    """There is then nothing to note."""
    rows = [
        {"epoch": e, "iter": i, "step": 2 * e + i, "loss": 9.0 - e - i}
        for e in (0, 1)
        for i in (1, 2)
    ]
    record = read(written(tmp_path, lines_of(*rows)))
    assert (list(points(record, "loss")), reader_of(record)["stitched"]) == ([1, 2, 3, 4], [])


def test_a_step_that_never_changes_does_not_count(tmp_path: Path) -> None:
    """Autoformer and its kin print how many steps an epoch has."""
    lines = [
        f"Epoch: {i}, Steps: 31 | Train Loss: {4.0 - i} Vali Loss: {4.5 - i} Test Loss: 9.0\n"
        for i in (1, 2, 3)
    ]
    record = read(written(tmp_path, "".join(lines)))
    assert points(record, "loss") == {1: 3.0, 2: 2.0, 3: 1.0}
    assert points(record, "val_loss") == {1: 3.5, 2: 2.5, 3: 1.5}
    assert reader_of(record)["stitched"] == [
        "'step' is the same in every row, so epochs are counted instead"
    ]


@pytest.mark.parametrize(("epochs", "loss"), [([1], 4.0), ([1, 1], 3.0)])
def test_a_step_in_a_single_epoch_counts_though_it_does_not_change(
    tmp_path: Path, epochs: list[int], loss: float
) -> None:
    """One epoch cannot tell a constant from a step that is logged once or twice."""
    text = csv_of(step=[7] * len(epochs), epoch=epochs, loss=[4.0, 3.0][: len(epochs)])
    assert points(read(written(tmp_path, text)), "loss") == {7: loss}


def test_steps_in_fractions_do_not_count(tmp_path: Path) -> None:
    """They are parts of an epoch. A single fraction among whole steps is damage."""
    record = read(written(tmp_path, csv_of(step=[0.5, 1.0, 1.5, 2.25], loss=[4.0, 3.0, 2.0, 1.0])))
    assert points(record, "loss") == {0: 4.0, 1: 3.0, 2: 2.0, 3: 1.0}
    assert reader_of(record)["stitched"] == ["'step' holds fractions, so rows are counted instead"]
    text = csv_of(step=[0.5, 1.5, 2.5], iteration=[10, 20, 30], loss=[4.0, 3.0, 2.0])
    assert points(read(written(tmp_path, text)), "loss") == {10: 4.0, 20: 3.0, 30: 2.0}


def test_epochs_do_not_count_when_a_loss_repeats_within_one(tmp_path: Path) -> None:
    """Several batches per epoch are as many points, counted by position."""
    rows = [{"epoch": i // 3, "loss": 4.0 - i} for i in range(4)]
    record = read(written(tmp_path, lines_of(*rows)))
    assert points(record, "loss") == {0: 4.0, 1: 3.0, 2: 2.0, 3: 1.0}


def test_an_epoch_in_two_rows_is_one_step(tmp_path: Path) -> None:
    """One row holds the training loss, the other the validation loss."""
    rows = [
        {"epoch": 1, "train_loss": 4.0},
        {"epoch": 1, "val_loss": 4.5},
        {"epoch": 2, "train_loss": 3.0},
    ]
    record = read(written(tmp_path, lines_of(*rows)))
    assert (points(record, "loss"), points(record, "val_loss")) == ({1: 4.0, 2: 3.0}, {1: 4.5})


def test_epochs_in_fractions_do_not_count(tmp_path: Path) -> None:
    """Steps are whole numbers."""
    rows = [{"epoch": 0.5, "loss": 4.0}, {"epoch": 1.0, "loss": 3.0}]
    assert points(read(written(tmp_path, lines_of(*rows))), "loss") == {0: 4.0, 1: 3.0}


def test_new_names_in_every_row_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a limit they are not even listed as ignored, and a note says so."""
    monkeypatch.setattr(base, "MAX_COLUMNS", 3)
    rows = [{"loss": 4.0, f"x{i}": 1.0} for i in range(10)]
    reader = reader_of(read(written(tmp_path, lines_of(*rows))))
    assert reader["ignored"] == ["x0", "x1"]
    assert reader["stitched"] == ["the log has more than 3 columns; the others were left out"]


def test_rows_are_looked_at_only_while_epochs_may_count_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other cell is counted by column. To make an object of every row would be slow."""
    looked_at: list[int] = []
    rows = base.Block.rows

    def counted(block: base.Block) -> Iterator[base.Row]:
        for row in rows(block):
            looked_at.append(row.number)
            yield row

    monkeypatch.setattr(base.Block, "rows", counted)
    text = csv_of(step=range(99), loss=range(99), val_loss=["", 1, *[""] * 97])
    record = read(written(tmp_path, text))
    assert looked_at == [2]
    assert points(record, "val_loss") == {1: 1.0}


def test_columns_keep_the_order_of_their_first_entries(tmp_path: Path) -> None:
    """An error lists them in this order, whatever the size of the blocks."""
    log = written(tmp_path, csv_of(a=["-", "-", 1.0], b=["-", 2.0, 2.0], c=[3.0, 3.0, "x"]))
    with pytest.raises(RecordError, match="only c, b, a; map"):
        read(log)
