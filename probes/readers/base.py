"""The interface of a log format: `Format`, `Row` and `Block`.

A format turns a file into pieces. A piece is either a `Block`, which stores many rows by column, or
a single `Row`. Long logs are read in blocks, because an object for every row would be slow.

A format module has one public object, `FORMAT`, and is listed in `probes.readers.discover.FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Literal, NamedTuple

from probes.readers.cells import Cell
from probes.readers.column_names import normalized
from probes.record import RecordError

Kind = Literal["point", "summary", "totals", "cut", "damaged"]


class Row(NamedTuple):
    """One row of a log.

    number  the line of the row in the file, or its position among the entries; counted from 1
    cells   column -> content of the cell; None if nothing was measured
    kind    "point": a point of the curves.
            "summary": the summary of the run that Hugging Face's trainer writes at its end.
            "totals": facts about the whole run, such as `max_steps`, stored beside the rows.
            "cut": the file ends in the middle of this row, so its cells are not known.
            "damaged": the row cannot be read; `error` says why.
    error   the reason why a damaged row cannot be read, with its place in the file
    """

    number: int
    cells: Mapping[str, Cell]
    kind: Kind = "point"
    error: str = ""


class Block(NamedTuple):
    """Several rows of kind "point", stored by column.

    numbers  the number of each row, as in `Row`: [n]
    columns  column -> one cell per row, None if nothing was measured: [n]
    """

    numbers: Sequence[int]
    columns: Mapping[str, Sequence[Cell]]

    def rows(self) -> Iterator[Row]:
        for place, number in enumerate(self.numbers):
            yield Row(number, {name: cells[place] for name, cells in self.columns.items()})


class Note(NamedTuple):
    """What the user should know about the reading of the log, as one sentence."""

    text: str


class Ended(NamedTuple):
    """A sentence of the log which says that the run died.

    reason    NON_FINITE if a loss or gradient that is not finite ended the run, CRASHED if
              something else did, such as a lack of memory
    step      the step that the sentence names; None if it names none
    sentence  the line of the log
    """

    reason: str
    step: int | None
    sentence: str


class Resumed(NamedTuple):
    """A place where the log shows that a program went on with an earlier run: a second header, or
    a sentence such as "Resuming from checkpoint". It says nothing about the rows above it."""


Piece = Block | Row | Note | Ended | Resumed


class Format(NamedTuple):
    """A file format of logs.

    name            the name in messages and in the provenance of a record
    recognises      function: the first 64 KiB of a file -> whether the file is in this format
    pieces          function: path -> the pieces of the file, in order. If the file is damaged, it
                    yields the pieces before the damage and then raises RecordError.
    unit            the word for a row in messages: "line", "entry" or "event"

    The other fields restrict which files the search of a folder accepts as logs:

    suffixes        accepted suffixes of file names; None accepts any name
    min_loss_rows   minimum number of rows with a loss at the beginning of the file
    search_by_keys  whether to look for the name of a loss among the JSON keys of the first 64 KiB,
                    instead of reading rows. It is for formats that yield no row until the whole
                    file is loaded.

    holds_runs      whether a file may hold several runs (`probes.readers.runs`)
    run_column      the column that names the run of each row, for formats that always have one
    """

    name: str
    recognises: Callable[[bytes], bool]
    pieces: Callable[[Path], Iterator[Piece]]
    unit: str
    suffixes: Collection[str] | None = None
    min_loss_rows: int = 1
    search_by_keys: bool = False
    holds_runs: bool = False
    run_column: str | None = None


class PackageMissingError(RecordError):
    """A package that a format needs is not installed. The message says how to install it."""


def is_summary(cells: Mapping[str, Cell]) -> bool:
    """Whether a row is the summary that Hugging Face's trainer writes at the end of a run.

    The `train_loss` of a summary is the mean over the run, so it is not a point of the loss curve.
    """
    return cells.get("train_runtime") is not None


def row_of(number: int, cells: Mapping[str, Cell]) -> Row:
    """A row of kind "summary" if `is_summary(cells)`, else a row of kind "point"."""
    return Row(number, cells, "summary" if is_summary(cells) else "point")


MAX_COLUMNS = 10_000
"""Maximum number of columns of a log that are read. Further ones are dropped, so that a log with
new names in every row does not fill the memory."""


def with_fewer_columns(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces of a log with only its first MAX_COLUMNS columns. At the end, a note says so if
    columns were dropped."""
    known: dict[str, None] = {}
    dropped = False
    for piece in pieces:
        if isinstance(piece, Block) and (new := piece.columns.keys() - known.keys()):
            room = MAX_COLUMNS - len(known)
            known.update(dict.fromkeys(islice(filter(new.__contains__, piece.columns), room)))
            if len(new) > room:
                dropped = True
        if dropped and isinstance(piece, Block):
            columns = {name: cells for name, cells in piece.columns.items() if name in known}
            piece = piece._replace(columns=columns)
        yield piece
    if dropped:
        yield Note(f"the log has more than {MAX_COLUMNS:,} columns; the others were left out")


