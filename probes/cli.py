"""The command line: diagnose logs, draw them, explain causes.

`main` returns an exit code. An error in the command or in a log is printed on stderr as a message,
never as a traceback. A module that only one command needs is imported inside that command, so that
the other commands start faster.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from probes.common.text import did_you_mean, printable
from probes.report.judged_run import AnyRun, JudgedRun, UnreadRun, judge_runs

if TYPE_CHECKING:
    from probes.diagnosis.family import Family
    from probes.record.metrics import Direction

HEALTHY, UNHEALTHY, UNREADABLE, UNDETERMINED, USAGE = range(5)
"""Exit codes 0 to 4. UNREADABLE: a path cannot be read. UNDETERMINED: a run cannot be judged.
USAGE: the command is wrong."""
EXIT_CODES = {"healthy": HEALTHY, "unhealthy": UNHEALTHY, "undetermined": UNDETERMINED}
"""Verdict -> exit code."""
EXIT_CODE_PRIORITY = (UNREADABLE, UNHEALTHY, UNDETERMINED, HEALTHY)
"""With several paths, the command returns the first of these codes that any path has."""
STDIN = "standard input"
"""Shown in error messages as the path of a log that was read from stdin."""


class _UsageError(Exception):
    """The command itself is wrong. The message says what is wrong."""


class _Help(argparse.HelpFormatter):
    """Formats help as wide as the terminal.

    argparse itself would import the slow module shutil to find the width, each time that it creates
    a formatter. It creates one for every argument, so the width is found here."""

    def __init__(self, prog: str) -> None:
        try:
            columns = int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size().columns
        except (ValueError, OSError):
            columns = 80
        super().__init__(prog, width=columns - 2)


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False, formatter_class=_Help)

    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message}\n{self.format_usage().rstrip()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code, 0 to 4; `python -m probes --help` lists them."""
    try:
        arguments = _parser().parse_args(argv)
        code: int = arguments.run(arguments)
    except _UsageError as error:
        for line in f"probes: {error}".split("\n"):
            _print(line, sys.stderr)
        return USAGE
    except SystemExit as done:  # argparse raises SystemExit after --help
        return int(done.code or 0)
    return code


@cache
def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m probes",
        description="Diagnose, draw and explain records and logs of training runs.",
        epilog="exit codes: 0 all healthy, 1 some run is unhealthy, 2 a path cannot be read, "
        "3 some run cannot be judged, 4 the command is wrong; with several paths, the first of "
        "2, 1, 3, 0 that applies",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    diagnosing = commands.add_parser("diagnose", help="print a verdict for each path")
    _add_paths(diagnosing)
    diagnosing.add_argument(
        "--columns", action="store_true", help="show which column of a log was read as which signal"
    )
    diagnosing.add_argument(
        "--json", action="store_true", help="print the diagnoses as one JSON document"
    )
    diagnosing.add_argument(
        "--sarif", metavar="FILE", help="also write the verdicts as SARIF 2.1.0 to this file"
    )
    diagnosing.add_argument(
        "--family",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help="healthy runs of the same config with other seeds: records, logs or folders; signals "
        "beyond what they show make a run undetermined",
    )
    diagnosing.set_defaults(run=_diagnose)
    drawing = commands.add_parser("render", help="draw the runs on one HTML page")
    _add_paths(drawing)
    drawing.add_argument(
        "-o", "--output", required=True, metavar="PAGE", help="where to write the page"
    )
    drawing.add_argument(
        "--reference", metavar="PATH", help="a run to draw faintly behind the others"
    )
    drawing.set_defaults(run=_render)
    watching = commands.add_parser(
        "watch", help="follow a growing log and print a line when its verdict or cause changes"
    )
    watching.add_argument("path", metavar="PATH", help="the log of a run that goes on")
    _add_columns(watching)
    watching.add_argument(
        "--every",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="seconds between two looks at the log (default: %(default)g)",
    )
    watching.add_argument(
        "--on",
        nargs=2,
        action="append",
        default=[],
        metavar=("VERDICT", "COMMAND"),
        help="run a command when a run gets this verdict, which is in its environment as "
        "PROBES_VERDICT, PROBES_CAUSE, ...",
    )
    watching.add_argument(
        "--until-certain",
        action="store_true",
        help="end with the exit code of the verdict once a cause is named, or the log shows that "
        "the run has ended",
    )
    watching.set_defaults(run=_watch)
    explaining = commands.add_parser(
        "explain",
        help="print what a cause means, which signals it needs and what to do, or a reference page",
    )
    explaining.add_argument("cause", nargs="?", metavar="CAUSE|PAGE")
    explaining.set_defaults(run=_explain)
    return parser


def _add_paths(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a record, a log, a folder of records and logs, or - for stdin",
    )
    _add_columns(command)


def _add_columns(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="SIGNAL=COLUMN",
        help="read a column of a log as a signal",
    )
    command.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME:up|down",
        help="read a column of a log as a metric; say whether higher or lower values are better",
    )


