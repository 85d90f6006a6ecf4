"""What a cell of a log says: a number, that nothing was measured, or something else.

The first functions read one cell. The others read a whole column at once, which is faster, and
give up with None as soon as one cell needs a closer look.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from math import inf, isfinite, nan
from types import NoneType
from typing import Any

import numpy as np

from probes.record import Column, Steps

NOT_MEASURED = frozenset({"", "null", "none", "na", "n/a", "-"})
"""Words, in small letters, that stand for "not measured"."""
NONFINITE_WORDS = {
    "nan": nan, "+nan": nan, "-nan": nan,
    "inf": inf, "+inf": inf, "infinity": inf, "+infinity": inf,
    "-inf": -inf, "-infinity": -inf,
}  # fmt: skip

Cell = Any
"""The content of one cell: a number, a string, None for "not measured", or any other JSON value."""


def number(cell: Cell) -> float | None:
    """The number in a cell, or None when nothing was measured.

    Raises ValueError for anything else, such as a word or a truth value.
    """
    if cell is None or type(cell) is float:
        return cell
    if isinstance(cell, str):
        word = cell.strip().lower()
        if word in NOT_MEASURED:
            return None
        if word in NONFINITE_WORDS:
            return NONFINITE_WORDS[word]
        cell = _number_in_text(cell)
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise ValueError("it must be a number, or empty where nothing was measured")
    try:
        return float(cell)
    except OverflowError as error:
        raise ValueError("it must be a number that fits 64 bits") from error


_TENSOR = re.compile(r"\s*tensor\(\[?([^,\[\])]+)\]?(?:, \w+=[^,)]+)*\)\s*")


def _number_in_text(text: str) -> float | str:
    """The number that a text spells, else the text itself.

    A program that cannot write NumPy's numbers as JSON writes them as text, and a tensor that was
    not converted is written as `tensor(2.5, device='cuda:0')`.
    """
    tensor = _TENSOR.fullmatch(text)
    digits = tensor[1] if tensor else text
    try:
        return float(digits) if "_" not in digits else text
    except ValueError:
        return text


def whole_number(cell: Cell) -> int | None:
    """The whole number in a cell, such as 100 or 100.0, or None when nothing was measured.

    Raises ValueError for anything else.
    """
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


def numbers_in(cells: Sequence[Cell]) -> tuple[Steps, Column] | None:
    """The positions of the numbers in a column and the numbers themselves: ([n], [n]).

    None when a cell holds anything but a number or None, or a number that does not fit 64 bits.
    """
    types = set(map(type, cells))
    if not types <= {float, int, NoneType}:
        return None
    positions = np.arange(len(cells))
    if NoneType in types:
        positions = np.flatnonzero([cell is not None for cell in cells])
        cells = [cell for cell in cells if cell is not None]
    try:
        return positions, np.frombuffer(array("d", cells))
    except OverflowError:
        return None


def whole_numbers_in(cells: Sequence[Cell]) -> Steps | None:
    """A column as whole numbers of 64 bits; None unless every cell holds one, all of one type."""
    types = set(map(type, cells))
    try:
        if types == {int}:
            return np.frombuffer(array("q", cells), dtype=np.int64)
    except OverflowError:
        return None
    if types != {float}:
        return None
    values = np.frombuffer(array("d", cells))
    whole = np.isfinite(values) & (values == np.trunc(values))
    fits = (values >= -(2.0**63)) & (values < 2.0**63)
    return values.astype(np.int64) if (whole & fits).all() else None


def packed(cells: Sequence[Cell]) -> Sequence[Cell]:
    """A column of floats, or of whole numbers, as an array of 8 bytes per cell; any other as it is.

    A list takes an object of 24 bytes or more and a pointer for each number.
    """
    types = set(map(type, cells))
    try:
        if types in ({float}, {int}):
            return array("d" if types == {float} else "q", cells)
    except OverflowError:
        pass
    return cells
