"""Who uses which record: the locks of a store's folder, and what may be removed from it.

A process holds a lease, a locked file of its own, on every record it uses. The locks are the
system's: those of a process that dies are released, and what it leased counts as unused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from probes.plugin import cache_key

if TYPE_CHECKING:
    from filelock import BaseFileLock

KEPT_KEYS = 8
"""The newest records kept of one experiment: enough to go back and forth between a few branches and
seeds."""


class Leases:
    """The locks of one folder, as one process holds them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._holder = uuid4().hex[: cache_key.LENGTH]
        self._held = ExitStack()
        self._stems: set[str] = set()

    @contextmanager
    def locked(self, name: str, blocking: bool = True) -> Iterator[BaseFileLock]:
        from filelock import FileLock

        lock = FileLock(self.folder / name, blocking=blocking)
        with lock:
            yield lock

    def take(self, stem: str) -> None:
        """From now on nobody removes what belongs to `stem`."""
        if stem not in self._stems:
            self._held.enter_context(self.locked(self._file(stem).name))
            self._stems.add(stem)

    def close(self) -> None:
        """Give up every lease."""
        self._held.close()
        for stem in self._stems:
            self._file(stem).unlink(missing_ok=True)
        self._stems.clear()

    def prune(self, name: str) -> None:
        """Remove the leases of dead processes, and of this experiment all but the newest keys and
        those in use."""
        stem = re.compile(rf"({re.escape(name)}-[0-9a-f]{{{cache_key.LENGTH}}})\.")
        by_stem: dict[str, list[Path]] = {}
        for file in self.folder.iterdir():
            if match := stem.match(file.name):
                by_stem.setdefault(match[1], []).append(file)
        newest = sorted(
            by_stem, key=lambda found: max(map(_last_used, by_stem[found])), reverse=True
        )[:KEPT_KEYS]
        for found, files in by_stem.items():
            leases = [file for file in files if file.suffix == ".lease"]
            stale = [lease for lease in leases if not self._in_use(lease)]
            unused = found not in newest and stale == leases
            for file in files if unused else stale:
                file.unlink(missing_ok=True)

    def _file(self, stem: str) -> Path:
        return self.folder / f"{stem}.{self._holder}.lease"

    def _in_use(self, lease: Path) -> bool:
        from filelock import Timeout

        try:
            with self.locked(lease.name, blocking=False):
                return False
        except Timeout:
            return True


def _last_used(file: Path) -> float:
    """Seconds; 0 for what is gone by now, since leases come and go without the experiment's
    lock."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
