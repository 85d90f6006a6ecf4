"""Recognises files that look like the log of a training but are in no known format.

A search of a folder reports them, because passing over a log in silence would hide its fault.
"""

from __future__ import annotations

import re
from collections import Counter

from probes.readers.line_batches import BOM

SUFFIXES = frozenset(
    {"", ".log", ".txt", ".out", ".err", ".stdout", ".stderr", ".csv", ".tsv", ".jsonl"}
)
"""A file with another suffix does not look like a log. Settings and source code name losses too."""
MIN_ALIKE_LINES = 5
"""A log has at least this many lines that differ only in their numbers."""
_NAMES = re.compile(r"loss|cost|xent|epoch|iter", re.IGNORECASE)
"""A line of a log has one of these words."""
_NUMBER = re.compile(r"[-+]?\d[\d.,:/]*(?:e[-+]?\d+)?", re.IGNORECASE)
_DECIMAL = re.compile(r"\d\.\d|nan|inf", re.IGNORECASE)


def looks_like_log(head: bytes) -> bool:
    """Whether the head of a file has lines that name a loss or an epoch, hold a decimal number or
    NaN, and differ only in their numbers."""
    if b"\0" in head:
        return False
    templates = Counter(
        _NUMBER.sub("#", line).strip()
        for line in head.removeprefix(BOM).decode(errors="replace").splitlines()
        if _NAMES.search(line) and _DECIMAL.search(line)
    )
    return any(count >= MIN_ALIKE_LINES for count in templates.values())
