"""The SQLite database of MLflow, such as `mlflow.db`: the metrics of every run that is not deleted.

The database is opened for reading only, with the standard library. Its tables are described in
`mlflow/store/tracking/dbmodels/models.py` of MLflow.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from math import inf, nan
from pathlib import Path
from urllib.request import pathname2url

from probes.readers.base import Format, Piece, Row, blocks_from_rows
from probes.readers.cells import Cell
from probes.readers.column_names import STEP
from probes.record import RecordError

MAGIC = b"SQLite format 3\0"
RUN = "MLflow run"
"""The column that names the run of each row."""
MAX_VALUE = 1.7976931348623157e308
"""MLflow stores an infinite value as this number, with the sign of the value."""
ID_LETTERS = 8
"""If several runs have the same name, this many letters of its identifier are added to each
name."""
_RUNS = """
SELECT run_uuid, name FROM runs WHERE lifecycle_stage IS NOT 'deleted'
ORDER BY start_time, run_uuid
"""
_METRICS = """
SELECT key, value, step, is_nan FROM metrics WHERE run_uuid = ? ORDER BY step, timestamp
"""


def recognises(head: bytes) -> bool:
    """Whether the file is an SQLite database. Whether MLflow wrote it is not checked, because the
    names of its tables may be stored after the head."""
    return head.startswith(MAGIC)


def pieces(path: Path) -> Iterator[Piece]:
    """One row for all metrics of the same step of a run, run after run.

    A run that was logged without steps, so that all its values are at step 0, has no column of
    steps. Raises RecordError if the file is not a database of MLflow or is damaged.
    """
    yield from blocks_from_rows(_all_rows(path))


def _all_rows(path: Path) -> Iterator[Row]:
    try:
        with closing(sqlite3.connect(f"file:{pathname2url(str(path))}?mode=ro", uri=True)) as store:
            # A name with damaged bytes is read with replacement characters, not refused.
            store.text_factory = lambda content: content.decode(errors="replace")
            runs = store.execute(_RUNS).fetchall()
            uses = Counter(name for _, name in runs)
            numbers = count(1)
            for identifier, name in runs:
                if not name or uses[name] > 1:
                    text = str(identifier)  # a damaged database may hold a number
                    name = f"{name} {text[:ID_LETTERS]}" if name else text
                for cells in _rows(store, identifier):
                    yield Row(next(numbers), {RUN: name, **cells})
    except sqlite3.Error as error:
        raise RecordError(
            f"{path} cannot be read as a database of MLflow: {error}; it must have the tables "
            "`runs` and `metrics`"
        ) from error


def _rows(store: sqlite3.Connection, identifier: str) -> Iterator[dict[str, Cell]]:
    """The cells of each row of a run."""
    (last_step,) = store.execute(
        "SELECT max(step) FROM metrics WHERE run_uuid = ?", (identifier,)
    ).fetchone()
    row: dict[str, Cell] = {}
    row_step = None
    for key, value, step, is_nan in store.execute(_METRICS, (identifier,)):
        key = str(key)
        if row and (step != row_step or key in row):
            yield row
            row = {}
        if not row and last_step:
            row = {STEP: step}
        row_step = step
        if isinstance(value, float) and abs(value) >= MAX_VALUE:
            value = inf if value > 0 else -inf
        row[key] = nan if is_nan else value
    if row:
        yield row


FORMAT = Format("MLflow database", recognises, pieces, "row", run_column=RUN)