ROWS_PER_BLOCK = 2048
MAX_BLOCK_CELLS = 1_048_576
"""Maximum number of cells in a block."""
MAX_CELLS_PER_VALUE = 16
"""A block has at most this many cells for each value in it. If every row has other columns, most
cells of a large block would be empty, and reading would take quadratic time."""


def blocks_from_rows(pieces: Iterable[Row | Note | Ended | Resumed]) -> Iterator[Piece]:
    """The pieces in their order, with consecutive rows of kind "point" joined into blocks.

    A damaged row does not end a block. It holds nothing that the points after it depend on, and a
    log in which every few rows are damaged would be read in many small blocks.

    If `pieces` raises ValueError, the rows before the error are yielded before it is raised again.
    """
    numbers: list[int] = []
    points: list[Mapping[str, Cell]] = []
    try:
        for piece in pieces:
            if isinstance(piece, Row) and piece.kind == "damaged":
                yield piece
                continue
            is_point = isinstance(piece, Row) and piece.kind == "point"
            if not is_point or len(points) == ROWS_PER_BLOCK:
                yield from blocks_from_points(numbers, points)
                numbers, points = [], []
            if isinstance(piece, Row) and is_point:
                numbers.append(piece.number)
                points.append(piece.cells)
            else:
                yield piece
    except ValueError:
        yield from blocks_from_points(numbers, points)
        raise
    yield from blocks_from_points(numbers, points)


def blocks_from_points(
    numbers: Sequence[int], points: Sequence[Mapping[str, Cell]]
) -> Iterator[Block]:
    """The points as one block, or as several if one would have more than MAX_BLOCK_CELLS cells or
    if most of its cells would be empty.

    numbers  the number of each point, as in `Row`: [n]
    points   the cells of each point: [n]

    JSON objects within a point become columns, as `flat` describes.
    """
    columns = dict.fromkeys(chain.from_iterable(points))
    cells = len(points) * len(columns)
    is_sparse = cells > MAX_CELLS_PER_VALUE * sum(map(len, points))
    if len(points) > 1 and (cells > MAX_BLOCK_CELLS or is_sparse):
        half = len(points) // 2
        yield from blocks_from_points(numbers[:half], points[:half])
        yield from blocks_from_points(numbers[half:], points[half:])
    elif points:
        block = Block(numbers, {name: [cells.get(name) for cells in points] for name in columns})
        first_values = (next(filter(None, cells), None) for cells in block.columns.values())
        if any(isinstance(value, dict) for value in first_values):
            yield from blocks_from_points(numbers, [flat(cells) for cells in points])
        else:
            yield block


MAX_DEPTH = 3
"""Nesting depth up to which objects within a row are read; deeper objects are dropped."""
WRAPPERS = frozenset({"metrics", "history", "logs", "log", "data", "values", "scalars", "stats"})
"""Names of inner objects that only group the cells of a row: a cell inside one of them keeps its
own name.

In any other inner object, such as `best` or `val_metrics`, a cell has another meaning than the cell
of the same name in the row. Its name is therefore its path, such as `best/loss`."""


def flat(cells: Mapping[str, Cell], depth: int = MAX_DEPTH) -> dict[str, Cell]:
    """The cells of a row, with each inner object replaced by the cells in it.

    cells  column -> content of the cell; an inner object is a dict
    depth  how many levels of inner objects are read; deeper ones are dropped

    The name of a cell of an inner object is its path, such as `best/loss`. In one of WRAPPERS the
    cell keeps its own name, unless the row already has a cell of that name.
    """
    found: dict[str, Cell] = {}
    for name, cell in cells.items():
        if not isinstance(cell, dict):
            found[name] = cell
        elif depth:
            for inner, value in flat(cell, depth - 1).items():
                use_path = normalized(name) not in WRAPPERS or inner in found
                found[f"{name}/{inner}" if use_path else inner] = value
    return found
