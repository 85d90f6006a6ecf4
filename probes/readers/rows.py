"""What every format of log is turned into first: rows of cells, each with the place where it stands in the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any, Literal

from probes.record import RecordError

HEAD = 65_536
"""Bytes from the beginning of a file by which its format is recognised."""
LONGEST_LINE = 1_048_576
"""Bytes in a line of a log; what is longer is no log, and is not taken into memory to find that out."""
BOM = b"\xef\xbb\xbf"
NOT_MEASURED = frozenset({"", "null", "none", "na", "n/a", "-"})
NONFINITE = {
    "nan": nan, "+nan": nan, "-nan": nan,
    "inf": inf, "+inf": inf, "infinity": inf, "+infinity": inf,
    "-inf": -inf, "-infinity": -inf,
}  # fmt: skip

Cell = Any
Kind = Literal["point", "summary", "cut"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a log.

    number   which line of the file it is, or which entry of its list; from 1
    cells    column -> what stands there; None: not measured
    kind     a point of the curves; a summary of the run, which is none; or "cut": the log ends within this row
    """

    number: int
    cells: Mapping[str, Cell]
    kind: Kind = "point"


@dataclass(frozen=True)
class Format:
    """One way of writing a log.

    recognises   whether a file that begins with these bytes (at most HEAD) is written this way
    rows         the rows of a file; raises RecordError where it is damaged
    unit         what rows are counted in: "line" or "entry"
    """

    name: str
    recognises: Callable[[bytes], bool]
    rows: Callable[[Path], Iterator[Row]]
    unit: str


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
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise ValueError("it must be a number, or empty where nothing was measured")
    try:
        return float(cell)
    except OverflowError as error:
        raise ValueError("it must be a number that fits 64 bits") from error


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


def lines(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Number, text and whether it is whole (ended by a newline), of each line. Raises RecordError where none can be."""
    with open(path, "rb") as file:
        count = 0
        while line := file.readline(LONGEST_LINE + 1):
            count += 1
            if len(line) > LONGEST_LINE:
                raise RecordError(
                    f"{path}, line {count} is longer than {LONGEST_LINE} bytes, which no line of a log is"
                )
            whole_line = line.endswith(b"\n")
            try:
                text = (line.removeprefix(BOM) if count == 1 else line).decode()
            except UnicodeDecodeError as error:
                if whole_line:
                    raise RecordError(
                        f"{path}, line {count} is damaged: it is no UTF-8 text ({error.reason})"
                    ) from error
                text = line.decode(errors="replace")
            yield count, text.strip("\r\n"), whole_line


def first_lines(head: bytes) -> list[str]:
    """The first two lines in the head of a text file that are not blank and whole, or end the file; [] of no text."""
    if b"\0" in head:
        return []
    found = [line.decode(errors="replace") for line in head.removeprefix(BOM).splitlines() if line.strip()]
    return found[:2]
