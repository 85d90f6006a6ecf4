"""Memory for the arrays that a run works in: on cache lines of their own, in blocks that huge pages
can back.

A step is bound by memory as much as by arithmetic. An array that begins in the middle of a cache
line costs two accesses for one, and a dozen megabytes of small pages do not fit the processor's
table of them."""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 8 << 20
"""Bytes asked for at a time; NumPy asks the system for huge pages from 4 MiB on."""
LINE = 64
"""Bytes of a cache line, and of the widest vector register."""

_lock = Lock()
_rest: npt.NDArray[np.uint8] = np.empty(0, np.uint8)


def empty(size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An uninitialised array [size] that starts on a cache line; its block is freed with the last
    array in it."""
    global _rest
    nbytes = size * np.dtype(dtype).itemsize
    taken = -(-nbytes // LINE) * LINE
    with _lock:
        if len(_rest) < taken:
            block = np.empty(max(BLOCK, taken) + LINE, np.uint8)
            _rest = block[-block.ctypes.data % LINE :]
        piece, _rest = _rest[:nbytes], _rest[taken:]
    return piece.view(dtype)


def zeros(size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The same, filled with zeros."""
    array = empty(size, dtype)
    array[...] = 0
    return array
