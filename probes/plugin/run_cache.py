"""The cache of trained runs: a folder of finished records that all processes of a session share.

The file name of a record holds a key, which is a hash of everything that decides the content of the
record (`cache_key`). After a change of the model or the recorder, an old record is therefore never
used. For an experiment `healthy` the folder may hold:

    healthy-<key>.jsonl           the finished record; the file is moved to this name in one step
    healthy-<key>.sidecar.json    the seconds its training took, and the session that trained it
    healthy-<key>.partial.jsonl   the record of a training that is running or has failed
    healthy-<key>.failure.json    the error with which training failed, and the session in which it
                                  failed; that session does not train the experiment again
    healthy-<key>.damaged.jsonl   a record that could not be read; the experiment was trained again
    healthy.lock                  locked while a process looks up, trains or removes a record

Whenever an experiment is looked up, its old records are removed. `MIN_KEPT_KEYS` and
`MIN_UNUSED_SECONDS` define which records are old.
"""

from __future__ import annotations

import json
import os
import re
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.common.files import write_output
from probes.common.text import described, printable_lines
from probes.plugin import cache_key

if TYPE_CHECKING:
    from probes.plugin.experiments import Experiment
    from probes.record import Record

OnStep = Callable[[int, int], None]
"""Called after every training step with the step and the number of steps."""

MIN_KEPT_KEYS = 8
"""This many of the newest keys of an experiment are always kept, so that the records of several
branches and seeds stay available."""
MIN_UNUSED_SECONDS = 24 * 60 * 60
"""A record that was used within this time is kept, because a session may still be using it."""
CLEARED = "; the cache was removed meanwhile, as --cache-clear in another session does"
"""Explains an error of a training whose files disappeared."""
LAST_LINE = b'{"end":{"complete":true}}\n'
"""The last line of the file of a complete record. `probes.recording.recorder` writes it."""
DAMAGED_FILE_ERRORS = (OSError, ValueError, KeyError, TypeError, RecursionError)
"""The errors that reading a damaged sidecar or failure file may raise."""


class TrainingError(RuntimeError):
    """The training of an experiment failed.

    reason   type and message of the error, as printable lines
    partial  path of the record of the steps before the error; None if there is no such record
    """

    def __init__(self, name: str, reason: str, partial: Path, note: str = "") -> None:
        self.reason = printable_lines(reason)
        self.partial = partial if partial.exists() else None
        kept = (
            f"the record of the steps before the error is kept at {partial}"
            if self.partial
            else "nothing was recorded"
        )
        super().__init__(f"experiment {name!r} failed in training: {self.reason}; {kept}{note}")


@dataclass(frozen=True)
class CachedRun:
    """A finished record and its file.

    seconds  the time that training took, in this session or an earlier one
    cached   whether an earlier session trained it
    """

    record: Record
    path: Path
    seconds: float
    cached: bool


