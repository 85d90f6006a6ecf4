"""What one pass over a log tells of its columns, before any of them is read as a signal."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from probes.readers.base import Block, Piece, Row, is_empty, is_number, measured, whole
from probes.readers.column_names import EPOCH, LOSSES, STEP, role
from probes.record import Column

MOST_COLUMNS = 10_000
"""Different names in one log; those beyond are not listed, so that a log of ever new names does not
fill the memory."""


@dataclass
class Counter:
    """A column that counts, beside the epochs, up to its last row.

    fractions   how many more fractions than whole numbers it holds
    """

    value: float = -np.inf
    epoch: float = -np.inf
    falls_with_epoch: bool = False
    falls_otherwise: bool = False
    fractions: int = 0
    rises: bool = False
    epochs_rise: bool = False

    def see(self, values: Column, epochs: Column) -> None:
        """Take in more of its values and the epochs beside them, NaN where there is none: [n],
        [n]."""
        self.fractions += 2 * int((values != np.trunc(values)).sum()) - len(values)
        values, epochs = np.r_[self.value, values], np.r_[self.epoch, epochs]
        falls, rises, later = (
            values[1:] < values[:-1],
            values[1:] > values[:-1],
            epochs[1:] > epochs[:-1],
        )
        self.falls_with_epoch |= bool((falls & later).any())
        self.falls_otherwise |= bool((falls & ~later).any())
        self.rises |= bool((rises & np.isfinite(values[:-1])).any())
        self.epochs_rise |= bool((later & np.isfinite(epochs[:-1])).any())
        self.value, self.epoch = float(values[-1]), float(epochs[-1])

    @property
    def stays(self) -> bool:
        """Whether it never changes, though the epochs do."""
        return self.epochs_rise and not (
            self.rises or self.falls_with_epoch or self.falls_otherwise
        )


@dataclass
class Survey:
    """Gathers it.

    filled         column -> in how many points something stands
    numeric        columns that hold a number where they hold something first
    points         rows that are points of the curves
    epoch_is_step  whether nothing else counts steps and epochs can: they are whole and none holds a
                   loss twice
    """

    filled: dict[str, int] = field(default_factory=dict)
    numeric: set[str] = field(default_factory=set)
    points: int = 0
    epoch_is_step: bool = True
    _counters: dict[str, Counter] = field(default_factory=dict)
    _epoch: int | None = None
    _seen: set[str] = field(default_factory=set)

    def see(self, piece: Piece) -> None:
        """Take in some rows: by column once every column is known, and what there is to find out
        about them is."""
        if not isinstance(piece, Block):
            return
        self._see_counters(piece)
        counts = {name: len(cells) - cells.count(None) for name, cells in piece.columns.items()}
        if self.epoch_is_step or any(
            count and name not in self.filled for name, count in counts.items()
        ):
            for row in piece.rows():
                self._see(row)
            return
        self.points += len(piece.numbers)
        for name, count in counts.items():
            if count:
                self.filled[name] += count

    @property
    def within_epoch(self) -> frozenset[str]:
        """Columns that count from anew in every epoch, and so no steps of the run."""
        found = (
            name
            for name, seen in self._counters.items()
            if seen.falls_with_epoch and not seen.falls_otherwise
        )
        return frozenset(found)

    @property
    def unchanging(self) -> frozenset[str]:
        """Columns called steps that say how many there are in an epoch, and are the same in every
        row."""
        return frozenset(name for name, seen in self._counters.items() if seen.stays)

    @property
    def in_fractions(self) -> frozenset[str]:
        """Columns called steps that mostly hold fractions, as of an epoch, and so number
        nothing."""
        return frozenset(name for name, seen in self._counters.items() if seen.fractions > 0)

    def _see_counters(self, block: Block) -> None:
        """By the rows that hold a loss: those of an evaluation may count something else in the same
        column."""
        epochs, losses = (
            np.full(len(block.numbers), np.nan),
            np.zeros(len(block.numbers), dtype=bool),
        )
        counters = {}
        for name, cells in block.columns.items():
            what = role(name)
            if what in (EPOCH, STEP, *LOSSES) and (found := measured(cells)):
                if what == EPOCH:
                    epochs[found[0]] = found[1]
                elif what == STEP:
                    counters[name] = found
                else:
                    losses[found[0]] = True
        for name, (at, values) in counters.items():
            of_loss = losses[at]
            self._counters.setdefault(name, Counter()).see(values[of_loss], epochs[at[of_loss]])

    def _see(self, row: Row) -> None:
        self.points += 1
        for column, cell in row.cells.items():
            if cell is None:
                continue
            if column not in self.filled:
                if len(self.filled) >= MOST_COLUMNS or is_empty(cell):
                    continue
                self.filled[column] = 0
                if is_number(cell):
                    self.numeric.add(column)
                    self.epoch_is_step &= role(column) != STEP
            self.filled[column] += 1
        if self.epoch_is_step:
            self.epoch_is_step = self._counts(row)

    def _counts(self, row: Row) -> bool:
        roles = {column: role(column) for column, cell in row.cells.items() if cell is not None}
        epochs = [column for column, what in roles.items() if what == EPOCH]
        if not epochs:
            return False
        try:
            epoch = whole(row.cells[epochs[0]])
        except ValueError:
            return False
        if epoch is None:
            return False
        if epoch != self._epoch:
            self._epoch, self._seen = epoch, set()
        losses = {column for column, what in roles.items() if what in LOSSES}
        again = losses & self._seen
        self._seen |= losses
        return not again
