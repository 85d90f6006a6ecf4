"""Memory for the arrays of a run: each starts on a cache line, in blocks large enough for huge
pages.

Memory limits the speed of a step as much as arithmetic does. An array that starts in the middle of
a cache line costs two accesses instead of one, and the processor's page table (TLB) does not hold a
dozen megabytes of small pages."""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 8 << 20
"""Bytes that are allocated at a time. NumPy requests huge pages for arrays of 4 MiB or more."""
LINE = 64
"""Bytes of a cache line and of the widest vector register."""

_lock = Lock()
_rest: npt.NDArray[np.uint8] = np.empty(0, np.uint8)


def empty(size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An uninitialised array [size] that starts on a cache line. Its block is freed with the last
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
    """Like `empty`, filled with zeros."""
    array = empty(size, dtype)
    array[...] = 0
    return array
