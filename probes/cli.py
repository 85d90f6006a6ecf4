"""The command line: judge records, draw them, explain causes. Returns an exit code and never shows
a traceback."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from probes.common.text import printable
from probes.diagnosis.causes import BY_NAME, CAUSES, Cause
from probes.diagnosis.diagnose import diagnose
from probes.readers import find, read, read_stream
from probes.readers.column_mapping import how_it_was_read, mapping_of
from probes.record import Record, RecordError
from probes.record.signals import UnknownSignalError
from probes.report.json_report import Entry, document, dumped, entry, unjudged

HEALTHY, UNHEALTHY, UNREADABLE, UNDETERMINED, USAGE = range(5)
"""Exit codes."""
GRAVEST_FIRST = (UNREADABLE, UNHEALTHY, UNDETERMINED, HEALTHY)
STDIN = "standard input"
CODES = {"healthy": HEALTHY, "unhealthy": UNHEALTHY, "undetermined": UNDETERMINED}


class _UsageError(Exception):
    """Something about the command itself; the message says what."""


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message}\n{self.format_usage().rstrip()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, 1, 2, 3 or 4 as `python -m probes --help` lists them."""
    try:
        arguments = _parser().parse_args(argv)
        code: int = arguments.run(arguments)
    except _UsageError as error:
        for line in f"probes: {error}".split("\n"):
            _say(line, sys.stderr)
        return USAGE
    except SystemExit as done:  # --help
        return int(done.code or 0)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m probes",
        description="Judge, draw and explain records and logs of training runs.",
        epilog="exit codes: 0 all healthy, 1 some run is unhealthy, 2 a path cannot be read, 3 some run cannot be "
        "judged, 4 usage; over several paths 2 beats 1 beats 3 beats 0",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    judging = commands.add_parser("diagnose", help="print a verdict per path")
    _add_logs(judging)
    judging.add_argument(
        "--columns",
        action="store_true",
        help="show which columns of a log were read as which signal",
    )
    judging.add_argument(
        "--json", action="store_true", help="print the diagnoses as one JSON document"
    )
    judging.set_defaults(run=_diagnose)
    drawing = commands.add_parser("render", help="draw the runs on one HTML page")
    _add_logs(drawing)
    drawing.add_argument(
        "-o", "--output", required=True, metavar="PAGE", help="where to write the page"
    )
    drawing.add_argument("--reference", metavar="PATH", help="a run to draw the others against")
    drawing.set_defaults(run=_render)
    explaining = commands.add_parser("explain", help="say what a cause means, needs and calls for")
    explaining.add_argument("cause", nargs="?", metavar="CAUSE")
    explaining.set_defaults(run=_explain)
    return parser


def _add_logs(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "paths", nargs="+", metavar="PATH", help="a record or log, a folder of them, - for stdin"
    )
    command.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="SIGNAL=COLUMN",
        help="read a column of a log as a signal",
    )


def _diagnose(arguments: argparse.Namespace) -> int:
    codes: list[int] = []
    entries: list[Entry] = []
    mapping = _mapping(arguments.map)
    for path in _expanded(arguments.paths):
        found = _read(path, mapping)
        if isinstance(found, str):
            codes.append(UNREADABLE)
            entries.append(unjudged(path, path, found))
            continue
        diagnosis = diagnose(found)
        codes.append(CODES[diagnosis.verdict])
        entries.append(entry(path, path, found, diagnosis))
        if not arguments.json:
            _say(f"{path}: {diagnosis.verdict}: {diagnosis.headline}", sys.stdout)
            for line in how_it_was_read(found.provenance.get("reader"), arguments.columns):
                _say(f"  {line}", sys.stdout)
            if found.stopped:
                _say(f"  {found.stopped}", sys.stdout)
            healthy = diagnosis.verdict == "healthy"
            for line in (
                [f"remark: {r}" for r in diagnosis.remarks]
                if healthy
                else str(diagnosis).split("\n")
            ):
                _say(f"  {line}", sys.stdout)
    if arguments.json:
        print(dumped(document(entries)), end="")
    return next(code for code in GRAVEST_FIRST if code in codes)


