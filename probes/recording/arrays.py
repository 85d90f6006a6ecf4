"""Checks and converts the arrays that a training loop hands to the recorder. They may be tensors,
lists, or arrays of any real type."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from probes.record import RecordError
from probes.recording.reducers import Bools, Floats

ArrayLike = Any
"""Anything that `numpy.asarray` accepts, and tensors that require gradients or are on a device."""

REAL_KINDS = "biufV"
"""Values of `dtype.kind` for real numbers. "V" is the kind of types from other libraries, such as
bfloat16 in JAX."""


def detached(value: Any) -> Any:
    """Detach a tensor from its graph, move it to main memory and convert it to a type that NumPy
    knows. Anything that is not a tensor is returned unchanged."""
    if not hasattr(value, "detach"):
        return value
    tensor = value.detach().cpu()
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor


def real_array(method: str, place: str, value: ArrayLike) -> Floats:
    """The value as an array of float32 or float64 with at least one axis.

    Raises RecordError when the place has no name, or when the value is empty or is not an array of
    real numbers. The message names the recorder's method and the place."""
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
    """The value as an array with two axes. Raises RecordError in the same cases as `real_array`,
    and for another number of axes."""
    array = real_array(method, name, value)
    if array.ndim != 2:
        raise RecordError(
            f"{method} {name!r} has shape {array.shape}; it must be a matrix, of two axes"
        )
    return array


def visible_keys(site: str, visible: ArrayLike, shape: tuple[int, ...]) -> Bools:
    """A boolean mask of visible keys, broadcast to `shape`. Raises RecordError when the mask is not
    boolean or cannot be broadcast to `shape`."""
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
