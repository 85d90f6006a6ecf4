"""What a training prints while it runs: the log of a job, of which the lines that name a loss are
read.

No two programs print alike, so a line is read by what all have in common, a name before its number,
be it
`{'loss': 2.3, 'epoch': 0.1}`, `iter 100: loss 2.3, time 12ms`, `Epoch [1][50/938]  loss: 2.3`, `|
                                                                                    lm loss: 2.3E+00
                                                                                    |`
or `938/938 - 2s - loss: 2.3 - val_loss: 2.1`. Whatever else was printed is passed over.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from probes.readers.base import Format, Piece, Row, gathered, summarises
from probes.readers.column_names import EPOCH, LOSSES, NAMES, REMEMBERED, STEP, plain, rank, role
from probes.readers.line_batches import BOM, batches

FEWEST = 3
"""Lines with a loss that make a log of a file that nobody named: results are noted in this way as
well."""
SUFFIXES = frozenset({"", ".log", ".txt", ".out", ".err", ".stdout", ".stderr"})
"""Of what may be such a log where a folder is searched: sources and notes name losses and numbers
as well."""
TOLD = LOSSES | {"lr", "grad_norm"}
"""What makes a line a row."""
LONGEST_NAME = 100
"""Characters before a number in which its name is looked for."""

_WORTH_A_LOOK = re.compile(r"loss|epoch|\blr\b|learning|norm", re.IGNORECASE)
_OVERWRITTEN = re.compile(r"[\r\b]+")
_NOISE = re.compile(
    r"\x1b\[[0-9;]*[A-Za-z]|\b(?:tensor|np\.float\d+)\(|(?<=\w)\((?:train|val|test|eval)\)"
)
"""Colours, what wraps a number, and the mode of a program behind a word."""
_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:(?:\d++\.?+\d*+|\.\d++)(?:e[-+]?\d++)?|nan|inf(?:inity)?)(?![\w.]*\w)",
    re.IGNORECASE,
)
_BEFORE_NUMBER = re.compile(r"(?: is)?([\s:='\"\[(]*)$")
_NAME = re.compile(r"[A-Za-z](?:(?! - |  )[^,;|(){}\[\]<>'\"\t])*$")
_SPLIT = re.compile(
    r"\b(?:train|training|val|valid|validation|eval|evaluation|dev|test)\b", re.IGNORECASE
)


def recognises(head: bytes) -> bool:
    """A line of it names a loss and its number."""
    if b"\0" in head:
        return False
    lines = head.removeprefix(BOM).decode(errors="replace").split("\n")
    losses = (row for row in _rows(1, lines, {}) if any(role(name) in LOSSES for name in row.cells))
    return any(True for _ in losses)


def pieces(path: Path) -> Iterator[Piece]:
    """One row a line that tells of the training. Raises RecordError for what is no text."""
    yield from gathered(_all_rows(path))


def _all_rows(path: Path) -> Iterator[Row]:
    counts: dict[str, float] = {}
    for batch in batches(path):
        for row in _rows(batch.first, batch.lines, counts):
            yield row if batch.whole else row._replace(cells={}, kind="cut")


def _rows(first: int, lines: list[str], counts: dict[str, float]) -> Iterator[Row]:
    """The lines that tell of the training, each with what was counted last, which stands in
    `counts` and is kept there.

    An epoch is often printed on a line of its own, and an evaluation without the step that the line
    above it has. A step by itself may be anything, as in a list of settings."""
    for number, line in enumerate(lines, first):
        if not _WORTH_A_LOOK.search(line):
            continue
        cells = _last_frame(line)
        told = any(role(name) in TOLD for name in cells)
        counts.update(
            {name: cells[name] for name in cells if name == EPOCH or (told and name == STEP)}
        )
        if told:
            yield Row(number, counts | cells, "summary" if summarises(cells) else "point")


def _last_frame(line: str) -> dict[str, float]:
    """What a line tells: of what a progress bar overwrote, the last state in which it names
    anything."""
    frames = reversed(_OVERWRITTEN.split(line)) if "\r" in line or "\b" in line else [line]
    return next((cells for frame in frames if (cells := _cells(frame))), {})


def _cells(text: str) -> dict[str, float]:
    """Name -> the first number behind it, the step and the epoch under these names."""
    cells: dict[str, float] = {}
    ranked: list[tuple[int, float]] = []
    for name, value in _named(_NOISE.sub(" ", text)):
        what = role(name)
        if what == STEP:
            ranked += [(_rank_of_step(name), value)] if value.is_integer() else []
        else:
            cells.setdefault(EPOCH if what == EPOCH else name, value)
    return cells | ({STEP: min(ranked)[1]} if ranked else {})


@lru_cache(maxsize=REMEMBERED)
def _rank_of_step(name: str) -> int:
    return rank(name, dict(NAMES)[STEP]) or 0


def _named(text: str) -> Iterator[tuple[str, float]]:
    """The numbers in a text, each with its name: what is called a loss behind `val` or `test` is
    one of validation."""
    end, splits = (
        0,
        [(word.start(), word[0].lower().startswith("train")) for word in _SPLIT.finditer(text)],
    )
    for found in _NUMBER.finditer(text):
        between, end = text[max(end, found.start() - LONGEST_NAME) : found.start()], found.end()
        tail = _BEFORE_NUMBER.search(between)
        named = _NAME.search(between[: tail.start()]) if tail else None
        if not tail or not tail[0] or not named:
            continue
        name = named[0].strip()
        name = name if role(name) else name.rpartition(":")[2].strip()
        if not role(name) and not {":", "="} & set(tail[1]):
            continue
        if role(name) == "loss" and "train" not in plain(name):
            before = bisect_left(splits, (found.start(),))
            if before and not splits[before - 1][1]:
                name = f"val_{plain(name)}"
        yield name, float(found[0])


FORMAT = Format("printed lines", recognises, pieces, "line", SUFFIXES, FEWEST)