class RunCache:
    """A folder of records, as one process of a session uses it.

    folder     the folder, which `fetch` creates if it does not exist
    session    the identifier that all processes of a test session have in common
    retrain    whether records of earlier sessions are ignored
    read_only  a second folder of finished records, which is searched but never changed
    """

    def __init__(
        self, folder: Path, session: str, retrain: bool = False, read_only: Path | None = None
    ) -> None:
        self.folder, self.session, self.retrain = folder, session, retrain
        self.read_only = read_only
        self._failed: dict[Path, str] = {}
        """Path of a record -> reason of its failed training, in case the file cannot be written."""

    @cached_property
    def _environment(self) -> str:
        return cache_key.environment()

    def path(self, name: str, experiment: Experiment) -> Path:
        """The path of the finished record of the experiment, whether or not it exists already."""
        key = cache_key.key(experiment.fingerprint, self._environment)
        return self.folder / f"{name}-{key}.jsonl"

    def has(self, name: str, experiment: Experiment) -> bool:
        """Whether `fetch` will find a finished record. This reads only the end of the file."""
        path = self.path(name, experiment)
        if self.retrain:
            return False
        for place in self._places(path):
            try:
                with open(place, "rb") as file:
                    file.seek(-len(LAST_LINE), os.SEEK_END)
                    if file.read() == LAST_LINE:
                        return True
            except OSError:  # there is no file, or it is shorter than the last line
                continue
        return False

    def partial(self, name: str, experiment: Experiment) -> Path | None:
        """The path of the record of a training that is running or has failed, if there is one."""
        path = _partial(self.path(name, experiment))
        return path if path.exists() else None

    def left_by_worker(self, name: str, experiment: Experiment, since: float) -> Path | None:
        """The path of the record of a training that a worker began after the time `since` and did
        not finish, if there is one."""
        partial = self.partial(name, experiment)
        if partial is None:
            return None
        try:
            sidecar = json.loads(_sidecar(partial).read_bytes())
            return partial if sidecar["worker"] and sidecar["started"] >= since else None
        except DAMAGED_FILE_ERRORS:
            return None

    def fetch(self, name: str, experiment: Experiment, on_step: OnStep | None = None) -> CachedRun:
        """Return the experiment's record. Train the experiment if the folder does not hold it.

        Only one process trains an experiment, and the others wait. The process that trained keeps
        the record in memory and does not read it from the file. Raises TrainingError if training
        fails. For the rest of the session, every further call raises that error without training.
        """
        from filelock import FileLock

        path = self.path(name, experiment)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(self.folder / f"{name}.lock"):
            run = self._load(path)
            if run is None:
                run = self._train(name, experiment, path, on_step)
            with suppress(OSError):  # another session may remove the files at any moment
                if run.path == path:
                    os.utime(path)
                self._remove_old(name)
        return run

    # Finished records

    def _places(self, path: Path) -> list[Path]:
        """The paths at which a finished record may be, in the order of the search."""
        return [path, self.read_only / path.name] if self.read_only else [path]

    def _load(self, path: Path) -> CachedRun | None:
        """The finished record from the folder, or else from the read-only folder; None if it must
        be trained. A record in the folder that cannot be read, whatever the exception, is set
        aside under another name, with a warning."""
        from probes.record import Record, RecordError

        for place in self._places(path):
            try:
                sidecar = json.loads(_sidecar(place).read_bytes())
                trained_by, seconds = str(sidecar["session"]), float(sidecar["seconds"])
                record = Record.load(place)
                if not record.complete:
                    raise RecordError("its end is missing")
            except Exception as error:
                if place == path and path.exists():
                    aside = path.with_suffix(".damaged.jsonl")
                    os.replace(path, aside)
                    warnings.warn(
                        f"the record kept at {path} is damaged and will be trained again; it was "
                        f"moved to {aside}: {described(error)}",
                        stacklevel=2,
                    )
            else:
                cached = trained_by != self.session
                if not (self.retrain and cached):
                    return CachedRun(record, place, seconds, cached)
        return None

    def _remove_old(self, name: str) -> None:
        """Remove the files of every key that is not among the newest and was not used for a day."""
        key = re.compile(rf"({re.escape(name)}-[0-9a-f]{{{cache_key.KEY_LENGTH}}})\.")
        files_by_key: dict[str, list[Path]] = {}
        for file in self.folder.iterdir():
            if match := key.match(file.name):
                files_by_key.setdefault(match[1], []).append(file)
        last_used = {
            found: max(file.stat().st_mtime for file in files)
            for found, files in files_by_key.items()
        }
        newest_first = sorted(last_used, key=lambda found: last_used[found], reverse=True)
        for found in newest_first[MIN_KEPT_KEYS:]:
            if last_used[found] < time.time() - MIN_UNUSED_SECONDS:
                for file in files_by_key[found]:
                    file.unlink(missing_ok=True)

    # Training

    def _train(
        self, name: str, experiment: Experiment, path: Path, on_step: OnStep | None
    ) -> CachedRun:
        """Train an experiment, unless its training has already failed in this session, and move the
        record to `path`. Raises TrainingError."""
        __tracebackhide__ = True  # the traceback need only show the experiment's frames
        from probes.recording.watch import watch

        partial, failure = _partial(path), _failure(path)
        if (reason := self._earlier_failure(path)) is not None:
            raise TrainingError(name, reason, partial, "\n(not tried again in this session)")
        partial.unlink(missing_ok=True)
        clock = time.monotonic()
        try:
            record = watch(experiment.build(), partial, on_step=on_step)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, FileNotFoundError) and not self.folder.exists():
                reason += CLEARED
            failed = TrainingError(name, reason, partial)
            self._failed[path] = failed.reason
            with suppress(OSError):  # on a full disk, only this process knows of the failure
                _write(failure, {"session": self.session, "reason": failed.reason})
            raise failed from error
        try:
            seconds = self._keep(path)
        except DAMAGED_FILE_ERRORS as error:
            warnings.warn(
                f"the record of {name} cannot be kept at {path}: {error}; "
                "the next session trains it again",
                stacklevel=2,
            )
            seconds = time.monotonic() - clock
        return CachedRun(record, path, seconds, cached=False)

    def _earlier_failure(self, path: Path) -> str | None:
        """The reason why the training of a record failed earlier in this session, if it did.

        A file that does not hold what `_train` writes does not count as a failure.
        """
        try:
            earlier = json.loads(_failure(path).read_bytes())
            if earlier["session"] == self.session:
                return str(earlier["reason"])
        except DAMAGED_FILE_ERRORS:
            pass
        return self._failed.get(path)

    def _keep(self, path: Path) -> float:
        """Move the record of a training that has finished to `path`, and return the seconds that
        training took. Raises ValueError if the file is the record of another process."""
        partial = _partial(path)
        sidecar = json.loads(_sidecar(partial).read_bytes())
        if sidecar["process"] != os.getpid():
            # This file belongs to a session that started after the cache was cleared.
            raise ValueError(f"process {sidecar['process']} trains it as well{CLEARED}")
        seconds = float(sidecar["seconds"])
        # The sidecar is written last: a record without a sidecar does not count as finished. If
        # `path` had a sidecar before and this process is killed before it writes the new one, the
        # old one stays valid, with its seconds.
        os.replace(partial, path)
        _write(_sidecar(path), {**sidecar, "record": path.name, "session": self.session})
        _sidecar(partial).unlink()
        _failure(path).unlink(missing_ok=True)
        return seconds


