"""The first pass over a log: which columns it has, and which of them can count its steps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from probes.readers.base import Block, Piece, Row
from probes.readers.cells import is_empty, is_number, numbers_in, whole_number
from probes.readers.column_names import EPOCH, LOSSES, STEP, role
from probes.record import Column

MAX_COLUMNS = 10_000
"""Columns that are listed. Later names are dropped, so that a log with new names in every row does
not fill the memory."""


@dataclass
class StepColumn:
    """How the values of a column that is named like a step count develop.

    last_value, last_epoch  in the last row so far
    rises                   its value has risen from one row to the next
    falls_with_epoch        its value has fallen where the epoch rose
    falls_otherwise         its value has fallen elsewhere, as after a resumed run
    epoch_rises             the epoch has risen
    excess_fractions        number of fractional values minus number of whole ones
    """

    last_value: float = -np.inf
    last_epoch: float = -np.inf
    rises: bool = False
    falls_with_epoch: bool = False
    falls_otherwise: bool = False
    epoch_rises: bool = False
    excess_fractions: int = 0

    def extend(self, values: Column, epochs: Column) -> None:
        """Add the values of more rows and the epochs beside them (NaN: no epoch): [n], [n]."""
        self.excess_fractions += 2 * int((values != np.trunc(values)).sum()) - len(values)
        values = np.concatenate([[self.last_value], values])
        epochs = np.concatenate([[self.last_epoch], epochs])
        fell, rose = values[1:] < values[:-1], values[1:] > values[:-1]
        new_epoch = epochs[1:] > epochs[:-1]
        self.falls_with_epoch |= bool((fell & new_epoch).any())
        self.falls_otherwise |= bool((fell & ~new_epoch).any())
        # The first row only looks as if it rose: both start at minus infinity.
        self.rises |= bool((rose & np.isfinite(values[:-1])).any())
        self.epoch_rises |= bool((new_epoch & np.isfinite(epochs[:-1])).any())
        self.last_value, self.last_epoch = float(values[-1]), float(epochs[-1])

    @property
    def restarts_each_epoch(self) -> bool:
        return self.falls_with_epoch and not self.falls_otherwise

    @property
    def is_constant(self) -> bool:
        """Whether its value never changes although the epoch does: it may say how many steps an
        epoch has."""
        changes = self.rises or self.falls_with_epoch or self.falls_otherwise
        return self.epoch_rises and not changes

    @property
    def is_fractional(self) -> bool:
        """Whether most values are fractions, for example of an epoch."""
        return self.excess_fractions > 0


@dataclass
class ColumnScan:
    """What the first pass has found so far.

    filled          column -> in how many points it holds something
    numeric         columns whose first entry is a number
    points          how many points of the curves there are
    epochs_can_count  whether epochs can count the steps: no column is named like a step, epochs are
                    whole numbers, and none has the same loss twice
    step_columns    columns named like a step -> how their values develop in rows with a loss
    """

    filled: dict[str, int] = field(default_factory=dict)
    numeric: set[str] = field(default_factory=set)
    points: int = 0
    epochs_can_count: bool = True
    step_columns: dict[str, StepColumn] = field(default_factory=dict)
    _epoch: int | None = None
    _losses_in_epoch: set[str] = field(default_factory=set)

    def add(self, piece: Piece) -> None:
        """Add a piece of the log; only blocks hold points.

        A block is added as a whole unless a column is new or the epochs have to be compared."""
        if not isinstance(piece, Block):
            return
        self._add_step_columns(piece)
        counts = {name: len(cells) - cells.count(None) for name, cells in piece.columns.items()}
        new_column = any(count and name not in self.filled for name, count in counts.items())
        if self.epochs_can_count or new_column:
            for row in piece.rows():
                self._add_row(row)
            return
        self.points += len(piece.numbers)
        for name, count in counts.items():
            if count:
                self.filled[name] += count

    def reason_against(self, column: str) -> str | None:
        """Why a column that is named like a step does not count the steps of the run, as the end of
        a sentence; None when it may."""
        found = self.step_columns.get(column)
        if found is None:
            return None
        if found.is_constant:
            return "is the same in every row"
        if found.restarts_each_epoch:
            return "begins again in every epoch"
        return "holds fractions" if found.is_fractional else None

    def _add_step_columns(self, block: Block) -> None:
        """Follow the step columns in rows with a loss: in rows of an evaluation, the same column
        may count something else."""
        epochs = np.full(len(block.numbers), np.nan)
        has_loss = np.zeros(len(block.numbers), dtype=bool)
        step_columns = {}
        for name, cells in block.columns.items():
            what = role(name)
            if what in (EPOCH, STEP, *LOSSES) and (found := numbers_in(cells)):
                positions, values = found
                if what == EPOCH:
                    epochs[positions] = values
                elif what == STEP:
                    step_columns[name] = found
                else:
                    has_loss[positions] = True
        for name, (positions, values) in step_columns.items():
            counted = has_loss[positions]
            column = self.step_columns.setdefault(name, StepColumn())
            column.extend(values[counted], epochs[positions[counted]])

    def _add_row(self, row: Row) -> None:
        self.points += 1
        for column, cell in row.cells.items():
            if cell is None:
                continue
            if column not in self.filled:
                if len(self.filled) >= MAX_COLUMNS or is_empty(cell):
                    continue
                self.filled[column] = 0
                if is_number(cell):
                    self.numeric.add(column)
                    self.epochs_can_count &= role(column) != STEP
            self.filled[column] += 1
        if self.epochs_can_count:
            self.epochs_can_count = self._epoch_counts(row)

    def _epoch_counts(self, row: Row) -> bool:
        """Whether a row has a whole epoch in which none of its losses has appeared before."""
        roles = {column: role(column) for column, cell in row.cells.items() if cell is not None}
        epochs = [column for column, what in roles.items() if what == EPOCH]
        if not epochs:
            return False
        try:
            epoch = whole_number(row.cells[epochs[0]])
        except ValueError:
            return False
        if epoch is None:
            return False
        if epoch != self._epoch:
            self._epoch, self._losses_in_epoch = epoch, set()
        losses = {column for column, what in roles.items() if what in LOSSES}
        repeated = losses & self._losses_in_epoch
        self._losses_in_epoch |= losses
        return not repeated
