"""Each run in a file with several runs is read as a run of its own."""

import json
from pathlib import Path

import pytest

from probes import RecordError, read, read_all
from probes.readers import runs, runs_in
from probes.readers.runs import split_run
from testing.logs import csv_of, lines_of, points, reader_of, written

EXPORT = {
    "Step": [1, 2, 3],
    "clear-sun-3 - train/loss": [4.0, "", 3.0],
    "clear-sun-3 - train/loss__MIN": [3.5, "", 2.5],
    "clear-sun-3 - val/acc": ["", "", 0.5],
    "dusty - moon - train/loss": [5.0, 4.5, ""],
}
ROWS = [
    {"run": run, "step": step, "loss": loss + step}
    for step in (1, 2, 3)
    for run, loss in (("a", 1.0), ("b", 2.0))
]
BY_ROW = {"a": {1: 2.0, 2: 3.0, 3: 4.0}, "b": {1: 3.0, 2: 4.0, 3: 5.0}}


def test_a_table_may_have_columns_for_each_run(tmp_path: Path) -> None:
    """Rows in which a run has no value are no rows of it. The columns keep their own names."""
    found = read_all(written(tmp_path, csv_of(**EXPORT)))
    assert {name: points(record, "loss") for name, record in found} == {
        "clear-sun-3": {1: 4.0, 3: 3.0},
        "dusty - moon": {1: 5.0, 2: 4.5},
    }
    first = found[0][1]
    assert (first.name, first.sites("metric")) == ("clear-sun-3", ("val/acc",))
    assert reader_of(first) == {
        "format": "CSV",
        "step": "Step",
        "mapped": {"train/loss": "loss", "val/acc": "metric"},
        "ignored": ["train/loss__MIN"],
        "stitched": [],
    }


@pytest.mark.parametrize("column", ["run", "run_name", "Run ID"])
@pytest.mark.parametrize("form", ["JSON lines", "CSV"])
def test_a_column_may_name_the_run_of_each_row(tmp_path: Path, column: str, form: str) -> None:
    """The rows of the runs may alternate."""
    rows = [{column if name == "run" else name: cell for name, cell in row.items()} for row in ROWS]
    table = {name: [row[name] for row in rows] for name in rows[0]}
    text = lines_of(*rows) if form == "JSON lines" else csv_of(**table)
    found = read_all(written(tmp_path, text))
    assert {name: points(record, "loss") for name, record in found} == BY_ROW


def test_runs_that_are_named_by_numbers_have_no_fraction(tmp_path: Path) -> None:
    """A CSV holds 0.0 and 1.0."""
    path = written(tmp_path, csv_of(run=[0, 0, 1, 1], step=[1, 2, 1, 2], loss=[4.0, 3.0, 4.0, 3.0]))
    assert runs_in(path) == ("0", "1")


@pytest.mark.parametrize(
    "text",
    [
        lines_of(*({**row, "run": "a"} for row in ROWS)),
        csv_of(run=["a", "b", "c"], loss=[4.0, 3.0, 2.0]),
        csv_of(**{"Step": [1], "a - train/loss": [4.0], "a - val/loss": [4.0]}),
        csv_of(**{"Step": [1], "train - loss": [4.0], "val - loss": [4.0]}),
        csv_of(**{"Step": [1], "lr - group 0": [4.0], "gpu - memory": [4.0], "loss": [4.0]}),
        json.dumps({"a - loss": [4.0], "b - loss": [4.0]}),
        "",
    ],
    ids=[
        "one name", "a row per run", "one prefix", "splits", "no column in common", "JSON object",
        "empty",
    ],
)  # fmt: skip
def test_other_files_hold_a_single_run(tmp_path: Path, text: str) -> None:
    """A table with a row per run sums up runs and is no log."""
    assert runs_in(written(tmp_path, text)) == ()


def test_a_file_with_too_many_names_of_runs_is_read_as_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory that reading takes therefore stays bounded."""
    monkeypatch.setattr(runs, "MAX_RUNS", 1)
    assert runs_in(written(tmp_path, lines_of(*ROWS), "rows")) == ()
    assert runs_in(written(tmp_path, csv_of(**EXPORT), "columns")) == ()


def test_read_returns_the_first_run_and_names_the_others(tmp_path: Path) -> None:
    """If the path names a run in brackets, that run is returned."""
    path = written(tmp_path, lines_of(*ROWS))
    first = read(path)
    assert points(first, "loss") == BY_ROW["a"]
    assert reader_of(first)["stitched"] == [
        f"of 2 runs, only 'a' was read; read another as {path}[b]"
    ]
    second = read(f"{path}[b]")
    assert (points(second, "loss"), reader_of(second)["stitched"]) == (BY_ROW["b"], [])


@pytest.mark.parametrize(
    ("name", "said"),
    [("bb", "holds no run 'bb'; did you mean 'b'?"), ("xyz", "holds no run 'xyz'; its runs are a")],
)
def test_a_run_that_a_file_does_not_hold_is_an_error(tmp_path: Path, name: str, said: str) -> None:
    """The error lists the right names."""
    path = written(tmp_path, lines_of(*ROWS))
    with pytest.raises(RecordError) as error:
        read(f"{path}[{name}]")
    assert said in str(error.value)


def test_brackets_may_be_part_of_the_name_of_a_file(tmp_path: Path) -> None:
    """The name of a run may follow them in further brackets."""
    file = written(tmp_path, "", "log[1].csv")
    assert split_run(file) == (file, None)
    assert split_run(f"{file}[a[2]]") == (file, "a[2]")
    assert split_run(tmp_path / "no.csv[a]") == (tmp_path / "no.csv[a]", None)


def test_the_largest_number_of_runs_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MAX_RUNS", 2)
    assert runs_in(written(tmp_path, lines_of(*ROWS), "rows")) == ("a", "b")
    assert runs_in(written(tmp_path, csv_of(**EXPORT), "columns")) == (
        "clear-sun-3",
        "dusty - moon",
    )


def test_one_run_of_a_table_is_read_as_all_runs_are(tmp_path: Path) -> None:
    """Its columns lose the name of the run; the columns that belong to no run are kept."""
    path = written(tmp_path, csv_of(**EXPORT))
    for name, record in read_all(path):
        alone = read(f"{path}[{name}]")
        assert points(alone, "loss") == points(record, "loss")
        assert reader_of(alone) == reader_of(record)


def test_the_summary_of_a_run_belongs_to_this_run_alone(tmp_path: Path) -> None:
    """A damaged line belongs to all runs, because it is not known which one wrote it."""
    summary = {"run": "a", "train_runtime": 9.0, "train_loss": 1.5}
    text = lines_of(*ROWS * 10, summary) + "damaged\n" + lines_of(ROWS[0])
    path = written(tmp_path, text)
    kept = "line 61: it sums up the run and was left out"
    for name, record in [*read_all(path), *((run, read(f"{path}[{run}]")) for run in "ab")]:
        notes = reader_of(record)["stitched"]
        assert (kept in notes) == (name == "a")
        assert any(note.startswith("1 damaged rows were left out") for note in notes)


def test_a_file_that_cannot_be_read_holds_no_runs(tmp_path: Path) -> None:
    assert runs_in(tmp_path / "missing") == ()


def test_read_all_reads_the_run_that_the_path_names(tmp_path: Path) -> None:
    path = written(tmp_path, lines_of(*ROWS))
    assert [(name, points(record, "loss")) for name, record in read_all(f"{path}[b]")] == [
        ("b", BY_ROW["b"])
    ]
