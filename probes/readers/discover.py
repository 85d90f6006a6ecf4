"""The known formats, which of them a file has, and which files of a folder are logs.

A format is recognised by the content of a file; its name does not matter.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from itertools import chain, islice
from pathlib import Path

from probes.readers.base import Block, Format, PackageMissingError
from probes.readers.column_names import LOSSES, loss_parts, role
from probes.readers.json_document import keys_in
from probes.readers.line_batches import HEAD_BYTES
from probes.record import RecordError
from probes.record.jsonl import MAGIC

FORMATS = (
    "trainer_state",
    "json_lines",
    "json_columns",
    "csv_log",
    "tensorboard",
    "markdown",
    "console",
)
"""Modules of this package, each with a FORMAT. A module is imported when a file is of none of the
formats before it.

At most one of them recognises a file, apart from the last two, which accept what the others leave:
any table, then any text, that names a loss."""
SEARCHED_ROWS = 50
"""Rows at the beginning of a file in which a search of a folder looks for a loss."""
SIDECAR_SUFFIX = ".sidecar.json"


def formats() -> Iterator[Format]:
    """All formats in their order; a module is imported when it is reached."""
    for name in FORMATS:
        module = import_module(f"{__package__}.{name}")
        form: Format = module.FORMAT
        yield form


def head_of(path: Path) -> bytes:
    """The bytes by which the format of a file is recognised."""
    with open(path, "rb") as file:
        return file.read(HEAD_BYTES)


def is_record(head: bytes) -> bool:
    """Whether a file is a record that this package wrote, perhaps cut within its first words."""
    return head.startswith(MAGIC) or MAGIC.startswith(head)


def format_of(head: bytes) -> Format | None:
    """The format of a file that begins with these bytes; None when it has none of them."""
    return next((form for form in formats() if form.recognises(head)), None)


def logs_in(folder: Path) -> list[Path]:
    """The logs in a folder and below it, sorted.

    Hidden files and folders, links to folders and the sidecars of records are left out."""
    return sorted(path for path in _files(folder) if _is_log(path))


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(place, name)
            if not name.startswith(".") and not name.endswith(SIDECAR_SUFFIX) and path.is_file():
                yield path


def _is_log(path: Path) -> bool:
    try:
        head = head_of(path)
    except OSError:
        return False
    if not head:
        return False
    if is_record(head):
        return True
    suffix = path.suffix.lower()
    considered = (form for form in formats() if form.suffixes is None or suffix in form.suffixes)
    form = next((form for form in considered if form.recognises(head)), None)
    return form is not None and _has_loss(form, path, head)


def _has_loss(form: Format, path: Path, head: bytes) -> bool:
    """Whether the beginning of a file has enough rows with a loss."""
    if form.search_by_keys:
        return any(role(key) in LOSSES for key in keys_in(head))
    try:
        rows = chain.from_iterable(
            piece.rows() if isinstance(piece, Block) else [piece] for piece in form.pieces(path)
        )
        with_loss = sum(
            any(role(column) in LOSSES for column in row.cells)
            or bool(loss_parts(row.cells, "train"))
            for row in islice(rows, SEARCHED_ROWS)
        )
        return with_loss >= form.min_loss_rows
    except PackageMissingError:
        return True  # without the package it is not known; reading it will say what to install
    except (RecordError, OSError):
        return b"loss" in head.lower()  # a damaged log is reported when it is read
