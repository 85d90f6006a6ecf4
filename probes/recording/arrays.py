"""Checks and converts the arrays that a training loop hands to the recorder: tensors, lists, arrays
of any real type."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from probes.record import RecordError
from probes.recording.reducers import Bools, Floats

ArrayLike = Any
"""Whatever `numpy.asarray` takes, and tensors that belong to a graph or lie on a device."""

REAL_KINDS = "biufV"
"""`dtype.kind` of real numbers. V is the kind of types that other libraries add, such as bfloat16
in JAX."""


def detached(value: Any) -> Any:
    """A tensor outside its graph, in main memory, of a type that NumPy knows. Anything else is
    returned as it is."""
    if not hasattr(value, "detach"):
        return value
    tensor = value.detach().cpu()
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor


def real_array(method: str, place: str, value: ArrayLike) -> Floats:
    """The value as an array of float32 or float64 with at least one axis.

    Raises RecordError when it has no name, is empty, or is no array of real numbers. The message
    names the recorder's method and the place."""
    if not place:
        raise RecordError(f"{method} has no name; say which layer, matrix or site it belongs to")
    try:
        array: npt.NDArray[Any] = np.atleast_1d(np.asarray(detached(value)))
        if array.dtype not in (np.float32, np.float64):
            if array.dtype.kind not in REAL_KINDS:
                raise TypeError(f"{array.dtype} is not real")
            array = array.astype(np.float64)
    except (TypeError, ValueError):
        raise RecordError(
            f"{method} {place!r} is {value!r:.60}; it must be an array of real numbers"
        ) from None
    if not array.size:
        raise RecordError(f"{method} {place!r} is empty, of shape {array.shape}")
    return array


def real_matrix(method: str, name: str, value: ArrayLike) -> Floats:
    """The value as an array of two axes. Raises RecordError as `real_array` does."""
    array = real_array(method, name, value)
    if array.ndim != 2:
        raise RecordError(
            f"{method} {name!r} has shape {array.shape}; it must be a matrix, of two axes"
        )
    return array


def visible_keys(site: str, visible: ArrayLike, shape: tuple[int, ...]) -> Bools:
    """A mask of visible keys, broadcast to `shape`. Raises RecordError when it is not of bool or
    does not fit."""
    mask = np.asarray(detached(visible))
    if mask.dtype != bool:
        raise RecordError(
            f"attention {site!r}: visible is of {mask.dtype}; "
            "it must be bool, true where a key may be seen"
        )
    try:
        return np.broadcast_to(mask, shape)
    except ValueError:
        raise RecordError(
            f"attention {site!r}: visible has shape {mask.shape}, which does not fit {shape}"
        ) from None
