"""Small functions on arrays.

They return the same values as np.unique and np.median. Those two import numpy.ma when they are
called. When a short log is diagnosed on the command line, that import would take a tenth of the
time.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", np.float64, np.int64)


def distinct(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """The distinct values in increasing order: [n] -> [m]."""
    ordered = np.sort(values)
    is_new = np.ones(len(ordered), dtype=bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    return ordered[is_new]


def median(values: npt.NDArray[Any]) -> Any:
    """The median over the last axis: [..., n] -> [...], a scalar for [n].

    The median is NaN where any value is NaN, and where there are no values (n = 0).
    """
    count = values.shape[-1]
    if count == 0:
        return np.full(values.shape[:-1], np.nan)[()]
    low, high = (count - 1) // 2, count // 2
    ordered = np.partition(values, (low, high, count - 1), axis=-1)  # NaN comes last
    if values.ndim > 1:
        middle = ordered[..., low : high + 1].mean(axis=-1)
        return np.where(np.isnan(ordered[..., -1]), np.nan, middle)
    # A diagnosis calls this function hundreds of times on a few values. Scalars are then faster.
    if np.isnan(ordered[-1]):
        return ordered[-1]
    return ordered[low] / 1 if low == high else (ordered[low] + ordered[high]) / 2
