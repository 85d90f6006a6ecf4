r"""The printed output of a training run: the lines that name a loss are read.

Every program prints in its own form. What the forms have in common is a name in front of each
number, so a line is read by that:

    {'loss': 2.3, 'epoch': 0.1}
    iter 100: loss 2.3, time 12ms
    Epoch [1][50/938]  loss: 2.3
    | lm loss: 2.3E+00 |
    938/938 - 2s - loss: 2.3 - val_loss: 2.1

All other output is skipped.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

from probes.readers.base import Format, Piece, Row, blocks_from_rows, row_of
from probes.readers.column_names import (
    EPOCH,
    LOSSES,
    STEP,
    normalized,
    rank,
    role,
)
from probes.readers.line_batches import BOM, batches
from probes.record.metrics import direction_of

MIN_LOSS_LINES = 3
"""A search of a folder accepts only files with at least this many lines with a loss, because notes
and reports of results name a few losses as well."""
LOG_SUFFIXES = frozenset({"", ".log", ".txt", ".out", ".err", ".stdout", ".stderr"})
"""A search of a folder considers only files with one of these suffixes, because source code names
losses and numbers as well."""
ROW_SIGNALS = LOSSES | {"lr", "grad_norm"}
"""A line with a number for one of these signals is a row."""
MAX_NAME_LENGTH = 100
"""The name of a number is searched in at most this many characters in front of it."""

_MAY_HOLD_A_ROW = re.compile(r"loss|epoch|\blr\b|learning|norm", re.IGNORECASE)
_OVERWRITTEN = re.compile(r"[\r\b]+")
"""Control characters with which a progress bar goes back in its line to overwrite it."""
_NOISE = re.compile(
    r"\x1b\[[0-9;]*[A-Za-z]|\b(?:tensor|np\.float\d+)\(|(?<=\w)\((?:train|val|test|eval)\)"
)
"""Text to skip: codes for colours, the type around a number (`tensor(2.5)`), and the mode of a
program behind a name (`loss(train)`)."""
_NUMBER = re.compile(
    r"(?<![\w.@])[-+]?(?:(?:\d++\.?+\d*+|\.\d++)(?:e[-+]?\d++)?|nan|inf(?:inity)?)(?![\w.]*\w)",
    re.IGNORECASE,
)
_OF_TOTAL = re.compile(r" ?/ ?([1-9]\d*)(?![\w.])")
"""Follows the number of right answers in `Accuracy: 9850/10000`."""
_BEFORE_NUMBER = re.compile(r"(?: is)?([\s:='\"\[(]*)$")
_NAME = re.compile(r"[A-Za-z](?:(?! - |  )[^,;|(){}\[\]<>'\"\t])*$")
_SPLIT = re.compile(
    r"\b(?:train|training|val|valid|validation|eval|evaluation|dev|test)\b", re.IGNORECASE
)


def recognises(head: bytes) -> bool:
    """Whether any line has the name of a loss and its number."""
    if b"\0" in head:
        return False
    lines = head.removeprefix(BOM).decode(errors="replace").split("\n")
    return any(role(name) in LOSSES for row in _rows(1, lines, {}) for name in row.cells)


def pieces(path: Path) -> Iterator[Piece]:
    """One row per line with a loss, a learning rate or a gradient norm.

    A last line without its newline is a row of kind "cut". Raises RecordError for a line that is
    not text.
    """
    counts: dict[str, float] = {}
    yield from blocks_from_rows(
        row if batch.whole else Row(row.number, {}, "cut")
        for batch in batches(path)
        for row in _rows(batch.first, batch.lines, counts)
    )


def _rows(first: int, lines: list[str], counts: dict[str, float]) -> Iterator[Row]:
    """The rows in some lines. A row without an epoch or a step gets the last one printed before it.

    first   number of the first line
    counts  the last epoch and the last step, by the names EPOCH and STEP; it is updated

    An epoch is often printed on a line of its own, and an evaluation after the step that it belongs
    to. A step is only remembered if its line is a row: in other lines it may be a setting.
    """
    for number, line in enumerate(lines, first):
        if not _MAY_HOLD_A_ROW.search(line):
            continue
        # If a progress bar overwrote the line, its last state with any cells is read.
        is_overwritten = "\r" in line or "\b" in line
        states = reversed(_OVERWRITTEN.split(line)) if is_overwritten else [line]
        cells = next((cells for state in states if (cells := _cells(state))), {})
        is_row = any(role(name) in ROW_SIGNALS for name in cells)
        if EPOCH in cells:
            counts[EPOCH] = cells[EPOCH]
        if is_row and STEP in cells:
            counts[STEP] = cells[STEP]
        if is_row:
            yield row_of(number, counts | cells)


def _cells(text: str) -> dict[str, float]:
    """Name -> the first number with that name. The step and the epoch are named STEP and EPOCH."""
    cells: dict[str, float] = {}
    steps: list[tuple[int, float]] = []
    for name, value in _named_numbers(_NOISE.sub(" ", text)):
        its_role = role(name)
        if its_role == STEP:
            steps += [(rank(name, STEP) or 0, value)] if value.is_integer() else []
        else:
            cells.setdefault(EPOCH if its_role == EPOCH else name, value)
    return cells | ({STEP: min(steps)[1]} if steps else {})


def _named_numbers(text: str) -> Iterator[tuple[str, float]]:
    """Name and value of each number in a text that has a name.

    A `loss` after a word for an evaluation, such as `val` or `test`, gets the prefix `val_`, and so
    does a metric. A metric that is printed as a number out of a total is their ratio.
    """
    end = 0
    splits = [(word.start(), word[0].lower().startswith("train")) for word in _SPLIT.finditer(text)]
    for found in _NUMBER.finditer(text):
        between = text[max(end, found.start() - MAX_NAME_LENGTH) : found.start()]
        end = found.end()
        tail = _BEFORE_NUMBER.search(between)
        named = _NAME.search(between[: tail.start()]) if tail else None
        if not tail or not tail[0] or not named:
            continue
        name = named[0].strip()
        name = name if role(name) else name.rpartition(":")[2].strip()
        is_metric = direction_of(name) is not None
        if not role(name) and not is_metric and not {":", "="} & set(tail[1]):
            continue
        is_loss = role(name) == "loss" and "train" not in normalized(name)
        if is_loss or (is_metric and not _SPLIT.search(name.replace("_", " "))):
            before = bisect_left(splits, (found.start(),))
            if before and not splits[before - 1][1]:
                name = f"val_{normalized(name)}" if is_loss else f"val_{name}"
        total = _OF_TOTAL.match(text, found.end()) if is_metric else None
        yield name, float(found[0]) / (float(total[1]) if total else 1)


FORMAT = Format("printed lines", recognises, pieces, "line", LOG_SUFFIXES, MIN_LOSS_LINES)
