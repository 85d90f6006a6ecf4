"""CSV: delimiters, names, Lightning's sparse rows, and a last line that is cut."""

from pathlib import Path

import pytest

from probes import read
from probes.record import RecordError
from testing.logs import KERAS, LIGHTNING, points, reader_of, written


def test_sparse_rows_of_lightning_become_one_row_per_step(tmp_path: Path) -> None:
    """Batch loss, mean of the epoch, validation and learning rate stand in rows of their own."""
    record = read(written(tmp_path, LIGHTNING))
    assert record.steps.tolist() == [9, 19, 24, 29, 49]
    assert points(record, "loss") == {9: 2.3058958053588867, 19: 1.9120283126831055, 29: 1.7}
    assert points(record, "train_loss") == {24: 2.0511, 49: 1.72}
    assert points(record, "val_loss") == {24: 1.8012, 49: 1.61}
    assert points(record, "lr") == {9: 0.001, 19: 0.001, 29: 0.0005}


def test_a_log_of_keras_counts_epochs(tmp_path: Path) -> None:
    """It has no steps."""
    record = read(written(tmp_path, KERAS))
    assert points(record, "loss") == {0: 1.5626, 1: 1.1985, 2: 1.0476}
    assert points(record, "val_loss") == {0: 1.2789, 1: 1.1323, 2: 1.0214}
    assert (points(record, "lr")[2], reader_of(record)["step"]) == (0.0005, "epoch")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " , "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_delimiters_and_line_ends_of_any_system(
    tmp_path: Path, delimiter: str, end: str, mark: str
) -> None:
    """Cells may be padded, and the file may begin with a byte order mark."""
    text = mark + "step,loss\n1,4.5\n2,4.25\n".replace(",", delimiter).replace("\n", end)
    record = read(written(tmp_path, text))
    assert (points(record, "loss"), reader_of(record)["step"]) == ({1: 4.5, 2: 4.25}, "step")


def test_blanks_may_be_the_delimiter(tmp_path: Path) -> None:
    """fastai prints such a table, and NumPy saves one."""
    fastai = (
        "epoch     train_loss  valid_loss  time    \n"
        "0         1.5         2.0         00:10   \n"
        "1         1.25        1.75        00:11   \n"
    )
    record = read(written(tmp_path, fastai))
    assert points(record, "loss") == {0: 1.5, 1: 1.25}
    assert points(record, "val_loss") == {0: 2.0, 1: 1.75}
    assert points(read(written(tmp_path, "step loss\n1.0e+01 4.5\n")), "loss") == {10: 4.5}


def test_two_lines_of_prose_are_no_table(tmp_path: Path) -> None:
    """They have as many words as each other, but no name that is known."""
    with pytest.raises(RecordError, match="is not in a known format"):
        read(written(tmp_path, "results of run\nabout 12 hours\n"))


def test_names_and_cells_may_be_quoted(tmp_path: Path) -> None:
    """A quoted cell may hold the delimiter."""
    text = '"Step", "note", "Train Loss"\n"1", "a, b", "4.5"\n'
    assert points(read(written(tmp_path, text)), "loss") == {1: 4.5}


def test_a_column_without_a_title_is_named_by_its_position(tmp_path: Path) -> None:
    """The index of a data frame has no title. A header that comes again with a second file is no
    row."""
    text = ",step,loss\n0,5,4.5\n"
    record = read(written(tmp_path, text + text))
    assert (points(record, "loss"), reader_of(record)["ignored"]) == ({5: 4.5}, ["column 1"])


@pytest.mark.parametrize(
    ("text", "rows"), [(LIGHTNING[:-3], 5), (KERAS[:-8], 2), (KERAS[:-1], 2), (KERAS[:-48], 1)]
)
def test_a_last_line_without_its_newline_is_dropped(tmp_path: Path, text: str, rows: int) -> None:
    """Its last number may be cut. The record is then incomplete, and a note says why."""
    record = read(written(tmp_path, text))
    assert (len(record.steps), record.complete) == (rows, False)
    assert "the log ends within it" in reader_of(record)["stitched"][-1]


def test_a_log_without_rows_has_no_steps(tmp_path: Path) -> None:
    """The header alone is a run that has not begun; with half a row, a run that was killed at
    once."""
    begun, killed = (read(written(tmp_path, "step,loss,lr\n" + rest)) for rest in ("", "0"))
    assert (len(begun.steps), len(killed.steps), killed.complete) == (0, 0, False)
