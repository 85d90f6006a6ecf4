"""Points of a log that follow each other, by column: what a long log is read in, without an object
for every row."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import inf, isfinite, nan
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple

import numpy as np

from probes.readers.column_names import plain
from probes.record import Column, RecordError, Steps

NOT_MEASURED = frozenset({"", "null", "none", "na", "n/a", "-"})
NONFINITE = {
    "nan": nan, "+nan": nan, "-nan": nan,
    "inf": inf, "+inf": inf, "infinity": inf, "+infinity": inf,
    "-inf": -inf, "-infinity": -inf,
}  # fmt: skip

Cell = Any
Kind = Literal["point", "summary", "cut"]


class Row(NamedTuple):
    """One row of a log.

    number   which line of the file it is, or which entry of its list; from 1
    cells    column -> what stands there; None: not measured
    kind     a point of the curves; a summary of the run, which is none; or "cut": the log ends
             within this row
    """

    number: int
    cells: Mapping[str, Cell]
    kind: Kind = "point"


def number(cell: Cell) -> float | None:
    """A cell's number; None where nothing was measured. Raises ValueError for what is neither, as
    true or a word."""
    if cell is None or type(cell) is float:
        return cell
    if isinstance(cell, str):
        word = cell.strip().lower()
        if word in NOT_MEASURED:
            return None
        if word in NONFINITE:
            return NONFINITE[word]
        cell = _spelled(cell)
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise ValueError("it must be a number, or empty where nothing was measured")
    try:
        return float(cell)
    except OverflowError as error:
        raise ValueError("it must be a number that fits 64 bits") from error


_TENSOR = re.compile(r"\s*tensor\(\[?([^,\[\])]+)\]?(?:, \w+=[^,)]+)*\)\s*")


def _spelled(text: str) -> float | str:
    """The number that a text spells: JSON's writer knows none of NumPy's, a tensor is written as
    Python shows it."""
    tensor = _TENSOR.fullmatch(text)
    spelled = tensor[1] if tensor else text
    try:
        return float(spelled) if "_" not in spelled else text
    except ValueError:
        return text


def whole(cell: Cell) -> int | None:
    """A cell's whole number, as 100 or 100.0; None where nothing stands. Raises ValueError for
    anything else."""
    value = number(cell)
    if value is None:
        return None
    if not isfinite(value) or value != int(value) or not -(2**63) <= value < 2**63:
        raise ValueError("it must be a whole number of at most 64 bits")
    return cell if isinstance(cell, int) else int(value)


def is_number(cell: Cell) -> bool:
    """Whether a cell holds a number, finite or not."""
    try:
        return number(cell) is not None
    except ValueError:
        return False


def is_empty(cell: Cell) -> bool:
    """Whether a cell says that nothing was measured."""
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in NOT_MEASURED)


def summarises(cells: Mapping[str, Cell]) -> bool:
    """Whether a row sums up a run of Hugging Face's trainer: its train_loss is the mean of the run,
    no point of it."""
    return cells.get("train_runtime") is not None


ROWS = 2048
"""In a block that is gathered row by row."""
DEPTH = 3
"""Objects in a row within each other, at most, whose cells are cells of the row."""
WRAPPERS = frozenset({"metrics", "history", "logs", "log", "data", "values", "scalars", "stats"})
"""What such an object is called whose cells mean what they are called: not so those of `best` or of
`val_metrics`."""
CELLS = 1_048_576
"""In a block at most: of a log whose every row has other columns, most cells are empty."""


class Block(NamedTuple):
    """Rows that are points of the curves.

    numbers   where each row stands, as in `Row`
    columns   column -> what stands there in each of the rows, None where nothing does
    """

    numbers: Sequence[int]
    columns: Mapping[str, Sequence[Cell]]

    def rows(self) -> Iterator[Row]:
        for place, number in enumerate(self.numbers):
            yield Row(number, {name: cells[place] for name, cells in self.columns.items()})

    def packed(self) -> Block:
        """The same, with numbers of one type as an array of eight bytes each in place of a list of
        objects."""
        return self._replace(columns={name: _packed(cells) for name, cells in self.columns.items()})


class PackageMissingError(RecordError):
    """A log of a format that takes a package to read, which is not installed."""


Piece = Block | Row
"""A row by itself is a summary or a cut."""


def last_number(piece: Piece) -> int:
    """Where its last row stands."""
    return piece.numbers[-1] if isinstance(piece, Block) else piece.number


@dataclass(frozen=True)
class Format:
    """One way of writing a log.

    recognises   whether a file that begins with these bytes (at most HEAD) is written this way
    pieces       all that is in a file, in its order; raises RecordError where it is damaged, after
                 what stands before
    unit         what rows are counted in: "line" or "entry"
    suffixes     of the files that may be written this way where a folder is searched; None: any
    fewest       rows with a loss that such a file has to have there
    """

    name: str
    recognises: Callable[[bytes], bool]
    pieces: Callable[[Path], Iterator[Piece]]
    unit: str
    suffixes: Collection[str] | None = None
    fewest: int = 1


def gathered(rows: Iterable[Row]) -> Iterator[Piece]:
    """The rows, points that follow each other as blocks."""
    numbers: list[int] = []
    points: list[Mapping[str, Cell]] = []
    try:
        for row in rows:
            if row.kind != "point" or len(points) == ROWS:
                yield from blocks_of(numbers, points)
                numbers, points = [], []
            if row.kind == "point":
                numbers.append(row.number)
                points.append(row.cells)
            else:
                yield row
    except ValueError:
        yield from blocks_of(numbers, points)
        raise
    yield from blocks_of(numbers, points)


def blocks_of(numbers: Sequence[int], points: Sequence[Mapping[str, Cell]]) -> Iterator[Block]:
    """One block of these points, or several where it would be all but empty."""
    columns = dict.fromkeys(chain.from_iterable(points))
    if len(points) > 1 and len(points) * len(columns) > CELLS:
        half = len(points) // 2
        yield from blocks_of(numbers[:half], points[:half])
        yield from blocks_of(numbers[half:], points[half:])
    elif points:
        block = Block(numbers, {name: [cells.get(name) for cells in points] for name in columns})
        nested = any(
            isinstance(next(filter(None, cells), None), dict) for cells in block.columns.values()
        )
        yield from blocks_of(numbers, [flat(cells) for cells in points]) if nested else [block]


def flat(cells: Mapping[str, Cell], depth: int = DEPTH) -> dict[str, Cell]:
    """A row without the objects in it, whose cells are its own: by their path, or by their name
    within WRAPPERS."""
    found: dict[str, Cell] = {}
    for name, cell in cells.items():
        if not isinstance(cell, dict):
            found[name] = cell
        elif depth:
            for inner, value in flat(cell, depth - 1).items():
                by_path = plain(name) not in WRAPPERS or inner in found
                found[f"{name}/{inner}" if by_path else inner] = value
    return found


def with_sums(piece: Piece, sums: Mapping[str, Sequence[str]]) -> Piece:
    """The piece with more columns, each the sum of others where all of them have a number: name ->
    those."""
    if not isinstance(piece, Block):
        return piece
    there = {name: of for name, of in sums.items() if piece.columns.keys() >= set(of)}
    added = {
        name: [_sum(cells) for cells in zip(*(piece.columns[c] for c in of), strict=True)]
        for name, of in there.items()
    }
    return piece._replace(columns={**piece.columns, **added}) if added else piece


def _packed(cells: Sequence[Cell]) -> Sequence[Cell]:
    kinds = set(map(type, cells))
    try:
        return (
            array("d" if kinds == {float} else "q", cells) if kinds in ({float}, {int}) else cells
        )
    except OverflowError:
        return cells


def _sum(cells: Sequence[Cell]) -> Cell:
    """Of a cell that cannot be added it is that cell, for the error that names it."""
    other = [cell for cell in cells if isinstance(cell, bool) or not isinstance(cell, int | float)]
    return other[0] if other else sum(cells)


def measured(cells: Sequence[Cell]) -> tuple[Steps, Column] | None:
    """The places where numbers stand, and the numbers; None unless all the rest are None."""
    kinds = set(map(type, cells))
    if not kinds <= {float, int, NoneType}:
        return None
    at = np.arange(len(cells))
    if NoneType in kinds:
        at = np.flatnonzero([cell is not None for cell in cells])
        cells = [cell for cell in cells if cell is not None]
    try:
        return at, np.frombuffer(array("d", cells))
    except OverflowError:
        return None


def whole_numbers(cells: Sequence[Cell]) -> Steps | None:
    """The cells as whole numbers of at most 64 bits; None unless every one is such a number, of one
    type."""
    kinds = set(map(type, cells))
    try:
        if kinds == {int}:
            return np.frombuffer(array("q", cells), dtype=np.int64)
    except OverflowError:
        return None
    if kinds != {float}:
        return None
    values = np.frombuffer(array("d", cells))
    if not (
        np.isfinite(values)
        & (values == np.trunc(values))
        & (values >= -(2.0**63))
        & (values < 2.0**63)
    ).all():
        return None
    return values.astype(np.int64)
