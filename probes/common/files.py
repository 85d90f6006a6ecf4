"""Writing output files so that a reader never sees half of one."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, content: str) -> Path:
    """Write UTF-8 text in one step: a reader sees the old file or the new one, never a part.

    Makes missing folders. The file gets the permissions that a newly created file would have.
    After an exception no draft is left. Raises OSError when the file cannot be written.
    """
    import tempfile  # slow to load, and many commands write no file

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".draft")
    try:
        with open(handle, "wb") as file:
            file.write(content.encode())
        os.chmod(draft, 0o666 & ~_umask())
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    return path


def _umask() -> int:
    """The process's mask for new files, which mkstemp ignores. To read it, one has to set it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
