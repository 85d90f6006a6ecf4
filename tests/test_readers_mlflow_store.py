"""The SQLite database of MLflow is read without writing to it, one run after the other."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from probes import RecordError, diagnose, read
from probes.readers import find, read_all, runs_in
from testing.logs import curve, points, reader_of

LARGEST = np.finfo(float).max
Point = tuple[str, float, int]
"""Name of a metric, value and step."""


def store(folder: Path, runs: Iterable[tuple[str, str | None, list[Point]]], **stages: str) -> Path:
    """Write a database of MLflow with these runs (identifier, name, points), and return its path.

    stages  identifier -> stage of its life, for runs that are not active
    """
    path = folder / "mlflow.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE runs (run_uuid TEXT, name TEXT, start_time INT, lifecycle_stage TEXT)"
        )
        database.execute(
            "CREATE TABLE metrics (key TEXT, value FLOAT NOT NULL, timestamp INT, run_uuid TEXT, "
            "step INT, is_nan BOOLEAN)"
        )
        for start, (identifier, name, values) in enumerate(runs):
            stage = stages.get(identifier, "active")
            database.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?)", (identifier, name, start, stage)
            )
            for time, (key, value, step) in enumerate(values):
                is_nan = np.isnan(value)
                stored = (
                    0 if is_nan else np.clip(value, -1.7976931348623157e308, 1.7976931348623157e308)
                )
                row = (key, float(stored), time, identifier, step, bool(is_nan))
                database.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", row)
    return path


def losses(values: Iterable[float]) -> list[Point]:
    return [("train_loss", value, step) for step, value in enumerate(values, start=1)]


def test_each_run_is_read_under_its_name(tmp_path: Path) -> None:
    """Runs of the same name get a part of their identifier, and a run without a name the whole. A
    deleted run is left out."""
    runs = [
        ("0123456789", "kind-ant-1", losses([4.0, 3.0])),
        ("abcdefghij", "kind-ant-1", losses([5.0])),
        ("klmnopqrst", None, losses([6.0, 5.0])),
        ("zzzzzzzzzz", "gone", losses([7.0])),
    ]
    found = read_all(store(tmp_path, runs, zzzzzzzzzz="deleted"))
    assert {name: points(record, "loss") for name, record in found} == {
        "kind-ant-1 01234567": {1: 4.0, 2: 3.0},
        "kind-ant-1 abcdefgh": {1: 5.0},
        "klmnopqrst": {1: 6.0, 2: 5.0},
    }


def test_a_single_run_needs_no_name(tmp_path: Path) -> None:
    """The metrics of a step are one row, wherever they are in the table."""
    values = [("lr", 0.1, 2), *losses([4.0, 3.0]), ("lr", 0.2, 1), ("val_acc", 0.5, 2)]
    path = store(tmp_path, [("a", "one", values)])
    record = read(path)
    assert (runs_in(path), reader_of(record)["format"]) == ((), "MLflow database")
    assert points(record, "loss") == {1: 4.0, 2: 3.0}
    assert points(record, "lr") == {1: 0.2, 2: 0.1}
    assert record.series("metric", "val_acc")[1].tolist() == [0.5]


def test_values_that_are_not_finite_are_read_as_such(tmp_path: Path) -> None:
    """MLflow stores NaN as 0 with a mark, and infinity as the greatest number."""
    record = read(store(tmp_path, [("a", "one", losses([4.0, inf, -inf, nan]))]))
    assert record.column("loss")[:3].tolist() == [4.0, inf, -inf]
    assert np.isnan(record.column("loss")[3])
    assert diagnose(record).cause == "non-finite"


def test_a_run_without_steps_is_read_in_the_order_of_its_values(tmp_path: Path) -> None:
    """MLflow stores them all at step 0."""
    values = [("loss", value, 0) for value in (4.0, 3.0, 2.0)]
    assert points(read(store(tmp_path, [("a", "one", values)])), "loss") == {0: 4.0, 1: 3.0, 2: 2.0}


def test_a_database_is_found_in_a_folder_and_not_changed(tmp_path: Path) -> None:
    """Other databases are no logs."""
    path = store(tmp_path, [("a", "one", losses(curve(40)))])
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    with closing(sqlite3.connect(tmp_path / "other.db")) as database, database:
        database.execute("CREATE TABLE users (name TEXT)")
    assert find(tmp_path) == [path]
    assert diagnose(read(path)).verdict == "healthy"
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mlflow.db", "other.db"]


@pytest.mark.parametrize("damage", ["other tables", "cut"])
def test_another_database_is_an_error(tmp_path: Path, damage: str) -> None:
    """The error names the tables that are missing."""
    path = store(tmp_path, [("a", "one", losses(curve(400)))])
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("DROP TABLE metrics")
    with pytest.raises(RecordError, match=r"cannot be read as a database of MLflow: .*`runs` and"):
        read(path)


def test_names_of_any_type_are_accepted(tmp_path: Path) -> None:
    """A column of SQLite may hold any type."""
    any_name: Any = 7
    runs = [("a", any_name, losses([4.0, 3.0])), ("b", "x", losses([4.0, 3.0]))]
    assert runs_in(store(tmp_path, runs)) == ("7", "x")


def test_identifiers_of_any_type_are_accepted(tmp_path: Path) -> None:
    """In a damaged database a column may have lost its type."""
    path = store(tmp_path, [("7.5", "one", losses([4.0, 3.0])), ("b", "x", losses([4.0, 3.0]))])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE runs")
        database.execute("CREATE TABLE runs (run_uuid, name, start_time, lifecycle_stage)")
        rows = [(7.5, "same", 0, "active"), ("b", "same", 1, "active")]
        database.executemany("INSERT INTO runs VALUES (?, ?, ?, ?)", rows)
    assert runs_in(path) == ("same 7.5", "same b")