def _render(arguments: argparse.Namespace) -> int:
    page = Path(arguments.output)
    sources = [*_expanded(arguments.paths), *([arguments.reference] if arguments.reference else [])]
    mapping = _mapping(arguments.map)
    if page.exists() and any(
        os.path.exists(source) and os.path.samefile(page, source) for source in sources
    ):
        raise _UsageError(f"{page} is one of the records to draw; give another page with -o")
    read_from = {path: _read(path, mapping) for path in dict.fromkeys(sources)}
    records = {path: found for path, found in read_from.items() if isinstance(found, Record)}
    if len(records) < len(read_from):
        _say(f"probes: {page} was not drawn", sys.stderr)
        return UNREADABLE
    from probes.report.html import render

    names = _names(records)
    try:
        render(
            [(names[path], record) for path, record in records.items()],
            page,
            reference=names.get(arguments.reference),
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise _UsageError(f"cannot write {page}: {reason}; give another page with -o") from error
    _say(f"{page}", sys.stdout)
    return 0


def _names(records: dict[str, Record]) -> dict[str, str]:
    """Path -> what the run is called there: its own name, or its file's; the whole path where two
    would be the same."""
    names = {
        path: str(record.provenance.get("name") or Path(path).stem)
        for path, record in records.items()
    }
    uses = Counter(names.values())
    return {path: name if uses[name] == 1 else path for path, name in names.items()}


def _explain(arguments: argparse.Namespace) -> int:
    from probes.diagnosis.detectors import DETECTORS

    if arguments.cause not in BY_NAME:
        raise _UsageError(_no_such_cause(arguments.cause))
    limits: dict[str, list[str]] = {}
    for detector in DETECTORS:
        for symptom, limit in detector.limits.items():
            limits.setdefault(symptom, []).append(limit)
    for line in _explanation(BY_NAME[arguments.cause], limits):
        _say(line, sys.stdout)
    return 0


def _explanation(cause: Cause, limits: Mapping[str, Sequence[str]]) -> list[str]:
    lines = [f"{cause.name}: {cause.meaning}"]
    for symptom, least in cause.needs.items():
        beyond = f", by a factor of {10**least:g} at least" if least else ""
        lines += [f"needs {symptom}{beyond}", *(f"  limit: {limit}" for limit in limits[symptom])]
    lines += [f"is not named beside {symptom}" for symptom in cause.excluded]
    lines += [f"also accounts for {symptom}" for symptom in cause.explains]
    for other, telling in cause.alike.items():
        lines.append(
            f"may be {other} as well"
            + (f", unless {' or '.join(telling)} tells" if telling else "")
        )
    return [*lines, f"remedy: {cause.remedy.format(onset='N (which the diagnosis names)')}"]


def _no_such_cause(name: str | None) -> str:
    known = "the causes are " + ", ".join(cause.name for cause in CAUSES)
    if name is None:
        return f"which cause? {known}"
    near = difflib.get_close_matches(name, BY_NAME, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"there is no cause {name!r}; {hint}{known}"


def _mapping(pairs: Sequence[str]) -> dict[str, str]:
    try:
        return mapping_of(pairs)
    except (RecordError, UnknownSignalError) as error:
        raise _UsageError(f"--map: {error}") from error


def _expanded(paths: Sequence[str]) -> list[str]:
    """The paths, with the logs in a folder for the folder; an empty one stays, to be complained
    about."""
    found = {path: [str(log) for log in find(path)] for path in paths if os.path.isdir(path)}
    return [log for path in paths for log in found.get(path) or [path]]


def _read(path: str, mapping: dict[str, str]) -> Record | str:
    """The record, or why there is none, which has been said on stderr."""
    try:
        return read_stream(sys.stdin.buffer, STDIN, mapping) if path == "-" else read(path, mapping)
    except OSError as error:
        problem = f"{path} cannot be opened ({error.strerror or error}); give the file of a record"
    except ValueError as error:  # RecordError, and a path that no file can have
        problem = str(error) if path in str(error) or path == "-" else f"{path}: {error}"
        problem += "; docs/logs.md says what can be read"
    _say(f"probes: {problem}", sys.stderr)
    return problem


def _say(text: str, stream: TextIO) -> None:
    """Print one line of what a terminal may be shown: no control characters, nothing that its
    encoding lacks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding), file=stream)