def _diagnose(arguments: argparse.Namespace) -> int:
    mapping, metrics = _mapping(arguments.map), _metrics(arguments.metric)
    codes: list[int] = []
    sarif, entries = None, list[dict[str, Any]]()
    if arguments.sarif is not None:
        from probes.report.sarif import SarifDocument

        sarif = SarifDocument()

    def show(run: AnyRun) -> None:
        """Print a run, or add it to the documents."""
        lines: list[str] = []
        if arguments.json:
            from probes.report.json_report import plain_entry

            entries.append(plain_entry(run))
        elif isinstance(run, JudgedRun):
            lines = list(_report(run, arguments.columns))
        if sarif:
            sarif.add(run)
        for line in lines:
            _print(line, sys.stdout)

    family = _family(arguments.family, arguments.paths, mapping, metrics)
    # One run at a time, so that the records of a large folder are not all in memory.
    for path in _log_paths(arguments.paths):
        for run in _judge(path, mapping, metrics, family):
            shown = len(entries)
            try:
                show(run)
            except OSError:  # stdout cannot be written, which concerns all runs
                raise
            except Exception as error:
                if isinstance(run, UnreadRun):
                    raise
                del entries[shown:]
                run = run.not_shown("reported", error)
                _print(f"probes: {run.error}", sys.stderr)
                show(run)
            codes.append(_code_of(run))
    if arguments.json:
        from probes.report.json_report import document_of

        print(document_of(entries), end="")
    if sarif:
        from probes.common.files import write_output

        try:
            write_output(arguments.sarif, sarif.text())
        except OSError as error:
            raise _UsageError(
                f"cannot write {arguments.sarif}: {error.strerror or error}; "
                "give another file with --sarif"
            ) from error
    return _exit_code(codes)


def _code_of(run: AnyRun) -> int:
    if isinstance(run, UnreadRun) or run.failure:
        return UNREADABLE
    return EXIT_CODES[run.diagnosis.verdict]


def _exit_code(codes: Iterable[int]) -> int:
    """The exit code of several runs. Without any run, it is UNREADABLE."""
    found = set(codes)
    return next((code for code in EXIT_CODE_PRIORITY if code in found), UNREADABLE)


def _report(run: JudgedRun, columns: bool) -> Iterator[str]:
    """The lines that are printed for a run: the verdict, and the details indented below it."""
    from probes.readers.column_mapping import how_it_was_read

    diagnosis = run.diagnosis
    yield f"{run.name}: {diagnosis.verdict}: {diagnosis.headline}"
    details = how_it_was_read(run.reader, columns)
    details += [str(run.record.stopped)] if run.record.stopped else []
    details += [f"at {run.where}"] if run.where else []
    details += [f"to log more often: {run.advice}"] if run.advice else []
    if diagnosis.verdict == "healthy":
        details += [f"remark: {remark}" for remark in diagnosis.remarks]
    else:
        details += str(diagnosis).split("\n")
    yield from (f"  {line}" for line in details)


def _render(arguments: argparse.Namespace) -> int:
    page = Path(arguments.output)
    paths = [*_log_paths(arguments.paths), *([arguments.reference] if arguments.reference else [])]
    mapping, metrics = _mapping(arguments.map), _metrics(arguments.metric)
    if page.exists() and any(os.path.exists(path) and page.samefile(path) for path in paths):
        raise _UsageError(f"{page} is one of the records to draw; give another page with -o")
    runs = [run for path in dict.fromkeys(paths) for run in _judge(path, mapping, metrics)]
    judged = {run.name: run for run in runs if isinstance(run, JudgedRun)}
    unread = [run for run in runs if isinstance(run, UnreadRun)]
    if not judged:
        _print(f"probes: {page} was not drawn", sys.stderr)
        return UNREADABLE
    reference = arguments.reference
    if reference in [run.name for run in unread]:
        reference = None  # the other runs are drawn without a reference
    inner = [name for name in judged if reference and name.startswith(f"{reference}[")]
    if reference not in (None, *judged) and inner:
        raise _UsageError(
            f"{reference} holds {len(inner)} runs; give one of them as --reference {inner[0]}"
        )
    from probes.report.html import render

    # The page shows the name that the record states, or else the stem of the file. Runs of the
    # same name are shown with their whole paths instead.
    stated = {
        name: str(run.record.provenance.get("name") or Path(name).stem)
        for name, run in judged.items()
    }
    uses = Counter(stated.values())
    names = {name: title if uses[title] == 1 else name for name, title in stated.items()}
    named = [replace(run, name=names[name]) for name, run in judged.items()]
    notes = [run.error for run in unread]
    not_drawn: list[UnreadRun] = []
    try:
        render(named, page, names.get(reference), notes, not_drawn.append)
    except (OSError, ValueError) as error:
        if len(not_drawn) < len(named):
            reason = error.strerror if isinstance(error, OSError) else error
            message = f"cannot write {page}: {reason}; give another page with -o"
            raise _UsageError(message) from error
    for run in not_drawn:
        _print(f"probes: {run.error}", sys.stderr)
    if len(not_drawn) == len(named):
        _print(f"probes: {page} was not drawn", sys.stderr)
    else:
        _print(f"{page}", sys.stdout)
    failed = unread or not_drawn or any(run.failure for run in judged.values())
    return UNREADABLE if failed else HEALTHY


