"""The first pass over a log: finds its columns, and which of them can count its steps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from probes.readers.base import Block, Piece, Row
from probes.readers.cells import is_empty, is_number, numbers_in, whole_number
from probes.readers.column_names import EPOCH, LOSSES, STEP, role
from probes.record import Column

MAX_COLUMNS = 10_000
"""Maximum number of columns that are read. Further ones are dropped, so that a log with new names
in every row does not fill the memory."""


@dataclass
class StepColumn:
    """How the values of a column that is named like a step change from row to row.

    last_value        the value in the last row so far
    last_epoch        the epoch in the last row so far
    rises             whether the value has risen between two rows
    falls_with_epoch  whether the value has fallen between two rows between which the epoch rose
    falls_otherwise   whether the value has fallen between other rows, as it does in a resumed run
    epoch_rises       whether the epoch has risen between two rows
    excess_fractions  number of fractional values minus number of whole values
    """

    last_value: float = -np.inf
    last_epoch: float = -np.inf
    rises: bool = False
    falls_with_epoch: bool = False
    falls_otherwise: bool = False
    epoch_rises: bool = False
    excess_fractions: int = 0

    def extend(self, values: Column, epochs: Column) -> None:
        """Add more rows: their values, and their epochs (NaN if a row has none): [n], [n]."""
        self.excess_fractions += 2 * int((values != np.trunc(values)).sum()) - len(values)
        values = np.concatenate([[self.last_value], values])
        epochs = np.concatenate([[self.last_epoch], epochs])
        fell, rose = values[1:] < values[:-1], values[1:] > values[:-1]
        new_epoch = epochs[1:] > epochs[:-1]
        self.falls_with_epoch |= bool((fell & new_epoch).any())
        self.falls_otherwise |= bool((fell & ~new_epoch).any())
        # In the first row, value and epoch do not rise, although both start at minus infinity.
        self.rises |= bool((rose & np.isfinite(values[:-1])).any())
        self.epoch_rises |= bool((new_epoch & np.isfinite(epochs[:-1])).any())
        self.last_value, self.last_epoch = float(values[-1]), float(epochs[-1])

    @property
    def restarts_each_epoch(self) -> bool:
        """Whether the value falls, and only where a new epoch begins."""
        return self.falls_with_epoch and not self.falls_otherwise

    @property
    def is_constant(self) -> bool:
        """Whether the value never changes although the epoch does.

        Such a column may state the number of steps in an epoch.
        """
        changes = self.rises or self.falls_with_epoch or self.falls_otherwise
        return self.epoch_rises and not changes

    @property
    def is_fractional(self) -> bool:
        """Whether most values are not whole numbers, for example because they count epochs."""
        return self.excess_fractions > 0


@dataclass
class ColumnScan:
    """The result of the first pass so far.

    filled            column -> number of points in which it is not empty
    numeric           columns whose first entry is a number
    points            number of points of the curves
    epochs_can_count  whether epochs can count the steps: no column is named like a step, epochs are
                      whole numbers, and each loss occurs at most once in an epoch
    step_columns      column named like a step -> how its values change between rows with a loss
    """

    filled: dict[str, int] = field(default_factory=dict)
    numeric: set[str] = field(default_factory=set)
    points: int = 0
    epochs_can_count: bool = True
    step_columns: dict[str, StepColumn] = field(default_factory=dict)
    _epoch: int | None = None
    _losses_in_epoch: set[str] = field(default_factory=set)

    def add(self, piece: Piece) -> None:
        """Add a piece of the log. Pieces that are not blocks are skipped, as they hold no points.

        A block is added as a whole unless it has a new column or its epochs have to be compared.
        """
        if not isinstance(piece, Block):
            return
        self._add_step_columns(piece)
        counts = {name: len(cells) - cells.count(None) for name, cells in piece.columns.items()}
        new_column = any(count and name not in self.filled for name, count in counts.items())
        if self.epochs_can_count or new_column:
            for row in piece.rows():
                self._add_row(row)
        else:
            for name, count in counts.items():
                if count:
                    self.filled[name] += count
        self.points += len(piece.numbers)

    def why_not_steps(self, column: str) -> str | None:
        """The reason why a column that is named like a step does not count the steps of the run.

        It completes a sentence that begins with the column's name. None if there is no reason.
        """
        found = self.step_columns.get(column)
        if found is None:
            return None
        if found.is_constant:
            return "is the same in every row"
        if found.restarts_each_epoch:
            return "begins again in every epoch"
        return "holds fractions" if found.is_fractional else None

    def _add_step_columns(self, block: Block) -> None:
        """Add the rows with a loss to the columns that are named like a step.

        In other rows, such as those of an evaluation, the same column may count something else.
        """
        epochs = np.full(len(block.numbers), np.nan)
        has_loss = np.zeros(len(block.numbers), dtype=bool)
        step_columns = {}
        for name, cells in block.columns.items():
            column_role = role(name)
            if column_role in (EPOCH, STEP, *LOSSES) and (found := numbers_in(cells)):
                positions, values = found
                if column_role == EPOCH:
                    epochs[positions] = values
                elif column_role == STEP:
                    step_columns[name] = found
                else:
                    has_loss[positions] = True
        for name, (positions, values) in step_columns.items():
            in_loss_row = has_loss[positions]
            column = self.step_columns.setdefault(name, StepColumn())
            column.extend(values[in_loss_row], epochs[positions[in_loss_row]])

    def _add_row(self, row: Row) -> None:
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
            self.epochs_can_count = self._epoch_is_new(row)

    def _epoch_is_new(self, row: Row) -> bool:
        """Whether a row has an integer epoch in which none of its losses was seen before."""
        roles = {column: role(column) for column, cell in row.cells.items() if cell is not None}
        epochs = [column for column, its_role in roles.items() if its_role == EPOCH]
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
        losses = {column for column, its_role in roles.items() if its_role in LOSSES}
        repeated = losses & self._losses_in_epoch
        self._losses_in_epoch |= losses
        return not repeated
