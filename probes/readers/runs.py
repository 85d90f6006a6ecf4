"""Finds the runs in a file that holds several, and reads one of them.

Two kinds of files hold several runs:

- A table with columns for each run, as Weights & Biases exports it. The name of the run stands
  before the name of the column: `clear-sun-3 - train/loss`, `dusty-moon-2 - train/loss`.
- A table or JSON lines with a column that names the run of each row, such as `run` or `run_id`.

A run of such a file is named by the path of the file and the name of the run in brackets:
`export.csv[clear-sun-3]`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeGuard

from probes.readers.base import Block, Format, Piece, Row, with_fewer_columns
from probes.readers.cells import Cell, packed
from probes.readers.column_names import RUN_SEPARATOR, normalized

RUN_COLUMNS = frozenset({"run", "run_name", "run_id"})
"""Normalized names of columns that name the run of each row."""
SPLITS = frozenset({"train", "training", "val", "valid", "validation", "eval", "dev", "test"})
"""Words that name a split. In front of the name of a column, they are no names of runs."""
MIN_ROWS_PER_RUN = 2
"""In a table with fewer rows per run, on average, each row sums up a run. It is no log."""
MAX_RUNS = 1000
"""A file with more names of runs is read as one run, so that memory and time stay bounded."""


def split_run(path: str | Path) -> tuple[Path, str | None]:
    """The path of a file and the name of the run in it: `log.csv[a]` becomes `log.csv` and `a`.

    The name is None if the path has none, or if a file of the whole path exists.
    """
    text = str(path)
    opening = text.find("[")
    while text.endswith("]") and opening > 0 and not os.path.exists(text):
        if os.path.isfile(text[:opening]):
            return Path(text[:opening]), text[opening + 1 : -1]
        opening = text.find("[", opening + 1)
    return Path(path), None


def run_names(form: Format, path: Path) -> tuple[str, ...]:
    """The names of the runs in a file, in their order; () if it holds a single run.

    Raises RecordError if the file is damaged before its runs are known.
    """
    if form.run_column:
        return _names_in(form, path, form.run_column)
    if not form.holds_runs:
        return ()
    pieces = with_fewer_columns(form.pieces(path))
    blocks = (piece for piece in pieces if isinstance(piece, Block))
    first = next(blocks, None)
    names = list(first.columns) if first else []
    if column := _run_column(names):
        return _names_in(form, path, column)
    by_name: dict[str, list[str]] = {}
    for name in names:
        run, separator, own = name.rpartition(RUN_SEPARATOR)
        if separator and normalized(run) not in SPLITS:
            by_name.setdefault(normalized(own), []).append(run)
    # The text before a separator need not be the name of a run. It is one only if at least two such
    # texts stand before the same column.
    has_several = any(len(set(runs)) > 1 for runs in by_name.values())
    runs = dict.fromkeys(run for runs in by_name.values() for run in runs)
    return tuple(runs) if has_several and len(runs) <= MAX_RUNS else ()


def only_run(form: Format, run: str) -> Format:
    """A format that reads a single run of a file.

    run  one of `run_names`
    """

    def pieces(path: Path) -> Iterator[Piece]:
        select: Callable[[Piece], Piece] | None = None
        for piece in form.pieces(path):
            if select is None and isinstance(piece, Block):
                column = form.run_column or _run_column(list(piece.columns))
                select = _rows_of(run, column) if column else _columns_of(run)
            piece = select(piece) if select else piece
            if not isinstance(piece, Block) or piece.numbers:
                yield piece

    return form._replace(pieces=pieces)


def separated(form: Format, path: Path, runs: Sequence[str]) -> dict[str, Format]:
    """The format of each run of a file. The file is read once, and the pieces are kept in memory,
    so that the time does not grow with the number of runs times the size of the file.

    runs   the names of the runs (`run_names`)

    Raises what reading the file raises."""
    pieces: dict[str, list[Piece]] = {run: [] for run in runs}
    parts: Callable[[Block], Iterable[tuple[str, Block]]] | None = None
    for piece in with_fewer_columns(form.pieces(path)):
        if isinstance(piece, Block):
            if parts is None:
                column = form.run_column or _run_column(list(piece.columns))
                parts = partial(_by_rows, column) if column else partial(_by_columns, runs)
            for run, part in parts(piece):
                if run in pieces:
                    packed_columns = {name: packed(part.columns[name]) for name in part.columns}
                    pieces[run].append(part._replace(columns=packed_columns))
        else:
            column = form.run_column or (_run_column(list(piece.cells)) if _has(piece) else None)
            named = _name_of(piece.cells.get(column)) if _has(piece) and column else None
            for run in runs if named is None else {named} & pieces.keys():
                pieces[run].append(piece)
    return {run: form._replace(pieces=partial(_kept, own)) for run, own in pieces.items()}


def _has(piece: Piece) -> TypeGuard[Row]:
    """Whether a piece is a row with cells."""
    return isinstance(piece, Row) and bool(piece.cells)


def _kept(pieces: Iterable[Piece], _: Path) -> Iterator[Piece]:
    yield from pieces


def _by_rows(column: str, block: Block) -> Iterator[tuple[str, Block]]:
    """The rows of each run in a block, by the column that names the run."""
    places: dict[str, list[int]] = {}
    for place, cell in enumerate(block.columns.get(column, ())):
        places.setdefault(_name_of(cell), []).append(place)
    for run, own in places.items():
        yield run, _rows_at(block, own)


def _by_columns(runs: Iterable[str], block: Block) -> Iterator[tuple[str, Block]]:
    """The columns of each run in a block, as `_columns_of` selects them."""
    shared = {name: cells for name, cells in block.columns.items() if RUN_SEPARATOR not in name}
    by_run: dict[str, dict[str, Sequence[Cell]]] = {}
    for name, cells in block.columns.items():
        run, separator, own = name.rpartition(RUN_SEPARATOR)
        if separator:
            by_run.setdefault(run, {})[own] = cells
    for run in runs:
        if columns := by_run.get(run):
            yield run, _measured(block.numbers, shared, columns)


def _run_column(names: Sequence[str]) -> str | None:
    return next((name for name in names if normalized(name) in RUN_COLUMNS), None)


def _names_in(form: Format, path: Path, column: str) -> tuple[str, ...]:
    """The names in a column of runs, unless they are too few or too many to be runs."""
    rows: Counter[str] = Counter()
    for piece in form.pieces(path):
        if isinstance(piece, Block):
            rows.update(filter(None, map(_name_of, piece.columns.get(column, ()))))
        elif isinstance(piece, Row):
            rows.update(filter(None, [_name_of(piece.cells.get(column))]))
        if len(rows) > MAX_RUNS:
            return ()
    min_rows = 0 if form.run_column else MIN_ROWS_PER_RUN * len(rows)
    return tuple(rows) if len(rows) > 1 and rows.total() >= min_rows else ()


def _name_of(cell: Cell) -> str:
    """The name of a run in a cell, "" if the cell holds none. The number 3.0 is the name "3"."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return cell if isinstance(cell, str) else "" if cell is None else str(cell)


