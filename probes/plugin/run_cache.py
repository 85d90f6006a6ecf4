"""The cache of trained runs: a folder of finished records that all processes of a session share.

The name of a record holds a key over everything that decides its content (`cache_key`), so a
changed model or recorder never gets an old record. For an experiment `healthy` the folder may hold:

    healthy-<key>.jsonl           the finished record; it is moved here in one step
    healthy-<key>.sidecar.json    the seconds its training took, and the session that trained it
    healthy-<key>.partial.jsonl   the record of a training that is running or has failed
    healthy-<key>.failure.json    the session in which training failed, and the error: that session
                                  does not try again
    healthy.lock                  locked while a process looks up, trains or removes a record

When an experiment is looked up, its old records are removed (`MIN_KEPT_KEYS`,
`MIN_UNUSED_SECONDS`).
"""

from __future__ import annotations

import json
import os
import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.plugin import cache_key

if TYPE_CHECKING:
    from probes.plugin.experiments import Experiment
    from probes.record import Record

OnStep = Callable[[int, int], None]
"""Called after every training step with the step and the number of steps."""

MIN_KEPT_KEYS = 8
"""The newest keys of an experiment stay: enough for work on several branches and seeds in turn."""
MIN_UNUSED_SECONDS = 24 * 60 * 60
"""A record that was used within the last day stays, because a session may still be using it."""
LAST_LINE = b'{"end":{"complete":true}}\n'
"""How the file of a complete record ends; `probes.recording.recorder` writes it."""
UNUSABLE = (OSError, ValueError, KeyError, TypeError)
"""What reading a damaged record or a damaged sidecar may raise."""


