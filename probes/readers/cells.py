"""Interprets the cells of a log: a cell holds a number, "not measured", or something else.

The first functions read one cell. The other functions read a whole column at once, which is faster.
They return None if any cell is of a type that has to be read by itself.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from math import inf, isfinite, nan
from types import NoneType
from typing import Any

import numpy as np

from probes.record import Column, Steps

NOT_MEASURED = frozenset({"", "null", "none", "na", "n/a", "-", "no log"})
"""Texts, in lower case, that mean "not measured"."""
NONFINITE_WORDS = {
    "nan": nan, "+nan": nan, "-nan": nan,
    "inf": inf, "+inf": inf, "infinity": inf, "+infinity": inf,
    "-inf": -inf, "-infinity": -inf,
}  # fmt: skip
_TENSOR = re.compile(r"\s*tensor\(\[?([^,\[\])]+)\]?(?:, \w+=[^,)]+)*\)\s*")
"""A tensor that was not converted to a number, such as `tensor(2.5, device='cuda:0')`."""

Cell = Any
"""The content of one cell: a number, a string, None for "not measured", or any other JSON value."""


def number(cell: Cell) -> float | None:
    """The number in a cell, or None if nothing was measured.

    A text that spells a number is that number, because programs that cannot write NumPy's numbers
    as JSON write them as text. Raises ValueError for any other content, such as a word or a truth
    value.
    """
    if cell is None or type(cell) is float:
        return cell
    if isinstance(cell, str):
        if (found := _spelt_number(cell)) is not None:
            return found
        if cell.strip().lower() in NOT_MEASURED:
            return None
        if (tensor := _TENSOR.fullmatch(cell)) and (found := _spelt_number(tensor[1])) is not None:
            return found
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise ValueError("it must be a number, or empty where nothing was measured")
    try:
        return float(cell)
    except OverflowError as error:
        raise ValueError("it must be a number that fits 64 bits") from error


def _spelt_number(text: str) -> float | None:
    """The number that a text spells, finite or not, or None if it spells none."""
    # float() accepts the underscore in 1_000, which is not a number in a log.
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def whole_number(cell: Cell) -> int | None:
    """The whole number in a cell, such as 100 or 100.0, or None if nothing was measured.

    Raises ValueError for any other content.
    """
    value = number(cell)
    if value is None:
        return None
    # An int is compared as an int, because an int below -2**63 may become -2**63 as a float.
    exact = cell if isinstance(cell, int) else value
    if not isfinite(value) or value != int(value) or not -(2**63) <= exact < 2**63:
        raise ValueError("it must be a whole number of at most 64 bits")
    return int(exact)


def sum_of(cells: Iterable[Cell]) -> Cell:
    """The sum of the cells. If one of them is not a number, this cell is returned instead.

    A gap (None) thus stays a gap, and an error message can show a cell that holds something else.
    """
    total = 0.0
    for cell in cells:
        if isinstance(cell, bool) or not isinstance(cell, int | float):
            return cell
        total += cell
    return total


def is_number(cell: Cell) -> bool:
    """Whether a cell holds a number, finite or not."""
    try:
        return number(cell) is not None
    except ValueError:
        return False


def number_or_gap(cell: Cell) -> float | None:
    """The number in a cell, or None if the cell holds anything else."""
    try:
        return number(cell)
    except ValueError:
        return None


def is_complete_number(text: str, above: str, quoted: bool = False) -> bool:
    """Whether the last number of a file is surely complete, although no newline follows it.

    text    the number
    above   the number in the same place of the line above
    quoted  whether a closing quotation mark follows the number

    A word such as NaN is complete. Another number is complete if it has as many digits behind its
    point as the number above.
    """
    word = text.strip().lower()
    if quoted or word in NONFINITE_WORDS:
        return True
    fractions = [re.sub(r"\d", "0", number.strip().partition(".")[2]) for number in (text, above)]
    return bool(fractions[0]) and fractions[0] == fractions[1]


def is_empty(cell: Cell) -> bool:
    """Whether a cell means that nothing was measured."""
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in NOT_MEASURED)


def numbers_in(cells: Sequence[Cell]) -> tuple[Steps, Column] | None:
    """The positions of the numbers in a column, and the numbers: ([n], [n]).

    None if any cell is neither a number nor None, or holds a number that does not fit 64 bits.
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
    """A column as whole numbers of 64 bits: [n].

    None if any cell is not such a number, or if the cells are partly int and partly float.
    """
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
    """A column that takes less memory: only floats, or only ints, become an array.

    An array takes 8 bytes per number; a list takes a pointer and an object of at least 24 bytes.
    Any other column is returned as it is.
    """
    types = set(map(type, cells))
    try:
        if types in ({float}, {int}):
            return array("d" if types == {float} else "q", cells)
    except OverflowError:
        pass
    return cells
