"""Parameters and their gradients, each kept in one flat buffer with a named view per tensor.

With one buffer, clipping and AdamW are a few passes over one array, and Q, K and V are computed by
one matrix product although each is a parameter with its own name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from model import memory

Array = npt.NDArray[Any]
"""A floating-point array of the run's dtype; a comment or docstring beside it gives its shape."""


class Param:
    """One parameter: `data` (read-only; the optimizer writes to the flat buffer), `grad`, and hooks
    that are called once the gradient is filled.

    A fused parameter, such as Q, K and V together, consists of `parts`.
    """

    def __init__(self, name: str, data: Array, grad: Array, parts: Sequence[Param] = ()) -> None:
        self.name, self.data, self.grad, self.parts = name, read_only(data), grad, tuple(parts)
        self.backward_hooks: tuple[Callable[[Param, Array], None], ...] = ()

    def filled(self) -> None:
        """Call the hooks; a backward pass does this once `grad` holds the gradient of the step."""
        for part in self.parts:
            part.filled()
        for hook in self.backward_hooks:
            hook(self, self.grad)


class Params(Mapping[str, Param]):
    """All parameters of a model by name, in the given order; matrices must come before vectors.

    flat       [n] the values, writable, for initialisation and the optimizer
    flat_grad  [n] the gradients
    n_decayed  number of leading entries that belong to matrices; weight decay applies to these

    Raises ValueError when a vector comes before a matrix."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: npt.DTypeLike) -> None:
        sizes = [prod(shape) for shape in shapes.values()]
        ranks = [len(shape) for shape in shapes.values()]
        if ranks != sorted(ranks, reverse=True):
            raise ValueError(
                "matrices must come before vectors, so that weight decay covers one slice"
            )
        self._offsets = dict(zip(shapes, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        self._shapes = dict(shapes)
        self.flat = memory.zeros(sum(sizes), dtype)
        self.flat_grad = memory.zeros(sum(sizes), dtype)
        self.n_decayed = sum(size for size, rank in zip(sizes, ranks, strict=True) if rank > 1)
        data, grad = self.views(self.flat), self.views(self.flat_grad)
        self._params = {name: Param(name, data[name], grad[name]) for name in shapes}

    def __getitem__(self, name: str) -> Param:
        return self._params[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)

    def views(self, flat: Array) -> dict[str, Array]:
        """Views of a buffer of the size of `flat`, one for each parameter."""
        return {
            name: flat[start : start + prod(self._shapes[name])].reshape(self._shapes[name])
            for name, start in self._offsets.items()
        }

    def fused(self, name: str, names: Sequence[str]) -> Param:
        """One parameter for neighbouring matrices of equal shape: [sum of rows, columns], without a
        copy. Raises ValueError for other matrices."""
        parts = [self[part] for part in names]
        start, size = self._offsets[names[0]], sum(part.data.size for part in parts)
        columns = parts[0].data.shape[1]
        data, grad = (
            flat[start : start + size].reshape(-1, columns) for flat in (self.flat, self.flat_grad)
        )
        for part, rows in zip(parts, np.split(data, len(parts)), strict=True):
            if not np.shares_memory(part.data, rows) or part.data.shape != rows.shape:
                raise ValueError(f"{names} are not neighbours of equal shape")
        return Param(name, data, grad, parts)


def read_only(array: Array) -> Array:
    """A read-only view of the array."""
    view = array.view()
    view.flags.writeable = False
    return view


def read_only_views(views: Mapping[str, Array]) -> Mapping[str, Array]:
    return MappingProxyType({name: read_only(view) for name, view in views.items()})
