"""Any log this project can read, as a Record: one file per format, recognised by content
(`docs/logs.md`)."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from probes.readers import (
    console,
    csv_log,
    json_columns,
    json_lines,
    markdown,
    tensorboard,
    trainer_state,
)
from probes.readers.base import Format
from probes.readers.build_record import build
from probes.readers.discover import head_of, logs_in, ours
from probes.record import Record, RecordError

FORMATS: tuple[Format, ...] = (
    trainer_state.FORMAT,
    json_lines.FORMAT,
    json_columns.FORMAT,
    csv_log.FORMAT,
    tensorboard.FORMAT,
    markdown.FORMAT,
    console.FORMAT,
)
"""In order of precedence; records of our own come before them all. A file is of one format at most
but for the last two, which are what is left of whatever tables a loss or names one."""
LFS = b"version https://git-lfs.github.com/spec/"
"""How a file begins that stands for another one."""
KNOWN = "a record of probes, " + ", ".join(form.name for form in FORMATS)


def read(path: str | Path, mapping: Mapping[str, str] | None = None) -> Record:
    """Read a run's log, or the one log in a folder. `mapping` adds columns by name: signal ->
    column.

    What was made of the log stands in the record's provenance under "reader". Raises RecordError
    when the file is of no known format, is damaged, or does not have a column of the mapping, and
    when a folder holds no log or several; UnknownSignalError for a signal of the mapping that is
    not in the table; OSError when it cannot be opened."""
    path = Path(path)
    if path.is_dir():
        return _read_file(_only_log(path), mapping or {})
    if stat.S_ISFIFO(path.stat().st_mode):
        with open(path, "rb") as stream:
            return read_stream(stream, str(path), mapping)
    return _read_file(path, mapping or {})


def read_stream(stream: BinaryIO, name: str, mapping: Mapping[str, str] | None = None) -> Record:
    """Read a log that can be read only once, as standard input; errors call it `name`. Raises what
    `read` raises."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        with open(path, "wb") as file:
            shutil.copyfileobj(stream, file)
        try:
            return _read_file(path, mapping or {})
        except RecordError as error:
            raise RecordError(str(error).replace(str(path), name)) from error


def find(folder: str | Path) -> list[Path]:
    """The logs below a folder, sorted, recognised by content; hidden ones and sidecars are passed
    over."""
    return logs_in(Path(folder), FORMATS)


def _read_file(path: Path, mapping: Mapping[str, str]) -> Record:
    head = head_of(path)
    if ours(head):
        return Record.load(path)
    form = next((form for form in FORMATS if form.recognises(head)), None)
    if head.startswith(LFS):
        raise RecordError(
            f"{path} is what Git LFS leaves in place of a file; fetch the file itself, by `git lfs pull`"
        )
    if form is None:
        raise RecordError(
            f"{path} is of no format that is known here ({KNOWN}); a table needs a line of column names, "
            "a printed log lines that name a loss"
        )
    return build(form, path, mapping)


def _only_log(folder: Path) -> Path:
    found = find(folder)
    if not found:
        raise RecordError(
            f"{folder} holds no log of a format that is known here ({KNOWN}); give the log itself"
        )
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in found[:10])
        raise RecordError(f"{folder} holds {len(found)} logs, one is read at a time: {names}")
    return found[0]
