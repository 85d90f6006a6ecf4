"""Finished records, kept in one folder and trained at most once a session, whoever asks and however many ask at once.

A record's file name carries a key over everything that decides its content, so a changed source is never answered from
the folder. For one experiment `healthy` there may lie:

    healthy-<key>.jsonl                   the finished record; only ever put there whole
    healthy-<key>.sidecar.json            its clock: seconds of training, and the session that trained it
    healthy-<key>.partial.jsonl           a run under way, or what a run that died has left
    healthy-<key>.failure.json            the session in which training failed, and how; it is not tried again in it
    healthy-<key>.<holder>.lease          locked while a process uses the record, so that nobody prunes it
    healthy.lock                          locked while a process looks for, trains or prunes this experiment

The locks are the system's: those of a process that dies are released.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from probes.gate import key

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from probes.experiment import Experiment
    from probes.record import Record

OnStep = Callable[[int, int], None]


class TrainingError(RuntimeError):
    """An experiment's training failed; the message says how, and where what it recorded is kept."""


@dataclass(frozen=True)
class Kept:
    """A finished record and where it lies. seconds: of training; cached: trained by an earlier session."""

    record: Record
    path: Path
    seconds: float
    cached: bool


class Store:
    """One folder of records as one session sees it.

    session  the same word in all processes of one test session, another in the next
    retrain  records of earlier sessions do not count
    """

    def __init__(self, folder: Path, session: str, retrain: bool = False) -> None:
        self.folder, self.session, self.retrain = folder, session, retrain
        self._holder = uuid4().hex[: key.LENGTH]
        self._leases = ExitStack()
        self._leased: set[str] = set()

    @cached_property
    def _surroundings(self) -> str:
        return key.surroundings()

    def path(self, name: str, experiment: Experiment) -> Path:
        """Where the experiment's finished record lies, or would lie."""
        return self.folder / f"{name}-{key.key(experiment.fingerprint, self._surroundings)}.jsonl"

    def has(self, name: str, experiment: Experiment) -> bool:
        """Whether a record would be answered without training, as far as can be seen without opening it."""
        return not self.retrain and self.path(name, experiment).exists()

    def fetch(self, name: str, experiment: Experiment, on_step: OnStep | None = None) -> Kept:
        """The experiment's record, trained now unless this folder has it; whoever asks meanwhile waits.

        Raises TrainingError when training fails, and again, without another attempt, for the rest of the session.
        """
        path = self.path(name, experiment)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        with self._locked(f"{name}.lock"):
            self._lease(path)
            kept = self._load(path)
            if kept is None:
                self._refuse_second_attempt(path)
                self._train(name, experiment, path, on_step)
                kept = self._load(path)
            self._prune(name, path)
        if kept is None:
            raise TrainingError(f"experiment {name!r}: the record just written to {path} cannot be used")
        return kept

    def close(self) -> None:
        """Give up the leases: what this process used may be pruned from now on."""
        self._leases.close()
        for stem in self._leased:
            self._lease_file(stem).unlink(missing_ok=True)
        self._leased.clear()

    # What is there

    def _load(self, path: Path) -> Kept | None:
        """The finished record; None when there is none that counts. A damaged one is removed, with a warning."""
        from probes.record import Record, RecordError

        if not path.exists():
            return None
        try:
            clock = json.loads(_sidecar(path).read_bytes())
            trained_by, seconds = str(clock["session"]), float(clock["seconds"])
            record = Record.load(path)
            if not record.complete:
                raise RecordError("its end is missing")
        except (OSError, ValueError, KeyError, TypeError) as error:
            path.unlink(missing_ok=True)
            warnings.warn(f"the record kept at {path} is damaged and will be trained again: {error!r}", stacklevel=2)
            return None
        if self.retrain and trained_by != self.session:
            return None
        return Kept(record, path, seconds, cached=trained_by != self.session)

    # Training

    def _train(self, name: str, experiment: Experiment, path: Path, on_step: OnStep | None) -> None:
        from probes.watching import watch

        partial = path.with_suffix(".partial.jsonl")
        partial.unlink(missing_ok=True)
        try:
            watch(experiment.build(), partial, on_step=on_step)
        except Exception as error:
            message = f"experiment {name!r} failed in training: {type(error).__name__}: {error}" + _remains(partial)
            _write(_failure(path), {"session": self.session, "message": message})
            raise TrainingError(message) from error
        self._finish(partial, path)

    def _finish(self, partial: Path, path: Path) -> None:
        """Put a finished record in its place: first the record, then the clock without which it does not count."""
        clock = json.loads(_sidecar(partial).read_bytes())
        _sidecar(path).unlink(missing_ok=True)
        os.replace(partial, path)
        _write(_sidecar(path), {**clock, "record": path.name, "session": self.session})
        _sidecar(partial).unlink()
        _failure(path).unlink(missing_ok=True)

    def _refuse_second_attempt(self, path: Path) -> None:
        try:
            failure = json.loads(_failure(path).read_bytes())
        except (OSError, ValueError):
            return
        if failure["session"] == self.session:
            raise TrainingError(f"{failure['message']}\n(not tried again in this session)")

    # Locks

    @contextmanager
    def _locked(self, name: str, blocking: bool = True) -> Iterator[BaseFileLock]:
        from filelock import FileLock

        lock = FileLock(self.folder / name, blocking=blocking)
        with lock:
            yield lock

    def _lease(self, path: Path) -> None:
        if path.stem not in self._leased:
            self._leases.enter_context(self._locked(self._lease_file(path.stem).name))
            self._leased.add(path.stem)

    def _lease_file(self, stem: str) -> Path:
        return self.folder / f"{stem}.{self._holder}.lease"

    def _prune(self, name: str, keep: Path) -> None:
        """Remove the leases of dead processes, and what other keys of this experiment have left that nobody uses."""
        stem = re.compile(rf"({re.escape(name)}-[0-9a-f]{{{key.LENGTH}}})\.")
        by_stem: dict[str, list[Path]] = {}
        for file in self.folder.iterdir():
            if match := stem.match(file.name):
                by_stem.setdefault(match[1], []).append(file)
        for found, files in by_stem.items():
            leases = [file for file in files if file.suffix == ".lease"]
            stale = [lease for lease in leases if not self._in_use(lease)]
            unused = found != keep.stem and stale == leases
            for file in files if unused else stale:
                file.unlink(missing_ok=True)

    def _in_use(self, lease: Path) -> bool:
        from filelock import Timeout

        try:
            with self._locked(lease.name, blocking=False):
                return False
        except Timeout:
            return True


def _remains(partial: Path) -> str:
    if not partial.exists():
        return "; nothing was recorded"
    return f"; what was recorded until then is kept at {partial}"


def _sidecar(path: Path) -> Path:
    from probes.recorder import sidecar_path

    return sidecar_path(path)


def _failure(path: Path) -> Path:
    return path.with_suffix(".failure.json")


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
