"""Writes output files, so that no reader sees a partly written file and no device is replaced."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path

MAX_DRAFT_AGE_SECONDS = 60 * 60
"""A draft that is older was left by a process that was killed. The next write removes it."""
MAX_DRAFT_STEM_BYTES = 200
"""Bytes of the target's name that the name of a draft repeats. File systems limit a name to 255."""
MAX_LINKS = 40
"""Linux follows at most this many links in one path."""


def write_output(path: str | Path, text: str) -> Path:
    """Write UTF-8 text to a file, a device or a FIFO, and return the path.

    A regular file is replaced in one step: a reader sees the old file or the new one, never a part.
    The new file keeps the permissions of the old one. Links are resolved first, and a link without
    a target creates its target. Missing folders are created. The text is first written to a draft
    `.NAME.<random>.draft` in the folder of the target, which is removed after an exception. Only a
    process that is killed leaves its draft there, and the next write to the same target removes the
    draft when it is older than MAX_DRAFT_AGE_SECONDS.

    A device, a FIFO and an open descriptor such as /dev/stdout are written directly. Raises OSError
    if the file cannot be written, or if no program reads from the FIFO.
    """
    if (descriptor := _open_special(path)) is not None:
        with open(descriptor, "wb") as file:
            file.write(text.encode())
        return Path(path)
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_old_drafts(target)
    try:
        mode = stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        mode = None
    draft = target.with_name(f".{_draft_stem(target)}.{os.urandom(8).hex()}.draft")
    try:
        # Only the owner may read the draft of an existing file until it has that file's
        # permissions.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(draft, flags, 0o666 if mode is None else 0o600), "wb") as file:
            file.write(text.encode())
        if mode is not None:
            os.chmod(draft, mode)
        os.replace(draft, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise
    return Path(path)


def append_output(path: str | Path, text: str) -> None:
    """Append UTF-8 text to a file, or write it to a device or a FIFO.

    Raises OSError if the file cannot be written, or if no program reads from the FIFO.
    """
    descriptor = _open_special(path)
    with open(path if descriptor is None else descriptor, "ab") as file:
        file.write(text.encode())


def _open_special(path: str | Path) -> int | None:
    """Open a device, a FIFO or an own descriptor, and return its file descriptor.

    Returns None for a regular file and for a path that does not exist.
    """
    if (own := _own_descriptor(path)) is not None:
        return os.dup(own)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISFIFO(mode):
        return os.open(path, os.O_WRONLY | os.O_NOCTTY)
    try:
        # Without O_NONBLOCK, this call would wait until a program reads from the FIFO.
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        reason = "no program reads from this FIFO; start the reader first"
        raise OSError(errno.ENXIO, reason, str(path)) from error
    os.set_blocking(descriptor, True)
    return descriptor


def _own_descriptor(path: str | Path) -> int | None:
    """The descriptor of this process to which a path such as /dev/stdout leads; None for others.

    Such a path may stand for a file to which the shell has redirected the output. This file must
    not be replaced, because the process still writes to it.
    """
    place = os.fspath(path)
    for _ in range(MAX_LINKS):
        if not os.path.islink(place):
            return None
        folder = os.path.dirname(place) or "."
        if os.path.realpath(folder) == f"/proc/{os.getpid()}/fd":
            return int(os.path.basename(place))
        place = os.path.join(folder, os.readlink(place))
    return None


def _draft_stem(target: Path) -> str:
    """The name of the target, cut so that the name of its draft is not too long."""
    return os.fsdecode(os.fsencode(target.name)[:MAX_DRAFT_STEM_BYTES])


def _remove_old_drafts(target: Path) -> None:
    """Remove the drafts that killed processes left beside the target. A draft that cannot be
    removed stays, because it does not prevent the write."""
    draft = re.compile(rf"\.{re.escape(_draft_stem(target))}\.[0-9a-f]{{16}}\.draft")
    with suppress(OSError):
        for entry in os.scandir(target.parent):
            if draft.fullmatch(entry.name):
                with suppress(OSError):
                    age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                    if age > MAX_DRAFT_AGE_SECONDS:
                        os.unlink(entry.path)