def _watch(arguments: argparse.Namespace) -> int:
    from probes.watch_log import LogWatcher, follow

    if not arguments.every > 0:
        raise _UsageError(f"--every {arguments.every:g}: it must be more than 0 seconds")
    for verdict, command in arguments.on:
        if verdict not in EXIT_CODES:
            hint = did_you_mean(verdict, EXIT_CODES, f"the verdicts are {', '.join(EXIT_CODES)}")
            raise _UsageError(f"--on: there is no verdict {verdict!r}; {hint}")
        if not command.strip():
            raise _UsageError(f"--on {verdict}: the command is empty")
    watcher = LogWatcher(
        Path(arguments.path),
        _mapping(arguments.map),
        _metrics(arguments.metric),
        tuple(map(tuple, arguments.on)),
    )

    def say(line: str) -> None:
        _print(line, sys.stdout)
        sys.stdout.flush()  # the reader may be a program that acts on each line

    follow(watcher, say, lambda: time.sleep(arguments.every), arguments.until_certain)
    return _exit_code(map(_code_of, watcher.runs))


def _explain(arguments: argparse.Namespace) -> int:
    from probes.diagnosis.causes import BY_NAME
    from probes.diagnosis.explain import explanation
    from probes.help_topics import FILES, page

    name = arguments.cause
    if name in FILES:
        lines: Sequence[str] = page(name).splitlines()
    elif name in BY_NAME:
        lines = explanation(BY_NAME[name])
    else:
        known = f"the causes are {', '.join(BY_NAME)}; the pages are {', '.join(FILES)}"
        if name is None:
            raise _UsageError(f"which cause? {known}")
        hint = did_you_mean(name, [*BY_NAME, *FILES])
        raise _UsageError(f"there is no cause {name!r}; {hint}{' ' if hint else ''}{known}")
    for line in lines:
        _print(line, sys.stdout)
    return HEALTHY


def _mapping(pairs: Sequence[str]) -> dict[str, str]:
    """Signal -> column, from the values of --map. Raises _UsageError."""
    if not pairs:
        return {}
    from probes.readers.column_mapping import mapping_of
    from probes.record import RecordError
    from probes.record.signals import UnknownSignalError

    try:
        return mapping_of(pairs)
    except (RecordError, UnknownSignalError) as error:
        raise _UsageError(f"--map: {error}") from error


def _metrics(pairs: Sequence[str]) -> dict[str, Direction]:
    """Column -> direction, from the values of --metric. Raises _UsageError."""
    if not pairs:
        return {}
    from probes.readers.metric_columns import directions_of
    from probes.record import RecordError

    try:
        return directions_of(pairs)
    except RecordError as error:
        raise _UsageError(f"--metric: {error}") from error


def _log_paths(paths: Sequence[str]) -> Iterator[str]:
    """The paths, with each folder replaced by the logs in it and the files that look like logs. A
    folder without either is kept, and the attempt to read it then reports the error."""
    for path in paths:
        found: Sequence[Path | str] = []
        if os.path.isdir(path):
            from probes.readers import find

            found = find(path, unknown=True)
        yield from map(str, found or [path])


def _family(
    paths: Sequence[str],
    judged: Sequence[str],
    mapping: Mapping[str, str],
    metrics: Mapping[str, Direction],
) -> Family | None:
    """The runs of --family; None without any. Raises _UsageError.

    judged  the paths of the runs to diagnose, which are left out of the family's folders
    """
    if not paths:
        return None
    from probes.diagnosis.diagnose import family_of
    from probes.diagnosis.family import FamilyError
    from probes.readers import read

    own = {os.path.realpath(path) for path in _log_paths(judged)}
    members = [path for path in _log_paths(paths) if os.path.realpath(path) not in own]
    records = []
    for path in members:
        try:
            records.append(read(path, mapping, metrics))
        except (OSError, ValueError) as error:
            raise _UsageError(f"--family: {path} cannot be read: {error}") from error
    try:
        return family_of(records)
    except FamilyError as error:
        where = "" if error.member is None else f"{members[error.member]}: "
        raise _UsageError(f"--family: {where}{error.problem}") from error


def _judge(
    path: str,
    mapping: Mapping[str, str],
    metrics: Mapping[str, Direction],
    family: Family | None = None,
) -> Iterator[AnyRun]:
    """Read and diagnose the runs in a log. If one cannot be read, or a part of its diagnosis
    failed, print the reason on stderr."""
    where, stream = (STDIN, sys.stdin.buffer) if path == "-" else (path, None)
    for run in judge_runs(where, path, mapping, metrics, stream, family):
        if error := run.error if isinstance(run, UnreadRun) else run.failure:
            _print(f"probes: {error}", sys.stderr)
        yield run


def _print(text: str, stream: TextIO) -> None:
    """Print one line without control characters. A character that the stream's encoding lacks is
    printed as a backslash escape."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding), file=stream)
