"""The output on the terminal: lines as text and markup, and the progress of a training."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from probes.common.text import printable

if TYPE_CHECKING:
    from probes.plugin.experiments import Experiment
    from probes.plugin.run_cache import OnStep, Store
    from probes.plugin.session import Failure, Run

Line = list[tuple[str, Mapping[str, bool]]]
"""The pieces of a line, each with its markup: {} or {"green": True}."""
COLOURS = {"healthy": "green", "undetermined": "yellow"}
"""Verdict -> colour; everything else is red."""
UPDATES_PER_SECOND = 5
"""The most; more cannot be read, and a slow terminal would slow down the training."""


def header(experiments: Mapping[str, Experiment], store: Store) -> str:
    """Which experiments are cached: "probes: healthy cached, overfit to be trained"."""
    states = [
        f"{name} {'cached' if store.has(name, experiment) else 'to be trained'}"
        for name, experiment in experiments.items()
    ]
    return f"probes: {', '.join(states) or 'no experiments on offer'}"


def failure_section(run: Run, remedy: Sequence[str]) -> tuple[str, str]:
    """Title and text of the section that a failed test shows for a run that it used.

    remedy  lines about the project's own remedy
    """
    command = f"python -m probes render {shlex.quote(str(run.path))} -o page.html"
    lines = [str(run.diagnosis), *remedy, f"record: {run.path}", f"draw it: {command}"]
    return f"probes: {run.name}", "\n".join(lines)


# The end of a session


def table(rows: Iterable[Sequence[str]]) -> Iterator[Line]:
    """Aligned columns: one line for each row, whose second cell is a verdict and is coloured."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        name, verdict, *rest = map(str.ljust, row, widths)
        markup = {COLOURS.get(row[1], "red"): True}
        yield [(f"{name}  ", {}), (verdict, markup), (f"  {'  '.join(rest)}".rstrip(), {})]


def run_row(run: Run) -> tuple[str, ...]:
    """The row of an experiment: name, verdict, cause, seconds, cached or trained, evidence."""
    return (
        run.name,
        run.diagnosis.verdict,
        run.diagnosis.title or "-",
        f"{run.seconds:5.1f} s",
        "cached" if run.cached else "trained",
        run.diagnosis.gist,
    )


def failure(one: Failure) -> Iterator[Line]:
    """A training that did not finish, and where the record of its steps is."""
    reason = f"  {' '.join(one.reason.split())}" if one.reason else ""
    yield [(f"{one.name}  ", {}), (one.how, {"red": True}), (reason, {})]
    if one.partial:
        yield [(f"  what it recorded until then is kept at {one.partial}", {})]


def outputs(written: Mapping[str, str], partial: Sequence[str]) -> Iterator[Line]:
    """The files that were written, and after the first the reasons why they are partial.

    written  kind of file -> its path
    """
    reasons = f"partial: {'; '.join(partial)}" if partial else ""
    lines = [f"{kind}: {path}" for kind, path in written.items()]
    if lines and reasons:
        lines[0] += f" ({reasons})"
    elif reasons:
        lines = [reasons]
    for line in lines:
        yield [(line, {})]


def note(sentence: str) -> Line:
    """A sentence that a test left."""
    return [(f"note: {printable(sentence)}", {})]


def red(text: str) -> Line:
    return [(text, {"red": True})]


def losses(missing: Sequence[str], crashed: Sequence[str]) -> Iterator[Line]:
    """The workers that crashed, and the tests of which no report arrived."""
    yield from (red(f"worker {worker}") for worker in crashed)
    if missing:
        count = f"{len(missing)} of the collected tests never reported"
        yield red(f"{count}; whether they passed is not known:")
    yield from (red(f"  {nodeid}") for nodeid in missing)


# While an experiment trains


class Progress:
    """One line that says how far a training is, rewritten at most UPDATES_PER_SECOND times a
    second.

    write  replaces the text that it wrote before
    """

    def __init__(
        self, name: str, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._write, self._clock = name, write, clock
        self._next = clock()

    def __call__(self, step: int, total: int) -> None:
        """Call this after each step, counted from 0; `total` is 0 when it is not known."""
        now = self._clock()
        if now >= self._next:
            self._next = now + 1 / UPDATES_PER_SECOND
            self._write(f"training {self._name}: step {step + 1}" + (f"/{total}" if total else ""))


class StatusLine:
    """A line on pytest's terminal that is rewritten and finally removed.

    reporter, capture  pytest's plugins of these names; `capture` is None when output is not
                       captured
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
        """Blank the line and put the cursor at its beginning."""
        if self._written:
            self.write("")
            self.write("", erase=False)


@contextmanager
def progress(name: str, reporter: Any, capture: Any) -> Iterator[OnStep | None]:
    """A line that says how far a training is and that is removed at its end; None when pytest does
    not write to a terminal."""
    if reporter is None or not reporter.isatty:
        yield None
        return
    line = StatusLine(reporter, capture)
    try:
        yield Progress(name, line.write)
    finally:
        line.clear()
