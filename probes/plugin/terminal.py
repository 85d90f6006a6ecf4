"""What a test session says on the terminal, as text and markup; printing it is another's
business."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probes.plugin.experiments import Experiment
    from probes.plugin.run_cache import OnStep, Store
    from probes.plugin.session import Failure, Run

Part = tuple[str, Mapping[str, bool]]
"""A piece of a line and its markup: {} or {"green": True}."""
COLOUR = {"healthy": "green", "unhealthy": "red", "undetermined": "yellow"}
UPDATES_PER_SECOND = 5
"""At most; an eye follows no more, and a slow terminal should not slow the training."""


def header(experiments: Mapping[str, Experiment], store: Store) -> str:
    """Which experiments will be answered from the store: "probes: healthy cached, overfit to be
    trained"."""
    state = {True: "cached", False: "to be trained"}
    parts = [
        f"{name} {state[store.has(name, experiment)]}" for name, experiment in experiments.items()
    ]
    return "probes: " + (", ".join(parts) or "no experiments on offer")


def sections(runs: Iterable[Run], remedy: Callable[[Run], Sequence[str]]) -> list[tuple[str, str]]:
    """What stands under the report of a failed test about the runs it used, with the project's own
    remedy."""
    return [(f"probes: {run.name}", _section(run, remedy(run))) for run in runs]


def _section(run: Run, remedy: Sequence[str]) -> str:
    command = f"python -m probes render {shlex.quote(str(run.path))} -o page.html"
    return "\n".join([str(run.diagnosis), *remedy, f"record: {run.path}", f"draw it: {command}"])


def table(runs: Sequence[Run]) -> Iterator[list[Part]]:
    """One line a run, in aligned columns: name, verdict, cause, seconds, cached or trained,
    headline."""
    columns = list(zip(*map(_row, runs), strict=True))
    widths = [max(map(len, column)) for column in columns]
    aligned = [
        [cell.ljust(width) for cell in column]
        for column, width in zip(columns, widths, strict=True)
    ]
    for run, name, verdict, *rest in zip(runs, *aligned, strict=True):
        yield [
            (f"{name}  ", {}),
            (verdict, {COLOUR[run.diagnosis.verdict]: True}),
            (f"  {'  '.join(rest)}".rstrip(), {}),
        ]


def _row(run: Run) -> tuple[str, ...]:
    cause = run.diagnosis.title or "-"
    headline = run.diagnosis.gist
    return (
        run.name,
        run.diagnosis.verdict,
        cause,
        f"{run.seconds:5.1f} s",
        "cached" if run.cached else "trained",
        headline,
    )


def ending(
    runs: Sequence[Run],
    failures: Iterable[Failure],
    lacks: Sequence[str],
    written: Mapping[str, str],
    errors: Iterable[str],
) -> Iterator[list[Part]]:
    """Said of experiments at the end: the table, what was written where, what it lacks, what went
    wrong.

    written  what -> the path it was written to
    """
    yield from table(runs)
    for failure in failures:
        yield from _failure(failure)
    partial = f"partial: {'; '.join(lacks)}" if lacks else ""
    places = [f"{what}: {path}" for what, path in written.items()]
    if places and partial:
        places[0] += f" ({partial})"
    for line in places or filter(None, [partial]):
        yield [(line, {})]
    for error in errors:
        yield [(f"error: {error}", {"red": True})]


def _failure(failure: Failure) -> Iterator[list[Part]]:
    """ "boom  failed  FloatingPointError: boom at 12", and where to find what it recorded until
    then."""
    reason = f"  {' '.join(failure.reason.split())}" if failure.reason else ""
    yield [(f"{failure.name}  ", {}), (failure.how, {"red": True}), (reason, {})]
    if failure.partial:
        yield [(f"  what it recorded until then is kept at {failure.partial}", {})]


def notes(sentences: Iterable[str]) -> Iterator[list[Part]]:
    """What tests left to be said, a line each."""
    for sentence in sentences:
        from probes.common.text import (
            printable,
        )  # which loads numpy: not where there is nothing to say

        yield [(f"note: {printable(sentence)}", {})]


def losses(lost: Sequence[str], dead: Sequence[str]) -> Iterator[list[Part]]:
    """What to say of workers that died and of tests that were never heard of again."""
    red = {"red": True}
    for worker in dead:
        yield [(f"worker {worker}", red)]
    if lost:
        yield [
            (
                f"{len(lost)} of the collected tests never reported; whether they passed is not known:",
                red,
            )
        ]
    for nodeid in lost:
        yield [(f"  {nodeid}", red)]


class Progress:
    """One line that says how far a training is, rewritten at most UPDATES_PER_SECOND times a
    second.

    write  puts a text in place of the one it put there before
    """

    def __init__(
        self, name: str, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._write, self._clock = name, write, clock
        self._next = clock()

    def __call__(self, step: int, total: int) -> None:
        """To be called after each step, counted from 0; total is 0 when it is not known."""
        now = self._clock()
        if now >= self._next:
            self._next = now + 1 / UPDATES_PER_SECOND
            self._write(f"training {self._name}: step {step + 1}" + (f"/{total}" if total else ""))


class StatusLine:
    """A line on pytest's terminal that is written over and over and taken away again.

    reporter, capture  pytest's own plugins of these names; `capture` is None where nothing is
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
        """Leave the line as if nothing had been written, with the cursor at its beginning."""
        if self._written:
            self.write("")
            self.write("", erase=False)


@contextmanager
def progress(name: str, reporter: Any, capture: Any) -> Iterator[OnStep | None]:
    """A line on the terminal that says how far a training is, gone again at its end; None without a
    terminal."""
    if reporter is None or not reporter.isatty:
        yield None
        return
    line = StatusLine(reporter, capture)
    try:
        yield Progress(name, line.write)
    finally:
        line.clear()
