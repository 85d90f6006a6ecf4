"""Tells the rows of training and validation apart by a column that names the split of each row.

Such a log has one column `loss` for both, and a column such as `phase` that holds `train` or `val`.
"""

from __future__ import annotations

from collections.abc import Sequence

from probes.readers.base import Block
from probes.readers.cells import Cell
from probes.readers.column_names import EPOCH, STEP, TOTAL, VAL_WORDS, normalized, role

SPLIT_COLUMNS = frozenset({
    "phase", "split", "mode", "name", "stage", "set", "subset", "dataset", "partition", "data",
    "type", "tag", "kind",
})  # fmt: skip
"""Names of columns that may say which split a row was measured on."""


def with_splits_apart(block: Block) -> Block:
    """The block with the cells of validation rows in columns of their own.

    The column `loss` of a row whose split is `val` becomes `val/loss`. Columns that count steps or
    epochs stay as they are. A block without such rows is returned unchanged.
    """
    for name, cells in block.columns.items():
        if normalized(name) in SPLIT_COLUMNS:
            words = [normalized(cell) if isinstance(cell, str) else "" for cell in cells]
            splits = [word if word in VAL_WORDS else "" for word in words]
            if any(splits):
                return _apart(block, name, splits)
    return block


def _apart(block: Block, split_column: str, splits: Sequence[str]) -> Block:
    """The block with the cells of each split in columns of their own.

    splits  the split of each row if it is used for evaluation, else "": [n]
    """
    columns: dict[str, Sequence[Cell]] = {}
    for name, cells in block.columns.items():
        if name == split_column or role(name) in (STEP, EPOCH, TOTAL):
            columns[name] = cells
            continue
        for split in dict.fromkeys(splits):
            column = f"{split}/{name}" if split and role(name) != "val_loss" else name
            own = [cell if split == its else None for cell, its in zip(cells, splits, strict=True)]
            if column in columns:
                pairs = zip(columns[column], own, strict=True)
                own = [old if cell is None else cell for old, cell in pairs]
            columns[column] = own
    return Block(block.numbers, columns)
