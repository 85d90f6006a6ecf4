"""Any log this project can read, as a Record: one file per format, recognised by content."""

from __future__ import annotations

from pathlib import Path

from probes.record import Record


def read(path: str | Path) -> Record:
    """Read a run's log. Raises RecordError when the file is of no known format, OSError when it cannot be opened."""
    return Record.load(path)
