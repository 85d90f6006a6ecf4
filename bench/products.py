"""The matrix products of a training step: heard while it makes them, and made again with nothing
around them.

A copy of `model` of its own is trained with arrays that tell of every `np.matmul` and `@` they take
part in, so no list of shapes can go stale. What is made again reads the very memory that the step
read, with ordinary numbers in it (denormal ones, which training may leave there, are slow), and
writes over strides like the step's. A product with a vector, or with a matrix of zeros and ones, is
a sum or a selection written as a product, not one that the architecture asks for: it is left out,
which makes the floor lower."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.rows import LENGTHS, full_length
from model import Config

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]

SCRATCH = 8 << 20
"""Bytes that results are written to at least: like the step's own, enough for huge pages."""
LINE = 64
"""Bytes of a cache line."""
FRESH = ("empty", "zeros", "ones", "arange")
"""Functions of NumPy whose arrays are made to tell."""


class Product(NamedTuple):
    a: Array
    b: Array
    out: Array

    @property
    def flops(self) -> int:
        return 2 * prod(self.out.shape) * int(self.a.shape[-1])


class RecordedStep(NamedTuple):
    """What a contender needs to take the same step."""

    batch_ids: Ids
    lr: float
    products: list[Product]


class MissingProductsError(RuntimeError):
    """A recording with fewer operations than the architecture cannot do without."""


class Heard(NamedTuple):
    a: Array
    b: Array
    out: Array | None  # None where NumPy allocates it

    def layout(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shape and strides of the result; row after row where NumPy allocates it."""
        if self.out is not None:
            return self.out.shape, self.out.strides
        shape = (
            *np.broadcast_shapes(self.a.shape[:-2], self.b.shape[:-2]),
            self.a.shape[-2],
            self.b.shape[-1],
        )
        return shape, tuple(prod(shape[i + 1 :]) * self.a.itemsize for i in range(len(shape)))

    def extent(self) -> int:
        """Bytes from the first to the last of the result."""
        return self.a.itemsize + sum(
            (n - 1) * stride for n, stride in zip(*self.layout(), strict=True)
        )


class Telling(np.ndarray):
    """An array that tells of its products; what is computed from it tells as well."""

    heard: ClassVar[list[Heard]] = []

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out: tuple[Any, ...] = kwargs.pop("out", ())
        inputs, into = tuple(map(_plain, inputs)), tuple(map(_plain, out))
        if ufunc is np.matmul and _is_product(*inputs):
            self.heard.append(Heard(*inputs, *(into or (None,))))
        kwargs = {name: _plain(value) for name, value in kwargs.items()} | (
            {"out": into} if out else {}
        )
        result = getattr(ufunc, method)(*inputs, **kwargs)
        if out:
            return out[0]
        return result.view(Telling) if isinstance(result, np.ndarray) else result


def record(config: Config, steps: int, longest_rows: bool = False) -> list[RecordedStep]:
    """The first steps of a run, on rows of full length if asked. Raises MissingProductsError."""
    recorded = []
    scratch = _grown(np.empty(0, np.uint8), SCRATCH)
    with _telling_copy() as build:
        specimen = build(config)
        if longest_rows:
            full_length(specimen)
        run = specimen.steps()
        for _ in range(steps):
            Telling.heard.clear()
            step = next(run)
            scratch = _grown(scratch, max((each.extent() for each in Telling.heard), default=0))
            products = [
                Product(each.a, each.b, _elsewhere(scratch, each)) for each in Telling.heard
            ]
            _enough(products, config, int(LENGTHS[step.batch_ids].sum()))
            recorded.append(RecordedStep(step.batch_ids, step.lr, products))
        Telling.heard.clear()
    _refill(product for step in recorded for product in step.products)
    return recorded


def replay(products: Sequence[Product]) -> None:
    for a, b, out in products:
        np.matmul(a, b, out=out)


@contextmanager
def _telling_copy() -> Iterator[Callable[[Config], Any]]:
    """`build` of a second `model`, whose NumPy makes arrays that tell; the first one never meets
    them."""
    kept = {
        name: sys.modules.pop(name)
        for name in list(sys.modules)
        if name.partition(".")[0] == "model"
    }
    try:
        build = importlib.import_module("model").build
        for name in list(sys.modules):
            if name.partition(".")[0] == "model" and getattr(sys.modules[name], "np", None) is np:
                vars(sys.modules[name])["np"] = _TellingNumPy("numpy")
        yield build
    finally:
        for name in list(sys.modules):
            if name.partition(".")[0] == "model":
                del sys.modules[name]
        sys.modules.update(kept)


class _TellingNumPy(ModuleType):
    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        return (
            (lambda *args, **kwargs: found(*args, **kwargs).view(Telling))
            if name in FRESH
            else found
        )


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Telling) else value


def _is_product(a: Array, b: Array) -> bool:
    return min(a.ndim, b.ndim) >= 2 and not any(
        ((each == 0) | (each == 1)).all() for each in (a, b)
    )


def _refill(products: Iterable[Product]) -> None:
    """Normal deviates into all memory that products read; the copy of the model is done with it."""
    rng, roots = np.random.default_rng(0), dict[int, tuple[Array, np.dtype[Any]]]()
    for product in products:
        for operand in product[:2]:
            root = operand
            while isinstance(root.base, np.ndarray):
                root = root.base
            roots[id(root)] = root, operand.dtype
    for root, dtype in roots.values():
        numbers = _bytes(root)[: root.nbytes // dtype.itemsize * dtype.itemsize].view(dtype)
        numbers[...] = rng.standard_normal(len(numbers), np.float32)


def _bytes(array: Array) -> npt.NDArray[np.uint8]:
    return array.reshape(-1).view(np.ndarray).view(np.uint8)


def _elsewhere(scratch: npt.NDArray[np.uint8], heard: Heard) -> Array:
    """Where a result goes when the product is made again: never onto what another one reads."""
    flat = scratch[: len(scratch) // heard.a.itemsize * heard.a.itemsize].view(heard.a.dtype)
    return np.lib.stride_tricks.as_strided(flat, *heard.layout())


def _grown(scratch: npt.NDArray[np.uint8], nbytes: int) -> npt.NDArray[np.uint8]:
    """The same while it is large enough; it starts on a cache line."""
    if nbytes <= len(scratch):
        return scratch
    block = np.empty(nbytes + LINE, np.uint8)
    return block[-block.ctypes.data % LINE :]


def _enough(products: Sequence[Product], config: Config, tokens: int) -> None:
    """Three products for each matrix of weights, forward and two gradients, and six of attention's
    a layer."""
    model = config.model
    C, F, L = model.d_model, model.d_ff, model.n_layers
    needed = 6 * tokens * (L * (4 * C * C + 2 * C * F) + model.vocab_size * C)
    found = sum(product.flops for product in products if product.out.ndim == 2)
    batched = sum(product.out.ndim > 2 for product in products)
    if found < needed or batched < 6 * L:
        raise MissingProductsError(
            f"heard matrix products of {found:,} operations and {batched} of attention in a step that needs at least "
            f"{needed:,} and {6 * L}; does model/ make products by something else than np.matmul and @?"
        )
