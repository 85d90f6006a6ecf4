"""Writes output files in one step, so that no reader sees a partly written file."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, content: str) -> Path:
    """Write UTF-8 text in one step: a reader sees the old file or the new one, never a part.

    Creates missing folders. The file gets the permissions of a newly created file. The text is
    first written to a draft in the same folder, which is removed after an exception. Returns the
    path. Raises OSError if the file cannot be written.
    """
    import tempfile  # slow to load, and many commands write no file

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".draft")
    try:
        with open(handle, "wb") as file:
            file.write(content.encode())
        # mkstemp ignores the umask, the permissions that the process denies to new files. Python
        # can read it only by setting it, so it is set to 0 for a moment.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(draft, 0o666 & ~umask)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    return path
