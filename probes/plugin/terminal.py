"""The output on the terminal: the lines of a session, and the progress of a training."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from probes.common.text import one_line, printable, printable_lines

if TYPE_CHECKING:
    from probes.plugin.experiments import Experiment
    from probes.plugin.run_cache import OnStep, RunCache
    from probes.plugin.session import Failure, Run

Line = list[tuple[str, Mapping[str, bool]]]
"""The pieces of a line: the text of each piece, and its markup, such as {} or {"green": True}."""
COLOURS = {"healthy": "green", "undetermined": "yellow"}
"""Verdict -> colour. Every other verdict is red."""
MAX_REASON_LENGTH = 600
"""Longest reason of a failed training, which holds the message of any exception."""
MAX_ALIGNED = 120
"""The widest column of a table. A longer cell does not widen its column."""
UPDATES_PER_SECOND = 5
"""More updates cannot be read, and on a slow terminal they would slow the training down."""


def header(experiments: Mapping[str, Experiment], run_cache: RunCache) -> str:
    """The line that says which experiments are cached: "probes: healthy cached, overfit to be
    trained"."""
    states = [
        f"{name} {'cached' if run_cache.has(name, experiment) else 'to be trained'}"
        for name, experiment in experiments.items()
    ]
    return f"probes: {', '.join(states) or 'no experiments are offered'}"


def failure_section(run: Run, remedy: Sequence[str]) -> tuple[str, str]:
    """The title and the text of the section that the report of a failed test shows for a run that
    the test used.

    remedy  lines that say what the project's own remedy changes
    """
    command = f"python -m probes render {shlex.quote(str(run.path))} -o page.html"
    lines = [str(run.diagnosis), *remedy, f"record: {run.path}", f"draw it: {command}"]
    return f"probes: {run.name}", printable_lines("\n".join(lines))


# The end of a session


def table(rows: Iterable[Sequence[str]]) -> Iterator[Line]:
    """Rows as lines with aligned columns. The second cell of a row is a verdict, in colour.

    A cell that is longer than MAX_ALIGNED does not widen its column."""
    rows = list(rows)
    lengths = [map(len, column) for column in zip(*rows, strict=True)]
    widths = [max((one for one in each if one <= MAX_ALIGNED), default=0) for each in lengths]
    for row in rows:
        name, verdict, *rest = map(str.ljust, row, widths)
        markup = {COLOURS.get(row[1], "red"): True}
        yield [(f"{name}  ", {}), (verdict, markup), (f"  {'  '.join(rest)}".rstrip(), {})]


def run_row(run: Run) -> tuple[str, ...]:
    """The row of an experiment: name, verdict, cause, seconds, cached or trained, evidence."""
    return (
        printable(run.name),
        run.diagnosis.verdict,
        printable(run.diagnosis.title or "-"),
        f"{run.seconds:5.1f} s",
        "cached" if run.cached else "trained",
        printable(run.diagnosis.gist),
    )


def unfinished_training(failure: Failure) -> Iterator[Line]:
    """The lines about a training that did not finish, with the path of the record of its steps."""
    reason = f"  {one_line(failure.reason, MAX_REASON_LENGTH)}" if failure.reason else ""
    yield [(f"{failure.name}  ", {}), (failure.state, {"red": True}), (reason, {})]
    if failure.partial:
        yield [(f"  the record of its steps is kept at {printable(failure.partial)}", {})]


def outputs(written: Mapping[str, str], partial: Sequence[str]) -> Iterator[Line]:
    """One line for each file that was written. The first line ends with the reasons why runs are
    missing, if there are any.

    written  kind of file, such as "dashboard" -> its path
    partial  the reasons why runs are missing
    """
    reasons = f"partial: {'; '.join(partial)}" if partial else ""
    lines = [f"{kind}: {path}" for kind, path in written.items()]
    if lines and reasons:
        lines[0] += f" ({reasons})"
    elif reasons:
        lines = [reasons]
    for line in lines:
        yield [(printable(line), {})]


def note(sentence: str) -> Line:
    """The line of a sentence that a test recorded with the `note` fixture."""
    return [(f"note: {printable(sentence)}", {})]


def red_line(text: str) -> Line:
    return [(printable(text), {"red": True})]


def crashes_and_missing_tests(missing: Sequence[str], crashed: Sequence[str]) -> Iterator[Line]:
    """The lines about the workers that crashed and the tests of which no report arrived."""
    yield from (red_line(f"worker {worker}") for worker in crashed)
    if missing:
        count = f"{len(missing)} of the collected tests sent no report"
        yield red_line(f"{count}; it is not known whether they passed:")
    yield from (red_line(f"  {nodeid}") for nodeid in missing)


# While an experiment trains


class Progress:
    """Shows the progress of a training in one line, which is rewritten at most
    UPDATES_PER_SECOND times a second.

    write  function that replaces the line by a new text
    clock  function that returns the time in seconds
    """

    def __init__(
        self, name: str, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._write, self._clock = name, write, clock
        self._next = clock()

    def __call__(self, step: int, total: int) -> None:
        """Call this after each step. `step` counts from 0; `total` is the number of steps, or 0
        if it is not known."""
        now = self._clock()
        if now >= self._next:
            self._next = now + 1 / UPDATES_PER_SECOND
            self._write(f"training {self._name}: step {step + 1}" + (f"/{total}" if total else ""))


class StatusLine:
    """A line on pytest's terminal that is rewritten and finally removed.

    reporter  pytest's plugin "terminalreporter"
    capture   pytest's plugin "capturemanager"; None if output is not captured
    """

    def __init__(self, reporter: Any, capture: Any) -> None:
        self._reporter, self._capture = reporter, capture
        self._written = False

    def write(self, text: str, erase: bool = True) -> None:
        with self._capture.global_and_fixture_disabled() if self._capture else nullcontext():
            if not self._written:
                self._reporter.ensure_newline()
            self._written = True
            self._reporter.rewrite(text, erase=erase)
            self._reporter.flush()

    def clear(self) -> None:
        """Erase the text of the line and put the cursor at its beginning."""
        if self._written:
            self.write("")
            self.write("", erase=False)


@contextmanager
def progress(name: str, reporter: Any, capture: Any) -> Iterator[OnStep | None]:
    """Show the progress of a training in a line, and remove the line when the training ends.

    Yields the function to call after each step, or None if pytest does not write to a terminal.
    """
    if reporter is None or not reporter.isatty:
        yield None
        return
    line = StatusLine(reporter, capture)
    try:
        yield Progress(name, line.write)
    finally:
        line.clear()
