"""The end of a session, in the process that reports: what is drawn, written and said, and whether
it was all there."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.plugin import experiments, log_items, terminal
from probes.plugin.output_paths import Places, shown
from probes.plugin.session import Failure, Run, Session
from probes.plugin.terminal import Part
from probes.plugin.worker_reports import Hearing, RollCall, worst
from probes.report.json_report import Entry, document, entry, unjudged, write

if TYPE_CHECKING:
    from probes.record import Record


@dataclass
class Closing:
    """What there is to say at the end of a session.

    runs      those that tests used, and the reference, in the order in which they are offered
    failures  trainings that did not come to their end
    lacks     why they are not everything; empty when they are
    page      the page that was written, None when none was
    document  the diagnosed runs as data, where they were written
    errors    what could not be done, each with its reason; the session has failed when there are
              any
    """

    runs: Sequence[Run] = ()
    failures: Sequence[Failure] = ()
    lacks: Sequence[str] = ()
    page: Path | None = None
    document: Path | None = None
    errors: list[str] = field(default_factory=list)

    def attempt(self, what: str, action: Callable[[], Run | Path | None]) -> Run | Path | None:
        """The outcome of an action, or None and one more error: no failure here may hide the tests'
        own results."""
        try:
            return action()
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            self.errors.append(
                f"{what}: {type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
            )
            return None


def close(
    session: Session,
    page: Path | None,
    reasons: Sequence[str],
    fetch: Callable[[str], Run | None],
    notes: Sequence[str] = (),
) -> Closing:
    """Read back what tests used, and draw it; with the reference, if no test asked for that.

    page     where to draw; None: nowhere
    reasons  why the session is partial, beyond what `session` itself can tell
    fetch    gets the run of an experiment that no test asked for; it may train, or decline by None
    notes    sentences that tests left
    """
    closing = Closing(
        failures=list(session.failures.values()), lacks=[*reasons, *_shortfall(session)]
    )
    found = {
        name: closing.attempt(
            f"the record of {name} cannot be read back", partial(session.recall, arrival)
        )
        for name, arrival in session.arrived.items()
    }
    reference = experiments.reference(session.experiments)
    if page and reference and reference not in found and reference not in session.failures:
        what = f"the reference {reference} is not to be had"
        found[reference] = closing.attempt(what, lambda: fetch(reference))
    names = dict.fromkeys([*session.experiments, *found])
    closing.runs = [run for run in map(found.get, names) if isinstance(run, Run)]
    if page and (drawable := list(_drawable(closing))):
        sentences = [*_notes(closing), *notes]
        drawn = closing.attempt(
            f"no dashboard at {page}", lambda: _draw(drawable, page, reference, sentences)
        )
        closing.page = page if drawn else None
    return closing


def _shortfall(session: Session) -> Iterator[str]:
    if session.deselected:
        yield f"{session.deselected} {'test' if session.deselected == 1 else 'tests'} deselected"
    if (session.arrived or session.failures) and (missing := session.missing()):
        yield f"no test asked for {', '.join(missing)}"


def _drawable(closing: Closing) -> Iterator[tuple[str, Record]]:
    """The records of the runs, and what trainings that failed have left."""
    yield from ((run.name, run.record) for run in closing.runs)
    for failure in closing.failures:
        if (
            failure.how == "failed"
            and failure.partial
            and (record := remains(Path(failure.partial)))
        ):
            yield failure.name, record


def remains(partial: Path) -> Record | None:
    """The incomplete record of a training that failed; None when it holds no step or cannot be
    read."""
    from probes.record import Record

    try:
        record = Record.load(partial)
    except (OSError, ValueError):
        return None
    return record if len(record.steps) else None


def _draw(
    drawn: Sequence[tuple[str, Record]], page: Path, reference: str | None, notes: Sequence[str]
) -> Path:
    from probes.report.html import render

    page.parent.mkdir(parents=True, exist_ok=True)
    return render(
        drawn, page, reference=reference if reference in dict(drawn) else None, notes=notes
    )


def _notes(closing: Closing) -> list[str]:
    """What stands at the top of the page."""
    failed = [
        f"{one.name} failed in training: {one.reason}."
        for one in closing.failures
        if one.how == "failed"
    ]
    return [*failed, *([note(closing.lacks)] if closing.lacks else [])]


def note(lacks: Sequence[str]) -> str:
    return f"Partial page: {'; '.join(lacks)}."


@dataclass
class Ending:
    """What the end needs to know, and what becomes of it.

    on_file   node ids of the last failures, where only those are to run
    lost      tests that were never heard of
    document  the diagnosed runs, as data
    """

    hearing: Hearing
    places: Places
    environment: Mapping[str, str]
    rollcall: RollCall = field(default_factory=RollCall)
    on_file: Collection[str] = ()
    lost: list[str] = field(default_factory=list)
    closing: Closing = field(default_factory=Closing)
    document: Mapping[str, Any] = field(default_factory=dict)
    _only_failures: bool = False

    def collected(self, ids: Iterable[str]) -> None:
        """`--lf` leaves tests out only when a failure on file is among those it can run."""
        self._only_failures |= not set(self.on_file).isdisjoint(ids)

    def come(self, stopped: bool, named: bool, train: Callable[[str], Run]) -> bool:
        """Draw and write what there is to tell; whether all of it is there and well.

        stopped  whether the session did not come to its own end
        named    whether only tests that were named ran
        train    gets the run of an experiment that no test asked for
        """
        self.lost = [] if stopped else self.rollcall.lost()
        if self.hearing:
            reasons = {
                "only named tests ran": named,
                "only the last failures ran": self._only_failures,
                "the session stopped early": stopped,
                "tests were lost": bool(self.lost),
            }
            lacks = [reason for reason, holds in reasons.items() if holds]
            fetch, notes = partial(self._fetch, train, stopped), list(self.hearing.notes)
            self.closing = close(self.hearing.session, self.places.page, lacks, fetch, notes)
            self._tell(notes)
        return not (self.closing.errors or self.lost or self.rollcall.dead)

    def lines(self) -> Iterator[list[Part]]:
        """What is said on the terminal."""
        yield from log_items.table(log["row"] for log in self.hearing.logs.values())
        closing = self.closing
        outputs = {"dashboard": closing.page, "diagnosis": closing.document}
        written = {what: self.places.told(path) for what, path in outputs.items() if path}
        yield from terminal.ending(
            closing.runs, closing.failures, closing.lacks, written, closing.errors
        )
        yield from terminal.notes(self.hearing.notes)
        yield from terminal.losses(self.lost, self.rollcall.dead)

    def commands(self) -> list[str]:
        """Lines for whoever runs this and reads its output."""
        if self.environment.get("GITHUB_ACTIONS") != "true" or not self.document:
            return []
        from probes.report import github

        return list(
            github.commands(
                self.document, self.places.root, self.environment.get("GITHUB_WORKSPACE")
            )
        )

    def _fetch(self, train: Callable[[str], Run], stopped: bool, name: str) -> Run | None:
        """An experiment no test asked for; somebody who stops a session does not wait for it to
        train."""
        mine = self.hearing.session
        if stopped and not mine.store.has(name, mine.experiments[name]):
            return None
        return train(name)

    def _tell(self, notes: list[str]) -> None:
        """Write the diagnosed runs where they are looked for."""
        page, path = self.closing.page, self.places.document
        told = shown(page, self.places.root) if page else None
        self.document = content = document(list(self._entries()), self.closing.lacks, notes, told)
        if path and self.closing.attempt(f"no diagnosis at {path}", lambda: write(content, path)):
            self.closing.document = path
        if summary := self.environment.get("GITHUB_STEP_SUMMARY"):
            self._summarise(content, Path(summary))

    def _summarise(self, content: Mapping[str, Any], summary: Path) -> None:
        """The file is the machine's: that it cannot be written says nothing of the tests, and fails
        none."""
        from probes.report import markdown

        try:
            markdown.append(content, summary)
        except OSError as error:
            self.hearing.notes[f"no summary at {summary}: {error.strerror or error}"] = None

    def _entries(self) -> Iterator[Entry]:
        for run in self.closing.runs:
            yield self._used(
                entry(run.name, self._path(run.path), run.record, run.diagnosis, "experiment")
            )
        for failure in self.closing.failures:
            yield self._used(self._failed(failure))
        for nodeid, log in sorted(self.hearing.logs.items()):
            yield {**log["entry"], "tests": {nodeid: log["entry"]["outcome"]}}

    def _used(self, run: Entry) -> Entry:
        """With the tests that used the run."""
        tests = self.hearing.tests.get(run["name"], {})
        return {**run, "tests": tests, "outcome": worst(tests.values()) if tests else None}

    def _failed(self, failure: Failure) -> Entry:
        """A training that did not come to its end, with the diagnosis of what it has left."""
        from probes.diagnosis.diagnose import diagnose

        path = Path(failure.partial) if failure.partial else None
        error = f"{failure.how} in training" + (f": {failure.reason}" if failure.reason else "")
        told = self._path(path) if path else None
        if path is None or (record := remains(path)) is None:
            return unjudged(failure.name, told, error, "experiment")
        return {**entry(failure.name, told, record, diagnose(record), "experiment"), "error": error}

    def _path(self, path: Path) -> str:
        return shown(path, self.places.root)
