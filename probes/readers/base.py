"""The contract between a log format and the rest of the reader: `Format`, `Row` and `Block`.

A format turns a file into pieces. A piece is a `Block`, many rows stored by column, or a single
`Row`. Long logs are read in blocks, so that no object is made for every row.

A format module has one public object, `FORMAT`, and is listed in `probes.readers.discover.FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

from probes.readers.cells import Cell
from probes.readers.column_names import normalized
from probes.record import RecordError

Kind = Literal["point", "summary", "totals", "cut"]


class Row(NamedTuple):
    """One row of a log.

    number  its line in the file, or its place in the list of entries; counted from 1
    cells   column -> what the cell holds; None where nothing was measured
    kind    "point": a point of the curves.
            "summary": what Hugging Face's trainer writes at the end of a run, with mean values.
            "totals": a statement about the run that stands beside its rows, such as `max_steps`.
            "cut": the file ends in the middle of this row, whose cells are not known.
    """

    number: int
    cells: Mapping[str, Cell]
    kind: Kind = "point"


class Block(NamedTuple):
    """Several rows of kind "point", stored by column.

    numbers  the number of each row, as in `Row`
    columns  column -> one cell per row, None where nothing was measured
    """

    numbers: Sequence[int]
    columns: Mapping[str, Sequence[Cell]]

    def rows(self) -> Iterator[Row]:
        for place, number in enumerate(self.numbers):
            yield Row(number, {name: cells[place] for name, cells in self.columns.items()})


Piece = Block | Row


@dataclass(frozen=True)
class Format:
    """One way of writing a log.

    name            as it appears in messages and in the provenance of a record
    recognises      whether a file that begins with these bytes (the first 64 KiB) is of this format
    pieces          yields everything in a file, in order. Where the file is damaged, it raises
                    RecordError after it has yielded what comes before.
    unit            what a row is called in messages: "line", "entry" or "event"

    The other fields are for the search of a folder, which must not take every file for a log:

    suffixes        of the file names that are considered; None: any name
    min_loss_rows   how many rows with a loss the beginning of the file must have
    search_by_keys  look for the name of a loss among the JSON keys in those first bytes instead of
                    reading rows: the file would have to be loaded whole before its first row
    """

    name: str
    recognises: Callable[[bytes], bool]
    pieces: Callable[[Path], Iterator[Piece]]
    unit: str
    suffixes: Collection[str] | None = None
    min_loss_rows: int = 1
    search_by_keys: bool = False


class PackageMissingError(RecordError):
    """The format needs a package that is not installed; the message says how to install it."""


def is_summary(cells: Mapping[str, Cell]) -> bool:
    """Whether a row is the summary that Hugging Face's trainer writes at the end of a run.

    Its `train_loss` is the mean over the run, so it is no point of the loss curve.
    """
    return cells.get("train_runtime") is not None


def row_of(number: int, cells: Mapping[str, Cell]) -> Row:
    """A row of kind "summary" if its cells are a summary, else of kind "point"."""
    return Row(number, cells, "summary" if is_summary(cells) else "point")


ROWS_PER_BLOCK = 2048
MAX_BLOCK_CELLS = 1_048_576
"""Cells in a block at most. When every row has other columns, most cells of a block are empty."""


def blocks_from_rows(rows: Iterable[Row]) -> Iterator[Piece]:
    """The same rows in the same order, with neighbouring points joined into blocks.

    When `rows` raises ValueError, the rows before it are yielded first.
    """
    numbers: list[int] = []
    points: list[Mapping[str, Cell]] = []
    try:
        for row in rows:
            if row.kind != "point" or len(points) == ROWS_PER_BLOCK:
                yield from blocks_from_points(numbers, points)
                numbers, points = [], []
            if row.kind == "point":
                numbers.append(row.number)
                points.append(row.cells)
            else:
                yield row
    except ValueError:
        yield from blocks_from_points(numbers, points)
        raise
    yield from blocks_from_points(numbers, points)


def blocks_from_points(
    numbers: Sequence[int], points: Sequence[Mapping[str, Cell]]
) -> Iterator[Block]:
    """One block of these points, or several when one would exceed MAX_BLOCK_CELLS.

    Objects within a point become columns, as `flat` describes.
    """
    columns = dict.fromkeys(chain.from_iterable(points))
    if len(points) > 1 and len(points) * len(columns) > MAX_BLOCK_CELLS:
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
"""How many objects within each other are made part of a row; deeper ones are dropped."""
WRAPPERS = frozenset({"metrics", "history", "logs", "log", "data", "values", "scalars", "stats"})
"""Names of inner objects that only group the cells of a row, so that a cell keeps its own name.

Within any other object, such as `best` or `val_metrics`, a cell means something else, so its path
becomes its name."""


def flat(cells: Mapping[str, Cell], depth: int = MAX_DEPTH) -> dict[str, Cell]:
    """A row whose inner objects are replaced by their cells.

    A cell of an inner object is named by its path, `best/loss`; within one of WRAPPERS by its own
    name, unless another cell there has that name already.
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
