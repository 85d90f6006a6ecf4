"""The files that the controller writes and the lines that it prints at the end of a session."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from probes.plugin import experiments, terminal
from probes.plugin.options import OutputPaths
from probes.plugin.session import Failure, Run, Session
from probes.plugin.terminal import Line
from probes.plugin.worker_reports import TestReports
from probes.report.judged_run import AnyRun, JudgedRun, UnreadRun, judge

Result = TypeVar("Result")
MAX_LISTED_UNUSED = 8
"""Experiments that no test used are named up to this number; the others are counted."""


class SessionReport:
    """Draws the dashboard, writes the other files, and makes the lines for the terminal.

    partial  reasons why runs are missing; empty if the outputs show all runs
    errors   one sentence for each output or run that failed, with the reason; any error fails the
             session
    """

    def __init__(
        self,
        session: Session,
        reports: TestReports,
        paths: OutputPaths,
        environment: Mapping[str, str],
    ) -> None:
        self._session, self._reports = session, reports
        self._paths, self._environment = paths, environment
        self._runs: list[Run] = []
        self._failures: dict[str, Failure] = {}
        self._judged: list[AnyRun] = []
        self._written: dict[str, Path] = {}
        self.partial: list[str] = []
        self.errors: list[str] = []

    def write(self, reasons: list[str], train: Callable[[str], Run | None]) -> None:
        """Draw and write everything.

        reasons  reasons why runs are missing, in addition to those that the tests' reports show
        train    returns the run of an experiment, or None if it must not be trained; called for the
                 reference if no test has used it
        """
        # Copy the failures, because the reference may fail to train below. That failure is
        # listed in `errors` only.
        self._failures = dict(self._reports.failures)
        self.partial = list(reasons)
        if count := self._reports.deselected:
            self.partial.append(f"{count} {'test' if count == 1 else 'tests'} deselected")
        if used := self._reports.tests.keys() | self._failures.keys():
            unused = [name for name in self._session.experiments if name not in used]
            if len(unused) > MAX_LISTED_UNUSED:
                more = len(unused) - MAX_LISTED_UNUSED
                unused = [*unused[:MAX_LISTED_UNUSED], f"and {more} more"]
            self.partial += [f"no test used {', '.join(unused)}"] if unused else []
        self._runs = self._ordered_runs(train)
        self.errors += [run.judged.failure for run in self._runs if run.judged.failure]
        unfinished = [self._unfinished_run(failure) for failure in self._failures.values()]
        self._draw(unfinished)
        # The outputs show each run with its tests and with a path relative to the root.
        self._judged = []
        for run in [*(run.judged for run in self._runs), *unfinished]:
            path = self._paths.in_document(Path(run.path)) if run.path else None
            tests = self._reports.tests.get(run.name, {})
            self._judged.append(replace(run, path=path, tests=tests))
        self._judged += [log.run for _, log in sorted(self._reports.logs.items())]

        def diagnoses() -> str:
            from probes.report.json_report import document

            return document(self._judged, self.partial, list(self._reports.notes), self._page())

        def verdicts() -> str:
            from probes.report.sarif import document

            return document(self._judged)

        self._write_text("diagnosis", self._paths.document, "the diagnoses", diagnoses)
        self._write_text("sarif", self._paths.sarif, "the verdicts", verdicts)
        self._write_summary()

    def lines(self) -> Iterator[Line]:
        """The lines on the terminal."""
        yield from terminal.table(sorted(log.row for log in self._reports.logs.values()))
        yield from terminal.table(map(terminal.run_row, self._runs))
        for failure in self._failures.values():
            yield from terminal.unfinished_training(failure)
        yield from terminal.outputs(
            {what: self._paths.on_terminal(path) for what, path in self._written.items()},
            self.partial,
        )
        for error in self.errors:
            yield terminal.red_line(f"error: {error}")
        for note in self._reports.notes:
            yield terminal.note(note)

    def github_annotations(self) -> list[str]:
        """The lines that make GitHub Actions annotate failed runs; [] outside of GitHub Actions."""
        if self._environment.get("GITHUB_ACTIONS") != "true" or not self._judged:
            return []
        from probes.report import github

        workspace = self._environment.get("GITHUB_WORKSPACE")
        return list(github.workflow_commands(self._judged, self._paths.root, workspace))

    # Runs

    def _ordered_runs(self, train: Callable[[str], Run | None]) -> list[Run]:
        """The runs that tests used, in the order in which the project offers them. If a dashboard
        is drawn, the run of the reference is added."""
        runs: dict[str, Run | None] = dict(self._reports.runs)
        reference = experiments.reference(self._session.experiments)
        used = runs.keys() | self._failures.keys()
        if self._paths.page and used and reference and reference not in used:
            what = f"the reference {reference} cannot be used"
            runs[reference] = self._attempt(what, lambda: train(reference))
        names = dict.fromkeys([*self._session.experiments, *runs])
        return [run for name in names if (run := runs.get(name))]

    def _unfinished_run(self, failure: Failure) -> AnyRun:
        """The run of a training that did not finish, with a diagnosis of the steps that were
        recorded, if there are any."""
        from probes.record import Record

        error = f"{failure.state} in training" + (f": {failure.reason}" if failure.reason else "")
        if failure.partial:
            # The record only helps to explain why training failed. A failure to read or diagnose it
            # must not hide the error of the training.
            with suppress(Exception):
                record = Record.load(failure.partial)
                if len(record.steps):
                    judged = judge(record, failure.name, failure.partial, "experiment")
                    return replace(judged, error=error)
        return UnreadRun(failure.name, failure.partial, error, "experiment")

    # Output files

    def _draw(self, unfinished: Sequence[AnyRun]) -> None:
        """Draw the dashboard of the experiments, unless it is off.

        unfinished  the runs of trainings that did not finish; those that failed are drawn, those
                    that were interrupted are not
        """
        page = self._paths.page
        if page is None:
            return
        from probes.record import Record

        drawable: list[JudgedRun] = []
        for run in self._runs:
            judged = replace(run.judged, group=self._session.experiments[run.name].group)
            if run.name in self._session.runs:
                drawable.append(judged)
                continue
            # A worker judged the run and sent it without rows, so the rows are read from the file.
            what = f"the record of {run.name} cannot be read back"
            if record := self._attempt(what, partial(Record.load, run.path)):
                drawable.append(replace(judged, record=record))
        drawable += [
            run
            for run in unfinished
            if isinstance(run, JudgedRun) and self._failures[run.name].state == "failed"
        ]
        if not drawable:
            return
        failed = [
            f"{failure.name} failed in training: {failure.reason}."
            for failure in self._failures.values()
            if failure.state == "failed"
        ]
        reasons = [f"Partial page: {'; '.join(self.partial)}."] if self.partial else []
        notes = [*failed, *reasons, *self._reports.notes]
        reference = experiments.reference(self._session.experiments)
        reference = reference if reference in [run.name for run in drawable] else None

        def not_drawn(run: UnreadRun) -> None:
            self.errors.append(run.error)

        def draw() -> Path:
            from probes.report.html import render

            return render(drawable, page, reference, notes, not_drawn)

        if self._attempt(f"cannot write the dashboard {page}", draw):
            self._written["dashboard"] = page

    def _write_text(
        self, output: str, path: Path | None, what: str, text: Callable[[], str]
    ) -> None:
        """Write a text to a file, if the session has a path for it.

        output  the name of the output in the lines on the terminal
        what    what the text holds, for the message of an error
        """
        if path is None:
            return

        def write() -> Path:
            from probes.common.files import write_output

            return write_output(path, text())

        if self._attempt(f"cannot write {what} {path}", write):
            self._written[output] = path

    def _write_summary(self) -> None:
        """Append the summary for GitHub. If that fails, the session gets a note and does not fail,
        because GitHub, not the project, provides the file."""
        if not (target := self._environment.get("GITHUB_STEP_SUMMARY")):
            return
        from probes.common.files import append_output
        from probes.report.markdown import summary

        text = summary(self._judged, self.partial, list(self._reports.notes), self._page())
        try:
            append_output(target, text)
        except OSError as error:
            self._reports.notes[f"cannot write the summary {target}: {error.strerror or error}"] = (
                None
            )

    def _page(self) -> str | None:
        """The path of the dashboard as the other files state it; None if it was not drawn."""
        drawn = self._written.get("dashboard")
        return self._paths.in_document(drawn) if drawn else None

    def _attempt(self, what: str, action: Callable[[], Result]) -> Result | None:
        """Return the result of an action. If it raises, add the exception to `errors` and return
        None, so that the results of the tests are still reported."""
        try:
            return action()
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            self.errors.append(f"{what}: {type(error).__name__}: {error} ({where})")
            return None
