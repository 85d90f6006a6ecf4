"""What every format of log is turned into first: rows of cells, each with the place where it stands in the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf, isfinite, nan
from typing import Any, Literal, NamedTuple

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
    kind     a point of the curves; a summary of the run, which is none; or "cut": the log ends within this row
    """

    number: int
    cells: Mapping[str, Cell]
    kind: Kind = "point"


def number(cell: Cell) -> float | None:
    """A cell's number; None where nothing was measured. Raises ValueError for what is neither, as true or a word."""
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
    """The number that a text spells: JSON's writer knows none of NumPy's, a tensor is written as Python shows it."""
    tensor = _TENSOR.fullmatch(text)
    spelled = tensor[1] if tensor else text
    try:
        return float(spelled) if "_" not in spelled else text
    except ValueError:
        return text


def whole(cell: Cell) -> int | None:
    """A cell's whole number, as 100 or 100.0; None where nothing stands. Raises ValueError for anything else."""
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
    """Whether a row sums up a run of Hugging Face's trainer: its train_loss is the mean of the run, no point of it."""
    return cells.get("train_runtime") is not None
