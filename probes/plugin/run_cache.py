"""Finished records, kept in one folder and trained at most once a session, whoever asks and however
many ask at once.

A record's file name carries a key over everything that decides its content, so a changed source is
never answered from the folder. For one experiment `healthy` there may lie:

    healthy-<key>.jsonl                   the finished record; only ever put there whole
    healthy-<key>.sidecar.json            its clock: seconds of training, and the session that
                                          trained it
    healthy-<key>.partial.jsonl           a run under way, or what a run that died has left
    healthy-<key>.failure.json            the session in which training failed, and how; it is not
                                          tried again in it
    healthy-<key>.<holder>.lease          locked while a process uses the record, so that nobody
                                          prunes it
    healthy.lock                          locked while a process looks for, trains or prunes this
                                          experiment

Of each experiment the newest few keys are kept (`probes.plugin.leases`).
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.plugin import cache_key
from probes.plugin.leases import Leases

if TYPE_CHECKING:
    from probes.plugin.experiments import Experiment
    from probes.record import Record

OnStep = Callable[[int, int], None]


END = b'{"end":{"complete":true}}\n'
"""The last line of a record that is whole, as `probes.recording.recorder` writes it."""


class TrainingError(RuntimeError):
    """An experiment's training failed; the message says how, and where what it recorded is kept.

    reason   the kind of error and its message
    partial  where what was recorded until then is kept; None when nothing was
    """

    def __init__(self, name: str, reason: str, partial: Path | None, note: str = "") -> None:
        kept = (
            f"what was recorded until then is kept at {partial}"
            if partial
            else "nothing was recorded"
        )
        super().__init__(f"experiment {name!r} failed in training: {reason}; {kept}{note}")
        self.reason, self.partial = reason, partial


@dataclass(frozen=True)
class Kept:
    """A finished record and where it lies. seconds: of training; cached: trained by an earlier
    session."""

    record: Record
    path: Path
    seconds: float
    cached: bool


UNUSABLE = (OSError, ValueError, KeyError, TypeError)
"""What reading a damaged record, or one without its clock, may raise."""


class Store:
    """One folder of records as one session sees it.

    session  the same word in all processes of one test session, another in the next
    retrain  records of earlier sessions do not count
    shelf    a folder of finished records that cannot be written: looked into without a lock, and
             left as it is
    """

    def __init__(
        self, folder: Path, session: str, retrain: bool = False, shelf: Path | None = None
    ) -> None:
        self.folder, self.session, self.retrain, self.shelf = folder, session, retrain, shelf
        self._leases = Leases(folder)

    @cached_property
    def _surroundings(self) -> str:
        return cache_key.surroundings()

    def path(self, name: str, experiment: Experiment) -> Path:
        """Where the experiment's finished record lies, or would lie."""
        return (
            self.folder
            / f"{name}-{cache_key.key(experiment.fingerprint, self._surroundings)}.jsonl"
        )

    def has(self, name: str, experiment: Experiment) -> bool:
        """Whether a record would be answered without training, as far as can be seen without
        opening it."""
        path = self.path(name, experiment)
        places = [path, self.shelf / path.name] if self.shelf else [path]
        return not self.retrain and any(map(_ends_well, places))

    def partial(self, name: str, experiment: Experiment) -> Path | None:
        """Where lies what a run under way, or one that died, has recorded; None when there is
        nothing."""
        path = _partial(self.path(name, experiment))
        return path if path.exists() else None

    def fetch(self, name: str, experiment: Experiment, on_step: OnStep | None = None) -> Kept:
        """The experiment's record, trained now unless this folder has it; whoever asks meanwhile
        waits.

        Raises TrainingError when training fails, and again, without another attempt, for the rest
        of the session."""
        path = self.path(name, experiment)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        with self._leases.locked(f"{name}.lock"):
            self._leases.take(path.stem)
            kept = self._load(path) or self._borrow(path)
            if kept is None:
                self._refuse_second_attempt(name, path)
                self._train(name, experiment, path, on_step)
                kept = self._load(path)
            elif kept.path == path:
                os.utime(path)  # the newest are kept, and this one is of use
            self._leases.prune(name)
        if kept is None:
            raise TrainingError(name, "the record just written cannot be used", path)
        return kept

    def close(self) -> None:
        """Give up the leases: what this process used may be pruned from now on."""
        self._leases.close()

    # What is there

    def _load(self, path: Path) -> Kept | None:
        """The finished record; None when there is none that counts. A damaged one is removed, with
        a warning."""
        if not path.exists():
            return None
        try:
            kept = self._read(path)
        except UNUSABLE as error:
            path.unlink(missing_ok=True)
            warnings.warn(
                f"the record kept at {path} is damaged and will be trained again: {error!r}",
                stacklevel=2,
            )
            return None
        return None if self.retrain and kept.cached else kept

    def _borrow(self, path: Path) -> Kept | None:
        """The finished record on the shelf; None when there is none that counts."""
        if self.shelf is None or self.retrain:
            return None
        try:
            return self._read(self.shelf / path.name)
        except UNUSABLE:
            return None

    def _read(self, path: Path) -> Kept:
        from probes.record import Record, RecordError

        clock = json.loads(_sidecar(path).read_bytes())
        trained_by, seconds = str(clock["session"]), float(clock["seconds"])
        record = Record.load(path)
        if not record.complete:
            raise RecordError("its end is missing")
        return Kept(record, path, seconds, cached=trained_by != self.session)

    # Training

    def _train(self, name: str, experiment: Experiment, path: Path, on_step: OnStep | None) -> None:
        __tracebackhide__ = True  # what went wrong is the experiment's
        from probes.recording.watch import watch

        partial = _partial(path)
        partial.unlink(missing_ok=True)
        try:
            watch(experiment.build(), partial, on_step=on_step)
        except Exception as error:
            failed = TrainingError(
                name, f"{type(error).__name__}: {error}", partial if partial.exists() else None
            )
            _write(_failure(path), {"session": self.session, "reason": failed.reason})
            raise failed from error
        self._finish(partial, path)

    def _finish(self, partial: Path, path: Path) -> None:
        """Put a finished record in its place: first the record, then the clock without which it
        does not count."""
        clock = json.loads(_sidecar(partial).read_bytes())
        _sidecar(path).unlink(missing_ok=True)
        os.replace(partial, path)
        _write(_sidecar(path), {**clock, "record": path.name, "session": self.session})
        _sidecar(partial).unlink()
        _failure(path).unlink(missing_ok=True)

    def _refuse_second_attempt(self, name: str, path: Path) -> None:
        try:
            failure = json.loads(_failure(path).read_bytes())
        except (OSError, ValueError):
            return
        if failure["session"] == self.session:
            partial = _partial(path) if _partial(path).exists() else None
            raise TrainingError(
                name, failure["reason"], partial, "\n(not tried again in this session)"
            )


def _ends_well(path: Path) -> bool:
    """Whether a file is there and its last line is a whole record's."""
    try:
        with open(path, "rb") as file:
            file.seek(-len(END), os.SEEK_END)
            return file.read() == END
    except OSError:
        return False


def _partial(path: Path) -> Path:
    return path.with_suffix(".partial.jsonl")


def _sidecar(path: Path) -> Path:
    from probes.recording.recorder import sidecar_path

    return sidecar_path(path)


def _failure(path: Path) -> Path:
    return path.with_suffix(".failure.json")


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
