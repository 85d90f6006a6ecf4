"""Parameters and their gradients, each kept in one flat buffer with a named view per tensor.

One buffer makes clipping and AdamW a handful of passes over one array, and lets Q, K and V be one
matrix product while each keeps its own name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from model import memory

Array = npt.NDArray[Any]
"""A floating-point array of the run's dtype; its shape stands in the comment or docstring beside
it."""


class Param:
    """One tensor: `data` (read-only; the optimizer writes the flat buffer), `grad`, and hooks on
    the filled gradient.

    `parts` are the parameters that a fused one, such as Q, K and V together, consists of.
    """

    def __init__(self, name: str, data: Array, grad: Array, parts: Sequence[Param] = ()) -> None:
        self.name, self.data, self.grad, self.parts = name, read_only(data), grad, tuple(parts)
        self.backward_hooks: tuple[Callable[[Param, Array], None], ...] = ()

    def filled(self) -> None:
        """Called by a backward pass once `grad` holds this step's gradient."""
        for part in self.parts:
            part.filled()
        for hook in self.backward_hooks:
            hook(self, self.grad)


class Params(Mapping[str, Param]):
    """All parameters of a model by name, in the order given; matrices must come before vectors.

    flat       [n] the values, writable: for initialisation and the optimizer
    flat_grad  [n] the gradients
    n_decayed  how many leading entries belong to matrices, which weight decay applies to
    """

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
        """A buffer shaped like `flat`, seen tensor by tensor."""
        return {
            name: flat[start : start + prod(self._shapes[name])].reshape(self._shapes[name])
            for name, start in self._offsets.items()
        }

    def fused(self, name: str, names: Sequence[str]) -> Param:
        """Neighbouring matrices of equal width stacked into one: [sum of rows, columns], no
        copy."""
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
    """A view of the array that refuses to be written."""
    view = array.view()
    view.flags.writeable = False
    return view


def read_only_views(views: Mapping[str, Array]) -> Mapping[str, Array]:
    return MappingProxyType({name: read_only(view) for name, view in views.items()})
