"""Reads a printed line as cells: the names in front of its numbers, and the numbers.

Which number has which name depends only on the form of a line, that is, on the line without its
digits. A log has few forms, so the names are looked for only once for each form.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from probes.readers.column_names import (
    BATCH,
    BATCHES,
    CACHED_NAMES,
    EPOCH,
    LOSSES,
    STEP,
    VAL_WORDS,
    normalized,
    rank,
    role,
)
from probes.readers.line_batches import UNDECODABLE
from probes.record.metrics import direction_of

MAX_NAME_LENGTH = 100
"""The name of a number is looked for in at most this many characters in front of the number."""
_NOISE = re.compile(
    r"\x1b\[[0-9;]*[A-Za-z]|\b(?:tensor|np\.float\d+)\(|(?<=\w)\(train\)|(?<=\w)(?<!poch)\((?:val|test|eval)\)"
    r"|(?<=[Ll]oss) ?\[\d+, *\d+\](?:\([\w, ]*\))?(?=\s*[:=])"
)
"""Text to skip: codes for colours, the type around a number (`tensor(2.5)`), the mode of a program
behind a name (`loss(train)`), and the epoch and batch between a loss and its number
(`Loss [1, 100](epoch, minibatch): 2.5`)."""
NOISE_HINTS = (
    "\x1b", "tensor(", "np.float", "(train)", "(val)", "(test)", "(eval)", "oss [", "oss[",
)  # fmt: skip
"""A text to skip has one of these texts. Looking for them is faster than a regular expression."""
_NUMBER = re.compile(
    rf"(?<![\w.@{UNDECODABLE}])[-+]?"
    rf"(?:(?:\d++\.?+\d*+|\.\d++)(?:e[-+]?\d++)?|(?:nan|inf(?:inity)?)x*)(?![\w.]*\w|{UNDECODABLE})",
    re.IGNORECASE,
)
"""A number. PaddleOCR pads numbers with `x` to six characters, so it writes NaN as `nanxxx`."""
_DIGITS = re.compile(r"(?<![A-Za-z_\d@])(?<!@\.)(?<!@\d\.)\d+")
"""Digits that are no part of a name such as `top5`, `Acc@1` or `mAP@0.5`."""
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d.,]*\d)")
"""A number such as 2,800. Only steps are read so: another number may have a decimal comma."""
_OF_TOTAL = re.compile(r"\s*/\s*(\d+)(?![\w.]*\w)")
"""A slash and a total after a number, as in `Step [50/938]`, where an epoch has 938 steps, or in
`Accuracy: 9850/10000`, where 9850 of 10000 answers are right."""
_BATCH = re.compile(
    r"\[\s*(\d+)\s*/\s*(\d+)\s*\]|(?<![\w/.:-])(\d+)/(\d+)[ ](?:\[|[━╸╺─=])"
    r"|[━╸╺─][ ]+(\d+)/(\d+)[ ]"
)
"""The batch and the number of batches, in brackets or in a progress bar: `[50/938]`, `50/938 [`."""
_VALUE_AFTER_STEP = re.compile(r":?\s+[-+]?(?:\d+\.\d|nan|inf)", re.IGNORECASE)
"""The loss if a step stands between its name and its value: 2.345 in `Train loss 100 2.345`."""
_STEP_AND_BAR = re.compile(r"\s*(\d+)\s*\|\s*(?:train(?:ing)? )?loss\b", re.IGNORECASE)
"""A step without a name, in front of a bar and a loss: `120 | loss 2.5 | lr 3e-4`."""
_NAMED_EPOCH = re.compile(r"epochs?\W{0,3}$", re.IGNORECASE)
_BEFORE_NUMBER = re.compile(r"(?: is)?([\s:='\"\[(]*)$")
_NAME = re.compile(r"[A-Za-z](?:(?! - |  )[^,;|(){}\[\]<>'\"\t])*$")
_NOT_NAMED = re.compile(
    r"(?:^|[\s,;|(])[-+]?\.?\d[\w.:/%-]*(?=[\s,;|)]|$)|\b(?:INFO|DEBUG|WARNING|ERROR)\b"
    rf"|{UNDECODABLE}"
)
"""Text that is never part of the name of a number, so the name can begin only after it: a number
with a unit, such as `0.3s`, the level of a message, and bytes that are not text."""
_SPLIT = re.compile(
    r"\b(?:train|training|val|valid|validation|eval|evaluation|dev|test)\b", re.IGNORECASE
)


class _Form(NamedTuple):
    """Which numbers of a line of some form are read.

    cells    for each cell: its name, the place of its number among the numbers of the line, and the
             place of the total in a fraction such as `9850/10000`; None if there is no total
    steps    the same for each step, the best name first
    batches  the places of the batch and of the number of batches; None if the line has none
    total    the place of the number of steps in an epoch; None if the line has none
    comma    whether a comma and a digit follow a step, which may then be a number such as 2,800
    """

    cells: tuple[tuple[str, int, int | None], ...]
    steps: tuple[tuple[str, int], ...]
    batches: tuple[int, int] | None
    total: int | None
    comma: bool


def cells_in(text: str, mapped: frozenset[str] = frozenset()) -> dict[str, float]:
    """Name -> the first number with that name; {} if no number has a name.

    mapped  names that count although no colon or equals sign follows them

    The best of several steps is named STEP, the epoch EPOCH. Other steps keep their own names. The
    batch and the number of batches in a progress bar are named BATCH and BATCHES.
    """
    if any(hint in text for hint in NOISE_HINTS):
        text = _NOISE.sub(" ", text)
    form = _form(_DIGITS.sub("0", text), mapped)
    if form.comma:
        text = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)
        form = _form(_DIGITS.sub("0", text), mapped)
    if not form.cells and not form.steps:
        return {}
    texts = _NUMBER.findall(text)
    try:
        cells = {name: float(texts[place].rstrip("xX")) for name, place, _ in form.cells}
        for name, _, total in form.cells:
            if total is not None:
                cells[name] /= float(texts[total]) or 1.0
        is_first = True
        for name, place in form.steps:
            value = float(texts[place])
            if value.is_integer():
                cells[STEP if is_first else name] = value
                is_first = False
        if is_first and (step := _STEP_AND_BAR.match(text)):
            cells[STEP] = float(step[1])
        if form.batches:
            batch, batches = (float(texts[place]) for place in form.batches)
            if batch <= batches:
                cells |= {BATCH: batch, BATCHES: batches}
        elif form.total is not None:
            cells[BATCHES] = float(texts[form.total])
    except IndexError:
        # Fewer numbers were found in the line than in its form, because two of them are joined.
        return {}
    return cells


def names_before_numbers(text: str) -> Iterator[str]:
    """The names in front of the numbers in a text, known or not."""
    return (name for name, _, _ in _named_numbers(_NOISE.sub(" ", text), any_name=True))


@lru_cache(maxsize=CACHED_NAMES)
def _form(text: str, mapped: frozenset[str]) -> _Form:
    """The form of a line, from its text with each run of digits replaced by one 0."""
    cells: dict[str, tuple[int, int | None]] = {}
    steps: list[tuple[int, int, str]] = []
    total, comma = None, False
    places = {found.start(): place for place, found in enumerate(_NUMBER.finditer(text))}
    for name, place, end in _named_numbers(text, mapped):
        its_role = role(name)
        if its_role in (STEP, EPOCH) and text.startswith("%", end):
            continue
        if (
            its_role in LOSSES
            and _VALUE_AFTER_STEP.match(text, end)
            and text[:end].endswith((" 0", "=0", ":0"))
        ):
            steps.append((rank(STEP, STEP) or 0, place, STEP))
            place += 1
        of_total = _OF_TOTAL.match(text, end)
        total_place = places.get(of_total.start(1)) if of_total else None
        if its_role == STEP and name not in mapped:
            steps.append((rank(name, STEP) or 0, place, name))
            comma |= text.startswith(",0", end)
            total = total if total_place is None else total_place
        else:
            # `epochs` may be a setting: the planned number of epochs.
            is_current = its_role == EPOCH and normalized(name) != "epochs"
            is_ratio = its_role is None and direction_of(name) is not None
            found = (place, total_place if is_ratio else None)
            cells.setdefault(EPOCH if is_current else name, found)
    batches = None
    for bar in _BATCH.finditer(text):
        first, second = (places.get(bar.start(group)) for group in range(1, 7) if bar[group])
        if first is not None and second is not None:
            is_epoch = _NAMED_EPOCH.search(text[: bar.start()])
            batches = batches if is_epoch else (first, second)
    ordered = tuple((name, place) for _, place, name in sorted(steps))
    numbers = tuple((name, *found) for name, found in cells.items())
    return _Form(numbers, ordered, batches, total, comma)


def _named_numbers(
    text: str, mapped: frozenset[str] = frozenset(), any_name: bool = False
) -> Iterator[tuple[str, int, int]]:
    """The numbers in a text that have a name: the name, the place among the numbers, and the end.

    mapped    names that count although no colon or equals sign follows them
    any_name  whether all names count without a colon or equals sign

    A `loss` after a word for an evaluation, such as `val` or `test`, gets the prefix `val_`, and so
    does a metric. If the name of a number is only such a word, the number is a loss like the number
    in front of it: `loss train: 2.3, val: 2.1`.
    """
    end, is_after_loss = 0, False
    splits = [(word.start(), word[0].lower().startswith("train")) for word in _SPLIT.finditer(text)]
    for place, found in enumerate(_NUMBER.finditer(text)):
        between = text[max(end, found.start() - MAX_NAME_LENGTH) : found.start()]
        end = found.end()
        tail = _BEFORE_NUMBER.search(between)
        if not tail or not tail[0]:
            continue
        before = between[: tail.start()]
        begin = max((skipped.end() for skipped in _NOT_NAMED.finditer(before)), default=0)
        named = _NAME.search(before, begin)
        if not named:
            continue
        name = named[0].strip()
        if not role(name) and name not in mapped:
            name = name.rpartition(":")[2].strip()
            # The name may begin a sentence: `Throughput is 4 records/second. Loss is 2.3`.
            sentence = name.rpartition(". ")[2]
            name = sentence if role(sentence) else name
        if is_after_loss and normalized(name) in VAL_WORDS:
            name = "val_loss"
        is_metric = direction_of(name) is not None
        is_known = bool(role(name)) or is_metric or name in mapped or any_name
        if not is_known and not {":", "="} & set(tail[1]):
            continue
        is_loss = role(name) == "loss" and "train" not in normalized(name) and name not in mapped
        if is_loss or (is_metric and not _SPLIT.search(name.replace("_", " "))):
            words = bisect_left(splits, (found.start(),))
            if words and not splits[words - 1][1]:
                name = f"val_{normalized(name)}" if is_loss else f"val_{name}"
        is_after_loss = role(name) in LOSSES
        yield name, place, found.end()
