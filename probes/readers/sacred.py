"""Sacred's `metrics.json`, as its FileStorageObserver writes it: an object with the steps, the
values and the times of each metric.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from probes.readers.base import ROWS_PER_BLOCK, Block, Format
from probes.readers.column_names import STEP
from probes.readers.json_document import load
from probes.readers.line_batches import BOM
from probes.record import RecordError

KEYS = frozenset({"steps", "values", "timestamps"})
"""The keys of a metric."""
_METRIC = re.compile(rb'":\{"(steps|values|timestamps)":\[')
"""The beginning of a metric, without white space."""


def recognises(head: bytes) -> bool:
    """Whether the file is an object that begins with a metric."""
    text = b"".join(head.removeprefix(BOM).split())
    found = _METRIC.search(text)
    return text.startswith(b'{"') and found is not None and b'"' not in text[2 : found.start()]


def pieces(path: Path) -> Iterator[Block]:
    """The points of each metric, one metric after the other.

    Raises RecordError for a damaged file, and for a metric whose steps and values are not two lists
    of equal length.
    """
    document, first = load(path), 1
    metrics = document.items() if isinstance(document, dict) else ()
    for name, metric in metrics:
        if not isinstance(metric, dict) or not KEYS >= {*metric} >= {"steps", "values"}:
            continue
        steps, values = metric["steps"], metric["values"]
        if not (isinstance(steps, list) and isinstance(values, list)):
            raise RecordError(
                f"{path}: the steps or the values of {name!r:.60} are no list; they must be a list "
                "of steps and a list with a value for each step"
            )
        if len(steps) != len(values):
            raise RecordError(
                f"{path}: {name!r:.60} has {len(steps)} steps and {len(values)} values; "
                "it must have one step for each value"
            )
        for begin in range(0, len(steps), ROWS_PER_BLOCK):
            end = min(begin + ROWS_PER_BLOCK, len(steps))
            numbers = range(first + begin, first + end)
            yield Block(numbers, {STEP: steps[begin:end], name: values[begin:end]})
        first += len(steps)


FORMAT = Format("Sacred metrics", recognises, pieces, "entry", search_by_keys=True)
