"""MLflow's files of metrics: one file per metric, one line `timestamp value step` per value.

A run is a folder with the folder `metrics`, in which the path of a file is the name of its metric.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from probes.readers.base import Format, Piece, Row, blocks_from_rows
from probes.readers.cells import is_number, number_or_gap
from probes.readers.column_names import LOSSES, STEP, role
from probes.readers.line_batches import HEAD_BYTES, batches, first_lines, utf8_chunks

METRICS = "metrics"
"""The folder in the folder of a run that holds the files of its metrics."""
_LINE = re.compile(r"\d{10,16} (\S+) (\d{1,18})")
_WORD = re.compile(r"[^\W_]+")


def recognises(head: bytes) -> bool:
    """Whether the first lines hold a time, a number and a step."""
    lines = first_lines(head)
    return bool(lines) and all(
        (found := _LINE.fullmatch(line.strip())) and is_number(found[1]) for line in lines
    )


def is_run(folder: Path) -> bool:
    """Whether a folder is the folder of a run with a metric that is a loss."""
    return any(role(name) in LOSSES for name in _metrics(folder))


def pieces(path: Path) -> Iterator[Piece]:
    """One row per line, with the metric and the step.

    The file name may have words in front of a known name. So the name of the metric is the longest
    known name with which the file name ends, or the whole file name if it ends with none."""
    ends = (path.name[word.start() :] for word in _WORD.finditer(path.name))
    yield from blocks_from_rows(_rows(path, next(filter(role, ends), path.name)))


def run_pieces(folder: Path) -> Iterator[Piece]:
    """The rows of all metrics of a run, one metric after the other."""
    for name, path in _metrics(folder).items():
        yield from blocks_from_rows(_rows(path, name))


def _rows(path: Path, name: str) -> Iterator[Row]:
    """The rows of one metric. A program that gives no step logs each value at step 0; the steps are
    then the positions of the rows."""
    steps = {found[2] for _, found in _lines(path)}
    for position, (number, found) in enumerate(_lines(path)):
        step = int(found[2]) if len(steps) > 1 else position
        yield Row(number, {name: number_or_gap(found[1]), STEP: step})


def _lines(path: Path) -> Iterator[tuple[int, re.Match[str]]]:
    """Number and content of each line. Other lines are skipped."""
    for batch in batches(path):
        for number, line in enumerate(batch.lines, batch.first):
            if found := _LINE.fullmatch(line.strip()):
                yield number, found


def _metrics(folder: Path) -> dict[str, Path]:
    """Name -> file of each metric of a run; {} if the folder is not that of a run."""
    root = folder / METRICS
    if not root.is_dir():
        return {}
    return {
        path.relative_to(root).as_posix(): path
        for path in sorted(root.rglob("*"))
        if path.is_file() and recognises(next(utf8_chunks(path, HEAD_BYTES), b""))
    }


FORMAT = Format("MLflow metric", recognises, pieces, "line")
RUN_FORMAT = Format("MLflow run", recognises, run_pieces, "line")
