"""CSV: delimiters, names, Lightning's sparse rows, and a last line that is cut."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from probes import read
from probes.readers import csv_log, line_batches
from probes.readers.cells import Cell
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


CUT = {
    "in the last cell": (KERAS[:-2], {0: 1.2789, 1: 1.1323}),
    "in front of the last cell": (KERAS[:-8], {0: 1.2789, 1: 1.1323}),
    "in the first cells": (KERAS[:-34], {0: 1.2789, 1: 1.1323}),
    "in a row of Lightning": (LIGHTNING[:-2], {24: 1.8012, 49: 1.61}),
}


@pytest.mark.parametrize(("text", "val_losses"), CUT.values(), ids=CUT)
def test_what_may_be_cut_in_a_last_line_is_dropped(
    tmp_path: Path, text: str, val_losses: dict[int, float]
) -> None:
    """Its last number may be cut. The record is then incomplete, and a note says why."""
    record = read(written(tmp_path, text))
    assert (points(record, "val_loss"), record.complete) == (val_losses, False)
    assert "values that may be cut were left out" in reader_of(record)["stitched"][-1]


def test_the_other_numbers_of_a_last_line_that_is_cut_are_read(tmp_path: Path) -> None:
    """The delimiter behind them shows that they are whole."""
    assert points(read(written(tmp_path, KERAS[:-8])), "loss") == {0: 1.5626, 1: 1.1985, 2: 1.0476}


@pytest.mark.parametrize("last", ["nan", "-inf", "1.0215", '"2"'])
def test_a_last_cell_that_is_whole_by_its_form_is_read(tmp_path: Path, last: str) -> None:
    """A word such as NaN, a number with as many digits as the one above, a quoted number."""
    record = read(written(tmp_path, "step,loss\n0,1.5000\n1,1.2500\n2," + last))
    assert (record.steps.tolist(), record.complete) == ([0, 1, 2], True)


def test_rows_with_more_cells_than_names_are_read_up_to_the_gap(tmp_path: Path) -> None:
    """flair writes two tabs in a row, so the cells behind them belong to unknown columns."""
    text = "EPOCH\tTRAIN_LOSS\tACC\tDEV_LOSS\n" + "".join(
        f"{i}\t{3.0 - i}\t\t_\t7.5\n" for i in range(3)
    )
    record = read(written(tmp_path, text))
    assert (points(record, "loss"), record.sites("val_loss")) == ({0: 3.0, 1: 2.0, 2: 1.0}, ())
    assert reader_of(record)["stitched"] == [
        "3 rows have more cells than the header; they were read up to their first empty cell"
    ]


@pytest.mark.parametrize("comment", ["", "# DeePMD 2.1\n# units: eV\n"])
def test_a_header_may_be_a_comment(tmp_path: Path, comment: str) -> None:
    """DeePMD and NumPy write it so. The last comment above the numbers is the header."""
    text = (
        comment
        + "#  step      rmse_val    rmse_trn         lr\n"
        + "".join(
            f"{i * 100:7d}      {9.5 - i:.2e}    {9.0 - i:.2e}    1.0e-03\n" for i in range(3)
        )
    )
    record = read(written(tmp_path, text))
    assert points(record, "loss") == {0: 9.0, 100: 8.0, 200: 7.0}
    assert points(record, "val_loss") == {0: 9.5, 100: 8.5, 200: 7.5}
    assert set(points(record, "lr").values()) == {0.001}


def test_beside_semicolons_a_comma_is_a_decimal_point(tmp_path: Path) -> None:
    """A comma in a text is none."""
    text = "step;loss;note\n1;4,5;a, b\n2;3,25e-1;\n3;nan;c,d\n"
    record = read(written(tmp_path, text))
    assert points(record, "loss") == {1: 4.5, 2: 0.325}
    assert points(read(written(tmp_path, "step;loss\n1;4.5\n")), "loss") == {1: 4.5}


def test_no_log_means_that_nothing_was_measured(tmp_path: Path) -> None:
    """A notebook shows it until the first training loss."""
    text = "Step\tTraining Loss\tValidation Loss\n500\tNo log\t4.5\n1000\t3.5\t4.0\n"
    record = read(written(tmp_path, text))
    assert (points(record, "loss"), points(record, "val_loss")) == (
        {1000: 3.5},
        {500: 4.5, 1000: 4},
    )


def test_one_odd_row_among_many_is_left_out(tmp_path: Path) -> None:
    """A note gives its line. In a short table it is an error."""
    rows = [f"{i},{4.0 - i / 10}" for i in range(30)]
    rows.insert(10, "Training will go on,after a pause,of a minute")
    rows.insert(20, "glitch,2.5")
    record = read(written(tmp_path, "step,loss\n" + "\n".join(rows[:21] + rows[21:] * 3) + "\n"))
    assert len(points(record, "loss")) == 30
    notes = reader_of(record)["stitched"]
    assert any("damaged rows were left out; the first: line 12 has 3 cells" in n for n in notes)


def test_a_log_without_rows_has_no_steps(tmp_path: Path) -> None:
    """The header alone is a run that has not begun; with half a row, a run that was killed at
    once."""
    begun, killed = (read(written(tmp_path, "step,loss,lr\n" + rest)) for rest in ("", "0"))
    assert (len(begun.steps), len(killed.steps), killed.complete) == (0, 0, False)


def test_the_first_step_after_a_repeated_header_is_a_restart(tmp_path: Path) -> None:
    """Two logs of one run were joined. The steps go on, so nothing else shows it."""
    text = "step,loss\n1,4.0\n2,3.0\nstep,loss\n3,3.5\n4,2.5\n"
    record = read(written(tmp_path, text))
    assert points(record, "loss") == {1: 4.0, 2: 3.0, 3: 3.5, 4: 2.5}
    assert record.facts["resumed_at"] == [3]


def test_a_table_of_few_rows_and_many_columns_is_converted_row_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call for each column of a short block would be slow."""
    converted: list[int] = []

    def counted(texts: Sequence[str], has_underscore: bool) -> list[Cell]:
        converted.append(len(texts))
        return cells(texts, has_underscore)

    cells = csv_log._cells
    monkeypatch.setattr(csv_log, "_cells", counted)
    names = ",".join(f"x{place}" for place in range(500))
    line = ",".join(["7"] * 500)
    path = written(tmp_path, f"step,loss,{names}\n" + f"0,2.5,{line}\n1,2.25,{line}\n")
    assert points(read(path), "loss") == {0: 2.5, 1: 2.25}
    assert set(converted) == {502}


def test_blank_lines_above_the_header_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch of lines may hold nothing else."""
    monkeypatch.setattr(line_batches, "READ_BYTES", 8)
    path = written(tmp_path, "\n \n\n\n\n\n\n\n\n\n\nstep,loss\n1,4.0\n2,3.0\n")
    assert points(read(path), "loss") == {1: 4.0, 2: 3.0}


def test_a_cell_that_is_too_long_for_the_csv_module_is_damage(tmp_path: Path) -> None:
    """Python's csv module reads cells of up to 131,072 characters."""
    rows = "".join(f"{step},{4 - step / 100}\n" for step in range(60))
    path = written(tmp_path, f"step,loss\n{rows}60,{'9' * 140_000}\n61,3.0\n")
    record = read(path)
    assert len(points(record, "loss")) == 61
    assert "line 62 has 0 cells" in reader_of(record)["stitched"][-1]