def open_run_cache(
    make_folder: Callable[[str], Path] | None,
    cache_folder: Path,
    session: str,
    retrain: bool,
    warn: Callable[[str], None],
) -> RunCache:
    """Open the folder of records in pytest's cache. If that cache is off or read-only, open a
    temporary folder instead.

    make_folder   takes a name, makes a folder of that name in the cache and returns its path; None
                  if the cache is off
    cache_folder  the path of that folder; if the cache is read-only, it is still searched for
                  records
    warn          is called with a sentence if the cache cannot be written
    """
    import tempfile

    temporary = temporary_folder(session)
    if make_folder is None:
        return RunCache(temporary, session, retrain)
    try:
        folder = make_folder("probes")
        with tempfile.TemporaryFile(dir=folder):
            return RunCache(folder, session, retrain)
    except OSError as error:
        warn(
            f"records cannot be kept in pytest's cache ({error}); "
            f"the records of this session are written to {temporary}"
        )
        return RunCache(temporary, session, retrain, cache_folder)


def temporary_folder(session: str) -> Path:
    """The folder in which a session keeps records if it cannot use pytest's cache. All processes of
    the session get the same folder."""
    import tempfile

    return Path(tempfile.gettempdir(), f"probes-{session}")


def _failure(path: Path) -> Path:
    return path.with_suffix(".failure.json")


def _partial(path: Path) -> Path:
    return path.with_suffix(".partial.jsonl")


def _sidecar(path: Path) -> Path:
    from probes.recording.recorder import sidecar_path

    return sidecar_path(path)


def _write(path: Path, content: dict[str, Any]) -> None:
    write_output(path, json.dumps(content, indent=1) + "\n")