class TrainingError(RuntimeError):
    """The training of an experiment failed.

    reason   type and message of the error
    partial  the record of the steps before the error; None when no step was recorded
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
class CachedRun:
    """A finished record and its file.

    seconds  the time that training took
    cached   whether an earlier session trained it
    """

    record: Record
    path: Path
    seconds: float
    cached: bool


class Store:
    """A folder of records, as one process of a session uses it.

    session    an identifier that all processes of a test session share
    retrain    whether records of earlier sessions are ignored
    read_only  another folder of finished records, which is searched but never changed
    """

    def __init__(
        self, folder: Path, session: str, retrain: bool = False, read_only: Path | None = None
    ) -> None:
        self.folder, self.session, self.retrain = folder, session, retrain
        self.read_only = read_only

    @cached_property
    def _environment(self) -> str:
        return cache_key.environment()

    def path(self, name: str, experiment: Experiment) -> Path:
        """Where the finished record of the experiment is, or will be."""
        key = cache_key.key(experiment.fingerprint, self._environment)
        return self.folder / f"{name}-{key}.jsonl"

    def has(self, name: str, experiment: Experiment) -> bool:
        """Whether `fetch` will find a finished record. Only the end of the file is looked at."""
        path = self.path(name, experiment)
        places = [path, self.read_only / path.name] if self.read_only else [path]
        return not self.retrain and any(map(_ends_complete, places))

    def partial(self, name: str, experiment: Experiment) -> Path | None:
        """The record of a training that is running or has failed; None when there is none."""
        path = _partial(self.path(name, experiment))
        return path if path.exists() else None

    def fetch(self, name: str, experiment: Experiment, on_step: OnStep | None = None) -> CachedRun:
        """Return the experiment's record; train it when the folder does not hold it.

        Only one process trains an experiment; others wait. The process that trained gets the record
        from memory and reads no file. Raises TrainingError when training fails, and again without
        another attempt for the rest of the session.
        """
        from filelock import FileLock

        path = self.path(name, experiment)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        with FileLock(self.folder / f"{name}.lock"):
            run = self._load(path) or self._load_read_only(path)
            if run is None:
                self._raise_earlier_failure(name, path)
                run = self._train(name, experiment, path, on_step)
            elif run.path == path:
                os.utime(path)
            self._remove_old(name)
        return run

    # Finished records

    def _load(self, path: Path) -> CachedRun | None:
        """The record at a path; None when there is none, when it is damaged, or when it is to be
        trained again. A damaged one is removed, with a warning."""
        if not path.exists():
            return None
        try:
            run = self._read(path)
        except UNUSABLE as error:
            path.unlink(missing_ok=True)
            warnings.warn(
                f"the record kept at {path} is damaged and will be trained again: {error!r}",
                stacklevel=2,
            )
            return None
        return None if self.retrain and run.cached else run

    def _load_read_only(self, path: Path) -> CachedRun | None:
        """The record of the same name in the folder that is not changed; None if it is unusable."""
        if self.read_only is None or self.retrain:
            return None
        try:
            return self._read(self.read_only / path.name)
        except UNUSABLE:
            return None

    def _read(self, path: Path) -> CachedRun:
        from probes.record import Record, RecordError

        sidecar = json.loads(_sidecar(path).read_bytes())
        trained_by, seconds = str(sidecar["session"]), float(sidecar["seconds"])
        record = Record.load(path)
        if not record.complete:
            raise RecordError("its end is missing")
        return CachedRun(record, path, seconds, cached=trained_by != self.session)

    def _remove_old(self, name: str) -> None:
        """Remove the files of every old key: not among the newest, and not used for a day."""
        key = re.compile(rf"({re.escape(name)}-[0-9a-f]{{{cache_key.LENGTH}}})\.")
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
        __tracebackhide__ = True  # the error is the experiment's, so its traceback ends there
        from probes.recording.watch import watch

        partial = _partial(path)
        partial.unlink(missing_ok=True)
        try:
            record = watch(experiment.build(), partial, on_step=on_step)
        except Exception as error:
            failed = TrainingError(
                name, f"{type(error).__name__}: {error}", partial if partial.exists() else None
            )
            _write(_failure(path), {"session": self.session, "reason": failed.reason})
            raise failed from error
        return CachedRun(record, path, self._finish(partial, path), cached=False)

    def _finish(self, partial: Path, path: Path) -> float:
        """Move a finished record to its place and return the seconds that training took.

        The sidecar is written last: a record without one does not count as finished.
        """
        sidecar = json.loads(_sidecar(partial).read_bytes())
        _sidecar(path).unlink(missing_ok=True)
        os.replace(partial, path)
        _write(_sidecar(path), {**sidecar, "record": path.name, "session": self.session})
        _sidecar(partial).unlink()
        _failure(path).unlink(missing_ok=True)
        return float(sidecar["seconds"])

    def _raise_earlier_failure(self, name: str, path: Path) -> None:
        """Raise TrainingError when training failed in this session already."""
        try:
            failure = json.loads(_failure(path).read_bytes())
        except (OSError, ValueError):
            return
        if failure["session"] == self.session:
            partial = _partial(path) if _partial(path).exists() else None
            note = "\n(not tried again in this session)"
            raise TrainingError(name, failure["reason"], partial, note)


def open_store(
    make_folder: Callable[[str], Path] | None,
    cache_folder: Path,
    session: str,
    retrain: bool,
    warn: Callable[[str], None],
) -> Store:
    """The store in pytest's cache, or in a temporary folder when the cache is off or read-only.

    make_folder   makes a folder inside of the cache; None when the cache is off
    cache_folder  where that folder is; a read-only cache is still searched for records
    warn          called with a sentence when the cache cannot be written
    """
    import tempfile

    temporary = temporary_folder(session)
    if make_folder is None:
        return Store(temporary, session, retrain)
    try:
        folder = make_folder("probes")
        with tempfile.TemporaryFile(dir=folder):
            return Store(folder, session, retrain)
    except OSError as error:
        warn(
            f"records cannot be kept in pytest's cache ({error}); "
            f"those of this session go to {temporary}"
        )
        return Store(temporary, session, retrain, cache_folder)


def temporary_folder(session: str) -> Path:
    """Where a session keeps records outside of pytest's cache: the same for all its processes."""
    import tempfile

    return Path(tempfile.gettempdir(), f"probes-{session}")


def _ends_complete(path: Path) -> bool:
    """Whether there is a file and its last line is that of a complete record."""
    try:
        with open(path, "rb") as file:
            file.seek(-len(LAST_LINE), os.SEEK_END)
            return file.read() == LAST_LINE
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