def _rows_of(run: str, column: str) -> Callable[[Piece], Piece]:
    """Return a function that keeps the rows of one run. `column` names the run of each row."""

    def select(piece: Piece) -> Piece:
        if isinstance(piece, Block):
            names = piece.columns.get(column, [None] * len(piece.numbers))
            return _with_rows(piece, [_name_of(name) == run for name in names])
        if isinstance(piece, Row) and piece.cells and _name_of(piece.cells.get(column)) != run:
            return Block([], {})
        return piece

    return select


def _columns_of(run: str) -> Callable[[Piece], Piece]:
    """Return a function that keeps the columns of one run, without the name of the run in front,
    and the columns that belong to no single run. Leave out rows in which the run has no value."""
    prefix = f"{run}{RUN_SEPARATOR}"

    def select(piece: Piece) -> Piece:
        if not isinstance(piece, Block):
            return piece
        own = {
            name.removeprefix(prefix): cells
            for name, cells in piece.columns.items()
            if name.startswith(prefix)
        }
        shared = {
            name: cells
            for name, cells in piece.columns.items()
            if RUN_SEPARATOR not in name and name not in own
        }
        return _measured(piece.numbers, shared, own)

    return select


def _measured(
    numbers: Sequence[int],
    shared: Mapping[str, Sequence[Cell]],
    own: Mapping[str, Sequence[Cell]],
) -> Block:
    """The rows in which a run has a value, with the columns of the run and those that belong to no
    single run."""
    rows = zip(*own.values(), strict=True)
    is_measured = [any(cell is not None for cell in cells) for cells in rows]
    return _with_rows(Block(numbers, {**shared, **own}), is_measured)


def _with_rows(block: Block, selected: Sequence[bool]) -> Block:
    """The block with the selected rows only: [n] -> [m]."""
    if all(selected):
        return block
    return _rows_at(block, [place for place, is_selected in enumerate(selected) if is_selected])


def _rows_at(block: Block, places: Sequence[int]) -> Block:
    """The block with the rows at these places only: [n] -> [m]."""
    columns = {name: [cells[place] for place in places] for name, cells in block.columns.items()}
    return Block([block.numbers[place] for place in places], columns)
