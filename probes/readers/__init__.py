"""Reads the log of a training run, in any known format, as a Record.

Each format is one module of this package. `probes.readers.discover.FORMATS` lists the modules, and
docs/logs.md describes the formats.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from probes.readers.build_record import build
from probes.readers.discover import format_of, formats, head_of, is_record, logs_in
from probes.record import Record, RecordError
from probes.record.metrics import Direction

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""The first bytes of the text file by which Git LFS replaces a large file."""


def read(
    path: str | Path,
    mapping: Mapping[str, str] | None = None,
    metrics: Mapping[str, Direction] | None = None,
) -> Record:
    """Read the log of a run, or the only log in a folder.

    path     a record of this package, or a log of any known format
    mapping  signal -> column, for columns whose names are not known or should be read differently
    metrics  column -> "up" if higher values are better, else "down", for columns that are metrics
             but whose names do not say so

    The entry "reader" of the record's provenance describes how the log was read.

    Raises RecordError for a file in an unknown format, a damaged file, a mapping or metrics that do
    not fit the log, and a folder that holds no log or several; UnknownSignalError if the mapping
    names a signal that does not exist; OSError if the file cannot be opened.
    """
    path = Path(path)
    if path.is_dir():
        found = find(path)
        if not found:
            raise RecordError(
                f"{path} holds no log in a known format ({_known_formats()}); "
                "give the path of the log itself"
            )
        if len(found) > 1:
            names = ", ".join(str(log.relative_to(path)) for log in found[:10])
            raise RecordError(f"{path} holds {len(found)} logs; give one of them: {names}")
        path = found[0]
    if stat.S_ISFIFO(path.stat().st_mode):
        with open(path, "rb") as stream:
            return read_stream(stream, str(path), mapping, metrics)
    return _read_file(path, mapping or {}, metrics or {})


def read_stream(
    stream: BinaryIO,
    name: str,
    mapping: Mapping[str, str] | None = None,
    metrics: Mapping[str, Direction] | None = None,
) -> Record:
    """Read a log that can be read only once, such as standard input.

    name  used in error messages in place of a path

    Raises the same errors as `read`.
    """
    # These modules take time to import, and most commands, which read files, do not need them.
    from shutil import copyfileobj
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        with open(path, "wb") as file:
            copyfileobj(stream, file)
        try:
            return _read_file(path, mapping or {}, metrics or {})
        except RecordError as error:
            raise RecordError(str(error).replace(str(path), name)) from error


def find(folder: str | Path) -> list[Path]:
    """The logs in a folder and below it, sorted, recognised by content.

    Hidden files and folders, links to folders and the sidecar files of records are left out.
    """
    return logs_in(Path(folder))


def _read_file(path: Path, mapping: Mapping[str, str], metrics: Mapping[str, Direction]) -> Record:
    head = head_of(path)
    if is_record(head):
        return Record.load(path)
    form = format_of(head)
    if head.startswith(LFS_POINTER):
        raise RecordError(
            f"{path} is only the pointer that Git LFS puts in place of a file; fetch the file "
            "itself with `git lfs pull`"
        )
    if form is None:
        raise RecordError(
            f"{path} is not in a known format ({_known_formats()}); a table needs a line of column "
            "names, and a printed log needs lines that name a loss"
        )
    return build(form, path, mapping, metrics)


def _known_formats() -> str:
    return ", ".join(["a record of probes", *(form.name for form in formats())])
