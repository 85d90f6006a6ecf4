"""Reads the log of a training run, in any known format, as a Record.

Each format is one module of this package. `probes.readers.discover.FORMATS` lists the modules, and
docs/logs.md describes the formats.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from probes.common.text import did_you_mean
from probes.readers.base import Format
from probes.readers.build_record import build
from probes.readers.discover import format_of, formats, head_of, is_record, logs_in
from probes.readers.mlflow_files import RUN_FORMAT
from probes.readers.other_stores import export_advice
from probes.readers.runs import only_run, run_names, separated, split_run
from probes.record import Record, RecordError
from probes.record.metrics import Direction

PRINTED_LINES = "printed lines"
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""The first bytes of the text file by which Git LFS replaces a large file."""


def read(
    path: str | Path,
    mapping: Mapping[str, str] | None = None,
    metrics: Mapping[str, Direction] | None = None,
) -> Record:
    """Read the log of a run, or the only log in a folder.

    path     a record of this package, or a log of any known format; `log.csv[name]` is the run of
             this name in a file with several runs
    mapping  signal -> column, for columns whose names are not known or should be read differently
    metrics  column -> "up" if higher values are better, else "down", for columns that are metrics
             but whose names do not say so

    The entry "reader" of the record's provenance describes how the log was read. Of a file with
    several runs the first is read, and a note in this entry names the others; `read_all` reads them
    all.

    Raises RecordError for a file in an unknown format, a damaged file, a mapping or metrics that do
    not fit the log, a run that the file does not hold, and a folder that holds no log or several;
    UnknownSignalError if the mapping names a signal that does not exist; OSError if the file cannot
    be opened.
    """
    path, run = split_run(path)
    path = _only_log(path)
    with seekable(path) as file, _errors_name(path, file):
        form = _format(file, (mapping or {}).values())
        names = run_names(form, file) if form else ()
        if run or not names:
            return _read_run(form, file, names, run, mapping, metrics)
        record = _read_run(form, file, names, names[0], mapping, metrics)
        others = ", ".join(f"{path}[{name}]" for name in names[1:4])
        record.provenance["reader"]["stitched"].insert(
            0, f"of {len(names)} runs, only {names[0]!r:.60} was read; read another as {others}"
        )
        return record


def read_all(
    path: str | Path,
    mapping: Mapping[str, str] | None = None,
    metrics: Mapping[str, Direction] | None = None,
) -> list[tuple[str, Record]]:
    """Read all runs in a log: the name of each run and its record.

    A log of a single run has the name "". The arguments and the errors are those of `read`.
    """
    path, run = split_run(path)
    path = _only_log(path)
    if run:
        return [(run, read(f"{path}[{run}]", mapping, metrics))]
    with seekable(path) as file, _errors_name(path, file):
        runs = runs_to_read(file, mapping, metrics)
        return [(name, load()) for name, load in runs] or [("", read(file, mapping, metrics))]


def runs_to_read(
    path: Path,
    mapping: Mapping[str, str] | None = None,
    metrics: Mapping[str, Direction] | None = None,
) -> list[tuple[str, Callable[[], Record]]]:
    """The runs in a file with several: the name of each, and a function that reads it. The file is
    parsed once for all of them. [] if the file holds a single run.

    The errors are those of `read`."""
    form = _format(path, (mapping or {}).values())
    names = run_names(form, path) if form else ()
    if form is None or not names:
        return []
    return [
        (run, partial(_build_run, own, path, run, mapping, metrics))
        for run, own in separated(form, path, names).items()
    ]


def runs_in(path: str | Path) -> tuple[str, ...]:
    """The names of the runs in a file; () if it holds a single run or cannot be read."""
    try:
        form = _format(Path(path))
        return run_names(form, Path(path)) if form else ()
    except Exception:  # `read` fails in the same way, and its caller can report the error
        return ()


