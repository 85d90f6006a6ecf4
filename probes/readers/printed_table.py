"""Tables within the printed output of a training: a line of names, then lines of numbers.

YOLO prints such a line of names in every epoch, spaCy prints it once with dashes below it:

    Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size
      1/30     3.21G      2.174      2.579      1.587         37        640: 100%|####| 120/120
"""

from __future__ import annotations

import re

from probes.readers.cells import is_number, number
from probes.readers.column_names import (
    EPOCH,
    LOSSES,
    STEP,
    YOLO_PARTS,
    loss_parts,
    role,
)

MIN_COLUMNS = 3
"""A line of fewer names is not taken for the head of a table, because it may be a sentence."""
_GAP = re.compile(r"\s*\|\s*|\s{2,}|\t")
"""Separates two names: a bar, a tab or several blanks. A name may hold single blanks."""
_MAY_BE_HEAD = re.compile(r"loss|rmse|\bbox\b", re.IGNORECASE)
_RULE = re.compile(r"[-=\u2500\u2501\u2550]+(?:\s+[-=\u2500\u2501\u2550]+)+\s*")
_OF_TOTAL = re.compile(r"(\d+)/\d+")
"""The epoch and the number of epochs, such as `1/30`."""
_YOLO_NAMES = frozenset(YOLO_PARTS) | {f"{part}_loss" for part in YOLO_PARTS}


class PrintedTable:
    """Reads the lines of a printed table.

    names  the names of the columns of the last head; [] if there was none or its rows ended
    """

    def __init__(self) -> None:
        self.names: list[str] = []

    def cells(self, line: str) -> dict[str, float]:
        """Name -> number in a row of the table; {} if the line is not one.

        A line that is the head of a table begins a table. A line that is neither a row nor a rule
        of dashes ends it.
        """
        texts = line.replace("|", " ").split()
        if self.names and len(texts) >= len(self.names):
            if _RULE.fullmatch(line.strip()):
                return {}
            last = texts[len(self.names) - 1]
            if len(texts) == len(self.names) or last.endswith(":"):
                row = [text.rstrip(":") for text in texts[: len(self.names)]]
                row[0] = _OF_TOTAL.sub(r"\1", row[0])
                if is_number(row[0]):
                    pairs = zip(self.names, row, strict=True)
                    return {name: number(text) or 0.0 for name, text in pairs if is_number(text)}
        self.names = _head(line)
        return {}


def _head(line: str) -> list[str]:
    """The names of the columns if the line is the head of a table with a loss, else [].

    The parts of YOLO's loss get the prefix `train/`. `E` and `#` are spaCy's names of the epoch and
    the step.
    """
    if ":" in line or "=" in line or not _MAY_BE_HEAD.search(line):
        return []
    names = [name.strip() for name in _GAP.split(line.strip().removeprefix("#  ").strip(" |"))]
    if len(names) < MIN_COLUMNS or any(map(is_number, names)):
        return []
    if names[:2] == ["E", "#"]:
        names[:2] = [EPOCH, STEP]
    yolo = [name for name in names if name in _YOLO_NAMES]
    if len(yolo) > 1:
        names = [
            f"train/{name.removesuffix('_loss')}_loss"
            if name in yolo or name in ("total", "total_loss")
            else name
            for name in names
        ]
    names = [
        EPOCH if role(name) == EPOCH else STEP if role(name) == STEP else name for name in names
    ]
    has_loss = any(role(name) in LOSSES for name in names) or loss_parts(names, "train")
    return names if has_loss and len(set(names)) == len(names) else []
