"""The first pass over a log: finds its columns, and which of them can count its steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np

from probes.readers.base import Block, Piece, Row
from probes.readers.cells import is_empty, is_number, number_or_gap, numbers_in, whole_number
from probes.readers.column_names import BATCH, EPOCH, LOSSES, STEP, adversarial_losses, role
from probes.record import Column

MIN_FILLED_SHARE = 0.5
"""A column counts steps only if it is in at least this share of the rows with a training loss."""
MAX_REPEATS = 1 / 3
"""A column whose value is repeated in more than this share of the rows counts steps only if no
other column does."""


@dataclass
class StepColumn:
    """How the values of a column that is named like a step change from row to row.

    last_value        the value in the last row so far
    last_epoch        the epoch in the last row so far
    rises             whether the value has risen between two rows
    falls_with_epoch  whether the value has ever fallen from a row to the next while the epoch rose
    falls_otherwise   whether the value has ever fallen while the epoch did not rise, as it does in
                      a resumed run
    stays_with_epoch  whether the value has ever stayed the same while the epoch rose, both epochs
                      being whole numbers; epochs in fractions rise from row to row
    epoch_rises       whether the epoch has risen between two rows
    excess_fractions  number of fractional values minus number of whole values
    rows              number of rows so far
    repeats           number of rows whose value is the same as in the row before
    """

    last_value: float = -np.inf
    last_epoch: float = -np.inf
    rises: bool = False
    falls_with_epoch: bool = False
    falls_otherwise: bool = False
    stays_with_epoch: bool = False
    epoch_rises: bool = False
    excess_fractions: int = 0
    rows: int = 0
    repeats: int = 0

    def extend(self, values: Column, epochs: Column) -> None:
        """Add more rows: their values, and their epochs (NaN if a row has none): [n], [n]."""
        self.excess_fractions += 2 * int((values != np.trunc(values)).sum()) - len(values)
        values = np.concatenate([[self.last_value], values])
        epochs = np.concatenate([[self.last_epoch], epochs])
        self.rows += len(values) - 1
        self.repeats += int((values[1:] == values[:-1]).sum())
        fell, rose = values[1:] < values[:-1], values[1:] > values[:-1]
        new_epoch = epochs[1:] > epochs[:-1]
        self.falls_with_epoch |= bool((fell & new_epoch).any())
        self.falls_otherwise |= bool((fell & ~new_epoch).any())
        is_whole = epochs == np.trunc(epochs)
        stayed = (values[1:] == values[:-1]) & is_whole[1:] & is_whole[:-1]
        self.stays_with_epoch |= bool((stayed & new_epoch).any())
        # In the first row, value and epoch do not rise, although both start at minus infinity.
        self.rises |= bool((rose & np.isfinite(values[:-1])).any())
        self.epoch_rises |= bool((new_epoch & np.isfinite(epochs[:-1])).any())
        self.last_value, self.last_epoch = float(values[-1]), float(epochs[-1])

    @property
    def restarts_each_epoch(self) -> bool:
        """Whether the value falls, and only where a new epoch begins."""
        return self.falls_with_epoch and not self.falls_otherwise

    @property
    def is_bar_of_epoch(self) -> bool:
        """Whether the batches of a progress bar begin again in every epoch.

        A log may show several batches of the first epoch, but only the last batch of each later
        one. The batch then never falls, but stays the same from epoch to epoch.
        """
        begins_again = self.falls_with_epoch or (self.stays_with_epoch and self.rises)
        return begins_again and not self.falls_otherwise

    @property
    def counts_the_run(self) -> bool:
        """Whether the batches of a progress bar are counted through the whole run."""
        return self.rises and not self.falls and not self.is_bar_of_epoch

    @property
    def falls(self) -> bool:
        """Whether the value has ever fallen."""
        return self.falls_with_epoch or self.falls_otherwise

    @property
    def repeats_often(self) -> bool:
        """Whether the value stays the same in many rows.

        If gradients are accumulated over several batches and the log has a row for each batch, a
        count of updates stays the same in the rows of one update."""
        return self.repeats > MAX_REPEATS * self.rows

    @property
    def is_constant(self) -> bool:
        """Whether the value never changes although the epoch does.

        Such a column may state the number of steps in an epoch.
        """
        return self.epoch_rises and not (self.rises or self.falls)

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
    epochs_can_count  whether epochs can count the steps: epochs are whole numbers, and each loss
                      occurs at most once in an epoch
    step_columns      column named like a step, or BATCH -> how its values change between the rows
                      with a training loss
    val_step_columns  the same for the other rows with a loss
    loss_rows         number of rows with a training loss
    first_epoch       the lowest epoch; infinity if there is none
    """

    filled: dict[str, int] = field(default_factory=dict)
    numeric: set[str] = field(default_factory=set)
    points: int = 0
    epochs_can_count: bool = True
    step_columns: dict[str, StepColumn] = field(default_factory=dict)
    val_step_columns: dict[str, StepColumn] = field(default_factory=dict)
    loss_rows: int = 0
    first_epoch: float = np.inf
    _epoch: int | None = None
    _losses_in_epoch: set[str] = field(default_factory=set)

    def add(self, piece: Piece) -> None:
        """Add a piece of the log. Pieces that are not blocks are skipped, as they hold no points.

        A block is added column by column. Its rows are looked at only while epochs may count the
        steps.
        """
        if not isinstance(piece, Block):
            return
        self._add_step_columns(piece)
        self._count_cells(piece)
        if self.epochs_can_count:
            self.epochs_can_count = all(map(self._epoch_is_new, piece.rows()))
        self.points += len(piece.numbers)

    def repeats_often(self, column: str) -> bool:
        """Whether a column that is named like a step stays the same in many rows."""
        found = self.step_columns.get(column)
        return found is not None and found.repeats_often

    def why_not_steps(self, column: str) -> str | None:
        """The reason why a column that is named like a step does not count the steps of the run.

        It completes a sentence that begins with the column's name. None if there is no reason.
        """
        found = self.step_columns.get(column)
        if found is None and role(column) == STEP and self.loss_rows and column in self.filled:
            found = StepColumn()  # it is only in rows of evaluations
        found = found or self.val_step_columns.get(column)
        if found is None:
            return None
        if found.rows < MIN_FILLED_SHARE * self.loss_rows:
            return f"is in only {found.rows} of {self.loss_rows} rows with a training loss"
        if found.is_constant:
            return "is the same in every row"
        if found.restarts_each_epoch:
            return "begins again in every epoch"
        return "holds fractions" if found.is_fractional else None

    def _add_step_columns(self, block: Block) -> None:
        """Extend `step_columns` and `val_step_columns` by the rows of a block that have a loss.

        The rows with a training loss are kept apart from the others, in which the same column may
        count something else.
        """
        epochs = np.full(len(block.numbers), np.nan)
        has_loss = np.zeros(len(block.numbers), dtype=bool)
        has_val_loss = has_loss.copy()
        step_columns = {}
        for name, cells in block.columns.items():
            column_role = role(name)
            is_counter = column_role in (EPOCH, STEP) or name == BATCH
            if is_counter or column_role in LOSSES:
                found = numbers_in(cells) or numbers_in(list(map(number_or_gap, cells)))
                if found is None:
                    continue
                positions, values = found
                if column_role == EPOCH:
                    epochs[positions] = values
                elif is_counter:
                    step_columns[name] = found
                elif column_role == "val_loss":
                    has_val_loss[positions] = True
                else:
                    has_loss[positions] = True
        if not (has_loss | has_val_loss).any():
            has_loss[:] = True  # the loss is logged in parts or has an unknown name
        self.loss_rows += int(has_loss.sum())
        if (counted := epochs[~np.isnan(epochs)]).size:
            self.first_epoch = min(self.first_epoch, float(counted.min()))
        for name, (positions, values) in step_columns.items():
            for columns, is_row in (
                (self.step_columns, has_loss),
                (self.val_step_columns, has_val_loss & ~has_loss),
            ):
                if (used := is_row[positions]).any():
                    column = columns.setdefault(name, StepColumn())
                    column.extend(values[used], epochs[positions[used]])

    def _count_cells(self, block: Block) -> None:
        """Add the cells of each column to `filled`, from its first entry on. New columns are added
        in the order of their first entries, whatever the size of the blocks."""
        firsts: dict[str, int] = {}
        for name, cells in block.columns.items():
            if name not in self.filled:
                first = next((i for i, cell in enumerate(cells) if not is_empty(cell)), None)
                if first is not None:
                    firsts[name] = first
        for name, first in sorted(firsts.items(), key=itemgetter(1)):
            self.filled[name] = 0
            if is_number(block.columns[name][first]):
                self.numeric.add(name)
        for name, cells in block.columns.items():
            if name in self.filled:
                measured = cells[begin:] if (begin := firsts.get(name, 0)) else cells
                self.filled[name] += len(measured) - measured.count(None)

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
        losses = losses or set(adversarial_losses(roles))
        repeated = losses & self._losses_in_epoch
        self._losses_in_epoch |= losses
        return not repeated
