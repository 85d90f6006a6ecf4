r"""The printed output of a training run: the lines that name a loss are read.

Every program prints in its own form. All forms have a name in front of each number, so the numbers
of a line are found by these names:

    {'loss': 2.3, 'epoch': 0.1}
    iter 100: loss 2.3, time 12ms
    Epoch [1][50/938]  loss: 2.3
    | lm loss: 2.3E+00 |
    938/938 - 2s - loss: 2.3 - val_loss: 2.1

Metrics on a line of their own, such as `Val accuracy: 0.7`, belong to the row above it. Tables with
a line of names above the numbers are read by `printed_table`, and sentences which say that the run
died by `run_end`. All other output is skipped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from probes.readers.base import (
    Ended,
    Format,
    Note,
    Piece,
    Resumed,
    Row,
    blocks_from_rows,
    is_summary,
    row_of,
)
from probes.readers.cells import number_or_gap
from probes.readers.column_names import (
    BATCH,
    BATCHES,
    CACHED_NAMES,
    EPOCH,
    LOSSES,
    STEP,
    adversarial_losses,
    loss_parts,
    partial_losses,
    role,
)
from probes.readers.line_batches import BOM, UNDECODABLE, batches, utf8_chunks
from probes.readers.named_numbers import MAX_NAME_LENGTH, cells_in, names_before_numbers
from probes.readers.printed_table import PrintedTable
from probes.readers.run_end import is_resume, run_end
from probes.record.metrics import direction_of

MIN_LOSS_LINES = 3
"""A search of a folder accepts only files with at least this many lines with a loss, because notes
and reports of results name a few losses as well."""
LOG_SUFFIXES = frozenset({"", ".log", ".txt", ".out", ".err", ".stdout", ".stderr"})
"""A search of a folder considers only files with one of these suffixes, because source code names
losses and numbers as well."""
ROW_SIGNALS = LOSSES | {"lr", "grad_norm"}
"""A line with a number for one of these signals is a row."""
MIN_STEP_LINES = 3
"""Steps that are printed on lines of their own are used if at least this many of them differ."""
SURVEYED_ROWS = 200
"""This many rows at the beginning of a log decide how its rows are read."""
MAX_BAR_LINES = 10
"""The redraws of a progress bar are points if the log has at most this many lines with a loss."""
SEARCHED_BYTES = 33_554_432
"""The first line with a loss must begin within this many bytes from the beginning of a file."""
MAX_FORMS = 100
"""Number of different forms of lines that are kept to tell whether a last line is cut."""
MAX_LISTED_NAMES = 30
MAX_LISTED_WORDS = 4
"""The message for a log without a loss lists up to this many names of up to this many words."""

ROW_HINTS = (
    "loss", "epoch", "lr", "learning", "norm", "cost", "xent", "entropy", "nll", "l_pix", "l.r.",
    "g_", "step", "iter",
    "acc", "top1", "f1", "auc", "map", "recall", "precision", "bleu", "rouge", "wer", "cer", "ppl",
    "perplexity", "iou", "dice", "psnr", "ssim", "mae", "rmse",
)  # fmt: skip
"""A line that is read has one of these words, in lower case. Looking for them is faster than a
regular expression."""
_OVERWRITTEN = re.compile(r"[\r\b]+")
"""Control characters with which a progress bar goes back in its line to overwrite it."""
_STEP_AND_RATE = re.compile(r"\[(\d{1,15}), (\d\.\d+(?:e-\d+)?)\]\s*$")
"""A line of VITS and RVC, which ends with the step and the learning rate without their names."""
_DARKNET = re.compile(r"\s*(\d{1,15}): (-?[\w.]+), (-?[\w.]+) avg(?: loss)?, (\d[\w.+-]*) rate, ")
"""A line of darknet: step, loss, mean loss and learning rate. Each name follows its number."""
_CODE = re.compile(
    r"\s*(?:(?:def|class|if|elif|for|while|return|import|from|print|assert|with|self|parser)\b"
    r"|[@#]|[A-Za-z_][\w.]*(?:\s*,\s*[A-Za-z_][\w.]*)*\s*[-+*/]?=\s)"
)
"""The beginning of a line of source code: a keyword, a comment or an assignment."""
_CLOSED = tuple(")]}|")
"""A last line that ends with one of these characters is not cut."""


class _Line(NamedTuple):
    """A line with numbers of a row.

    number   its number in the file
    cells    the numbers in it
    counts   the last step, epoch and batch in front of it, by their names
    redraws  the states of a progress bar in it
    is_code  whether it looks like source code
    is_row   whether it has numbers of a row. Otherwise it has only a step or metrics.
    """

    number: int
    cells: dict[str, float]
    counts: dict[str, float]
    redraws: list[str]
    is_code: bool
    is_row: bool = True

    @property
    def has_loss(self) -> bool:
        return any(role(name) in LOSSES for name in self.cells)

    @property
    def may_lack_loss(self) -> bool:
        """Whether it is a row without its loss: it has a step, a rate and a gradient norm."""
        return {STEP, "lr", "grad_norm"} <= set(map(role, self.cells))

    def metrics_of(self, row: Row) -> dict[str, float]:
        """The metrics in the line if they may belong to the row above it.

        The line must not look like source code, nor count another step or epoch than the row.
        """
        counters = {STEP, EPOCH} & self.cells.keys() & row.cells.keys()
        if self.is_code or any(self.cells[name] != row.cells[name] for name in counters):
            return {}
        return {name: value for name, value in self.cells.items() if _is_metric(name)}

    def row(self) -> Row:
        return row_of(self.number, self.counts | self.cells)


def recognises(head: bytes) -> bool:
    """Whether any line has a loss, the parts of a loss, or the numbers of a row whose loss was left
    out."""
    return _recognised(head, frozenset())


def printed_format(path: Path, mapped: Collection[str] = ()) -> Format | None:
    """The format for a file in which the known names are not in the head.

    mapped  names of numbers that the user wants to be read

    None if the first SEARCHED_BYTES hold no line with a loss or with a mapped name, or if the file
    is not text.
    """
    read_bytes, rest = 0, b""
    for chunk in utf8_chunks(path):
        if b"\0" in chunk or read_bytes > SEARCHED_BYTES:
            return None
        if _recognised(rest + chunk, frozenset(mapped)):
            return FORMAT._replace(pieces=partial(pieces, mapped=frozenset(mapped)))
        read_bytes += len(chunk)
        rest = chunk.rpartition(b"\n")[2][-MAX_NAME_LENGTH:]
    return None


def names_in(head: bytes) -> list[str]:
    """The names in front of numbers in a text, the most frequent first, for an error message."""
    counts: dict[str, int] = {}
    if b"\0" not in head:
        for line in head.decode(errors="replace").splitlines():
            for name in names_before_numbers(line):
                if len(name.split()) <= MAX_LISTED_WORDS:
                    counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: -counts[name])[:MAX_LISTED_NAMES]


def pieces(path: Path, mapped: frozenset[str] = frozenset()) -> Iterator[Piece]:
    """One row per line with a loss, a learning rate, a gradient norm or a mapped name.

    A last line without its newline is a row of kind "cut" unless its form shows that it is whole.
    """
    yield from blocks_from_rows(_with_metrics(_rows(path, mapped)))


def _with_metrics(
    found: Iterable[_Line | Row | Note | Ended | Resumed],
) -> Iterator[Row | Note | Ended | Resumed]:
    """The pieces of a log, with the metrics in lines of their own added to the row above them."""
    held: Row | None = None
    for piece in found:
        if isinstance(piece, _Line):
            if held:
                held = held._replace(cells={**piece.metrics_of(held), **held.cells})
            continue
        if held:
            yield held
        held = piece if isinstance(piece, Row) and piece.kind == "point" else None
        if not held:
            yield piece
    if held:
        yield held


def _recognised(text: bytes, mapped: frozenset[str]) -> bool:
    if b"\0" in text:
        return False
    parser = _Parser(mapped)
    lines = text.removeprefix(BOM).decode(errors="replace").split("\n")
    found = (line for line in parser.lines(1, lines) if isinstance(line, _Line))
    return any(
        line.has_loss
        or line.may_lack_loss
        or mapped & line.cells.keys()
        or loss_parts(line.cells, "train")
        for line in found
    )


def _rows(path: Path, mapped: frozenset[str]) -> Iterator[_Line | Row | Note | Ended | Resumed]:
    """The rows of a log, and its lines with only metrics.

    The first rows decide which lines are rows:

    - Lines with parts of a loss are rows only if no line has a loss.
    - Source code and settings above the first loss are no rows.
    - A step on a line of its own counts for the rows below it if no row has a step and the steps of
      such lines increase.
    - The redraws of a progress bar are rows if the log has few lines with a loss and the bar does
      not begin again in each of these lines.
    """
    parser = _Parser(mapped)
    found = (
        line
        for batch in batches(path, redrawn=True)
        for line in parser.lines(batch.first, batch.lines, batch.whole)
    )
    survey = list(islice(found, SURVEYED_ROWS))
    lines = [line for line in survey if isinstance(line, _Line) and line.is_row]
    steps = [line for line in survey if isinstance(line, _Line) and not line.is_row]
    step_name = None if any(STEP in line.cells for line in lines) else _counter(steps)
    step: dict[str, float] = {}
    forms = Counter(frozenset(line.cells) for line in lines)
    with_loss = [
        line
        for line in lines
        if line.has_loss and not (line.is_code and forms[frozenset(line.cells)] < MIN_LOSS_LINES)
    ]
    is_log = len(with_loss) >= MIN_LOSS_LINES
    first = with_loss[0].number if is_log else 0
    are_points = len(survey) < SURVEYED_ROWS and _bar_goes_on(with_loss)
    for line in chain(survey, found):
        if not isinstance(line, _Line):
            yield line
            continue
        if not line.is_row:
            step = {STEP: line.cells[step_name]} if step_name in line.cells else step
            if any(map(_is_metric, line.cells)):
                yield line
            continue
        line.counts.update(step)
        is_row = not with_loss or _is_row(line.cells) or mapped & line.cells.keys()
        has_counter = bool({STEP, EPOCH} & (line.counts.keys() | line.cells.keys()))
        if not is_row or (line.number < first and (line.is_code or not has_counter)):
            continue
        if not are_points or not line.redraws:
            yield line.row()
            continue
        previous: dict[str, float] = {}
        for state in line.redraws:
            cells = cells_in(state, mapped)
            if cells != previous and _is_row(cells):
                yield row_of(line.number, line.counts | cells)
            previous = cells
    if parser.undecodable:
        yield Note(
            f"{parser.undecodable} lines have bytes that are not UTF-8 text; numbers beside such "
            "bytes were not read"
        )


def _counter(lines: list[_Line]) -> str | None:
    """The name of a number that increases in lines with only a step; None if there is none."""
    for name in lines[0].cells if lines else ():
        values = [line.cells.get(name, -1.0) for line in lines]
        if role(name) == STEP and values == sorted(values) and len(set(values)) >= MIN_STEP_LINES:
            return name
    return None


def _bar_goes_on(lines: list[_Line]) -> bool:
    """Whether the redraws in the few lines of a log are the points of one progress bar."""
    if len(lines) > MAX_BAR_LINES or not any(line.redraws for line in lines):
        return False
    last = 0.0
    for line in lines:
        bar = [cells_in(state).get(BATCH) for state in line.redraws]
        if not bar or bar[0] is None or bar[-1] is None or bar[0] < last:
            return False
        last = bar[-1]
    return True


class _Kind(NamedTuple):
    """What the names of the cells of a line say.

    is_row         whether it has a loss, a learning rate or a gradient norm
    is_part        whether it has a part of a loss
    is_evaluation  whether it has a validation loss and no training loss
    is_summary     whether it is the summary of a run
    counters       the names of its steps and batches
    """

    is_row: bool
    is_part: bool
    is_evaluation: bool
    is_summary: bool
    counters: tuple[str, ...]


@lru_cache(maxsize=CACHED_NAMES)
def _is_metric(name: str) -> bool:
    return direction_of(name) is not None


@lru_cache(maxsize=CACHED_NAMES)
def _kind(names: tuple[str, ...]) -> _Kind:
    roles = {role(name) for name in names}
    return _Kind(
        _is_row(names),
        bool(partial_losses(names) or adversarial_losses(names)),
        "val_loss" in roles and not {"loss", "train_loss"} & roles,
        is_summary(dict.fromkeys(names, 0.0)),
        tuple(name for name in names if role(name) == STEP or name in (BATCH, BATCHES)),
    )


@dataclass
class _Parser:
    """Finds the lines with numbers of a row, and keeps what the lines above said.

    mapped       names of numbers that the user wants to be read
    counts       the last epoch, step and batch, by their names. An epoch is often printed on a line
                 of its own, and an evaluation after the step that it belongs to. A step is only
                 kept if its line is a row: in other lines it may be a setting.
    undecodable  number of lines with bytes that are not text
    """

    mapped: frozenset[str]
    counts: dict[str, float] = field(default_factory=dict)
    undecodable: int = 0
    _table: PrintedTable = field(default_factory=PrintedTable)
    _forms: dict[tuple[str, ...], str] = field(default_factory=dict)

    def lines(
        self, first: int, lines: list[str], whole: bool = True
    ) -> Iterator[_Line | Row | Ended | Resumed]:
        """The lines with numbers of a row, the sentences that say that the run died, a mark for
        each sentence that says that it was resumed, and a row of kind "cut" for a last line that is
        cut.

        first  number of the first line
        whole  whether each line ends with a newline
        """
        for number, line in enumerate(lines, first):
            if UNDECODABLE in line:
                self.undecodable += 1
            cells = self._table.cells(line)
            redraws: list[str] = []
            if not cells:
                lowered = line.lower()
                if line.endswith("]") and (rate := _STEP_AND_RATE.search(line)):
                    cells = {STEP: float(rate[1]), "lr": float(rate[2])}
                elif " rate, " in line and (darknet := _DARKNET.match(line)):
                    numbers = map(number_or_gap, darknet.groups())
                    pairs = zip((STEP, "loss", "avg_loss", "lr"), numbers, strict=True)
                    cells = {name: value for name, value in pairs if value is not None}
                elif self.mapped or any(hint in lowered for hint in ROW_HINTS):
                    if "\r" in line or "\b" in line:
                        redraws = [state for state in _OVERWRITTEN.split(line) if state.strip()]
                    states = reversed(redraws) if redraws else [line]
                    found = (cells for text in states if (cells := cells_in(text, self.mapped)))
                    cells = next(found, {})
            is_counted = STEP in cells or EPOCH in cells or BATCH in cells
            is_row = is_counted and _kind(tuple(cells)).is_row
            if not is_row and not redraws and (end := run_end(line)):
                yield end
            elif not is_row and not redraws and is_resume(line):
                yield Resumed()
            elif cells:
                yield from self._line(number, line, cells, redraws, whole)

    def _line(
        self, number: int, line: str, cells: dict[str, float], redraws: list[str], whole: bool
    ) -> Iterator[_Line | Row]:
        if EPOCH in cells:
            self.counts[EPOCH] = cells[EPOCH]
        kind = _kind(tuple(cells))
        if not (kind.is_row or kind.is_part or self.mapped & cells.keys()):
            if STEP in cells or any(map(_is_metric, cells)):
                yield _Line(number, cells, {}, [], bool(_CODE.match(line)), is_row=False)
            return
        if not whole and not self._is_whole(line, cells):
            yield Row(number, {}, "cut")
            return
        if len(self._forms) < MAX_FORMS:
            self._forms[tuple(cells)] = line
        if kind.is_evaluation:
            # A progress bar beside an evaluation counts the batches of the evaluation.
            cells = {name: value for name, value in cells.items() if name not in (BATCH, BATCHES)}
        counts = {
            name: value
            for name, value in self.counts.items()
            if (kind.is_evaluation or name not in (BATCH, BATCHES))
            and not (kind.counters and role(name) == STEP)
        }
        if not kind.is_summary:
            if STEP in kind.counters:
                self.counts = {n: value for n, value in self.counts.items() if role(n) != STEP}
            for name in kind.counters:
                if name in cells:
                    self.counts[name] = cells[name]
        yield _Line(number, cells, counts, redraws, bool(_CODE.match(line)))

    def _is_whole(self, line: str, cells: dict[str, float]) -> bool:
        """Whether a last line without a newline is complete.

        It is if it ends with one of _CLOSED, with NaN or an infinity, or with a number that has as
        many digits behind the point as in an earlier line of the same form.
        """
        if line.rstrip().endswith(_CLOSED):
            return True
        above = self._forms.get(tuple(cells))
        return above is not None and _last_form(line) in (_last_form(above), "nan")


def _last_form(line: str) -> str:
    """The form of the last word of a line: 12.345 becomes 0.000.

    Each sequence of digits before the point becomes a single 0. After the point, every digit
    becomes a 0, so the form tells how many there are. The form of a number that is not finite is
    "nan".
    """
    word = (line.rstrip().rsplit(maxsplit=1) or [""])[-1]
    digits = re.split(r"[=:]", word)[-1]
    if digits.lower() in ("nan", "inf", "-nan", "-inf", "infinity"):
        return "nan"
    whole, point, fraction = word.partition(".")
    return re.sub(r"\d+", "0", whole) + point + re.sub(r"\d", "0", fraction)


def _is_row(cells: Iterable[str]) -> bool:
    return any(role(name) in ROW_SIGNALS for name in cells)


FORMAT = Format("printed lines", recognises, pieces, "line", LOG_SUFFIXES, MIN_LOSS_LINES)
