"""The end of a session, in the process that reports: what is drawn, written and said, and whether it was all there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from probes.gate import logs, terminal
from probes.gate.closing import Closing, close, remains
from probes.gate.hearing import Hearing, worst
from probes.gate.places import Places, shown
from probes.gate.rollcall import RollCall
from probes.gate.session import Failure, Run
from probes.gate.terminal import Part
from probes.outputs.data import Entry, document, entry, unjudged, write


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
        yield from logs.table(log["row"] for log in self.hearing.logs.values())
        yield from terminal.ending(self.closing, self.places.told)
        yield from terminal.notes(self.hearing.notes)
        yield from terminal.losses(self.lost, self.rollcall.dead)

    def commands(self) -> list[str]:
        """Lines for whoever runs this and reads its output."""
        if self.environment.get("GITHUB_ACTIONS") != "true" or not self.document:
            return []
        from probes.outputs import annotations

        return list(annotations.commands(self.document, self.places.root, self.environment.get("GITHUB_WORKSPACE")))

    def _fetch(self, train: Callable[[str], Run], stopped: bool, name: str) -> Run | None:
        """An experiment no test asked for; somebody who stops a session does not wait for it to train."""
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
        """The file is the machine's: that it cannot be written says nothing of the tests, and fails none."""
        from probes.outputs import markdown

        try:
            markdown.append(content, summary)
        except OSError as error:
            self.hearing.notes[f"no summary at {summary}: {error.strerror or error}"] = None

    def _entries(self) -> Iterator[Entry]:
        for run in self.closing.runs:
            yield self._used(entry(run.name, self._path(run.path), run.record, run.diagnosis, "experiment"))
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
        from probes.diagnosis import diagnose

        path = Path(failure.partial) if failure.partial else None
        error = f"{failure.how} in training" + (f": {failure.reason}" if failure.reason else "")
        told = self._path(path) if path else None
        if path is None or (record := remains(path)) is None:
            return unjudged(failure.name, told, error, "experiment")
        return {**entry(failure.name, told, record, diagnose(record), "experiment"), "error": error}

    def _path(self, path: Path) -> str:
        return shown(path, self.places.root)