@contextmanager
def seekable(path: Path, stream: BinaryIO | None = None) -> Iterator[Path]:
    """The path of a file that can be read several times.

    It is the path itself, unless a stream is given or the path is a named pipe. Then it is a copy
    of the content in a temporary folder.
    """
    if stream is None and not stat.S_ISFIFO(path.stat().st_mode):
        yield path
        return
    # These modules take time to import, and most commands, which read files, do not need them.
    from shutil import copyfileobj
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        copy = Path(folder) / "log"
        with open(copy, "wb") as file:
            if stream:
                copyfileobj(stream, file)
            else:
                with open(path, "rb") as pipe:
                    copyfileobj(pipe, file)
        yield copy


def find(folder: str | Path, unknown: bool = False) -> list[Path]:
    """The logs in a folder and below it, sorted, recognised by content. The log of an MLflow run is
    the folder of the run.

    unknown  whether to add the files that look like logs but are in no known format. Reading one
             raises an error that says so.

    Hidden files and folders, links to folders and the sidecar files of records are left out.
    """
    return logs_in(Path(folder), unknown)


def _only_log(path: Path) -> Path:
    """The path, or the only log in it if it is a folder. Raises RecordError."""
    if not path.is_dir():
        return path
    found = find(path)
    if not found:
        if advice := export_advice(path):
            raise RecordError(advice)
        raise RecordError(
            f"{path} holds no log in a known format ({_known_formats()}); "
            "give the path of the log itself"
        )
    if len(found) > 1:
        names = ", ".join(str(log.relative_to(path)) for log in found[:10])
        raise RecordError(f"{path} holds {len(found)} logs; give one of them: {names}")
    return found[0]


@contextmanager
def _errors_name(path: Path, file: Path) -> Iterator[None]:
    """Make errors name `path`, not `file`, which may be a temporary copy of it."""
    try:
        yield
    except RecordError as error:
        if file == path:
            raise
        raise RecordError(str(error).replace(str(file), str(path))) from error


def _format(path: Path, mapped: Collection[str] = ()) -> Format | None:
    """The format of a log; None for a record of this package.

    mapped  names of columns that the user maps to a signal

    Raises RecordError for an unknown format.
    """
    if path.is_dir():
        return RUN_FORMAT
    head = head_of(path)
    if is_record(head):
        return None
    form = format_of(head)
    if form is None or (mapped and form.name == PRINTED_LINES):
        from probes.readers.console import names_in, printed_format

        form = printed_format(path, mapped) or form
    if head.startswith(LFS_POINTER):
        raise RecordError(
            f"{path} is only the pointer that Git LFS puts in place of a file; fetch the file "
            "itself with `git lfs pull`"
        )
    if advice := export_advice(path) if form is None else "":
        raise RecordError(advice)
    if form is None:
        names = ", ".join(names_in(head))
        seen = f"; names before numbers: {names}; map one with --map loss=NAME" if names else ""
        raise RecordError(
            f"{path} is not in a known format ({_known_formats()}); a table needs a line of column "
            f"names, and a printed log needs lines that name a loss{seen}"
        )
    return form


def _read_run(
    form: Format | None,
    path: Path,
    names: Sequence[str],
    run: str | None,
    mapping: Mapping[str, str] | None,
    metrics: Mapping[str, Direction] | None,
) -> Record:
    """Read one run of a file.

    form   the format of the file; None for a record of this package
    names  the names of the runs in the file; empty if it holds a single run
    run    the name of the run to read; None for the only one
    """
    if run is None:
        return build(form, path, mapping or {}, metrics or {}) if form else Record.load(path)
    if form is None or run not in names:
        hint = did_you_mean(run, names, f"its runs are {', '.join(names[:20])}" if names else "")
        raise RecordError(f"{path} holds no run {run!r:.60}; {hint or 'it holds a single run'}")
    return _build_run(only_run(form, run), path, run, mapping, metrics)


def _build_run(
    form: Format,
    path: Path,
    run: str,
    mapping: Mapping[str, str] | None,
    metrics: Mapping[str, Direction] | None,
) -> Record:
    """Read one run with a format that yields only the rows of this run. The record gets the name
    of the run."""
    record = build(form, path, mapping or {}, metrics or {})
    return replace(record, provenance={"name": run, **record.provenance})


def _known_formats() -> str:
    return ", ".join(["a record of probes", *(form.name for form in formats())])
