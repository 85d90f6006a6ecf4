"""Which files of a folder are logs: by what they hold, whatever they are called."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from probes.readers.base import Block, Format, PackageMissingError
from probes.readers.column_names import LOSSES, parts, role
from probes.readers.line_batches import HEAD
from probes.record import RecordError
from probes.record.jsonl import MAGIC

LOOKED_AT = 50
"""Rows in which a column has to be known for the file to be a log and not just any table."""
SIDECAR = ".sidecar.json"


def ours(head: bytes) -> bool:
    """Whether a file is a record of this project's own, be it cut within its first words."""
    return head.startswith(MAGIC) or MAGIC.startswith(head)


def logs_in(folder: Path, formats: Iterable[Format]) -> list[Path]:
    """The logs below a folder, sorted; hidden files and folders, links to folders and sidecars are
    passed over."""
    formats = tuple(formats)
    return sorted(path for path in _files(folder) if _is_log(path, formats))


def head_of(path: Path) -> bytes:
    """The bytes by which a file's format is recognised."""
    with open(path, "rb") as file:
        return file.read(HEAD)


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(place, name)
            if not name.startswith(".") and not name.endswith(SIDECAR) and path.is_file():
                yield path


def _is_log(path: Path, formats: Iterable[Format]) -> bool:
    try:
        head = head_of(path)
    except OSError:
        return False
    if not head:
        return False
    able = (
        form for form in formats if form.suffixes is None or path.suffix.lower() in form.suffixes
    )
    form = next((form for form in able if form.recognises(head)), None)
    return ours(head) or (form is not None and _tells_of_a_loss(form, path, head))


def _tells_of_a_loss(form: Format, path: Path, head: bytes) -> bool:
    try:
        rows = chain.from_iterable(
            piece.rows() if isinstance(piece, Block) else [piece] for piece in form.pieces(path)
        )
        told = [
            True
            for row in islice(rows, LOOKED_AT)
            if any(map(_is_loss, row.cells)) or parts(row.cells, "train")
        ]
        return len(told) >= form.fewest
    except PackageMissingError:
        return True  # whatever it tells of, nobody here can say that it is no loss
    except (RecordError, OSError):
        return b"loss" in head.lower()  # a damaged log is not passed over in silence


def _is_loss(column: str) -> bool:
    return role(column) in LOSSES
