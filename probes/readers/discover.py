"""Lists the known formats, recognises the format of a file, and finds the logs in a folder.

The format of a file is recognised by its content; the file name does not matter.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from itertools import chain, islice
from pathlib import Path

from probes.readers.base import (
    Block,
    Format,
    PackageMissingError,
    Row,
    with_fewer_columns,
)
from probes.readers.column_names import LOSSES, loss_parts, role
from probes.readers.json_document import keys_in
from probes.readers.line_batches import HEAD_BYTES, utf8_chunks
from probes.readers.mlflow_files import METRICS, is_run
from probes.record.jsonl import MAGIC

FORMATS = (
    "trainer_state",
    "json_lines",
    "sacred",
    "json_columns",
    "csv_log",
    "tensorboard",
    "mlflow_store",
    "mlflow_files",
    "markdown",
    "console",
)
"""Modules of this package, each with an object FORMAT. A module is imported only if the file is in
none of the formats before it.

At most one of the formats before `markdown` recognises a file. The last two come last because they
accept more: `markdown` any table that names a loss, `console` any text that does."""
SEARCHED_ROWS = 50
"""A search of a folder looks for a loss in at most this many rows at the beginning of a file."""
SIDECAR_SUFFIX = ".sidecar.json"


def formats() -> Iterator[Format]:
    """All formats in the order of FORMATS. Each module is imported just before it is yielded."""
    for name in FORMATS:
        module = import_module(f"{__package__}.{name}")
        form: Format = module.FORMAT
        yield form


def head_of(path: Path) -> bytes:
    """The bytes by which the format of a file is recognised, as UTF-8 if the file is text."""
    return next(utf8_chunks(path, HEAD_BYTES), b"")


def is_record(head: bytes) -> bool:
    """Whether a file is a record of this package, even if it is cut within its first bytes."""
    return head.startswith(MAGIC) or MAGIC.startswith(head)


def format_of(head: bytes) -> Format | None:
    """The format of a file that begins with these bytes; None if no format recognises them."""
    return next((form for form in formats() if form.recognises(head)), None)


def logs_in(folder: Path, unknown: bool = False) -> list[Path]:
    """The logs in a folder and below it, sorted. The log of an MLflow run is the run's folder.

    unknown  whether to add the files that look like logs but are in no known format

    Hidden files and folders, links to folders and the sidecar files of records are left out.
    """
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if METRICS in folders and is_run(Path(place)):
            folders.remove(METRICS)
            found.append(Path(place))
        for name in names:
            path = Path(place, name)
            is_considered = not name.startswith(".") and not name.endswith(SIDECAR_SUFFIX)
            if (
                is_considered
                and path.is_file()
                and (_is_log(path) or (unknown and _is_unknown_log(path)))
            ):
                found.append(path)
    return sorted(found)


def _is_log(path: Path) -> bool:
    """Whether a file is a record, or a log with as many rows with a loss as its format requires.

    Only the beginning of the file is read.
    """
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
    if form is None:
        from probes.readers.console import LOG_SUFFIXES, printed_format  # slow to import

        form = printed_format(path) if suffix in LOG_SUFFIXES else None
    if form is None:
        return False
    if form.search_by_keys:
        return any(role(key) in LOSSES for key in keys_in(head))
    try:
        rows = chain.from_iterable(
            piece.rows() if isinstance(piece, Block) else [piece]
            for piece in with_fewer_columns(form.pieces(path))
            if isinstance(piece, Block | Row)
        )
        with_loss = sum(
            any(role(column) in LOSSES for column in row.cells)
            or bool(loss_parts(row.cells, "train"))
            for row in islice(rows, SEARCHED_ROWS)
        )
        return with_loss >= form.min_loss_rows
    except PackageMissingError:
        return True  # it cannot be checked without the package; reading it says what to install
    except Exception:
        # A damaged file with the word "loss" is listed, so that reading it reports the damage. Any
        # other exception must not end the search, and reading the file reports it as well.
        return b"loss" in head.lower()


def _is_unknown_log(path: Path) -> bool:
    """Whether a file looks like a log but is in no known format."""
    from probes.readers import unknown_logs

    if path.suffix.lower() not in unknown_logs.SUFFIXES:
        return False
    try:
        head = head_of(path)
    except OSError:
        return False
    return format_of(head) is None and unknown_logs.looks_like_log(head)
